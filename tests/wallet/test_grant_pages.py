"""The pages of bonuses: what a grant's page says, who may do what in which state, the explanation as a file, voids by two persons."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent
from players.models import Jurisdiction, JurisdictionPack
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import assert_books_balance, balance_of, staff
from tests.wallet.grant_rows import bet_count, grant_row, template, void_request
from wallet import services
from wallet.bonus.terms import Terms
from wallet.bonus.values import Activity, Kind
from wallet.funnel import Question, bonus_funnel
from wallet.models import BonusGrant, GrantEvent, VoidRequest, WalletFlag

pytestmark = pytest.mark.django_db

VIEW = ("view_bonusgrant", "view_voidrequest")
ACTIONS = ("claim", "resume", "pause", "move", "surrender", "ask_void", "approve_void", "reject_void")
OPEN = ("ACTIVE", "WAGERING", "PAUSED")


def _client(*permissions, **fields):
    user = staff(*permissions, **fields)
    client = Client()
    client.force_login(user)
    return client, user


def _page(client, grant, query=""):
    return client.get(reverse("admin:wallet_bonusgrant_change", args=[grant.pk]) + query)


def _url(action, grant):
    return reverse(f"admin:wallet_bonusgrant_{action}", args=[grant.pk])


def _offered(player, **fields):
    """An offer through the service, so that it can be claimed."""
    template("welcome", **({"needs_claim": True} | fields))
    return services.offer_bonus(
        player_id=player.pk,
        template="welcome",
        currency="EUR",
        amount=Decimal(20),
        source=services.Source("test", f"offer-{BonusGrant.objects.count()}"),
        at=utc_now() - timedelta(minutes=1),
    )


STRICT = Terms(
    multiple=Decimal(40),
    base="bonus_deposit",
    count_mode="bonus_funds_only",
    winnings="locked",
    sticky=True,
    cash_out_cap=Decimal(5),
    max_bet=1000,
    over_max_bet="penalty",
    penalty_factor=Decimal(10),
    coverage_limit=Decimal("0.7"),
    eligible_games=("slots",),
    wagering_seconds=7 * 86400,
    min_bet=10,
)


@pytest.fixture
def grant():
    """Vector 6 of the specification on a page: 4,000 to wager, 900 of penalty; 100 bonus left and 150 locked."""
    return grant_row(
        PlayerFactory(external_id="P-77"),
        "WAGERING",
        "50",
        terms=STRICT,
        required="4900",
        penalties="900",
        wagered="1225",
        balance="100",
        locked="150",
        deposit=5000,
        deposit_ref="dep-1",
        template_version=template(),
    )


def test_grant_page__open_bonus__shows_progress_with_penalties_apart_and_what_is_left(grant):
    page = _page(_client(*VIEW)[0], grant)
    body = page.content.decode()
    assert page.context["meter"] == {
        "percent": 25,
        "done": "25.00",
        "penalty": "18.37",
        "wagered": "1,225.00 EUR",
        "required": "4,900.00 EUR",
        "left": "3,675.00 EUR",
        "penalties": "900.00 EUR",
        "nothing": False,
    }
    assert page.context["left_text"] == "250.00 EUR"
    assert "100.00 EUR bonus, 150.00 EUR locked" in body
    assert "Welcome" in body
    assert "P-77" in body


def test_grant_page__terms__in_plain_english_and_as_a_table(grant):
    page = _page(_client(*VIEW)[0], grant)
    assert page.context["sentences"][:3] == [
        "To be wagered: 4,000.00 EUR: 40 times the bonus of 50.00 EUR and the deposit of 50.00 EUR together.",
        "Only the part of a stake that came from the bonus or its winnings counts.",
        "Bets above the largest bet have added 900.00 EUR to that.",
    ]
    said = " ".join(page.context["sentences"])
    for part in (
        "The largest bet is 10.00 EUR; a larger bet raises the amount to wager.",
        "A bet that covers more than 70 % of the outcomes does not count.",
        "Only these games count: slots.",
        "The bonus itself is never paid out, only what was won with it.",
        "At most 5 times the bonus is paid out; the house keeps the rest.",
        "A withdrawal forfeits the bonus and what was won with it.",
    ):
        assert part in said
    table = dict(page.context["terms_rows"])
    assert (table["Multiple"], table["Penalty factor"], table["Most paid out"], table["Games"]) == ("40 ×", "10", "5 × the bonus", "slots")


def test_grant_page__money__adds_up_and_says_what_completion_and_withdrawal_would_do(grant):
    other = grant_row(grant.player, "ACTIVE", "20", product="sports")
    page = _page(_client(*VIEW)[0], grant)
    assert [row["label"] for row in page.context["money_rows"]] == ["Credited", "Won with it"]
    assert "+50.00 EUR" in page.context["money_rows"][0]["amount"]
    assert "+200.00 EUR" in page.context["money_rows"][1]["amount"]
    # sticky keeps the 50 that were given; the cap is 5 x 50 = 250
    assert page.context["if_completed"] == {"released": "200.00 EUR", "kept": "50.00 EUR"}
    assert page.context["if_withdrawn"]["own"] == {"bonus": "100.00 EUR", "locked": "150.00 EUR", "left": "3,675.00 EUR"}
    assert [(row["pk"], row["amount"]) for row in page.context["if_withdrawn"]["others"]] == [(other.pk, "20.00 EUR")]


def test_grant_page__withdrawal_does_not_forfeit__says_it_stays():
    grant = grant_row(PlayerFactory(), terms=Terms(multiple=Decimal(10), forfeit_on_withdrawal=False))
    body = _page(_client(*VIEW)[0], grant).content.decode()
    assert "this bonus stays" in body


def test_grant_page__timeline__has_cause_actor_and_amount(grant):
    kim = staff(username="kim")
    GrantEvent.objects.create(
        grant=grant, from_status="WAGERING", to_status="PAUSED", cause="paused: asked by phone", actor=kim, occurred_at=NOW
    )
    page = _page(_client(*VIEW)[0], grant)
    events = page.context["events"]
    assert [row["event"].to_status for row in events] == ["PAUSED", "WAGERING", "ACTIVE", "OFFERED"]
    assert "+50.00 EUR" in events[2]["amount"]
    assert "by kim" in page.content.decode()


@pytest.mark.parametrize("status", list(BonusGrant._meta.get_field("status").choices), ids=lambda one: one[0])
def test_grant_page__every_state__opens(status):
    grant = grant_row(PlayerFactory(), status[0], locked="5" if status[0] in OPEN else "0")
    page = _page(_client(*VIEW)[0], grant)
    assert page.status_code == 200
    assert status[1] in page.content.decode()


def test_grant_page__queued__says_its_place_and_what_is_ahead():
    player = PlayerFactory()
    ahead = grant_row(player, "ACTIVE")
    late = grant_row(player, "QUEUED", queue_order=5)
    first = grant_row(player, "QUEUED", queue_order=1)
    client, _ = _client(*VIEW)
    for grant, position in ((first, 1), (late, 2)):
        queue = _page(client, grant).context["queue"]
        assert (queue["position"], queue["length"], queue["ahead"]) == (position, 2, ahead)


def test_grant_page__flag__is_shown(grant):
    WalletFlag.objects.create(player=grant.player, grant=grant, kind="OVER_MAX_BET", source_ref="bet-9", occurred_at=NOW)
    assert "bet-9" in _page(_client(*VIEW)[0], grant).content.decode()


def test_grant_page__more_rows__no_more_queries(grant, django_assert_max_num_queries):
    client, _ = _client(*VIEW)
    _page(client, grant)
    for _ in range(30):
        bet_count(grant)
    with django_assert_max_num_queries(32):
        assert len(_page(client, grant).context["bets"]) == 30


# per-bet table


def test_bets__each_verdict__stake_parts_weight_rule_and_reason(grant):
    bet_count(grant, "10", bonus="4", weight="0.1", before="100", rule="category table", ref="roulette")
    bet_count(grant, "25", "PENALTY", counted="0", penalty="900", before="101", ref="big")
    rows = {row["wager"].activity_id: row for row in _page(_client(*VIEW)[0], grant).context["bets"]}
    roulette, big = rows["roulette"], rows["big"]
    assert (roulette["stake"], roulette["parts"], roulette["weight"], roulette["rule"]) == (
        "10.00 EUR",
        "6.00 cash + 4.00 bonus",
        "0.1",
        "category table",
    )
    assert (roulette["counted"], roulette["before"], roulette["after"], roulette["required"]) == (
        "1.00 EUR",
        "100.00",
        "101.00 EUR",
        "4,900.00 EUR",
    )
    assert roulette["why"] == "10.00 EUR at 10 % gives 1.00 EUR."
    assert big["why"] == "Above 10.00 EUR: 900.00 EUR more to wager."
    assert big["is_zero"]


def test_bets__verdict_and_keyset_paging__exactly_the_rows(grant):
    for number in range(60):
        bet_count(grant, ref=f"counted-{number}")
    bet_count(grant, verdict="FREE_ROUND", counted="0", weight="0", ref="free")
    client, _ = _client(*VIEW)
    first = _page(client, grant, "?verdict=COUNTED")
    assert (len(first.context["bets"]), first.context["bet_count"]) == (50, 60)
    rest = _page(client, grant, f"?verdict=COUNTED&bets_before={first.context['older_bets']}")
    assert [row["wager"].activity_id for row in rest.context["bets"]] == [f"counted-{number}" for number in range(9, -1, -1)]
    assert rest.context["older_bets"] is None
    assert [row["wager"].activity_id for row in _page(client, grant, "?verdict=FREE_ROUND").context["bets"]] == ["free"]
    assert _page(client, grant, "?verdict=NONSENSE&bets_before=x").context["bet_count"] == 61


# the explanation as a file


def _export(client, grant, kind):
    return client.get(reverse("admin:wallet_bonusgrant_explanation", args=[grant.pk, kind]))


def test_explanation_csv__formulas_and_all__one_line_a_bet_neutralised_and_audited(grant):
    bet_count(grant, game="=cmd|' /C calc'!A0", ref="evil")
    for number in range(3):
        bet_count(grant, ref=f"b{number}")
    client, user = _client(*VIEW, "export_bonusgrant")
    answer = _export(client, grant, "csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [row["activity_id"] for row in rows] == ["evil", "b0", "b1", "b2"]
    assert rows[0]["game"] == "'=cmd|' /C calc'!A0"
    assert rows[0]["counted"] == "10.000000"
    assert "attachment" in answer["Content-Disposition"]
    event = AuditEvent.objects.get(action="wallet.grant_explanation_exported")
    assert (event.actor, event.subject_id, event.after) == (user, str(grant.pk), {"format": "csv", "bets": 4})


def test_explanation_xlsx__four_sheets__terms_bets_status_money(grant):
    bet_count(grant, game="+cmd", ref="evil")
    client, _ = _client(*VIEW, "export_bonusgrant")
    book = load_workbook(io.BytesIO(b"".join(_export(client, grant, "xlsx").streaming_content)))
    assert book.sheetnames == ["Bonus", "Bets", "Status", "Money"]
    facts = {row[0]: row[1] for row in book["Bonus"].iter_rows(values_only=True) if row and len(row) > 1}
    assert (facts["Player"], facts["Amount"], facts["Left: locked winnings"]) == ("P-77", "50.00 EUR", "150.00 EUR")
    bets = list(book["Bets"].iter_rows(values_only=True))
    assert dict(zip(bets[0], bets[1], strict=True))["game"] == "'+cmd"
    assert [row[3] for row in list(book["Money"].iter_rows(values_only=True))[1:]] == ["50.00", "50.00", "150.00"]
    assert len(list(book["Status"].iter_rows())) == 4


def test_explanation__without_permission_or_of_unknown_kind__nothing_leaves(grant):
    assert _export(_client(*VIEW)[0], grant, "csv").status_code == 403
    client, _ = _client(*VIEW, "export_bonusgrant")
    assert _export(client, grant, "pdf").status_code == 404
    assert not AuditEvent.objects.filter(action="wallet.grant_explanation_exported").exists()


# actions

POSSIBLE = {
    "OFFERED": {"claim", "surrender", "ask_void"},
    "QUEUED": {"move", "surrender", "ask_void"},
    "ACTIVE": {"pause", "surrender", "ask_void"},
    "WAGERING": {"pause", "surrender", "ask_void"},
    "PAUSED": {"resume", "surrender", "ask_void"},
    "COMPLETED": set(),
    "EXPIRED_UNCLAIMED": set(),
    "EXPIRED": set(),
    "LOST": set(),
    "FORFEITED": set(),
    "VOIDED": set(),
    "REVERSED": set(),
}


@pytest.fixture
def market():
    """A market that allows to pause a bonus."""
    found = Jurisdiction.objects.create(code="ZZ", name="Pauseland")
    JurisdictionPack.objects.create(jurisdiction=found, valid_from=NOW.date() - timedelta(days=400), pausing_allowed=True)
    return found


@pytest.mark.parametrize("status", POSSIBLE)
def test_actions__by_state__only_what_is_possible(status, market):
    grant = grant_row(PlayerFactory(jurisdiction=market), status, at=utc_now() - timedelta(days=2))
    client, _ = _client(*VIEW, "act_for_player", "request_void", "approve_void")
    body = _page(client, grant).content.decode()
    assert {name for name in ACTIONS if f'"{_url(name, grant)}"' in body} == POSSIBLE[status]


def test_actions__by_permission__each_its_own(market):
    grant = grant_row(PlayerFactory(jurisdiction=market), at=utc_now())
    void_request(grant, staff())
    for permission, expected in (
        ("act_for_player", {"pause", "surrender"}),
        ("request_void", set()),
        ("approve_void", {"approve_void", "reject_void"}),
    ):
        body = _page(_client(*VIEW, permission)[0], grant).content.decode()
        assert {name for name in ACTIONS if f'"{_url(name, grant)}"' in body} == expected, permission
    assert not any(_url(name, grant) in _page(_client(*VIEW)[0], grant).content.decode() for name in ACTIONS)


def test_actions__market_without_pausing__no_pause(market):
    grant = grant_row(PlayerFactory(), at=utc_now())
    client, _ = _client(*VIEW, "act_for_player")
    assert _url("pause", grant) not in _page(client, grant).content.decode()
    answer = client.post(_url("pause", grant), {"_form_submitted": "True", "reason": "asked by phone"}, follow=True)
    assert "do not allow to pause" in answer.content.decode()
    assert BonusGrant.objects.get().status == "ACTIVE"


@pytest.mark.parametrize("action", ["claim", "pause", "resume", "surrender", "move", "ask_void", "approve_void", "reject_void"])
def test_actions__without_permission__are_refused(action, grant):
    client, _ = _client(*VIEW)
    assert client.post(_url(action, grant), {"_form_submitted": "True", "reason": "because"}).status_code == 403


def test_claim__dialog__activates_and_is_audited():
    grant = _offered(PlayerFactory())
    client, user = _client(*VIEW, "act_for_player")
    client.post(_url("claim", grant), {"_form_submitted": "True", "reason": "asked in the chat"})
    grant.refresh_from_db()
    assert (grant.status, grant.balance) == ("ACTIVE", 2000)
    assert balance_of(grant.player_id, "BONUS", "EUR") == 2000
    event = AuditEvent.objects.get(action="wallet.grant_claimed")
    assert (event.actor, event.reason) == (user, "asked in the chat")
    assert_books_balance()


def test_claim__deposit_without_its_id__stays_in_the_dialog():
    grant = _offered(PlayerFactory())
    client, _ = _client(*VIEW, "act_for_player")
    answer = client.post(_url("claim", grant), {"_form_submitted": "True", "reason": "asked", "deposit": "50"})
    assert "Give the deposit and its id together" in answer.content.decode()
    grant.refresh_from_db()
    assert grant.status == "OFFERED"


def test_surrender__open_bonus__forfeits_what_is_left():
    grant = _offered(PlayerFactory(), needs_claim=False)
    assert grant.status == "ACTIVE"
    client, _ = _client(*VIEW, "act_for_player")
    client.post(_url("surrender", grant), {"_form_submitted": "True", "reason": "wants to withdraw"})
    grant.refresh_from_db()
    assert (grant.status, grant.balance, balance_of(grant.player_id, "BONUS", "EUR")) == ("FORFEITED", 0, 0)
    assert_books_balance()


def test_surrender__offer__is_declined():
    grant = _offered(PlayerFactory())
    client, _ = _client(*VIEW, "act_for_player")
    client.post(_url("surrender", grant), {"_form_submitted": "True", "reason": "does not want it"})
    grant.refresh_from_db()
    assert (grant.status, grant.activated_at) == ("FORFEITED", None)
    assert AuditEvent.objects.filter(action="wallet.grant_declined").exists()


def test_pause_and_resume__dialogs__there_and_back(market):
    grant = grant_row(PlayerFactory(jurisdiction=market), "WAGERING", wagered="5", at=utc_now() - timedelta(hours=1))
    client, _ = _client(*VIEW, "act_for_player")
    for action, status in (("pause", "PAUSED"), ("resume", "WAGERING")):
        client.post(_url(action, grant), {"_form_submitted": "True", "reason": "holiday"})
        grant.refresh_from_db()
        assert grant.status == status


def test_move__queued__gets_another_place_with_reason():
    player = PlayerFactory()
    grant_row(player, "ACTIVE")
    first, second = grant_row(player, "QUEUED"), grant_row(player, "QUEUED")
    client, _ = _client(*VIEW, "act_for_player")
    client.post(_url("move", second), {"_form_submitted": "True", "queue_order": "-1", "reason": "the player prefers it"})
    assert _page(client, second).context["queue"]["position"] == 1
    assert _page(client, first).context["queue"]["position"] == 2
    assert AuditEvent.objects.get(action="wallet.grant_moved_in_queue").reason == "the player prefers it"


# voids by two persons


def test_void__asked_and_approved_by_another__takes_what_is_left():
    grant = _offered(PlayerFactory(), needs_claim=False)
    asker, maker = _client(*VIEW, "request_void")
    decider, checker = _client(*VIEW, "approve_void")
    asker.post(_url("ask_void", grant), {"_form_submitted": "True", "case_id": "C-9", "reason": "same device as P-1"})
    asked = VoidRequest.objects.get()
    assert (asked.maker, asked.case_id, asked.status) == (maker, "C-9", "PENDING")
    assert "asks to void this bonus (case C-9)" in _page(decider, grant).content.decode()
    inbox = decider.get(reverse("admin:wallet_voidrequest_changelist") + "?status__exact=PENDING")
    assert inbox.context["cl"].result_count == 1
    url = reverse("admin:wallet_voidrequest_approve", args=[asked.pk])
    assert url in decider.get(reverse("admin:wallet_voidrequest_change", args=[asked.pk])).content.decode()
    decider.post(url, {"_form_submitted": "True", "reason": "looked at the evidence"})
    asked.refresh_from_db()
    grant.refresh_from_db()
    assert (asked.status, asked.checker, asked.decision_note) == ("VOIDED", checker, "looked at the evidence")
    assert (grant.status, grant.balance) == ("VOIDED", 0)
    assert_books_balance()
    assert url not in decider.get(reverse("admin:wallet_voidrequest_change", args=[asked.pk])).content.decode()


def test_void__rejected_on_the_bonus_page__keeps_the_bonus():
    grant = _offered(PlayerFactory(), needs_claim=False)
    void_request(grant, staff("request_void"))
    decider, _ = _client(*VIEW, "approve_void")
    decider.post(_url("reject_void", grant), {"_form_submitted": "True", "reason": "no evidence"})
    grant.refresh_from_db()
    assert (grant.status, VoidRequest.objects.get().status) == ("ACTIVE", "REJECTED")


def test_void__own_request__no_button_and_a_forged_one_changes_nothing():
    grant = _offered(PlayerFactory(), needs_claim=False)
    client, maker = _client(*VIEW, is_superuser=True)
    asked = void_request(grant, maker)
    page = client.get(reverse("admin:wallet_voidrequest_change", args=[asked.pk])).content.decode()
    url = reverse("admin:wallet_voidrequest_approve", args=[asked.pk])
    assert url not in page
    assert "another person must decide" in page
    answer = client.post(url, {"_form_submitted": "True", "reason": "mine"}, follow=True)
    assert "another person must approve it" in answer.content.decode()
    grant.refresh_from_db()
    assert grant.status == "ACTIVE"


def test_void__without_case__stays_in_the_dialog(grant):
    client, _ = _client(*VIEW, "request_void")
    answer = client.post(_url("ask_void", grant), {"_form_submitted": "True", "reason": "odd"})
    assert "a bonus is never voided without one" in answer.content.decode()
    assert not VoidRequest.objects.exists()


def test_void_request__bonus_ended_meanwhile__says_to_reject(grant):
    ended = grant_row(PlayerFactory(), "COMPLETED")
    asked = void_request(ended, staff())
    page = _client(*VIEW, "approve_void")[0].get(reverse("admin:wallet_voidrequest_change", args=[asked.pk]))
    assert "nothing left to void" in page.content.decode()


# the list


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", 5),
        ("?q=P-77", 1),
        ("?state=waiting", 1),
        ("?state=open", 2),
        ("?state=closed", 2),
        ("?status=COMPLETED&status=LOST", 2),
        ("?status=LOST", 1),
        ("?product__exact=sports", 1),
        ("?currency=EUR", 5),
        ("?currency=SEK", 0),
        ("?template=none", 4),
        ("?ends=1", 1),
        ("?ends=30", 3),
        ("?flag=any", 1),
        ("?flag=CASH_DEBT", 0),
        ("?offered_at_to=2020-01-01", 0),
    ],
)
def test_list__filter__shows_exactly_the_rows(query, rows):
    now = utc_now()
    flagged = grant_row(PlayerFactory(external_id="P-77"), at=now - timedelta(days=6), template_version=template())
    grant_row(PlayerFactory(), "WAGERING", product="sports", at=now - timedelta(days=2), wagered="1")
    grant_row(PlayerFactory(), "QUEUED", at=now)
    grant_row(PlayerFactory(), "COMPLETED", at=now - timedelta(days=9))
    grant_row(PlayerFactory(), "LOST", at=now - timedelta(days=9))
    flagged.expires_at = now + timedelta(hours=2)
    flagged.save()
    WalletFlag.objects.create(player=flagged.player, grant=flagged, kind="OVER_MAX_BET", source_ref="b", occurred_at=now)
    page = _client(*VIEW)[0].get(reverse("admin:wallet_bonusgrant_changelist") + query)
    assert page.status_code == 200
    assert page.context["cl"].result_count == rows


def test_list__template_filter__all_versions_of_it():
    old, new = template(), template()
    grant_row(PlayerFactory(), template_version=old)
    grant_row(PlayerFactory(), template_version=new)
    grant_row(PlayerFactory(), template_version=template("other"))
    page = _client(*VIEW)[0].get(reverse("admin:wallet_bonusgrant_changelist") + f"?template={old.template_id}")
    assert page.context["cl"].result_count == 2


def test_list__more_rows__no_more_queries(django_assert_max_num_queries):
    client, _ = _client(*VIEW)
    url = reverse("admin:wallet_bonusgrant_changelist")
    client.get(url)
    for _ in range(12):
        grant_row(PlayerFactory(), template_version=template())
    with django_assert_max_num_queries(16):
        assert client.get(url).context["cl"].result_count == 12


# a bonus played through the services


def _report(player, kind, activity_id, amount="0", *, minutes=0, **fields):
    at = utc_now() - timedelta(hours=1) + timedelta(minutes=minutes)
    answer = services.receive(
        [
            Activity(
                source="platform",
                activity_id=activity_id,
                kind=Kind(kind),
                player_id=player.pk,
                currency="EUR",
                occurred_at=at,
                received_at=at,
                amount=int(Decimal(amount) * 100),
                game_code="starburst",
                game_category="slots",
                **{"round_id": activity_id, **fields},
            )
        ]
    )[0]
    assert not isinstance(answer, services.WalletError), answer


def test_played_bonus__bets_win_rollback_completion__page_file_and_funnel_tell_the_same():
    player = PlayerFactory()
    template("welcome", multiple=Decimal(2), count_mode="all_funds")
    start = utc_now() - timedelta(hours=2)
    grant = services.offer_bonus(
        player_id=player.pk, template="welcome", currency="EUR", amount=Decimal(20), source=services.Source("test", "played"), at=start
    )
    client, _ = _client(*VIEW, "export_bonusgrant")
    _report(player, "BET", "b1", "10", round_id="r1", ends_round=True, cash_before=0)
    _report(player, "BET", "b2", "5", round_id="r2", ends_round=True, cash_before=0, minutes=1)
    _report(player, "ROLLBACK", "k2", round_id="r2", takes_back_id="b2", takes_back_kind="BET", minutes=2)
    _report(player, "BET", "b3", "6", round_id="r3", cash_before=0, minutes=3)
    _report(player, "WIN", "w3", "30", round_id="r3", ends_round=True, minutes=4)
    page = _page(client, grant)
    rows = {(row["wager"].activity_id, row["count"].verdict): row for row in page.context["bets"]}
    assert rows["b1", "COUNTED"]["parts"] == "10.00 bonus"
    assert rows["b1", "COUNTED"]["after"] == "10.00 EUR"
    assert rows["b3", "COUNTED"]["after"] == "16.00 EUR"  # 5 came and went again
    assert any(verdict == "ROLLED_BACK" for _, verdict in rows)
    assert page.context["left_text"] == "34.00 EUR"
    assert page.context["if_completed"] == {"released": "34.00 EUR", "kept": ""}
    _report(player, "BET", "b4", "30", round_id="r4", ends_round=True, cash_before=0, minutes=5)
    page = _page(client, grant)
    assert "Completed" in page.context["status_badge"]
    assert [row["label"] for row in page.context["money_rows"]] == ["Credited", "Won with it", "Staked", "Released to cash"]
    assert "-4.00 EUR" in page.context["money_rows"][-1]["amount"]
    assert [row["payout"].amount for row in page.context["payouts"]] == [400]
    exported = b"".join(_export(client, grant, "csv").streaming_content).decode()
    assert [row["activity_id"] for row in csv.DictReader(io.StringIO(exported))][0] == "b1"
    total = bonus_funnel(Question(first=start.date(), last=utc_now().date(), currency="EUR")).total
    assert (total.offered.bonuses, total.completed.bonuses, total.turned_real.amount) == (1, 1, Decimal("4.00"))
    assert_books_balance()
