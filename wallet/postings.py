"""Single movements: points, bonuses, spending, reversals. Each is one transaction and has one permanent source."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc

from . import ledger
from .errors import CannotReverse, IdempotencyConflict, InsufficientFunds, InvalidPosting
from .grants import EXPIRED, NO_WAGERING, Closing, close_grants
from .locks import lock_account, lock_bonus_account, lock_open_grants
from .models import OPEN_STATUSES, Account, BonusGrant, Entry, GrantEvent, GrantMovement, GrantStatus, House, Unit
from .values import GRANT_SOURCE, Source, exact_minor, positive_minor, shown

_SIX_PLACES = Decimal("0.000001")
_MAX_REQUIREMENT = Decimal(10) ** 14


def add_points(
    *,
    player_id: int,
    unit: str,
    amount: Decimal,
    source: Source,
    at: datetime,
    reason: str = "",
    actor: User | None = None,
    house: str = House.REWARDS,
) -> Entry:
    """Credit LP, RP or TICKET. The same source and content again returns the first entry.

    Raises InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    if unit == Unit.BONUS:
        raise InvalidPosting("bonus money comes with terms; use add_bonus")
    minor = positive_minor(amount, unit, "")
    entry, _ = ledger.post(_posting(player_id, unit, "", minor, house, source, at, reason, actor))
    return entry


def add_bonus(
    *,
    player_id: int,
    currency: str,
    amount: Decimal,
    wagering_required: Decimal,
    expires_at: datetime,
    max_bet: Decimal | None = None,
    eligible_games: Sequence[str] = (),
    source: Source,
    at: datetime,
    reason: str = "",
    actor: User | None = None,
    house: str = House.REWARDS,
) -> BonusGrant:
    """Credit bonus money as a grant of its own. `wagering_required` is the amount to wager in units of the currency (not a multiple);
    0 completes the grant at once and releases it to cash.

    Raises InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    at = require_utc(at)
    grant = BonusGrant(
        player_id=player_id,
        currency=currency,
        principal=positive_minor(amount, Unit.BONUS, currency),
        wagering_required=check_requirement(wagering_required),
        max_bet=None if max_bet is None else positive_minor(max_bet, Unit.BONUS, currency),
        eligible_games=_games(eligible_games),
        status=GrantStatus.ACTIVE,
        offered_at=at,
        activated_at=at,
        expires_at=require_utc(expires_at, "expires_at"),
        source_type=source.type,
        source_ref=source.ref,
        source_sub=source.sub,
    )
    if grant.expires_at <= at:
        raise InvalidPosting(f"expires_at {grant.expires_at:%Y-%m-%d %H:%M} UTC must lie after the posting at {at:%Y-%m-%d %H:%M} UTC")
    grant.balance = grant.principal
    with transaction.atomic():
        entry, created = ledger.post(_posting(player_id, Unit.BONUS, currency, grant.principal, house, source, at, reason, actor))
        if not created:
            return _same_grant(grant, source)
        grant.account_id = entry.account_id
        grant.save(force_insert=True)
        GrantMovement.objects.create(grant=grant, entry=entry, amount=entry.amount)
        GrantEvent.objects.create(
            grant=grant,
            to_status=GrantStatus.ACTIVE,
            cause=f"credited by {source.type} {source.ref}",
            entry=entry,
            actor_id=_id(actor),
            occurred_at=at,
        )
        if grant.wagering_required == 0:
            close_grants([grant.pk], NO_WAGERING, at=at, actor_id=_id(actor))
            grant.refresh_from_db()
    return grant


def spend(
    *,
    player_id: int,
    unit: str,
    currency: str,
    amount: Decimal,
    source: Source,
    at: datetime,
    reason: str,
    actor: User | None = None,
) -> Entry:
    """Take points, tickets or bonus money that the player spends. Bonus money comes from the open grants, earliest expiry first.

    Raises InsufficientFunds (nothing has moved), InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    if not reason.strip():
        raise InvalidPosting("reason is empty; say what the spending is for")
    minor = positive_minor(amount, unit, currency)
    return take(_posting(player_id, unit, currency, -minor, House.REDEMPTION, source, at, reason, actor))


def take(posting: ledger.Posting) -> Entry:
    """Post a debit. On a bonus account it is shared out over the open grants, earliest expiry first."""
    if posting.unit != Unit.BONUS:
        entry, _ = ledger.post(posting)
        return entry
    with transaction.atomic():
        account = lock_bonus_account(posting.player_id, posting.currency)
        if account is not None:
            _expire_due(account, posting.at)
        entry, created = ledger.post(posting)
        if created and account is not None:
            _share_out(entry, lock_open_grants(account))
    return entry


def _expire_due(account: Account, at: datetime) -> None:
    """Close what has expired but was not swept yet, so that nobody spends it."""
    due = BonusGrant.objects.filter(player_id=account.player_id, account=account, status__in=OPEN_STATUSES, expires_at__lte=at)
    close_grants(list(due.values_list("pk", flat=True)), EXPIRED, at=at, only_due=True)


