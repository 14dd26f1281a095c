"""Adjustments by staff: reason, limit, two persons, audit."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from loyalty_site.common.models import AuditEvent
from players.models import Exclusion, Protection
from tests.factories import NOW, PlayerFactory
from tests.wallet.factories import assert_books_balance, balance_of, bonus, points, staff
from wallet import services
from wallet.models import AdjustmentRequest, BonusGrant, Entry
from wallet.services import AdjustmentRefused, InsufficientFunds, InvalidPosting, UnknownPlayer

pytestmark = pytest.mark.django_db


@pytest.fixture
def player():
    return PlayerFactory()


@pytest.fixture
def maker():
    return staff("adjust_wallet", "approve_adjustment")


@pytest.fixture
def checker():
    return staff("approve_adjustment")


def _ask(player, maker, amount="50", **fields):
    fields = {"unit": "LP", "reason": "points lost in the outage of 3 March", "at": NOW} | fields
    return services.request_adjustment(player_id=player.pk, amount=Decimal(amount), maker=maker, **fields)


def test_request_adjustment__below_the_limit__is_posted_at_once_and_audited(player, maker):
    request = _ask(player, maker, "99.99")

    assert (request.status, request.needs_second_person, request.checker_id) == ("POSTED", False, None)
    entry = Entry.objects.get()
    assert (entry.amount, entry.house, entry.source_type, entry.source_ref, entry.actor) == (
        9999, "manual", "wallet.adjustment", str(request.pk), maker,
    )  # fmt: skip
    assert entry.reason == "points lost in the outage of 3 March"
    assert list(AuditEvent.objects.order_by("id").values_list("action", "actor_id")) == [
        ("wallet.adjustment_requested", maker.pk),
        ("wallet.adjustment_posted", maker.pk),
    ]
    assert_books_balance()


def test_request_adjustment__form_sent_twice__moves_once(player, maker):
    first = _ask(player, maker, "50")
    with pytest.raises(AdjustmentRefused, match=f"it is adjustment {first.pk}; if you mean a second one, say so in the reason"):
        _ask(player, maker, "50", at=NOW + timedelta(seconds=59))
    assert (AdjustmentRequest.objects.count(), balance_of(player.pk)) == (1, 5000)
    _ask(player, maker, "49", reason="and those of 4 March")
    assert balance_of(player.pk) == 9900


def test_request_adjustment__small_ones_add_up_to_the_limit__the_last_waits_for_a_second_person(player, maker, checker):
    assert _ask(player, maker, "60").status == "POSTED"
    split = _ask(player, maker, "40", reason="the rest", at=NOW + timedelta(hours=23))
    assert (split.status, split.needs_second_person, balance_of(player.pk)) == ("PENDING", True, 6000)
    taken = _ask(player, maker, "-40", reason="the other way", at=NOW + timedelta(hours=23))
    assert (taken.status, balance_of(player.pk)) == ("PENDING", 6000)
    # another player, another unit, another person, another day
    assert _ask(PlayerFactory(), maker, "60").status == "POSTED"
    assert _ask(player, maker, "60", unit="RP").status == "POSTED"
    assert _ask(player, staff("adjust_wallet"), "60").status == "POSTED"
    assert _ask(player, maker, "60", at=NOW + timedelta(hours=24)).status == "POSTED"


@pytest.mark.parametrize("amount", ["100", "-100", "5000"])
def test_request_adjustment__from_the_limit_on__waits_for_a_second_person(player, maker, checker, amount):
    points(player.pk, "1000")
    request = _ask(player, maker, amount)
    assert (request.status, request.needs_second_person) == ("PENDING", True)
    assert balance_of(player.pk) == 100000

    services.approve_adjustment(request.pk, checker=checker, at=NOW + timedelta(hours=1), note="ticket 12")
    request.refresh_from_db()
    assert (request.status, request.checker, request.decided_at) == ("POSTED", checker, NOW + timedelta(hours=1))
    assert balance_of(player.pk) == 100000 + int(amount) * 100
    audit = AuditEvent.objects.get(action="wallet.adjustment_posted")
    assert (audit.actor, audit.reason, audit.after["amount"]) == (checker, "ticket 12", str(Decimal(amount).quantize(Decimal("0.01"))))
    assert_books_balance()


def test_request_adjustment__limit_is_a_setting(player, maker, checker, settings):
    from constance.test import override_config

    with override_config(ADJUSTMENT_SECOND_FROM_AMOUNT=Decimal(10)):
        assert _ask(player, maker, "10").status == "PENDING"
        assert _ask(player, maker, "9.99").status == "POSTED"


def test_approve_adjustment__maker__is_refused_superuser_included(player, checker):
    maker = staff(is_superuser=True)
    request = _ask(player, maker, "100")
    with pytest.raises(AdjustmentRefused, match="you asked for adjustment .* yourself; another person must approve it"):
        services.approve_adjustment(request.pk, checker=maker, at=NOW)
    with pytest.raises(AdjustmentRefused, match="another person must reject it"):
        services.reject_adjustment(request.pk, checker=maker, at=NOW, note="no")
    assert not Entry.objects.exists()


def test_adjustment__maker_as_checker__is_refused_by_the_database(player, maker, checker):
    request = _ask(player, maker, "100")
    with pytest.raises(IntegrityError, match="adjustment_maker_is_not_checker"), transaction.atomic():
        AdjustmentRequest.objects.filter(pk=request.pk).update(checker=maker, status="REJECTED", decided_at=NOW)


def test_request_adjustment__nobody_else_could_approve__is_refused(player, maker):
    staff("approve_adjustment", is_active=False)
    with pytest.raises(AdjustmentRefused, match="100.00 LP needs a second person, but nobody else may approve adjustments"):
        _ask(player, maker, "100")
    assert not AdjustmentRequest.objects.exists()


def test_adjustment__without_permission__is_refused(player, maker, checker):
    with pytest.raises(AdjustmentRefused, match="you may not adjust wallets"):
        _ask(player, checker)
    request = _ask(player, maker, "100")
    with pytest.raises(AdjustmentRefused, match="you may not decide on adjustments"):
        services.approve_adjustment(request.pk, checker=staff("adjust_wallet"), at=NOW)
    assert not Entry.objects.exists()


@pytest.mark.parametrize("second", ["approve", "reject"])
@pytest.mark.parametrize("first", ["approve", "reject"])
def test_adjustment__decided_twice__second_decision_is_refused(player, maker, checker, first, second):
    request = _ask(player, maker, "100")
    decide = {"approve": services.approve_adjustment, "reject": services.reject_adjustment}
    decide[first](request.pk, checker=checker, at=NOW, note="seen")
    with pytest.raises(AdjustmentRefused, match="already"):
        decide[second](request.pk, checker=staff("approve_adjustment"), at=NOW, note="seen")
    assert balance_of(player.pk) == (10000 if first == "approve" else 0)


def test_reject_adjustment__without_note__is_refused(player, maker, checker):
    request = _ask(player, maker, "100")
    with pytest.raises(AdjustmentRefused, match="say why"):
        services.reject_adjustment(request.pk, checker=checker, at=NOW, note="  ")


def test_request_adjustment__without_reason__is_refused(player, maker):
    with pytest.raises(InvalidPosting, match="give a reason"):
        _ask(player, maker, reason="  ")
    assert not AdjustmentRequest.objects.exists()


def test_request_adjustment__more_than_the_balance__is_refused_at_once(player, maker):
    points(player.pk, "5")
    with pytest.raises(InsufficientFunds, match="has 5.00 LP, which does not cover 6.00 LP"):
        _ask(player, maker, "-6")
    assert not AdjustmentRequest.objects.exists()
    assert not AuditEvent.objects.exists()


def test_approve_adjustment__spent_meanwhile__is_refused_and_stays_open(player, maker, checker):
    points(player.pk, "200")
    request = _ask(player, maker, "-150")
    services.spend(
        player_id=player.pk, unit="LP", currency="", amount=Decimal(100), source=services.Source("test", "s"), at=NOW, reason="mug"
    )
    with pytest.raises(InsufficientFunds):
        services.approve_adjustment(request.pk, checker=checker, at=NOW)
    request.refresh_from_db()
    assert (request.status, balance_of(player.pk)) == ("PENDING", 10000)


def test_request_adjustment__unknown_player__is_refused(maker):
    with pytest.raises(UnknownPlayer):
        services.request_adjustment(player_id=98765, unit="LP", amount=Decimal(1), reason="x", maker=maker, at=NOW)


def test_request_adjustment__bonus_credit__makes_a_grant_with_its_terms(player, maker):
    request = _ask(player, maker, "20", unit="BONUS", currency="EUR", wagering_required=Decimal(200), expires_at=NOW + timedelta(days=3))
    grant = BonusGrant.objects.get()
    assert (grant.principal, grant.wagering_required, grant.source_ref) == (2000, Decimal(200), str(request.pk))
    assert request.entry.house == "manual"
    assert_books_balance()


@pytest.mark.parametrize(
    ("amount", "terms", "message"),
    [
        ("20", {}, "a bonus credit needs its terms"),
        ("20", {"wagering_required": Decimal(1), "expires_at": NOW}, "expires_at must lie in the future"),
        ("-20", {"wagering_required": Decimal(1)}, "terms of a bonus credit only"),
    ],
)
def test_request_adjustment__bonus_with_wrong_terms__is_refused(player, maker, amount, terms, message):
    with pytest.raises(InvalidPosting, match=message):
        _ask(player, maker, amount, unit="BONUS", currency="EUR", **terms)


def test_request_adjustment__bonus_debit__comes_from_the_open_grants(player, maker):
    grant = bonus(player.pk, "30")
    _ask(player, maker, "-10", unit="BONUS", currency="EUR")
    grant.refresh_from_db()
    assert grant.balance == 2000
    assert_books_balance()


def _protect(player, why):
    if why == "harm":
        Protection.objects.update_or_create(player=player, defaults={"harm_flag": True})
    else:
        Exclusion.objects.create(player=player, kind=why, starts_at=NOW - timedelta(hours=1), recorded_at=NOW)


@pytest.mark.parametrize("why", ["SELF_EXCLUSION", "COOL_OFF", "OPERATOR", "harm"])
def test_request_adjustment__player_under_protection__gives_nothing_but_takes(player, maker, why):
    points(player.pk, "10")
    _protect(player, why)
    terms = {"unit": "BONUS", "currency": "EUR", "wagering_required": Decimal(0), "expires_at": NOW + timedelta(days=1)}
    for fields in ({}, terms):
        with pytest.raises(AdjustmentRefused, match="nothing may be given to this player now"):
            _ask(player, maker, "5", **fields)
    assert (AdjustmentRequest.objects.count(), balance_of(player.pk)) == (0, 1000)
    _ask(player, maker, "-4")
    assert balance_of(player.pk) == 600


def test_approve_adjustment__player_excluded_meanwhile__is_refused_and_stays_open(player, maker, checker):
    request = _ask(player, maker, "500")
    _protect(player, "SELF_EXCLUSION")
    with pytest.raises(AdjustmentRefused, match="nothing may be given"):
        services.approve_adjustment(request.pk, checker=checker, at=NOW)
    request.refresh_from_db()
    assert (request.status, Entry.objects.count()) == ("PENDING", 0)
