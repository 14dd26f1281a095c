"""Shorthands for tests of reported activity: grants with credited money, and events of one platform."""

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from loyalty_site.common.money import from_minor, to_minor
from tests.factories import NOW
from wallet.activity.receive import receive, receive_one
from wallet.bonus.terms import Terms
from wallet.bonus.values import Activity, Kind
from wallet.models import Account, BonusGrant, ContributionRule, ContributionTable, Entry, GrantEvent, GrantMovement

_numbers = itertools.count(1)
LONG_AGO = NOW - timedelta(days=365)


def grant(
    player_id: int,
    amount: str = "100",
    *,
    status: str = "ACTIVE",
    currency: str = "EUR",
    product: str = "casino",
    expires_at: datetime | None = None,
    queue_order: int = 0,
    deposit: str = "0",
    at: datetime = NOW - timedelta(hours=1),
    **terms: Any,
) -> BonusGrant:
    """A grant with its credit in the books; `status` ACTIVE or QUEUED. Money terms are in minor units, as in `Terms`."""
    frozen = Terms(**({"products": (product,), "multiple": Decimal(10)} | terms))
    minor = to_minor(Decimal(amount), currency)
    account, _ = Account.objects.get_or_create(player_id=player_id, unit="BONUS", currency=currency)
    number = next(_numbers)
    is_open = status == "ACTIVE"
    base = minor + (to_minor(Decimal(deposit), currency) if frozen.base == "bonus_deposit" else 0)
    required = frozen.requirement if frozen.requirement is not None else from_minor(base, currency) * frozen.multiple
    made = BonusGrant.objects.create(
        player_id=player_id,
        account=account,
        currency=currency,
        product=product,
        principal=minor,
        balance=minor if is_open else 0,
        deposit=to_minor(Decimal(deposit), currency),
        wagering_required=required,
        terms=frozen.as_json(),
        spins_left=frozen.spins if is_open else 0,
        status=status,
        queue_order=queue_order,
        offered_at=at,
        activated_at=at if is_open else None,
        expires_at=expires_at or NOW + timedelta(days=7),
        source_type="test",
        source_ref=f"grant-{number}",
    )
    entry = None
    if is_open and minor:
        account.balance += minor
        account.version += 1
        account.earned_total += minor
        account.save()
        entry = Entry.objects.create(
            account=account, house="rewards", amount=minor, seq=account.version, balance_after=account.balance, source_type="test",
            source_ref=f"grant-{number}", occurred_at=at,
        )  # fmt: skip
        GrantMovement.objects.create(grant=made, entry=entry, pocket="balance", amount=minor)
    GrantEvent.objects.create(grant=made, to_status=status, cause="test", entry=entry, occurred_at=at)
    return made


def table(*rules: tuple[str, str, str, str], edge_reference: str = "0.04", name: str = "") -> int:
    """A contribution table of (scope, key, method, weight) lines; returns its id."""
    made = ContributionTable.objects.create(name=name or f"table {next(_numbers)}", edge_reference=Decimal(edge_reference))
    for scope, key, method, weight in rules:
        ContributionRule.objects.create(table=made, scope=scope, key=key, method=method, weight=Decimal(weight), valid_from=LONG_AGO)
    return made.pk


def activity(player_id: int, kind: str, amount: str = "0", **fields: Any) -> Activity:
    """An event of the platform "p1". Parts and `cash_before` are given as texts in units of the currency."""
    currency = fields.get("currency", "EUR")
    for name in ("real_part", "bonus_part", "locked_part", "cash_before"):
        if fields.get(name) is not None:
            fields[name] = to_minor(Decimal(fields[name]), currency)
    number = next(_numbers)
    values = {
        "source": "p1",
        "activity_id": f"{kind.lower()}-{number}",
        "player_id": player_id,
        "currency": currency,
        "round_id": f"round-{number}",
        "occurred_at": NOW,
        "received_at": NOW,
        "game_code": "starburst" if kind in ("BET", "WIN") else "",
        "game_category": "slots" if kind in ("BET", "WIN") else "",
        **fields,
    }
    return Activity(kind=Kind(kind), amount=to_minor(Decimal(amount), currency), **values)


def send(player_id: int, kind: str, amount: str = "0", **fields: Any) -> Any:
    """Report one event; raises its refusal."""
    return receive_one(activity(player_id, kind, amount, **fields))


def bet(player_id: int, amount: str, **fields: Any) -> Any:
    """A bet that is a settled round of its own."""
    return send(player_id, "BET", amount, **{"ends_round": True, **fields})


__all__ = ["activity", "bet", "grant", "receive", "send", "table"]