def reverse_entry(entry_id: int, *, source: Source, at: datetime, reason: str, actor: User | None) -> Entry:
    """Take an entry back by a new one with the opposite amount and the same house code.

    Reversing the credit of a bonus closes its grant as REVERSED; reversing a spend of bonus money returns it to the same grants.
    Raises CannotReverse (a reversal, a closing of a grant, already reversed, grant closed meanwhile), InsufficientFunds (the player
    has used it), IdempotencyConflict, InvalidPosting. Nothing has moved then.
    """
    if not reason.strip():
        raise InvalidPosting("reason is empty; say why the entry is taken back")
    original = Entry.objects.select_related("account").filter(pk=entry_id).first()
    if original is None:
        raise CannotReverse(f"there is no ledger entry {entry_id}")
    if original.reversal_of_id is not None:
        raise CannotReverse(f"entry {entry_id} is itself a reversal; post a new entry instead")
    if original.source_type == GRANT_SOURCE:
        raise CannotReverse(f"entry {entry_id} closed a bonus grant and cannot be taken back; make a new credit instead")
    account = original.account
    posting = _posting(account.player_id, account.unit, account.currency, -original.amount, original.house, source, at, reason, actor)
    posting = replace(posting, reversal_of_id=original.pk)
    with transaction.atomic():
        if account.unit == Unit.BONUS:
            lock_account(account.pk)
        existing = ledger.find(source)
        if existing is None and account.unit == Unit.BONUS:
            _check_grants_of(original)
        entry, created = ledger.post(posting)
        if created:
            if account.unit == Unit.BONUS:
                _return_to_grants(original, entry, actor)
            audit.record(
                "wallet.entry_reversed",
                entry,
                at=posting.at,
                actor=actor,
                before={"entry": original.pk, "amount": shown(original.amount, account.unit, account.currency)},
                after={"entry": entry.pk, "amount": shown(entry.amount, account.unit, account.currency)},
                reason=reason,
            )
    return entry


def _check_grants_of(original: Entry) -> None:
    """Every grant that the entry touched must be open, and still hold what is to be taken from it."""
    for movement in original.movements.select_related("grant"):
        grant = movement.grant
        if grant.status not in OPEN_STATUSES:
            raise CannotReverse(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; its money is no longer in the wallet")
        if grant.balance < movement.amount:
            raise InsufficientFunds(
                f"bonus grant {grant.pk} has {shown(grant.balance, Unit.BONUS, grant.currency)} left "
                f"of {shown(movement.amount, Unit.BONUS, grant.currency)}"
            )


def _return_to_grants(original: Entry, entry: Entry, actor: User | None) -> None:
    for movement in original.movements.select_related("grant").order_by("grant_id"):
        grant = movement.grant
        GrantMovement.objects.create(grant=grant, entry=entry, amount=-movement.amount)
        grant.balance -= movement.amount
        grant.save(update_fields=["balance"])
        if movement.amount > 0:  # the entry was the grant's credit
            closing = Closing(GrantStatus.REVERSED, original.house, "reverse", f"credit reversed by {entry.source_type} {entry.source_ref}")
            close_grants([grant.pk], closing, at=entry.occurred_at, actor_id=_id(actor))


def _share_out(entry: Entry, grants: Sequence[BonusGrant]) -> None:
    """Distribute a debit over the grants in their order. The account's balance covered it, so the grants do too."""
    rest = -entry.amount
    for grant in grants:
        part = min(rest, grant.balance)
        if part:
            GrantMovement.objects.create(grant=grant, entry=entry, amount=-part)
            grant.balance -= part
            grant.save(update_fields=["balance"])
            rest -= part
    if rest:
        raise AssertionError(f"account {entry.account_id} holds {rest} minor units that belong to no open grant; run reconcile")


def _same_grant(asked: BonusGrant, source: Source) -> BonusGrant:
    stored = BonusGrant.objects.filter(source_ref=source.ref, source_type=source.type, source_sub=source.sub).first()
    if stored is None:
        raise IdempotencyConflict(f"source {source} was already posted, but not as a bonus; use a new source")
    for name in ("wagering_required", "max_bet", "eligible_games", "expires_at"):
        if getattr(stored, name) != getattr(asked, name):
            raise IdempotencyConflict(
                f"source {source} already made bonus grant {stored.pk} with {name} {getattr(stored, name)}, now asked: "
                f"{getattr(asked, name)}. Use a new source for a new bonus."
            )
    return stored


def check_requirement(amount: Decimal) -> Decimal:
    """The amount to wager as an exact Decimal with at most six places; raises InvalidPosting."""
    if not isinstance(amount, (Decimal, int)) or isinstance(amount, bool) or not Decimal(amount).is_finite():
        raise InvalidPosting("wagering_required must be a finite Decimal")
    exact = Decimal(amount)
    if not 0 <= exact < _MAX_REQUIREMENT:
        raise InvalidPosting(f"wagering_required must lie between 0 and {_MAX_REQUIREMENT:,}, not {amount}")
    if exact != exact.quantize(_SIX_PLACES):
        raise InvalidPosting(f"wagering_required {amount} has more than six decimal places")
    return exact


def _games(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise InvalidPosting("eligible_games must be a list of game codes or categories")
    return list(names)


def _posting(
    player_id: int,
    unit: str,
    currency: str,
    minor: int,
    house: str,
    source: Source,
    at: datetime,
    reason: str,
    actor: User | None,
) -> ledger.Posting:
    if len(reason) > 500:
        raise InvalidPosting(f"reason has {len(reason)} characters; at most 500 are allowed")
    if house not in House.values:
        raise InvalidPosting(f"house code {house!r} is unknown; use one of {', '.join(House.values)}")
    return ledger.Posting(player_id, unit, currency, minor, str(house), source, require_utc(at), reason, _id(actor))


def _id(actor: User | None) -> int | None:
    return None if actor is None else actor.pk


def signed_minor(amount: Decimal, unit: str, currency: str) -> int:
    """A non-zero amount of either sign in minor units."""
    minor = exact_minor(amount, unit, currency)
    if minor == 0:
        raise InvalidPosting("amount must not be zero")
    return minor
