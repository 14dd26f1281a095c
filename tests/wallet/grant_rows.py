"""Grants in any state as rows, for pages and reports: the rows that the services would have written, with books that balance."""

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from loyalty_site.common.money import to_minor
from players.models import Player
from tests.factories import NOW
from wallet.bonus.terms import Terms
from wallet.models import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    Account,
    BonusGrant,
    BonusTemplate,
    BonusTemplateVersion,
    Entry,
    GrantEvent,
    GrantMovement,
    PayoutInstruction,
    VoidRequest,
    WagerCount,
    WagerEvent,
)

_numbers = itertools.count(1)
_CAUSES = {
    "COMPLETED": "wagering completed; the balance is released to cash",
    "EXPIRED": "expired before the wagering was completed",
    "EXPIRED_UNCLAIMED": "the offer was not claimed in time",
    "LOST": "less than the smallest bet was left and no round was open",
    "FORFEITED": "the player gave it up",
    "VOIDED": "voided: case C-1",
    "REVERSED": "the deposit was charged back",
}
_HOUSES = {
    "COMPLETED": "payout",
    "EXPIRED": "expiry",
    "LOST": "breakage",
    "FORFEITED": "forfeit",
    "VOIDED": "forfeit",
    "REVERSED": "forfeit",
}


def template(code: str = "welcome", **fields: Any) -> BonusTemplateVersion:
    """The current version of a template, made with the first call."""
    kind, _ = BonusTemplate.objects.get_or_create(code=code, defaults={"name": code.replace("-", " ").capitalize()})
    values = {"products": ["casino"], "multiple": Decimal(10), "created_at": NOW, **fields}
    version = BonusTemplateVersion.objects.create(template=kind, number=kind.versions.count() + 1, **values)
    kind.current = version
    kind.save(update_fields=["current"])
    return version


def grant_row(
    player: Player,
    status: str = "ACTIVE",
    amount: str = "100",
    *,
    terms: Terms | None = None,
    wagered: str = "0",
    required: str = "",
    balance: str = "",
    locked: str = "0",
    penalties: str = "0",
    at: datetime = NOW,
    closed_at: datetime | None = None,
    released: str | None = None,
    days: int = 7,
    currency: str = "EUR",
    **fields: Any,
) -> BonusGrant:
    """A grant with its status events, and the entries and movements that its money needs. Amounts are in units of the currency."""
    number = next(_numbers)
    terms = terms or Terms(multiple=Decimal(10))
    minor = to_minor(Decimal(amount), currency)
    is_open, is_final = status in OPEN_STATUSES, status in FINAL_STATUSES
    was_active = is_open or (is_final and status != "EXPIRED_UNCLAIMED")
    account, _ = Account.objects.get_or_create(player=player, unit="BONUS", currency=currency)
    need = Decimal(required) if required else terms.multiple * Decimal(amount) + Decimal(penalties)
    left = to_minor(Decimal(balance), currency) if balance else minor
    grant = BonusGrant.objects.create(
        player=player,
        account=account,
        currency=currency,
        principal=minor,
        balance=left if is_open else 0,
        locked=to_minor(Decimal(locked), currency) if is_open else 0,
        wagering_required=need,
        wagered=need if status == "COMPLETED" else Decimal(wagered),
        penalties=Decimal(penalties),
        terms=terms.as_json(),
        released=to_minor(Decimal(released), currency) if released is not None else minor if status == "COMPLETED" else 0,
        status=status,
        offered_at=at,
        activated_at=at if was_active else None,
        expires_at=at + timedelta(days=days),
        closed_at=(closed_at or at + timedelta(days=1)) if is_final else None,
        source_type="test",
        source_ref=f"grant-{number}",
        **fields,
    )
    credit = _post(account, "rewards", {"balance": minor}, grant, f"grant-{number}", at) if was_active else None
    if is_open and (played := {"balance": left - minor, "locked": grant.locked}) != {"balance": 0, "locked": 0}:
        _post(account, "win", played, grant, f"play-{number}", at)
    GrantEvent.objects.create(grant=grant, to_status="OFFERED", cause="offered by test", occurred_at=at)
    if was_active:
        GrantEvent.objects.create(
            grant=grant, from_status="OFFERED", to_status="ACTIVE", cause="claimed by the player", entry=credit, occurred_at=at
        )
    elif status == "QUEUED":
        GrantEvent.objects.create(
            grant=grant, from_status="OFFERED", to_status="QUEUED", cause="another bonus of the product is open", occurred_at=at
        )
    if status in ("WAGERING", "PAUSED"):
        GrantEvent.objects.create(grant=grant, from_status="ACTIVE", to_status="WAGERING", cause="first counted bet", occurred_at=at)
    if status == "PAUSED":
        GrantEvent.objects.create(grant=grant, from_status="WAGERING", to_status="PAUSED", cause="paused by staff", occurred_at=at)
    if is_final:
        _close(grant, account, number)
    return grant


