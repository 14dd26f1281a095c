"""Making grants: credited at once, queued behind another one, or offered until the player claims them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import MoneyError, from_minor, to_minor
from players.models import Player
from players.selectors import barred_players

from .. import ledger
from ..bonus import states
from ..bonus.states import Status
from ..bonus.terms import Terms
from ..bonus.weights import SIX_PLACES
from ..errors import GrantRefused, IdempotencyConflict, UnknownPlayer
from ..locks import lock_bonus_wallet
from ..models import OPEN_STATUSES, Account, BonusGrant, BonusTemplateVersion, Entry, GrantEvent, GrantMovement, House, Lot, Unit
from ..values import MAX_AMOUNT_MINOR, Source, positive_minor, shown
from . import queue
from .queue import ACT_PERMISSION, locked_grant, queue_days, require_permission
from .reversal import is_deposit_reversed
from .templates import current_version, terms_of

OFFER_PERMISSION = "wallet.offer_bonus"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Draft:
    """A grant to be made. Money in minor units of the currency. `ends_at`: end of the wagering if it begins at once (None: by the
    terms); `offered_until`: the player has to claim it by then (None: it begins, or queues, at once)."""

    player_id: int
    currency: str
    terms: Terms
    principal: int
    source: Source
    at: datetime
    house: str = House.REWARDS
    version: BonusTemplateVersion | None = None
    deposit: int = 0
    deposit_ref: str = ""
    ends_at: datetime | None = None
    offered_until: datetime | None = None
    reason: str = ""
    actor_id: int | None = None

    @property
    def required(self) -> Decimal:
        return requirement(self.terms, self.principal, self.deposit, self.currency)


def requirement(terms: Terms, principal: int, deposit: int, currency: str) -> Decimal:
    """What a grant under these terms has to wager, in units of the currency; of free spins: so far."""
    if terms.requirement is not None:
        return terms.requirement
    base = principal + (deposit if terms.base == "bonus_deposit" else 0)
    return (from_minor(base, currency) * terms.multiple).quantize(SIX_PLACES, ROUND_HALF_EVEN)


def offer_bonus(
    *,
    player_id: int,
    template: str,
    currency: str,
    amount: Decimal | None = None,
    deposit: Decimal | None = None,
    deposit_ref: str = "",
    source: Source,
    at: datetime,
    actor: User | None = None,
    reason: str = "",
) -> BonusGrant:
    """Give a bonus of a template: offered when the player has to claim it, else active at once or queued behind the one of its product.

    `amount` (units of the currency) overrides the fixed amount of the template; of a bonus in proportion to a deposit it is the most.
    The same source again returns the first grant. Raises GrantRefused, InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    require_permission(actor, OFFER_PERMISSION)
    at = require_utc(at)
    version = current_version(template)
    terms = terms_of(version, currency)
    _check_player(player_id, version, at)
    named = None if amount is None else positive_minor(amount, Unit.BONUS, currency)
    paid_in = _deposit(deposit, deposit_ref, currency)
    draft = Draft(
        player_id=player_id,
        currency=currency,
        terms=terms,
        principal=0,
        source=source,
        at=at,
        version=version,
        deposit=paid_in,
        deposit_ref=deposit_ref,
        reason=reason,
        actor_id=None if actor is None else actor.pk,
    )
    if version.needs_claim:
        named = named if named is not None or needs_deposit(version) else principal_of(version, currency, None, 0)
        draft = replace(draft, principal=0 if version.kind == "free_spins" else named or 0, offered_until=offer_end(version, at))
    else:
        draft = replace(draft, principal=principal_of(version, currency, named, paid_in))
    return make(draft, same=lambda stored: _template_id(stored.template_version) == version.template_id)


