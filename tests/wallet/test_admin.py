"""The wallet's pages: who sees what, that nothing can be edited, and adjustments by two persons through the dialogs."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import balance_of, bet, bonus, points, staff
from wallet import services
from wallet.models import Account, AdjustmentRequest, BonusGrant, Entry

pytestmark = pytest.mark.django_db

MODELS = ("account", "entry", "bonusgrant", "adjustmentrequest")
VIEW = tuple(f"view_{name}" for name in MODELS)


@pytest.fixture
def wallet():
    """A player with every kind of row."""
    player = PlayerFactory(external_id="P-77")
    points(player.pk, "1234.50")
    bonus(player.pk, "50", "500", max_bet=Decimal(10), eligible_games=["slots"])
    bet(player.pk, "8")
    bet(player.pk, "11", ref="too-big")
    staff("approve_adjustment")
    maker = staff("adjust_wallet")
    services.request_adjustment(player_id=player.pk, unit="LP", amount=Decimal(150), reason="outage", maker=maker, at=NOW)
    return player


def _client(*permissions, **fields):
    user = staff(*permissions, **fields)
    client = Client()
    client.force_login(user)
    return client, user


def _first(name):
    return (
        {"account": Account, "entry": Entry, "bonusgrant": BonusGrant, "adjustmentrequest": AdjustmentRequest}[name]
        .objects.earliest("pk")
        .pk
    )


@pytest.mark.parametrize("name", MODELS)
def test_wallet_pages__viewer__sees_list_and_record(wallet, name):
    client, _ = _client(*VIEW)
    for query in ("", "?q=P-77", "?q=P-7", "?q=%231"):
        assert client.get(reverse(f"admin:wallet_{name}_changelist") + query).status_code == 200
    page = client.get(reverse(f"admin:wallet_{name}_change", args=[_first(name)]))
    assert page.status_code == 200
    assert "P-77" in page.content.decode()


@pytest.mark.parametrize("name", MODELS)
def test_wallet_pages__without_permission__are_refused(wallet, name):
    client, _ = _client()
    assert client.get(reverse(f"admin:wallet_{name}_changelist")).status_code == 403
    assert client.get(reverse(f"admin:wallet_{name}_change", args=[_first(name)])).status_code == 403


@pytest.mark.parametrize("name", MODELS)
def test_wallet_pages__superuser__can_neither_add_edit_nor_delete(wallet, name):
    client, _ = _client(is_superuser=True)
    assert client.get(reverse(f"admin:wallet_{name}_add")).status_code == 403
    assert client.post(reverse(f"admin:wallet_{name}_change", args=[_first(name)]), {"balance": "1"}).status_code == 403
    assert client.post(reverse(f"admin:wallet_{name}_delete", args=[_first(name)]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("name", "query", "rows"),
    [
        ("entry", "?q=P-77", 2),
        ("entry", "?q=nobody", 0),
        ("entry", "?house__exact=rewards", 2),
        ("entry", "?house__exact=payout", 0),
        ("entry", "?account__unit__exact=LP", 1),
        ("entry", "?source_type=test", 2),
        ("entry", "?occurred_at_from=2026-03-16", 0),
        ("entry", "?occurred_at_to=2026-03-15", 2),
        ("bonusgrant", "?state=open", 1),
        ("bonusgrant", "?state=closed", 0),
        ("account", "?holds=yes", 2),
        ("account", "?holds=no", 0),
        ("adjustmentrequest", "?status__exact=PENDING", 1),
    ],
)
def test_wallet_lists__filter_or_search__shows_exactly_the_rows(wallet, name, query, rows):
    client, _ = _client(*VIEW)
    page = client.get(reverse(f"admin:wallet_{name}_changelist") + query)
    assert page.status_code == 200
    assert page.context["cl"].result_count == rows


def test_entry_list__more_rows__no_more_queries(wallet, django_assert_max_num_queries):
    client, _ = _client(*VIEW)
    url = reverse("admin:wallet_entry_changelist")
    client.get(url)
    for _ in range(10):
        points(PlayerFactory().pk, "1")
    with django_assert_max_num_queries(16):
        assert client.get(url).context["cl"].result_count == 12


def test_grant_page__bets__shown_with_verdict_and_progress(wallet):
    client, _ = _client(*VIEW)
    page = client.get(reverse("admin:wallet_bonusgrant_change", args=[_first("bonusgrant")])).content.decode()
    assert "Stake above the largest bet" in page
    assert "too-big" in page
    assert "8.00 EUR" in page
    assert "492.00 EUR" in page  # still to wager
    assert "500.00 EUR in all, 10 times the bonus" in page


def test_grant_page__more_bets_than_a_page__older_ones_by_link(wallet):
    for number in range(55):
        bet(wallet.pk, "1", ref=f"many-{number}")
    client, _ = _client(*VIEW)
    url = reverse("admin:wallet_bonusgrant_change", args=[_first("bonusgrant")])
    first = client.get(url)
    assert (len(first.context["bets"]), first.context["bet_count"]) == (50, 57)
    second = client.get(f"{url}?bets_before={first.context['older_bets']}")
    assert [row["wager"].activity_id for row in second.context["bets"]][:5] == [f"many-{number}" for number in range(4, -1, -1)]
    assert second.context["older_bets"] is None


def test_account_page__books_differ__says_so(wallet):
    Account.objects.filter(unit="LP").update(balance=1)
    client, _ = _client(*VIEW)
    page = client.get(reverse("admin:wallet_account_change", args=[Account.objects.get(unit="LP").pk])).content.decode()
    assert "The books of this player do not balance" in page


ASK = {"_form_submitted": "True", "player": "P-77", "unit": "LP", "amount": "25", "reason": "lost in the outage"}


def test_ask_dialog__small_amount__posts_at_once(wallet):
    client, user = _client(*VIEW, "adjust_wallet")
    answer = client.post(reverse("admin:wallet_adjustmentrequest_ask"), ASK, headers={"HX-Request": "true"})
    made = AdjustmentRequest.objects.latest("pk")
    assert answer.headers["HX-Redirect"] == reverse("admin:wallet_adjustmentrequest_change", args=[made.pk])
    assert (made.status, made.maker, made.amount) == ("POSTED", user, 2500)
    assert balance_of(wallet.pk) == 125950


def test_ask_dialog__bonus_credit__ends_with_the_day_in_utc(wallet):
    client, _ = _client(*VIEW, "adjust_wallet")
    PlayerFactory(external_id="P-78")  # P-77 has an open bonus already
    terms = {"player": "P-78", "unit": "BONUS", "amount": "20", "wagering_required": "100", "expires_on": "2099-12-31"}
    client.post(reverse("admin:wallet_adjustmentrequest_ask"), ASK | terms)
    grant = BonusGrant.objects.latest("pk")
    assert (grant.principal, grant.wagering_required, grant.expires_at.isoformat()) == (2000, 100, "2100-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"player": "nobody"}, "No player has this id"),
        ({"amount": "0"}, "amount must not be zero"),
        ({"amount": "0.001"}, "more than 2 decimal places"),
        ({"amount": "-99"}, "which does not cover"),
        ({"unit": "BONUS"}, "a bonus credit needs its terms"),
        ({"reason": ""}, "Give a reason"),
    ],
)
def test_ask_dialog__refused__stays_in_the_form_and_nothing_is_stored(wallet, change, message):
    client, _ = _client(*VIEW, "adjust_wallet")
    if change.get("amount") == "-99":
        services.spend(
            player_id=wallet.pk, unit="LP", currency="", amount=Decimal("1234.50"), source=services.Source("t", "s"), at=NOW, reason="all"
        )
    before = AdjustmentRequest.objects.count()
    answer = client.post(reverse("admin:wallet_adjustmentrequest_ask"), ASK | change)
    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert AdjustmentRequest.objects.count() == before


def test_ask_dialog__without_permission__is_refused(wallet):
    client, _ = _client(*VIEW, "approve_adjustment")
    assert client.post(reverse("admin:wallet_adjustmentrequest_ask"), ASK).status_code == 403
    assert AdjustmentRequest.objects.count() == 1


@pytest.mark.parametrize(("verb", "status", "balance"), [("approve", "POSTED", 138450), ("reject", "REJECTED", 123450)])
def test_decision_dialog__second_person__decides(wallet, verb, status, balance):
    client, user = _client(*VIEW, "approve_adjustment")
    adjustment = AdjustmentRequest.objects.get()
    page = client.get(reverse("admin:wallet_adjustmentrequest_change", args=[adjustment.pk])).content.decode()
    url = reverse(f"admin:wallet_adjustmentrequest_{verb}", args=[adjustment.pk])
    assert url in page
    client.post(url, {"_form_submitted": "True", "reason": "checked the log"})
    adjustment.refresh_from_db()
    assert (adjustment.status, adjustment.checker, adjustment.decision_note) == (status, user, "checked the log")
    assert balance_of(wallet.pk) == balance
    assert url not in client.get(reverse("admin:wallet_adjustmentrequest_change", args=[adjustment.pk])).content.decode()


def test_decision_dialog__maker__sees_no_button_and_a_forged_request_changes_nothing(wallet):
    client, maker = _client(*VIEW, is_superuser=True)
    own = services.request_adjustment(player_id=wallet.pk, unit="LP", amount=Decimal(300), reason="outage", maker=maker, at=NOW)
    url = reverse("admin:wallet_adjustmentrequest_approve", args=[own.pk])
    page = client.get(reverse("admin:wallet_adjustmentrequest_change", args=[own.pk])).content.decode()
    assert url not in page
    assert "another person must decide" in page
    answer = client.post(url, {"_form_submitted": "True", "reason": "mine"}, follow=True)
    assert "another person must approve it" in answer.content.decode()
    own.refresh_from_db()
    assert own.status == "PENDING"
    assert balance_of(wallet.pk) == 123450


def test_decision_dialog__without_permission__is_refused(wallet):
    client, _ = _client(*VIEW, "adjust_wallet")
    adjustment = AdjustmentRequest.objects.get()
    assert client.post(reverse("admin:wallet_adjustmentrequest_approve", args=[adjustment.pk]), {"reason": "x"}).status_code == 403


def test_grant_page__expired_but_not_swept__says_so(wallet):
    player = PlayerFactory()
    grant = bonus(player.pk, at=NOW - timedelta(days=400), expires_at=NOW - timedelta(days=300))
    client, _ = _client(*VIEW)
    assert "Bets no longer count" in client.get(reverse("admin:wallet_bonusgrant_change", args=[grant.pk])).content.decode()
