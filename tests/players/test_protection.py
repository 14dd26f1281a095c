"""Exclusions, consents, harm and limits: on record, and the player's own safeguards never weakened."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from loyalty_site.common.models import AuditEvent
from players.models import DepositLimit, Exclusion, Jurisdiction, JurisdictionPack, Player, Protection
from players.services import ProtectionRefused, exclude_player, lift_exclusion, set_consent, set_deposit_limit, set_harm_flag
from tests.factories import PlayerFactory, ProtectionFactory, UserFactory

pytestmark = pytest.mark.django_db
D = Decimal
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def audited() -> list[tuple[Any, ...]]:
    return list(AuditEvent.objects.order_by("id").values_list("action", "before", "after", "reason", "actor_id"))


def test_exclusion__recorded__is_stored_and_audited(now: datetime) -> None:
    player, actor = PlayerFactory(), UserFactory()
    exclusion = exclude_player(player.pk, "SELF_EXCLUSION", now, now + 180 * DAY, "asked by phone", actor, now)
    assert (exclusion.recorded_at, exclusion.recorded_by) == (now, actor)
    after = {"kind": "SELF_EXCLUSION", "starts_at": now.isoformat(), "ends_at": (now + 180 * DAY).isoformat()}
    assert audited() == [("players.exclusion_recorded", {}, after, "asked by phone", actor.pk)]


def test_exclusion__the_same_again__returns_the_first(now: datetime) -> None:
    player = PlayerFactory()
    first = exclude_player(player.pk, "COOL_OFF", now, now + DAY, "", None, now)
    assert exclude_player(player.pk, "COOL_OFF", now, now + DAY, "", None, now) == first
    assert (Exclusion.objects.count(), AuditEvent.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "starts", "ends", "reason", "message"),
    [
        ("HOLIDAY", 0, 5, "x", "unknown kind of exclusion 'HOLIDAY'"),
        ("COOL_OFF", 5, 5, "", "ends before it starts"),
        ("COOL_OFF", -9, 0, "", "already be over"),
        ("OPERATOR", 0, None, "  ", "needs a reason"),
        ("COOL_OFF", 0, None, "", "give its last day"),
    ],
)
def test_exclusion__wrong__is_refused_and_nothing_is_written(
    now: datetime, kind: str, starts: int, ends: int | None, reason: str, message: str
) -> None:
    player = PlayerFactory()
    with pytest.raises(ProtectionRefused, match=message):
        exclude_player(player.pk, kind, now + starts * DAY, now + ends * DAY if ends is not None else None, reason, None, now)
    assert (Exclusion.objects.count(), AuditEvent.objects.count()) == (0, 0)


def test_exclusion__unknown_player__raises(now: datetime) -> None:
    with pytest.raises(Player.DoesNotExist):
        exclude_player(999, "SELF_EXCLUSION", now, None, "", None, now)


@pytest.mark.parametrize(("kind", "days"), [("SELF_EXCLUSION", 30), ("SELF_EXCLUSION", None), ("COOL_OFF", 30)])
def test_lift__an_exclusion_of_the_player__is_refused(now: datetime, kind: str, days: int | None) -> None:
    exclusion = exclude_player(PlayerFactory().pk, kind, now, now + days * DAY if days else None, "", None, now)
    with pytest.raises(ProtectionRefused, match="the player's own"):
        lift_exclusion(exclusion.pk, "asked nicely", None, now + HOUR)
    exclusion.refresh_from_db()
    assert exclusion.ends_at == (now + days * DAY if days else None)


def test_lift__operator_exclusion__ends_now_once(now: datetime) -> None:
    exclusion = exclude_player(PlayerFactory().pk, "OPERATOR", now, None, "checks", None, now)
    with pytest.raises(ProtectionRefused, match="needs a reason"):
        lift_exclusion(exclusion.pk, "", None, now + HOUR)
    lift_exclusion(exclusion.pk, "checks passed", None, now + HOUR)
    exclusion.refresh_from_db()
    assert exclusion.ends_at == now + HOUR
    with pytest.raises(ProtectionRefused, match="over already"):
        lift_exclusion(exclusion.pk, "again", None, now + 2 * HOUR)
    assert [row[0] for row in audited()] == ["players.exclusion_recorded", "players.exclusion_lifted"]


def test_lift__operator_exclusion_not_begun__is_removed_and_audited(now: datetime) -> None:
    exclusion = exclude_player(PlayerFactory().pk, "OPERATOR", now + DAY, None, "checks", None, now)
    lift_exclusion(exclusion.pk, "mistake", None, now)
    assert Exclusion.objects.count() == 0
    assert audited()[1][1]["starts_at"] == (now + DAY).isoformat()


def test_consent__changes__are_stamped_one_by_one(now: datetime) -> None:
    player = ProtectionFactory(marketing_consent_at=now, profiling_consent_at=now).player
    later = now + DAY
    protection = set_consent(player.pk, marketing=False, profiling=True, at=later, reason="unsubscribed")
    assert (protection.marketing_consent, protection.marketing_consent_at) == (False, later)
    assert (protection.profiling_consent, protection.profiling_consent_at) == (True, now)
    assert audited() == [
        ("players.consent_changed", {"marketing_consent": True}, {"marketing_consent": False}, "unsubscribed", None),
    ]
    set_consent(player.pk, marketing=False, at=later + DAY)
    assert AuditEvent.objects.count() == 1


def test_consent__no_row_yet_and_refused__writes_nothing(now: datetime) -> None:
    player = PlayerFactory()
    set_consent(player.pk, marketing=False, at=now)
    assert (Protection.objects.count(), AuditEvent.objects.count()) == (0, 0)
    set_consent(player.pk, profiling=True, at=now)
    assert Protection.objects.get().profiling_consent_at == now


def test_harm_flag__raised_and_cleared__needs_a_note_each_time(now: datetime) -> None:
    player = PlayerFactory()
    with pytest.raises(ProtectionRefused, match="needs a note"):
        set_harm_flag(player.pk, True, " ", None, now)
    set_harm_flag(player.pk, True, "chasing losses at night", None, now)
    protection = set_harm_flag(player.pk, False, "interview on file", None, now + DAY)
    assert (protection.harm_flag, protection.harm_flag_at, protection.harm_note) == (False, now + DAY, "interview on file")
    assert [(row[1], row[2]) for row in audited()] == [
        ({"harm_flag": False}, {"harm_flag": True}),
        ({"harm_flag": True}, {"harm_flag": False}),
    ]


def limits(player: Player) -> list[tuple[Decimal, datetime, datetime | None]]:
    return list(DepositLimit.objects.filter(player=player).order_by("starts_at").values_list("amount", "starts_at", "ends_at"))


def test_limit__lower__holds_at_once(now: datetime) -> None:
    player = PlayerFactory()
    set_deposit_limit(player.pk, "DAY", D(100), None, now)
    set_deposit_limit(player.pk, "DAY", D(40), None, now + HOUR)
    assert limits(player) == [(D(100), now, now + HOUR), (D(40), now + HOUR, None)]


def test_limit__higher__waits_for_the_delay_and_the_old_one_stands(now: datetime) -> None:
    player = PlayerFactory()
    set_deposit_limit(player.pk, "WEEK", D(100), None, now)
    set_deposit_limit(player.pk, "WEEK", D(500), None, now + HOUR)
    assert limits(player) == [(D(100), now, now + 25 * HOUR), (D(500), now + 25 * HOUR, None)]


def test_limit__higher__waits_as_long_as_the_market_says(now: datetime) -> None:
    market = Jurisdiction.objects.create(code="SE", name="Sweden")
    JurisdictionPack.objects.create(jurisdiction=market, valid_from=now.date(), limit_increase_delay_hours=72)
    player = PlayerFactory(jurisdiction=market)
    set_deposit_limit(player.pk, "DAY", D(100), None, now)
    set_deposit_limit(player.pk, "DAY", None, None, now)
    assert limits(player) == [(D(100), now, now + 72 * HOUR)]


def test_limit__a_new_wish__replaces_the_pending_one(now: datetime) -> None:
    player = PlayerFactory()
    set_deposit_limit(player.pk, "DAY", D(100), None, now)
    set_deposit_limit(player.pk, "DAY", D(500), None, now + HOUR)
    set_deposit_limit(player.pk, "DAY", D(100), None, now + 2 * HOUR)  # changed its mind
    assert limits(player) == [(D(100), now, None)]
    set_deposit_limit(player.pk, "DAY", D(500), None, now + 3 * HOUR)
    set_deposit_limit(player.pk, "DAY", D(30), None, now + 4 * HOUR)
    assert limits(player) == [(D(100), now, now + 4 * HOUR), (D(30), now + 4 * HOUR, None)]


def test_limit__replaced_in_the_same_instant__leaves_one_row(now: datetime) -> None:
    player = PlayerFactory()
    set_deposit_limit(player.pk, "DAY", D(100), None, now)
    set_deposit_limit(player.pk, "DAY", D(40), None, now)
    assert limits(player) == [(D(40), now, None)]


def test_limit__unchanged__is_not_recorded(now: datetime) -> None:
    player = PlayerFactory()
    set_deposit_limit(player.pk, "DAY", D(100), None, now)
    set_deposit_limit(player.pk, "DAY", D("100.00"), None, now + DAY)
    assert set_deposit_limit(player.pk, "MONTH", None, None, now) is None
    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize(("period", "amount"), [("YEAR", D(1)), ("DAY", D(0)), ("DAY", D("-5")), ("DAY", D("1.005")), ("DAY", D("NaN"))])
def test_limit__wrong__is_refused(now: datetime, period: str, amount: Decimal) -> None:
    with pytest.raises(ProtectionRefused):
        set_deposit_limit(PlayerFactory().pk, period, amount, None, now)
    assert DepositLimit.objects.count() == 0