def claim_grant(
    grant_id: int, *, at: datetime, deposit: Decimal | None = None, deposit_ref: str = "", actor: User | None = None, reason: str = ""
) -> BonusGrant:
    """Take up an offer. A deposit, where the bonus needs one, sets its amount and what has to be wagered. Active at once, or queued.

    Raises GrantRefused: not an offer, its time is up, the deposit is missing or too small, the player may be given nothing now.
    """
    require_permission(actor, ACT_PERMISSION)
    at = require_utc(at)

    def claim() -> BonusGrant:
        grant = locked_grant(grant_id)
        if grant.status != Status.OFFERED:
            raise GrantRefused(f"bonus grant {grant_id} is {grant.get_status_display().lower()}; only an offer can be claimed")
        if grant.expires_at <= at:
            raise GrantRefused(f"the offer of bonus grant {grant_id} ended at {grant.expires_at:%Y-%m-%d %H:%M} UTC")
        if barred_players([grant.player_id], at):
            raise GrantRefused("the player may be given nothing now: excluded, flagged for harm, or not active")
        _take_deposit(grant, deposit, deposit_ref)
        if is_free(grant.player_id, grant.product):
            grant.save(update_fields=["principal", "deposit", "deposit_ref", "wagering_required"])
            queue.start_grants([grant.pk], at=at, cause="claimed", actor_id=_id(actor))
        else:
            grant.status, grant.expires_at = Status.QUEUED, at + timedelta(days=queue_days())
            grant.save(update_fields=["principal", "deposit", "deposit_ref", "wagering_required", "status", "expires_at"])
            states.check(Status.OFFERED, Status.QUEUED)
            tell(grant, Status.OFFERED, "claimed; another bonus of the product comes first", at, _id(actor), content(grant))
        queue.start_next([grant.player_id], at=at)
        queue.record("wallet.grant_claimed", grant, Status.OFFERED, at=at, actor=actor, reason=reason)
        return grant

    grant = _once_more_if_beaten(claim)
    grant.refresh_from_db()
    return grant


def make(draft: Draft, *, same: Callable[[BonusGrant], bool]) -> BonusGrant:
    """Store the grant, and begin it when its product is free. The same source returns the stored grant when it is the `same`."""
    grant = _once_more_if_beaten(lambda: _make(draft, same))
    grant.refresh_from_db()
    return grant


def _make(draft: Draft, same: Callable[[BonusGrant], bool]) -> BonusGrant:
    account = lock_bonus_wallet(draft.player_id, draft.currency)
    if (stored := stored_grant(draft.source)) is not None:
        if (stored.player_id, stored.currency) != (draft.player_id, draft.currency) or not same(stored):
            raise IdempotencyConflict(f"source {draft.source} already made bonus grant {stored.pk} with other content; use a new source")
        return stored
    if ledger.find(draft.source) is not None or _is_of_points(draft.source):
        raise IdempotencyConflict(f"source {draft.source} was already posted, but not as a bonus; use a new source")
    grant = _grant(draft, account)
    _refuse_used_deposit(grant)
    if draft.offered_until is not None:
        grant.status, grant.expires_at = Status.OFFERED, draft.offered_until
        cause = f"offered by {draft.source.type} {draft.source.ref}"
    elif is_free(draft.player_id, grant.product):
        return _begin(grant, draft)
    else:
        grant.status, grant.expires_at = Status.QUEUED, draft.at + timedelta(days=queue_days())
        cause = f"given by {draft.source.type} {draft.source.ref}; another bonus of the product comes first"
    states.check(None, Status(grant.status))
    grant.save(force_insert=True)
    tell(grant, "", cause, draft.at, draft.actor_id, content(grant) | {"house": str(draft.house), "reason": draft.reason})
    if grant.status == Status.QUEUED:
        queue.start_next([grant.player_id], at=draft.at)
    return grant


def _grant(draft: Draft, account: Account) -> BonusGrant:
    return BonusGrant(
        player_id=draft.player_id,
        account=account,
        currency=draft.currency,
        template_version=draft.version,
        product=draft.terms.products[0],
        principal=draft.principal,
        balance=0,
        deposit=draft.deposit,
        deposit_ref=draft.deposit_ref,
        wagering_required=draft.required,
        terms=draft.terms.as_json(),
        offered_at=draft.at,
        source_type=draft.source.type,
        source_ref=draft.source.ref,
        source_sub=draft.source.sub,
    )


