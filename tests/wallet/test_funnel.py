"""The bonus funnel: hand-counted lines, what the page and the API say, exports, and the plan of its statement."""

import csv
import io
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Jurisdiction, PlayerDay
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import staff
from tests.wallet.grant_rows import grant_row, template
from wallet.bonus.terms import Terms
from wallet.funnel import STATES, Count, Funnel, FunnelError, Group, Line, Question, bonus_funnel

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_remembered_currencies():
    forget_cached()


FIRST, LAST = NOW.date() - timedelta(days=6), NOW.date()
FREE = Terms(multiple=Decimal(0))
ALL_STATES = (
    "OFFERED", "QUEUED", "ACTIVE", "WAGERING", "PAUSED", "COMPLETED", "EXPIRED_UNCLAIMED", "EXPIRED", "LOST", "FORFEITED", "VOIDED",
    "REVERSED",
)  # fmt: skip


def _asked(**fields) -> Question:
    return Question(**({"first": FIRST, "last": LAST, "currency": "EUR"} | fields))


def _funnel(**fields) -> Funnel:
    return bonus_funnel(_asked(**fields))


def _count(bonuses: int, amount: str) -> Count:
    return Count(bonuses, Decimal(amount))


def test_funnel__one_bonus_in_each_state__every_count_by_hand():
    version = template()
    for status in ALL_STATES:
        wagered = "50" if status in ("WAGERING", "LOST", "EXPIRED") else "0"
        grant_row(
            PlayerFactory(), status, "100", wagered=wagered, released="80" if status == "COMPLETED" else None, template_version=version
        )
    line = _funnel().total
    assert line.offered == _count(12, "1200.00")
    # OFFERED, QUEUED and EXPIRED_UNCLAIMED were never active
    assert line.activated == _count(9, "900.00")
    assert line.wagering_begun == _count(4, "400.00")
    assert line.active == _count(3, "300.00")
    for name in ("waiting", "queued", "completed", "expired_unclaimed", "expired", "forfeited", "lost", "voided", "reversed"):
        assert getattr(line, name) == _count(1, "100.00"), name
    assert (line.turned_real, line.free) == (_count(1, "80.00"), _count(0, "0.00"))
    assert line.cost == Decimal("80.00")
    assert line.cost_share == Decimal("80") / Decimal("900")
    assert line.completion_rate == Decimal(1) / Decimal(6)
    assert sum(getattr(line, name).bonuses for name in STATES) == line.offered.bonuses


def test_funnel__bonus_with_nothing_to_wager__its_cash_is_free_not_turned_real():
    grant_row(PlayerFactory(), "COMPLETED", "15", terms=FREE)
    line = _funnel().total
    assert (line.free, line.turned_real, line.cost) == (_count(1, "15.00"), _count(0, "0.00"), Decimal("15.00"))


def test_funnel__capped_completion__kept_is_apart_from_cost():
    grant = grant_row(PlayerFactory(), "COMPLETED", "100", released="1000")
    grant.kept = 35000
    grant.save()
    line = _funnel().total
    assert (line.turned_real.amount, line.kept, line.cost) == (Decimal("1000.00"), _count(1, "350.00"), Decimal("1000.00"))


def test_funnel__edges_of_the_period__half_open_by_utc_day():
    midnight = datetime(2026, 3, 10, tzinfo=NOW.tzinfo)
    for at in (midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1), midnight + timedelta(days=1)):
        grant_row(PlayerFactory(), at=at)
    assert _funnel(first=date(2026, 3, 10), last=date(2026, 3, 10)).total.offered.bonuses == 2


def test_funnel__other_currency__is_left_out_and_yen_have_no_cents():
    grant_row(PlayerFactory())
    grant_row(PlayerFactory(currency="JPY"), "COMPLETED", "5000", currency="JPY")
    assert _funnel().total.offered == _count(1, "100.00")
    assert _funnel(currency="JPY").total.turned_real == _count(1, "5000")


def test_funnel__by_template__versions_are_one_line_and_none_has_its_own():
    for version in (template("reload"), template("reload"), template("welcome")):
        grant_row(PlayerFactory(), template_version=version)
    grant_row(PlayerFactory())
    lines = [(line.key, line.label, line.offered.bonuses) for line in _funnel().lines]
    assert lines == [("reload", "Reload", 2), ("", "No template", 1), ("welcome", "Welcome", 1)]