def _close(grant: BonusGrant, account: Account, number: int) -> None:
    entry = None
    if grant.activated_at:
        entry = _post(account, _HOUSES[grant.status], {"balance": -grant.principal}, grant, f"close-{number}", grant.closed_at)
    before = "WAGERING" if grant.wagered else "ACTIVE" if grant.activated_at else "OFFERED"
    GrantEvent.objects.create(
        grant=grant, from_status=before, to_status=grant.status, cause=_CAUSES[grant.status], entry=entry, occurred_at=grant.closed_at
    )
    if grant.status == "COMPLETED" and entry:
        PayoutInstruction.objects.create(
            key=f"payout-{number}",
            player=grant.player,
            grant=grant,
            entry=entry,
            currency=grant.currency,
            amount=grant.released,
            next_attempt_at=grant.closed_at,
            created_at=grant.closed_at,
        )


def _post(account: Account, house: str, pockets: dict[str, int], grant: BonusGrant, ref: str, at: datetime) -> Entry:
    account.refresh_from_db()
    amount = sum(pockets.values())
    account.balance, account.version = account.balance + amount, account.version + 1
    if house == "rewards":
        account.earned_total += amount
    account.save()
    entry = Entry.objects.create(
        account=account,
        house=house,
        amount=amount,
        seq=account.version,
        balance_after=account.balance,
        source_type="test",
        source_ref=ref,
        occurred_at=at,
    )
    GrantMovement.objects.bulk_create(
        [GrantMovement(grant=grant, entry=entry, pocket=pocket, amount=part) for pocket, part in pockets.items() if part]
    )
    return entry


def bet_count(
    grant: BonusGrant,
    stake: str = "10",
    verdict: str = "COUNTED",
    *,
    counted: str | None = None,
    weight: str = "1",
    before: str = "0",
    bonus: str = "0",
    penalty: str = "0",
    game: str = "starburst",
    category: str = "slots",
    rule: str = "category slots",
    ref: str = "",
    at: datetime = NOW,
) -> WagerCount:
    """A settled bet and what it counted on `grant`."""
    minor, part = to_minor(Decimal(stake), grant.currency), to_minor(Decimal(bonus), grant.currency)
    number = next(_numbers)
    wager = WagerEvent.objects.create(
        source="test",
        activity_id=ref or f"bet-{number}",
        player_id=grant.player_id,
        currency=grant.currency,
        round_id=f"round-{number}",
        ends_round=True,
        amount=minor,
        real_part=minor - part,
        bonus_part=part,
        grant=grant,
        game_code=game,
        game_category=category,
        occurred_at=at,
        received_at=at,
    )
    added = Decimal(stake) * Decimal(weight) if counted is None else Decimal(counted)
    return WagerCount.objects.create(
        wager=wager,
        grant=grant,
        settled_by=wager,
        verdict=verdict,
        rule=rule,
        weight=Decimal(weight),
        counted_stake=Decimal(stake),
        counted=added,
        penalty=Decimal(penalty),
        progress_before=Decimal(before),
        progress_after=Decimal(before) + added,
        required_after=grant.wagering_required,
        occurred_at=at,
    )


def void_request(grant: BonusGrant, maker: Any, **fields: Any) -> VoidRequest:
    values = {"case_id": "C-17", "reason": "same person as P-1", "requested_at": NOW, **fields}
    return VoidRequest.objects.create(grant=grant, maker=maker, **values)