def _begin(grant: BonusGrant, draft: Draft) -> BonusGrant:
    """A new grant whose product is free: active from the start, its money credited."""
    states.check(None, Status.ACTIVE)
    by_terms = draft.at + timedelta(seconds=draft.terms.wagering_seconds or 0)
    grant.status, grant.activated_at, grant.expires_at = Status.ACTIVE, draft.at, draft.ends_at or by_terms
    grant.balance = grant.principal
    grant.spins_left = draft.terms.spins if draft.terms.kind == "free_spins" else 0
    entry: Entry | None = None
    if grant.principal:
        posting = ledger.Posting(
            draft.player_id, Unit.BONUS, draft.currency, grant.principal, draft.house, draft.source, draft.at, draft.reason, draft.actor_id
        )
        entry, _ = ledger.post(posting)
    grant.save(force_insert=True)
    if entry is not None:
        GrantMovement.objects.create(grant=grant, entry=entry, amount=entry.amount)
    detail = content(grant) | {"house": str(draft.house), "reason": draft.reason}
    tell(grant, "", f"credited by {draft.source.type} {draft.source.ref}", draft.at, draft.actor_id, detail, entry)
    queue.close_spent([grant.pk], at=draft.at)
    queue.start_next([grant.player_id], at=draft.at)
    return grant


def is_free(player_id: int, product: str) -> bool:
    """Whether nothing of the product is open or waits: who comes later never overtakes the queue."""
    return not BonusGrant.objects.filter(player_id=player_id, product=product, status__in=[*OPEN_STATUSES, Status.QUEUED]).exists()


def _is_of_points(source: Source) -> bool:
    """Whether points that wait, or were cancelled while they waited, have this source: they have no entry."""
    return Lot.objects.filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).exists()


def stored_grant(source: Source) -> BonusGrant | None:
    found = BonusGrant.objects.select_related("template_version")
    return found.filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).first()


def _once_more_if_beaten(work: Callable[[], BonusGrant]) -> BonusGrant:
    """Two first bonuses of a player in two currencies have no account in common to wait on: the database refuses the second one of a
    product, and it finds the first when it tries again. The same for one source used for two players at once."""
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                return work()
        except IntegrityError as error:
            constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
            if attempt == _ATTEMPTS - 1 or constraint not in ("grant_one_open_per_product", "grant_source_once"):
                raise
    raise AssertionError("unreachable")


# amounts


def _template_id(version: BonusTemplateVersion | None) -> int | None:
    return None if version is None else version.template_id


def needs_deposit(version: BonusTemplateVersion) -> bool:
    return version.match_percent is not None or version.min_deposit is not None or version.base == "bonus_deposit"


def offer_end(version: BonusTemplateVersion, at: datetime) -> datetime:
    return at + timedelta(hours=version.claim_hours)


def principal_of(version: BonusTemplateVersion, currency: str, named: int | None, deposit: int) -> int:
    """What a grant of the version is worth, minor units. `named`: the amount that the offer names. Free spins have none yet.

    Raises GrantRefused when the amount is unknown, above the most, or the deposit is missing or too small.
    """
    code = version.template.code
    if needs_deposit(version) and not deposit:
        raise GrantRefused(f"bonus {code!r} needs a deposit: name its amount and its id (deposit, deposit_ref)")
    if version.min_deposit is not None and from_minor(deposit, currency) < version.min_deposit:
        raise GrantRefused(f"bonus {code!r} needs a deposit of {version.min_deposit.normalize():f} {currency} at least")
    if version.kind == "free_spins":
        return 0
    most = None if version.max_amount is None else to_minor(version.max_amount, currency, "DOWN")
    if version.match_percent is not None:
        bounds = [one for one in (named, most, MAX_AMOUNT_MINOR) if one is not None]
        amount = min(math.floor(deposit * version.match_percent / 100), *bounds)
        if amount <= 0:
            raise GrantRefused(f"{version.match_percent.normalize():f} % of a deposit of {shown(deposit, Unit.BONUS, currency)} is nothing")
        return amount
    if named is None:
        if version.amount is None:
            raise GrantRefused(f"bonus template {code!r} has no fixed amount; name the amount")
        try:
            named = to_minor(version.amount, currency)
        except MoneyError as error:
            raise GrantRefused(f"bonus template {code!r}: {error}; name the amount") from error
    if most is not None and named > most:
        raise GrantRefused(f"bonus {code!r} gives {shown(most, Unit.BONUS, currency)} at most, not {shown(named, Unit.BONUS, currency)}")
    return named