def test_funnel__by_market_segment_product_and_period__groups_and_filters():
    malta = Jurisdiction.objects.create(code="ZM", name="Zm")
    anna, bert = PlayerFactory(jurisdiction=malta, segment="VIP"), PlayerFactory(segment="NEW")
    grant_row(anna, at=NOW - timedelta(days=1))
    grant_row(bert, at=NOW, product="sports")
    grant_row(bert, at=NOW, product="casino")

    def counted(group: Group, **fields) -> dict[str, int]:
        return {line.key: line.offered.bonuses for line in _funnel(group=group, **fields).lines}

    assert counted(Group.MARKET) == {"ZM": 1, "": 2}
    assert counted(Group.SEGMENT) == {"VIP": 1, "NEW": 2}
    assert counted(Group.PRODUCT) == {"casino": 2, "sports": 1}
    assert counted(Group.PERIOD) == {f"{NOW.date() - timedelta(days=1)}": 1, f"{NOW.date()}": 2}
    assert counted(Group.PRODUCT, market="ZM") == {"casino": 1}
    assert counted(Group.MARKET, segment="NEW") == {"": 2}
    assert counted(Group.TEMPLATE, template="none-such") == {}


@pytest.mark.parametrize(("days", "step"), [(1, "day"), (31, "day"), (32, "week"), (200, "week"), (201, "month")])
def test_question__length__decides_the_step(days, step):
    assert _asked(first=LAST - timedelta(days=days - 1)).step == step


@pytest.mark.parametrize(("first", "label"), [(date(2026, 1, 1), "Week of 2026-03-09"), (date(2025, 1, 1), "Mar 2026")])
def test_funnel__longer_periods__lines_are_weeks_or_months(first, label):
    grant_row(PlayerFactory(), at=NOW)  # a Sunday
    line = _funnel(group=Group.PERIOD, first=first).lines[0]
    assert (line.label, line.offered.bonuses) == (label, 1)


def test_funnel__every_grouping__adds_up_to_the_same_total():
    version = template()
    for number, status in enumerate(ALL_STATES):
        grant_row(PlayerFactory(), status, str(10 + number), at=NOW - timedelta(days=number % 5), template_version=version)
    totals = [_funnel(group=group).total for group in Group]
    assert all(total == totals[0] for total in totals)


def test_funnel__ngr__is_play_of_the_period_less_the_cost():
    anna, bert = PlayerFactory(segment="VIP"), PlayerFactory(segment="NEW")
    PlayerDay.objects.create(player=anna, day=LAST, stake=Decimal(1000), payout=Decimal(900))
    PlayerDay.objects.create(player=bert, day=FIRST, stake=Decimal(500), payout=Decimal(450))
    PlayerDay.objects.create(player=bert, day=FIRST - timedelta(days=1), stake=Decimal(9999), payout=Decimal(0))
    grant_row(anna, "COMPLETED", "40", released="30")
    report = _funnel()
    assert (report.ggr, report.ngr, report.cost_of_ngr) == (Decimal(150), Decimal(120), Decimal("0.25"))
    assert _funnel(segment="NEW").ggr == Decimal(50)


def test_funnel__no_play_or_a_loss__no_share_of_ngr():
    grant_row(PlayerFactory(), "COMPLETED", "40")
    assert (_funnel().ggr, _funnel().ngr, _funnel().cost_of_ngr) == (None, None, None)
    PlayerDay.objects.create(player=PlayerFactory(), day=LAST, stake=Decimal(10), payout=Decimal(500))
    assert (_funnel().ngr, _funnel().cost_of_ngr) == (Decimal(-530), None)


def test_funnel__nothing_offered__empty_without_error():
    report = _funnel()
    assert (report.lines, report.total, report.total.cost_share, report.total.completion_rate) == ([], Line("", "All"), None, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"first": LAST + timedelta(days=1)}, "before it begins"),
        ({"first": LAST - timedelta(days=1_100)}, "ask for a shorter one"),
        ({"first": date(1, 1, 1)}, "use days from 2000-01-01"),
        ({"last": date(9999, 12, 31)}, "use days from 2000-01-01"),
    ],
)
def test_funnel__senseless_period__is_refused_with_a_remedy(fields, message):
    with pytest.raises(FunnelError, match=message):
        _funnel(**fields)


def test_funnel__any_number_of_bonuses__three_statements():
    for _ in range(20):
        grant_row(PlayerFactory(), template_version=template())
    with CaptureQueriesContext(connection) as captured:
        _funnel()
    assert len(captured) == 3


# the page


def _client(*permissions, **fields):
    user = staff(*permissions, **fields)
    client = Client()
    client.force_login(user)
    return client, user


PAGE = "admin:wallet_bonus_funnel"


def test_page__default__the_last_thirty_days_by_template():
    now = utc_now()
    grant_row(PlayerFactory(), "COMPLETED", "40", at=now - timedelta(days=2), template_version=template())
    grant_row(PlayerFactory(), at=now - timedelta(days=31))
    page = _client("view_bonusgrant")[0].get(reverse(PAGE))
    question = page.context["question"]
    assert (question.first, question.last, question.group) == (now.date() - timedelta(days=29), now.date(), "template")
    assert page.context["total"].offered.bonuses == 1
    body = page.content.decode()
    assert "Turned real" in body
    assert "Welcome" in body
    assert "CSV" not in body


