"""Single movements: points, bonuses, spending, reversals. Each is one transaction and has one permanent source."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc

from . import ledger
from .bonus.terms import Terms
from .errors import CannotReverse, IdempotencyConflict, InvalidPosting
from .grants import offers
from .grants.debits import check_reversible, return_to_grants, take_from_grants
from .locks import lock_bonus_of_players
from .models import MONEY_UNITS, BonusGrant, Entry, House, Lot, Unit
from .points import credits
from .points.debits import take_points
from .points.reversals import reverse_points
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
    pending_until: datetime | Literal["event"] | None = None,
) -> Entry | Lot:
    """Credit LP, RP or TICKET: a lot with an end by the unit's points policy. The same source and content again returns the first entry.

    With `pending_until` the points wait for that time, or ("event") for `release_pending`; where the policy makes points wait, those of the
    house codes `rewards` and `game` wait for its hours. What waits is a pending lot without an entry, which is returned instead.
    Raises InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    if unit == Unit.BONUS:
        raise InvalidPosting("bonus money comes with terms; use add_bonus")
    minor = positive_minor(amount, unit, "")
    posting = _posting(player_id, unit, "", minor, house, source, at, reason, actor)
    if pending_until is None:
        return credits.credit_or_keep(posting)
    if pending_until == "event":
        return credits.add_pending(posting, None)
    return credits.add_pending(posting, require_utc(pending_until, "pending_until"))


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
    """Give bonus money as a grant of its own. `wagering_required` is the amount to wager in units of the currency (not a multiple);
    0 completes the grant at once and releases it to cash. While another casino bonus of the player is open the grant is queued: its money
    is credited, and its time begins, when its turn comes.

    Raises InvalidPosting, UnknownPlayer, IdempotencyConflict.
    """
    at, expires_at = require_utc(at), require_utc(expires_at, "expires_at")
    if expires_at <= at:
        raise InvalidPosting(f"expires_at {expires_at:%Y-%m-%d %H:%M} UTC must lie after the posting at {at:%Y-%m-%d %H:%M} UTC")
    principal = positive_minor(amount, Unit.BONUS, currency)
    posting = _posting(player_id, Unit.BONUS, currency, principal, house, source, at, reason, actor)
    terms = plain_terms(
        check_requirement(wagering_required),
        None if max_bet is None else positive_minor(max_bet, Unit.BONUS, currency),
        _games(eligible_games),
        expires_at - at,
    )
    draft = offers.Draft(
        player_id=player_id,
        currency=currency,
        terms=terms,
        principal=principal,
        source=source,
        at=at,
        house=posting.house,
        ends_at=expires_at,
        reason=reason,
        actor_id=posting.actor_id,
    )
    return offers.make(draft, same=lambda stored: _same(stored, draft, expires_at))


def plain_terms(requirement: Decimal, max_bet: int | None, games: Sequence[str], lasts: timedelta) -> Terms:
    """The terms of a bonus without a template, in the one form in which they are stored; `bulk` writes the same in SQL."""
    exact = Decimal(format(requirement.normalize(), "f"))
    return Terms(requirement=exact, max_bet=max_bet, eligible_games=tuple(games), wagering_seconds=math.ceil(lasts.total_seconds()))


def _same(stored: BonusGrant, asked: offers.Draft, expires_at: datetime) -> bool:
    """Whether a stored grant is what is asked for again. Its time may have begun later than asked, after waiting in the queue."""
    if stored.template_version_id is not None:
        return False
    terms = Terms.from_json(stored.terms)
    was = {
        "amount": shown(stored.principal, Unit.BONUS, stored.currency),
        "wagering_required": terms.requirement,
        "max_bet": terms.max_bet,
        "eligible_games": list(terms.eligible_games),
        "expires_at": terms.wagering_seconds,
    }
    now = {
        "amount": shown(asked.principal, Unit.BONUS, asked.currency),
        "wagering_required": asked.terms.requirement,
        "max_bet": asked.terms.max_bet,
        "eligible_games": list(asked.terms.eligible_games),
        "expires_at": math.ceil((expires_at - stored.offered_at).total_seconds()),
    }
    for name, value in was.items():
        if value != now[name]:
            raise IdempotencyConflict(
                f"source {asked.source} already made bonus grant {stored.pk} with {name} {value}, now asked: {now[name]}. "
                "Use a new source for a new bonus."
            )
    return True


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
    """Post a debit. Of bonus money it is shared out over the open grants, earliest expiry first."""
    if posting.unit == Unit.BONUS:
        return take_from_grants(posting)
    return take_points(posting)


def reverse_entry(entry_id: int, *, source: Source, at: datetime, reason: str, actor: User | None) -> Entry:
    """Take an entry back by a new one with the opposite amount and the same house code.

    Points that were spent return to the lots they came from (`PointsPolicy.restore` for those that have ended since). Of a credit of
    points, what was used already becomes a debt that the next credits pay. Reversing the credit of a bonus closes its grant as REVERSED;
    reversing a spend of bonus money returns it to the same grants.
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
            lock_bonus_of_players([account.player_id])
        existing = ledger.find(source)
        if existing is None and account.unit == Unit.BONUS:
            check_reversible(original)
        entry, created = ledger.post(posting) if account.unit in MONEY_UNITS else reverse_points(original, posting)
        if created:
            if account.unit == Unit.BONUS:
                return_to_grants(original, entry, posting.actor_id)
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