def _deposit(deposit: Decimal | None, deposit_ref: str, currency: str) -> int:
    if (deposit is None) != (not deposit_ref):
        raise GrantRefused("a deposit needs both its amount and its id (deposit, deposit_ref): a charge-back finds the bonus by the id")
    if len(deposit_ref) > 80:
        raise GrantRefused("deposit_ref may have 80 characters")
    return 0 if deposit is None else positive_minor(deposit, Unit.BONUS, currency)


def _take_deposit(grant: BonusGrant, deposit: Decimal | None, deposit_ref: str) -> None:
    """The deposit of a claim sets the amount and the requirement; one that came with the offer stays."""
    if deposit is not None or deposit_ref:
        grant.deposit, grant.deposit_ref = _deposit(deposit, deposit_ref, grant.currency), deposit_ref
        _refuse_used_deposit(grant)
    version = grant.template_version
    terms = Terms.from_json(grant.terms)
    if version is not None:
        grant.principal = principal_of(version, grant.currency, grant.principal or None, grant.deposit)
    grant.wagering_required = requirement(terms, grant.principal, grant.deposit, grant.currency)


def _refuse_used_deposit(grant: BonusGrant) -> None:
    """A deposit triggers one bonus of a template, is always the same amount, and none after its charge-back. Needs the wallet's lock."""
    if not grant.deposit_ref:
        return
    if is_deposit_reversed(grant.player_id, grant.deposit_ref):
        raise GrantRefused(f"deposit {grant.deposit_ref!r} was charged back; it triggers no bonus")
    of_deposit = BonusGrant.objects.filter(player_id=grant.player_id, deposit_ref=grant.deposit_ref).exclude(pk=grant.pk)
    for other in of_deposit.select_related("template_version").order_by("id"):
        what = f"deposit {grant.deposit_ref!r}"
        if other.status == Status.REVERSED:
            raise GrantRefused(f"{what} was charged back, which took bonus grant {other.pk}; it triggers no other")
        if (other.deposit, other.currency) != (grant.deposit, grant.currency):
            was = f"{from_minor(other.deposit, other.currency)} {other.currency}"
            raise GrantRefused(f"{what} was {was} when it triggered bonus grant {other.pk}; correct the amount, or the id of the deposit")
        version = grant.template_version
        is_same = version is not None and _template_id(other.template_version) == version.template_id
        if is_same and other.status != Status.EXPIRED_UNCLAIMED:
            raise GrantRefused(f"{what} has triggered bonus grant {other.pk} of the same template; a bonus is given once for a deposit")


def _check_player(player_id: int, version: BonusTemplateVersion, at: datetime) -> None:
    player = Player.objects.only("id", "jurisdiction_id").filter(pk=player_id).first()
    if player is None:
        raise UnknownPlayer(f"there is no player with id {player_id}")
    markets = set(version.markets.values_list("pk", flat=True))
    if markets and player.jurisdiction_id not in markets:
        raise GrantRefused(f"bonus {version.template.code!r} is not offered in the player's market")
    if barred_players([player_id], at):
        raise GrantRefused("the player may be given nothing now: excluded, flagged for harm, or not active")


def content(grant: BonusGrant) -> dict[str, Any]:
    """What a change decided, for the event: enough to rebuild the grant from its log."""
    return {
        "product": str(grant.product),
        "principal": str(grant.principal),
        "deposit": str(grant.deposit),
        "deposit_ref": grant.deposit_ref,
        "required": format(Decimal(grant.wagering_required).normalize(), "f"),
        "spins": str(grant.spins_left),
        "expires_at": grant.expires_at.isoformat(timespec="microseconds"),
        "queue_order": str(grant.queue_order),
    }


def tell(
    grant: BonusGrant, before: str, cause: str, at: datetime, actor_id: int | None, detail: dict[str, Any], entry: Entry | None = None
) -> None:
    GrantEvent.objects.create(
        grant=grant,
        from_status=before,
        to_status=grant.status,
        cause=cause[:300],
        detail=detail,
        entry=entry,
        actor_id=actor_id,
        occurred_at=at,
    )


def _id(actor: User | None) -> int | None:
    return None if actor is None else actor.pk
