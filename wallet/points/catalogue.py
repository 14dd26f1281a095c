"""The redemption catalogue: what is on offer, what a player may have of it and why not, and its stock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, Sum

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc
from players.models import JurisdictionPack, Player
from players.selectors import ProtectionColumns, protection_columns
from wallet.errors import RedemptionRefused, UnknownPlayer
from wallet.models import CatalogueItem, Lot, Redemption, Unit
from wallet.values import shown

STOCK_PERMISSION = "wallet.change_catalogueitem"
OTHER_MARKETS = "*"
AGE_CHECKED_AT_REGISTRATION = 18

Kind = CatalogueItem.Kind


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody cannot have something: a stable code for machines, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Buyer:
    """What decides what a player may buy at one instant. `points`: reward points that can be spent, hundredths; `taken`: pieces had of
    each item (id), cancelled ones not counted."""

    player_id: int
    currency: str
    is_active: bool
    excluded: bool
    harm_flag: bool
    age: int
    pack: JurisdictionPack | None
    points: int
    taken: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """An item as one player sees it; `refusal` None: it can be had now."""

    item: CatalogueItem
    refusal: Refusal | None


# what can be had


def catalogue(at: datetime) -> list[CatalogueItem]:
    """The items on offer at `at`, cheapest first."""
    return list(
        CatalogueItem.objects.filter(
            Q(valid_from__isnull=True) | Q(valid_from__lte=at), Q(valid_to__isnull=True) | Q(valid_to__gt=at), is_active=True
        )
        .select_related("bonus_template")
        .order_by("price", "code")
    )


def offers_for(player_id: int, items: Sequence[CatalogueItem], at: datetime) -> list[Offer]:
    """The items as a player sees them at `at`: each with the reason why not, if any. Raises UnknownPlayer."""
    buyer = buyer_of(player_id, at)
    return [Offer(item, refusal(item, buyer, 1, at)) for item in items]


def buyer_of(player_id: int, at: datetime) -> Buyer:
    """What decides about a player at `at`. Raises UnknownPlayer."""
    player = Player.objects.filter(pk=player_id).first()
    if player is None:
        raise UnknownPlayer(f"there is no player with id {player_id}")
    standing = protection_columns([player_id], at)
    lots = Lot.objects.filter(player_id=player_id, account__unit=Unit.RP, status=Lot.Status.ACTIVE)
    usable = lots.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at)).aggregate(points=Sum("remaining"))["points"]
    had = Redemption.objects.filter(player_id=player_id).exclude(status=Redemption.Status.CANCELLED).order_by()
    return Buyer(
        player_id=player_id,
        currency=player.currency,
        is_active=player.status == Player.Status.ACTIVE,
        excluded=bool(standing.excluded[0]),
        harm_flag=bool(standing.harm_flag[0]),
        age=int(standing.age[0]),
        pack=_market_rules(standing, player.jurisdiction_id),
        points=int(usable or 0),
        taken=dict(had.values_list("item_id").annotate(pieces=Sum("quantity"))),
    )


def _market_rules(standing: ProtectionColumns, market_id: int | None) -> JurisdictionPack | None:
    """The rules of the player's market; of players without one, those that compliance has set up for other markets."""
    if market_id is not None:
        return standing.packs.get(market_id)
    return next((pack for pack in standing.packs.values() if pack.jurisdiction.code == OTHER_MARKETS), None)


def refusal(item: CatalogueItem, buyer: Buyer, quantity: int, at: datetime) -> Refusal | None:
    """The first reason why the player cannot have `quantity` of the item at `at`; None when they can."""
    return not_on_offer(item, at) or _not_for(item, buyer, quantity) or _too_many(item, buyer, quantity)


def not_on_offer(item: CatalogueItem, at: datetime) -> Refusal | None:
    """Why nobody can have the item at `at`, whoever they are."""
    if not item.is_active:
        return Refusal("inactive", f"{item.name} is not offered any more")
    if item.bonus_template is not None and not item.bonus_template.is_active:
        return Refusal("template-inactive", f"the bonus behind {item.name} is switched off")
    if item.valid_from is not None and at < item.valid_from:
        return Refusal("not-yet-valid", f"{item.name} is offered from {item.valid_from:%Y-%m-%d %H:%M} UTC")
    if item.valid_to is not None and at >= item.valid_to:
        return Refusal("no-longer-valid", f"{item.name} was offered until {item.valid_to:%Y-%m-%d %H:%M} UTC")
    return None


