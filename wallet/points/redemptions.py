"""Redemptions: a player buys from the catalogue with reward points, and how a purchase is handed over or undone.

It is the player's purchase with points of their own at a price that stands in the catalogue, so it needs no rule and no budget; what a
player may be given at all (protection, market) is checked like for any bonus. Locks: item, redemption, accounts by id.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from loyalty_site.common.models import ApiClient
from loyalty_site.common.money import from_minor
from wallet.errors import IdempotencyConflict, InsufficientFunds, InvalidPosting, RedemptionRefused
from wallet.grants.offers import claim_grant, offer_bonus
from wallet.grants.reversal import reverse_grant
from wallet.locks import lock_accounts_of_player
from wallet.models import CatalogueItem, Entry, GrantStatus, House, Lot, Redemption, Unit, WagerEvent
from wallet.postings import add_points, reverse_entry, spend
from wallet.values import MAX_AMOUNT_MINOR, Source, shown

from .catalogue import Kind, buyer_of, refusal, require_permission

FULFIL_PERMISSION = "wallet.fulfil_redemption"
MOST_AT_ONCE = 1_000

Status = Redemption.Status


def redeem(*, player_id: int, item_code: str, quantity: int = 1, source: Source, at: datetime, actor: User | None = None) -> Redemption:
    """Buy `quantity` of an item with the player's reward points. Bonus money and tickets are there at once; goods are ordered.

    The same source and content again returns the first redemption. Raises RedemptionRefused (its `code` says why), InsufficientFunds,
    IdempotencyConflict, UnknownPlayer, InvalidPosting, and GrantRefused when the bonus cannot be given. Nothing has moved then.
    """
    at = require_utc(at)
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= MOST_AT_ONCE:
        raise InvalidPosting(f"quantity must be a whole number from 1 to {MOST_AT_ONCE}, not {quantity}")
    if source.sub:
        raise InvalidPosting("the source of a redemption has no part (sub): the wallet names the parts of its postings itself")
    with transaction.atomic():
        item = CatalogueItem.objects.select_for_update(of=("self",)).select_related("bonus_template").filter(code=item_code).first()
        if (existing := Redemption.objects.filter(source_type=source.type, source_ref=source.ref).first()) is not None:
            return _same(existing, player_id, item, quantity, source)
        if item is None:
            raise RedemptionRefused(f"there is no item {item_code!r} in the catalogue", code="unknown-item")
        if item.price * quantity > MAX_AMOUNT_MINOR:
            raise InvalidPosting(f"{quantity} of {item.code} cost more than any posting may be")
        lock_accounts_of_player(player_id)
        if (why := refusal(item, buyer_of(player_id, at), quantity, at)) is not None:
            if why.code == "not-enough-points":
                raise InsufficientFunds(why.text)
            raise RedemptionRefused(why.text, code=why.code)
        redemption = _buy(item, player_id, quantity, source, at)
        if item.stock is not None:
            CatalogueItem.objects.filter(pk=item.pk).update(stock=F("stock") - quantity)
        if actor is not None:
            audit.record("wallet.item_redeemed", redemption, at=at, actor=actor, after=_content(redemption))
    return redemption


def _buy(item: CatalogueItem, player_id: int, quantity: int, source: Source, at: datetime) -> Redemption:
    what = f"{quantity} × {item.name}" if quantity > 1 else item.name
    entry = spend(
        player_id=player_id,
        unit=Unit.RP,
        currency="",
        amount=from_minor(item.price * quantity, Unit.RP),
        source=Source(source.type, source.ref, "price"),
        at=at,
        reason=f"redeemed: {what}",
    )
    redemption = Redemption(
        player_id=player_id,
        item=item,
        quantity=quantity,
        price=item.price * quantity,
        status=Status.ORDERED if item.kind == Kind.GOODS else Status.FULFILLED,
        entry=entry,
        source_type=source.type,
        source_ref=source.ref,
        ordered_at=at,
        closed_at=None if item.kind == Kind.GOODS else at,
    )
    if item.kind == Kind.TICKETS:
        tickets = add_points(
            player_id=player_id,
            unit=Unit.TICKET,
            amount=Decimal((item.tickets or 0) * quantity),
            source=Source(source.type, source.ref, "tickets"),
            at=at,
            reason=f"redeemed: {what}",
            house=House.REDEMPTION,  # bought, not earned: they never wait
        )
        if not isinstance(tickets, Entry):
            raise AssertionError(f"tickets of {source} wait, although they were bought")
        redemption.ticket_entry = tickets
    elif item.kind == Kind.BONUS:
        redemption.grant_id = _bonus(item, player_id, quantity, source, at, what)
    redemption.save(force_insert=True)
    return redemption


def _bonus(item: CatalogueItem, player_id: int, quantity: int, source: Source, at: datetime, what: str) -> int:
    """One grant for the whole purchase. A template that players claim is claimed with it: they have paid for it."""
    template = item.bonus_template
    if template is None or item.bonus_amount is None:
        raise AssertionError(f"item {item.pk} of bonus money has no template or amount, which the database forbids")
    grant = offer_bonus(
        player_id=player_id,
        template=template.code,
        currency=item.bonus_currency,
        amount=item.bonus_amount * quantity,
        source=Source(source.type, source.ref, "bonus"),
        at=at,
        reason=f"redeemed: {what}",
    )
    if grant.status == GrantStatus.OFFERED:
        grant = claim_grant(grant.pk, at=at)
    return int(grant.pk)


def _same(existing: Redemption, player_id: int, item: CatalogueItem | None, quantity: int, source: Source) -> Redemption:
    if (existing.player_id, existing.item_id, existing.quantity) != (player_id, None if item is None else item.pk, quantity):
        raise IdempotencyConflict(
            f"source {source} already made redemption {existing.pk}: {existing.quantity} of item {existing.item.code} for player "
            f"{existing.player_id}. Use a new source for another purchase."
        )
    return existing


# after the purchase


def fulfil_redemption(redemption_id: int, *, actor: User, at: datetime, note: str = "") -> Redemption:
    """Mark ordered goods as handed over. Raises RedemptionRefused: no permission, or not ordered (any more)."""
    at = require_utc(at)
    require_permission(actor, FULFIL_PERMISSION, "fulfil redemptions")
    with transaction.atomic():
        redemption = _locked(redemption_id)
        if redemption.status != Status.ORDERED:
            raise RedemptionRefused(f"redemption {redemption.pk} is {redemption.get_status_display().lower()} already", code="not-ordered")
        _close(redemption, Status.FULFILLED, note, actor, at)
        audit.record("wallet.redemption_fulfilled", redemption, at=at, actor=actor, after=_content(redemption), reason=note)
    return redemption


def cancel_redemption(
    redemption_id: int, *, reason: str, actor: User | None, at: datetime, api_client: ApiClient | None = None
) -> Redemption:
    """Undo a purchase: points go back to the lots they came from, the pieces to the stock, a bonus or tickets are taken back.

    Cancelling again returns the cancelled redemption. Raises RedemptionRefused: no permission, goods were handed over, the bonus was
    used or has ended, tickets were spent.
    """
    at = require_utc(at)
    reason = reason.strip()
    if not reason or len(reason) > 300:
        raise InvalidPosting("give a reason of at most 300 characters: it is kept with the redemption")
    if actor is not None:
        require_permission(actor, FULFIL_PERMISSION, "cancel redemptions")
    with transaction.atomic():
        redemption = _locked(redemption_id)
        if redemption.status == Status.CANCELLED:
            return redemption
        lock_accounts_of_player(redemption.player_id)
        source = Source(redemption.source_type, redemption.source_ref, "cancel")
        if redemption.item.kind == Kind.GOODS and redemption.status == Status.FULFILLED:
            raise RedemptionRefused("the goods were handed over; settle a return by an adjustment of points", code="handed-over")
        if redemption.grant_id is not None:
            _take_bonus(redemption, source, reason, actor, at)
        if redemption.ticket_entry is not None:
            _take_tickets(redemption, redemption.ticket_entry, source, reason, actor, at)
        reverse_entry(redemption.entry_id, source=source, at=at, reason=f"cancelled: {reason}", actor=actor)
        CatalogueItem.objects.filter(pk=redemption.item_id, stock__isnull=False).update(stock=F("stock") + redemption.quantity)
        before = {"status": redemption.status}
        _close(redemption, Status.CANCELLED, reason, actor, at)
        audit.record(
            "wallet.redemption_cancelled",
            redemption,
            at=at,
            actor=actor,
            api_client=api_client,
            before=before,
            after=_content(redemption),
            reason=reason,
        )
    return redemption


def _take_bonus(redemption: Redemption, source: Source, reason: str, actor: User | None, at: datetime) -> None:
    grant = redemption.grant
    if grant is None:
        raise AssertionError(f"redemption {redemption.pk} lost its grant")
    waits = grant.status in (GrantStatus.OFFERED, GrantStatus.QUEUED)
    untouched = (
        grant.status == GrantStatus.ACTIVE and grant.balance == grant.principal and not (grant.locked or grant.wagered or grant.open_bets)
    )
    if not waits and not (untouched and not WagerEvent.objects.filter(grant=grant).exists()):
        state = "used already" if grant.closed_at is None else grant.get_status_display().lower()
        raise RedemptionRefused(f"bonus grant {grant.pk} is {state}; only an unused bonus can be given back", code="bonus-used")
    reverse_grant(
        grant.pk, cause=f"redemption cancelled: {reason}"[:300], source=Source(source.type, source.ref, "cancel-bonus"), at=at, actor=actor
    )


def _take_tickets(redemption: Redemption, entry: Entry, source: Source, reason: str, actor: User | None, at: datetime) -> None:
    lot = Lot.objects.filter(entry=entry).first()
    if lot is None or lot.remaining < entry.amount:
        left = 0 if lot is None else lot.remaining
        raise RedemptionRefused(
            f"{left} of the {entry.amount} tickets are left; only unspent tickets can be given back", code="tickets-used"
        )
    reverse_entry(entry.pk, source=Source(source.type, source.ref, "cancel-tickets"), at=at, reason=f"cancelled: {reason}", actor=actor)


def _locked(redemption_id: int) -> Redemption:
    """The redemption, its item's row locked before its own: the order of `redeem`."""
    item_id = Redemption.objects.filter(pk=redemption_id).values_list("item_id", flat=True).first()
    if item_id is None:
        raise RedemptionRefused(f"there is no redemption {redemption_id}", code="unknown-redemption")
    CatalogueItem.objects.select_for_update().get(pk=item_id)
    found = Redemption.objects.select_for_update(of=("self",)).select_related("item", "entry", "ticket_entry", "grant", "player")
    return found.get(pk=redemption_id)


def _close(redemption: Redemption, status: str, note: str, actor: User | None, at: datetime) -> None:
    redemption.status, redemption.closed_at, redemption.note = status, at, note.strip()[:300]
    redemption.closed_by = actor
    redemption.save(update_fields=["status", "closed_at", "closed_by", "note"])


def _content(redemption: Redemption) -> dict[str, Any]:
    return {
        "player": redemption.player_id,
        "item": redemption.item.code,
        "quantity": redemption.quantity,
        "price": shown(redemption.price, Unit.RP, ""),
        "status": str(redemption.status),
    }
