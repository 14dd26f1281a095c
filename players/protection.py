"""Exclusions, consents, harm flags and deposit limits: every change in one transaction with its audit row.

Two promises to the player hold whoever asks: an exclusion the player chose (self-exclusion, cool-off) is never shortened, and a
deposit limit is lowered at once but raised or dropped only after the delay of the player's market.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import DepositLimit, Exclusion, JurisdictionPack, Player, Protection
from players.selectors import pack_in_force

_DEFAULT_LIMIT_DELAY_HOURS: int = JurisdictionPack._meta.get_field("limit_increase_delay_hours").default
_CENT = Decimal("0.01")


class ProtectionRefused(ValueError):
    """A change that protection rules or plain sense forbid; the message says what to do instead."""


def exclude_player(
    player_id: int,
    kind: str,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
    actor: User | None,
    at: datetime,
) -> Exclusion:
    """Record an exclusion from `starts_at` to before `ends_at` (None: without end). Recording the same one again returns it.

    Exclusions only add up: a shorter one beside a longer one changes nothing. Raises ProtectionRefused for an unknown kind, an end
    that is not after the start or already past, a cool-off without an end (nobody could lift it), or an operator exclusion without a
    reason; Player.DoesNotExist for no such player.
    """
    starts_at, at = require_utc(starts_at, "starts_at"), require_utc(at, "at")
    ends_at = require_utc(ends_at, "ends_at") if ends_at is not None else None
    if kind not in Exclusion.Kind.values:
        raise ProtectionRefused(f"unknown kind of exclusion {kind!r}; use one of {', '.join(Exclusion.Kind.values)}")
    if ends_at is not None and ends_at <= starts_at:
        raise ProtectionRefused("the exclusion ends before it starts; give an end after its start, or none")
    if ends_at is not None and ends_at <= at:
        raise ProtectionRefused("the exclusion would already be over; give an end in the future, or none")
    if kind == Exclusion.Kind.COOL_OFF and ends_at is None:
        raise ProtectionRefused("a cool-off is a pause: give its last day. Without end it would be a self-exclusion")
    if kind == Exclusion.Kind.OPERATOR and not reason.strip():
        raise ProtectionRefused("an operator exclusion needs a reason")
    with transaction.atomic():
        player = _locked(player_id)
        existing = Exclusion.objects.filter(player=player, kind=kind, starts_at=starts_at, ends_at=ends_at).first()
        if existing is not None:
            return existing
        exclusion = Exclusion.objects.create(
            player=player, kind=kind, starts_at=starts_at, ends_at=ends_at, reason=reason.strip(), recorded_at=at, recorded_by=actor
        )
        audit.record("players.exclusion_recorded", player, at=at, actor=actor, after=_exclusion(exclusion), reason=reason)
    return exclusion


def lift_exclusion(exclusion_id: int, reason: str, actor: User | None, at: datetime) -> None:
    """End an operator exclusion now; one that has not begun is removed. Lifting one that is over is refused, as is any exclusion the
    player chose (ProtectionRefused)."""
    at = require_utc(at, "at")
    if not reason.strip():
        raise ProtectionRefused("lifting an exclusion needs a reason")
    with transaction.atomic():
        exclusion = Exclusion.objects.select_for_update(of=("self",)).select_related("player").get(pk=exclusion_id)
        if exclusion.kind != Exclusion.Kind.OPERATOR:
            raise ProtectionRefused(f"a {exclusion.get_kind_display().lower()} is the player's own and ends only on its end date")
        if exclusion.ends_at is not None and exclusion.ends_at <= at:
            raise ProtectionRefused("the exclusion is over already")
        before = _exclusion(exclusion)
        if exclusion.starts_at >= at:
            exclusion.delete()
            after: dict[str, Any] = {}
        else:
            exclusion.ends_at = at
            exclusion.save(update_fields=["ends_at"])
            after = _exclusion(exclusion)
        audit.record("players.exclusion_lifted", exclusion.player, at=at, actor=actor, before=before, after=after, reason=reason)


def set_consent(
    player_id: int,
    *,
    at: datetime,
    marketing: bool | None = None,
    profiling: bool | None = None,
    actor: User | None = None,
    reason: str = "",
) -> Protection:
    """Set the consents that are not None; each that changes is stamped with `at`. Nothing changed: nothing is recorded."""
    wanted = {"marketing_consent": marketing, "profiling_consent": profiling}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return _change_protection(player_id, "players.consent_changed", changes, at, actor, reason)


def set_harm_flag(player_id: int, flagged: bool, note: str, actor: User | None, at: datetime) -> Protection:
    """Raise or clear the harm flag, with a note on the grounds (required both ways). Setting what already stands changes nothing."""
    if not note.strip():
        raise ProtectionRefused("a harm flag needs a note on its grounds, also when it is cleared")
    return _change_protection(player_id, "players.harm_flag_changed", {"harm_flag": flagged}, at, actor, note)


def _change_protection(player_id: int, action: str, wanted: dict[str, bool], at: datetime, actor: User | None, reason: str) -> Protection:
    at = require_utc(at, "at")
    with transaction.atomic():
        player = _locked(player_id)
        protection = Protection.objects.filter(player=player).first() or Protection(player=player)
        changed = {name: value for name, value in wanted.items() if getattr(protection, name) != value}
        if not changed:
            return protection
        before = {name: getattr(protection, name) for name in changed}
        for name, value in changed.items():
            setattr(protection, name, value)
            setattr(protection, f"{name}_at", at)
        if "harm_flag" in changed:
            protection.harm_note = reason.strip()
        protection.save()
        audit.record(action, player, at=at, actor=actor, before=before, after=changed, reason=reason)
    return protection


def set_deposit_limit(
    player_id: int, period: str, amount: Decimal | None, actor: User | None, at: datetime, reason: str = ""
) -> DepositLimit | None:
    """Set the player's deposit limit per DAY, WEEK or MONTH; None drops it. Returns the limit that stands or will stand.

    The first limit and a lower one hold at once. A higher one, or dropping it, takes effect after the delay of the player's market
    (`limit_increase_delay_hours`, 24 without a market); until then the present limit stands. A new wish replaces a pending one.
    """
    at = require_utc(at, "at")
    if period not in DepositLimit.Period.values:
        raise ProtectionRefused(f"unknown period {period!r}; use one of {', '.join(DepositLimit.Period.values)}")
    if amount is not None and (not amount.is_finite() or amount <= 0 or amount != amount.quantize(_CENT)):
        raise ProtectionRefused(f"a deposit limit must be above 0 with at most 2 decimals, not {amount}")
    with transaction.atomic():
        player = _locked(player_id)
        limits = list(
            DepositLimit.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), player=player, period=period).order_by("starts_at")
        )
        present = next((limit for limit in limits if limit.starts_at <= at), None)
        before = [_limit(limit) for limit in limits]
        for pending in limits:
            if pending is not present:
                pending.delete()
        result = _replace_limit(player, present, period, amount, at)
        after = [
            _limit(limit)
            for limit in DepositLimit.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), player=player, period=period).order_by(
                "starts_at"
            )
        ]
        if before != after:
            audit.record(
                "players.deposit_limit_changed",
                player,
                at=at,
                actor=actor,
                before={"limits": before},
                after={"limits": after},
                reason=reason,
            )
    return result


def _replace_limit(player: Player, present: DepositLimit | None, period: str, amount: Decimal | None, at: datetime) -> DepositLimit | None:
    if present is None:
        return DepositLimit.objects.create(player=player, period=period, amount=amount, starts_at=at) if amount is not None else None
    if amount is not None and amount == present.amount:
        _end_limit(present, None)
        return present
    lower = amount is not None and amount < present.amount
    effective = at if lower else at + timedelta(hours=_limit_delay_hours(player, at))
    _end_limit(present, effective)
    if amount is None:
        return None
    return DepositLimit.objects.create(player=player, period=period, amount=amount, starts_at=effective)


def _end_limit(limit: DepositLimit, ends_at: datetime | None) -> None:
    if ends_at is not None and ends_at <= limit.starts_at:  # replaced in the instant it was set: it never held
        limit.delete()
    elif limit.ends_at != ends_at:
        limit.ends_at = ends_at
        limit.save(update_fields=["ends_at"])


def _limit_delay_hours(player: Player, at: datetime) -> int:
    pack = pack_in_force(player.jurisdiction_id, at.date())
    return pack.limit_increase_delay_hours if pack is not None else _DEFAULT_LIMIT_DELAY_HOURS


def _locked(player_id: int) -> Player:
    return Player.objects.select_for_update(of=("self",), no_key=True).get(pk=player_id)


def _exclusion(exclusion: Exclusion) -> dict[str, Any]:
    return {
        "kind": exclusion.kind,
        "starts_at": exclusion.starts_at.isoformat(),
        "ends_at": exclusion.ends_at.isoformat() if exclusion.ends_at else None,
    }


def _limit(limit: DepositLimit) -> dict[str, Any]:
    return {
        "amount": str(limit.amount.quantize(_CENT)),
        "starts_at": limit.starts_at.isoformat(),
        "ends_at": limit.ends_at.isoformat() if limit.ends_at else None,
    }