def test_page__nothing__empty_state_with_a_way_out():
    body = _client("view_bonusgrant")[0].get(reverse(PAGE) + "?segment=VIP").content.decode()
    assert "No bonus was offered here" in body
    assert "Choose a longer period or fewer filters" in body


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?first=yesterday", "is no date"),
        ("?first=2026-03-10&last=2026-03-01", "before it begins"),
        ("?first=2001-01-01&last=2026-03-01", "ask for a shorter one"),
        ("?group=colour", "There is no grouping"),
        ("?currency=XXX", "No player has the currency"),
        ("?last=0001-01-01", "use days from 2000-01-01"),
        ("?first=9999-12-31", "use days from 2000-01-01"),
        ("?template=%00&market=%00&segment=%00", "No bonus was offered here"),
    ],
)
def test_page__address_that_cannot_be_read__says_so_and_shows_the_default(query, message):
    PlayerFactory()
    page = _client("view_bonusgrant")[0].get(reverse(PAGE) + query)
    assert page.status_code == 200
    assert message in page.content.decode()


def test_page__without_permission__is_refused():
    assert _client()[0].get(reverse(PAGE)).status_code == 403
    assert Client().get(reverse(PAGE)).status_code == 302


def test_export__csv_and_xlsx__lines_total_neutralised_audited():
    version = template("evil")
    version.template.name = "=HYPERLINK(1)"
    version.template.save()
    grant_row(PlayerFactory(), "COMPLETED", "40", at=utc_now() - timedelta(days=1), template_version=version)
    client, user = _client("view_bonusgrant", "export_bonusgrant")
    answer = client.get(reverse("admin:wallet_bonus_funnel_export", args=["csv"]))
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["template"] for row in rows] == ["'=HYPERLINK(1)", "All"]
    assert (rows[0]["offered"], rows[0]["turned_real_EUR"], rows[0]["cost_EUR"], rows[0]["completion_rate"]) == (
        "1",
        "40.00",
        "40.00",
        "1.0000",
    )
    event = AuditEvent.objects.get(action="wallet.bonus_funnel_exported")
    assert (event.actor, event.after["format"]) == (user, "csv")
    book = load_workbook(io.BytesIO(b"".join(client.get(reverse("admin:wallet_bonus_funnel_export", args=["xlsx"])).streaming_content)))
    assert [row[0] for row in book["Bonus funnel"].iter_rows(values_only=True)] == ["template", "'=HYPERLINK(1)", "All"]


def test_export__without_permission_or_of_unknown_kind__is_refused():
    url = reverse("admin:wallet_bonus_funnel_export", args=["csv"])
    assert _client("view_bonusgrant")[0].get(url).status_code == 403
    client, _ = _client("view_bonusgrant", "export_bonusgrant")
    assert client.get(reverse("admin:wallet_bonus_funnel_export", args=["pdf"])).status_code == 404


# the API


def test_api__one_template__lines_total_and_ngr():
    grant_row(PlayerFactory(), "COMPLETED", "40", released="30", template_version=template())
    PlayerDay.objects.create(player=PlayerFactory(), day=LAST, stake=Decimal(100), payout=Decimal(40))
    answer = KeyedClient(["analytics:read"]).get("/wallet/reports/bonus-funnel", first=str(FIRST), last=str(LAST), currency="EUR")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["group"], body["ggr"], body["ngr"], body["cost_of_ngr"]) == ("template", "60.0000", "30.0000", "1.000000")
    line = body["lines"][0]
    assert (line["key"], line["offered"], line["turned_real"]) == (
        "welcome",
        {"bonuses": 1, "amount": "40.0000"},
        {"bonuses": 1, "amount": "30.0000"},
    )
    assert (line["cost_share"], line["completion_rate"]) == ("0.750000", "1.000000")
    assert body["total"]["offered"] == line["offered"]


@pytest.mark.parametrize(
    "query",
    [
        {"first": "2026-13-01"},
        {"group": "colour"},
        {"currency": "euro"},
        {"first": "2026-03-10", "last": "2026-03-01"},
        {"last": "0001-01-02"},
        {"first": "1999-01-01", "last": "1999-01-02"},
        {"market": "not a market"},
    ],
)
def test_api__wrong_parameter__names_it(query):
    answer = KeyedClient(["analytics:read"]).get("/wallet/reports/bonus-funnel", **query)
    assert answer.status_code == 400, answer.content


def test_api__other_scope__is_refused():
    assert KeyedClient(["wallet:read"]).get("/wallet/reports/bonus-funnel").status_code == 403
