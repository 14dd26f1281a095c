"""Taking a bonus from a player: void by two persons, reversal when its deposit is gone."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from loyalty_site.common.models import AuditEvent
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import a_template, assert_books_balance, balance_of, bonus, offer, staff, statuses
from tests.wallet.grants.test_vectors import _play_to
from wallet import services
from wallet.models import Account, BonusGrant, Entry, VoidRequest, WalletFlag
from wallet.services import GrantRefused, Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


@pytest.fixture
def maker():
    return staff("request_void", "approve_void")


@pytest.fixture
def checker():
    return staff("approve_void")


def _ask(grant, maker, **fields):
    return services.request_void(grant.pk, **{"case_id": "C-12", "reason": "multiple accounts", "actor": maker, "at": NOW} | fields)


def test_void__asked_and_approved_by_another__forfeits_the_rest_and_the_next_begins(player, maker, checker):
    grant, waiting = bonus(player.pk, "10"), bonus(player.pk, "20")
    request = _ask(grant, maker)
    assert (request.status, BonusGrant.objects.get(pk=grant.pk).status) == ("PENDING", "ACTIVE")
    at = NOW + timedelta(hours=2)
    decided = services.approve_void(request.pk, actor=checker, at=at, note="evidence seen")
    grant.refresh_from_db()
    waiting.refresh_from_db()
    assert (decided.status, decided.checker, decided.decided_at, grant.status, waiting.status) == (
        "VOIDED",
        checker,
        at,
        "VOIDED",
        "ACTIVE",
    )
    event = grant.events.last()
    assert (event.cause, event.actor, event.detail["case"]) == ("voided, case C-12: multiple accounts", checker, "C-12")
    assert list(Entry.objects.order_by("seq").values_list("amount", "house")) == [(1000, "rewards"), (-1000, "forfeit"), (2000, "rewards")]
    assert list(AuditEvent.objects.order_by("id").values_list("action", "actor_id")) == [
        ("wallet.void_requested", maker.pk),
        ("wallet.void_approved", checker.pk),
    ]
    assert_books_balance()


@pytest.mark.parametrize("superuser", [False, True])
def test_void__maker_decides__is_refused_superuser_included(player, checker, superuser):
    maker = staff("request_void", "approve_void", is_superuser=superuser)
    request = _ask(bonus(player.pk), maker)
    with pytest.raises(GrantRefused, match="you asked for void .* yourself; another person must approve it"):
        services.approve_void(request.pk, actor=maker, at=NOW)
    with pytest.raises(GrantRefused, match="another person must reject it"):
        services.reject_void(request.pk, actor=maker, at=NOW, note="no")
    with pytest.raises(IntegrityError, match="void_maker_is_not_checker"), transaction.atomic():
        VoidRequest.objects.update(checker=maker, status="VOIDED", decided_at=NOW)
    assert balance_of(player.pk, "BONUS", "EUR") == 1000


def test_void__nobody_else_could_approve__is_refused(player, maker):
    staff("approve_void", is_active=False)
    with pytest.raises(GrantRefused, match="a void needs a second person, but nobody else may approve it"):
        _ask(bonus(player.pk), maker)
    assert not VoidRequest.objects.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"case_id": " "}, "name the case"), ({"reason": ""}, "give a reason"), ({"reason": "x" * 501}, "give a reason")],
)
def test_request_void__incomplete__is_refused(player, maker, checker, fields, message):
    with pytest.raises(GrantRefused, match=message):
        _ask(bonus(player.pk), maker, **fields)


def test_void__without_permission_twice_or_ended__is_refused(player, maker, checker):
    grant = bonus(player.pk)
    with pytest.raises(GrantRefused, match="wallet.request_void"):
        _ask(grant, checker)
    request = _ask(grant, maker)
    with pytest.raises(GrantRefused, match=f"was asked for already: request {request.pk}"):
        _ask(grant, maker)
    with pytest.raises(GrantRefused, match="wallet.approve_void"):
        services.approve_void(request.pk, actor=staff("request_void"), at=NOW)
    services.surrender_grant(grant.pk, at=NOW, reason="gone")
    with pytest.raises(GrantRefused, match="is forfeited meanwhile; reject the request"):
        services.approve_void(request.pk, actor=checker, at=NOW)
    with pytest.raises(GrantRefused, match="say why"):
        services.reject_void(request.pk, actor=checker, at=NOW, note=" ")
    assert services.reject_void(request.pk, actor=checker, at=NOW, note="ended").status == "REJECTED"
    with pytest.raises(GrantRefused, match="is rejected already"):
        services.reject_void(request.pk, actor=checker, at=NOW, note="ended")
    with pytest.raises(GrantRefused, match="only what has not ended can be voided"):
        _ask(grant, maker)


def test_void__offered_and_queued__end_without_an_entry(player, maker, checker):
    bonus(player.pk)
    waiting = [offer(player.pk, a_template("claim", needs_claim=True), amount=Decimal(5)), bonus(player.pk)]
    for grant in waiting:
        services.approve_void(_ask(grant, maker).pk, actor=checker, at=NOW)
    assert [statuses(grant)[-1] for grant in waiting] == [("OFFERED", "VOIDED"), ("QUEUED", "VOIDED")]
    assert Entry.objects.count() == 1


# reversal of the deposit


def _matched(player, ref="D1"):
    return offer(player.pk, a_template(match_percent=Decimal(100)), deposit=Decimal(100), deposit_ref=ref)


def _chain():
    return list(Entry.objects.order_by("seq").values_list("amount", "house"))[1:]


def _charge_back(player, ref="D1"):
    return services.reverse_deposit(player_id=player.pk, deposit_ref=ref, at=NOW + timedelta(days=1), source=Source("platform", "CB-1"))


def test_reverse_deposit__bonus_untouched__credit_goes_back(player):
    grant, waiting = _matched(player), bonus(player.pk, "7")
    assert _charge_back(player) == [grant.pk]
    assert _charge_back(player) == []
    grant.refresh_from_db()
    waiting.refresh_from_db()
    assert (grant.status, waiting.status) == ("REVERSED", "ACTIVE")
    assert _chain() == [(-10000, "rewards"), (700, "rewards")]
    reversal = Entry.objects.get(reversal_of__isnull=False)
    assert reversal.reversal_of == Entry.objects.order_by("seq").first()
    assert Account.objects.get().earned_total == 700
    assert_books_balance()


def test_reverse_deposit__bonus_has_won__what_is_above_the_credit_is_forfeited(player):
    _play_to(_matched(player), 8000, locked=5000)
    _charge_back(player)
    assert _chain() == [(3000, "win"), (-10000, "rewards"), (-3000, "forfeit")]
    assert balance_of(player.pk, "BONUS", "EUR") == 0
    assert_books_balance()


def test_reverse_deposit__bonus_was_lost_in_part__shortfall_is_a_debt_with_a_flag(player):
    grant = _matched(player)
    services.spend(player_id=player.pk, unit="BONUS", currency="EUR", amount=Decimal(70), source=Source("test", "s"), at=NOW, reason="play")
    _charge_back(player)
    assert _chain() == [(-7000, "redemption"), (7000, "debt"), (-10000, "rewards")]
    account, flag = Account.objects.get(), WalletFlag.objects.get()
    assert (account.balance, account.owed) == (0, 7000)
    assert (flag.kind, flag.grant, flag.detail["amount"]) == ("BONUS_DEBT", grant, "7000")
    assert grant.events.last().detail["lent"] == "7000"
    assert_books_balance()


def test_reverse_deposit__offered_queued_and_ended__waiting_ones_end_and_ended_ones_stay(player):
    template = a_template("claim", needs_claim=True)
    ended = _matched(player)
    services.surrender_grant(ended.pk, at=NOW, reason="no")
    first = _matched(player)
    queued = offer(player.pk, a_template("other", match_percent=Decimal(50)), deposit=Decimal(100), deposit_ref="D1")
    offered = offer(player.pk, template, amount=Decimal(5), deposit=Decimal(100), deposit_ref="D1")
    elsewhere = offer(player.pk, template, amount=Decimal(5), deposit=Decimal(100), deposit_ref="D2")
    assert _charge_back(player) == [first.pk, queued.pk, offered.pk]
    final = dict(BonusGrant.objects.values_list("pk", "status"))
    assert final == {
        ended.pk: "FORFEITED", first.pk: "REVERSED", queued.pk: "REVERSED", offered.pk: "REVERSED", elsewhere.pk: "OFFERED",
    }  # fmt: skip
    assert balance_of(player.pk, "BONUS", "EUR") == 0
    assert_books_balance()