def _not_for(item: CatalogueItem, buyer: Buyer, quantity: int) -> Refusal | None:
    if not buyer.is_active:
        return Refusal("player-not-active", "the player's account is not active")
    if item.kind == Kind.GOODS:
        return None
    if item.kind == Kind.BONUS and item.bonus_currency != buyer.currency:
        return Refusal("wrong-currency", f"{item.name} is in {item.bonus_currency}, the player's currency is {buyer.currency}")
    if buyer.excluded or buyer.harm_flag:
        return Refusal("player-protected", "the player may be given nothing to play with now: excluded, cooling off, or flagged for harm")
    return _market_forbids(item, buyer, quantity)


def _market_forbids(item: CatalogueItem, buyer: Buyer, quantity: int) -> Refusal | None:
    pack = buyer.pack
    if pack is None:
        return Refusal("market-unknown", "no market rules are in force for the player; set the player's market, or rules for the market *")
    if not pack.bonuses_allowed:
        return Refusal("market-forbids", "bonuses are not allowed in the player's market")
    if 0 <= buyer.age < pack.min_bonus_age:
        return Refusal("too-young", f"a bonus needs an age of {pack.min_bonus_age} in the player's market")
    if buyer.age < 0 and pack.min_bonus_age > AGE_CHECKED_AT_REGISTRATION:
        return Refusal("age-unknown", "the birth date is unknown, and the player's market asks for more than the legal age")
    if pack.max_bonus_amount is not None and (item.bonus_amount or 0) * quantity > pack.max_bonus_amount:
        return Refusal("market-limit", f"a bonus may be {pack.max_bonus_amount} {item.bonus_currency} at most in the player's market")
    return None


def _too_many(item: CatalogueItem, buyer: Buyer, quantity: int) -> Refusal | None:
    had = buyer.taken.get(item.pk, 0)
    if item.per_player is not None and had + quantity > item.per_player:
        return Refusal("player-limit", f"a player may have {item.per_player} of {item.name}; this one has {had} already")
    if item.stock is not None and item.stock < quantity:
        return Refusal("out-of-stock", f"{item.stock} of {item.name} are left" if item.stock else f"{item.name} is out of stock")
    if buyer.points < item.price * quantity:
        price = shown(item.price * quantity, Unit.RP, "")
        return Refusal("not-enough-points", f"the player has {shown(buyer.points, Unit.RP, '')}, which does not cover {price}")
    return None


# stock


def adjust_stock(item_id: int, *, change: int, reason: str, actor: User, at: datetime) -> CatalogueItem:
    """Add pieces to the stock of an item, or take some away. An item without a limit gets one: the pieces added.

    Raises RedemptionRefused: no permission, no reason, nothing to change, or less than nothing would be left.
    """
    at = require_utc(at)
    _may_change_stock(actor, reason)
    if change == 0:
        raise RedemptionRefused("the change is 0; say how many pieces came or went", code="no-change")
    with transaction.atomic():
        item = CatalogueItem.objects.select_for_update().get(pk=item_id)
        before, after = item.stock, (item.stock or 0) + change
        if after < 0:
            raise RedemptionRefused(f"{item.stock or 0} of {item.name} are left; {-change} cannot be taken away", code="out-of-stock")
        _write_stock(item, after, reason)
        audit.record("wallet.stock_adjusted", item, at=at, actor=actor, before={"stock": before}, after={"stock": after}, reason=reason)
    return item


def lift_stock_limit(item_id: int, *, reason: str, actor: User, at: datetime) -> CatalogueItem:
    """Offer an item without a limit from now on; what was left is in the audit trail.

    Raises RedemptionRefused: no permission, no reason, or the item has no limit.
    """
    at = require_utc(at)
    _may_change_stock(actor, reason)
    with transaction.atomic():
        item = CatalogueItem.objects.select_for_update().get(pk=item_id)
        before = item.stock
        if before is None:
            raise RedemptionRefused(f"{item.name} has no limit already", code="no-change")
        _write_stock(item, None, reason)
        audit.record("wallet.stock_limit_lifted", item, at=at, actor=actor, before={"stock": before}, after={"stock": None}, reason=reason)
    return item


def _may_change_stock(actor: User, reason: str) -> None:
    require_permission(actor, STOCK_PERMISSION, "change the catalogue")
    if not reason.strip():
        raise RedemptionRefused("give a reason: where the pieces came from or went", code="no-reason")


def _write_stock(item: CatalogueItem, stock: int | None, reason: str) -> None:
    item.stock = stock
    item._change_reason = reason.strip()[:100]  # type: ignore[attr-defined] # read by the history
    item.save(update_fields=["stock"])


def require_permission(actor: User, permission: str, what: str) -> None:
    """Raise RedemptionRefused unless the person has the permission."""
    if not actor.has_perm(permission):
        raise RedemptionRefused(f"you may not {what}; ask for the permission {permission}", code="not-permitted")
