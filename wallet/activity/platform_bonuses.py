"""Bonuses that the operator's own engine runs, as far as its BONUS events tell: kept as grants, so that wagering, books and history are
in one place. The platform decides about them and pays them out itself, so whatever completes one here writes its pay-out as delivered; each
of the platform's changes has one effect."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from loyalty_site.common.clock import require_utc
from loyalty_site.common.money import from_minor
from players.models import Player
from wallet.bonus import states
from wallet.bonus.states import FINAL, OPEN, WAITING, Status
from wallet.bonus.terms import Terms
from wallet.bonus.weights import SIX_PLACES
from wallet.errors import GrantRefused, IdempotencyConflict, InvalidPosting, UnknownPlayer, WalletError
from wallet.grants import queue
from wallet.grants.closing import Closing
from wallet.grants.offers import Draft, content, make, stored_grant, tell
from wallet.grants.reversal import reverse_grant
from wallet.locks import lock_bonus_of_players
from wallet.models import BonusGrant
from wallet.values import MAX_AMOUNT_MINOR, PLATFORM_SOURCE, Source

from .contract import BonusReport

# The platform ends its bonuses itself and says so; this end only keeps one that it forgot from staying open for ever.
_KEPT_FOR = timedelta(days=5 * 365)

_ENDS = {
    "Completed": Status.COMPLETED,
    "AutoCompleted": Status.COMPLETED,
    "Forfeited": Status.FORFEITED,
    "Expired": Status.EXPIRED,
    "Lost": Status.LOST,
    "Reversed": Status.REVERSED,
}
# an offer or a bonus in the queue has other ends than one that was played
_ENDS_WAITING = {Status.EXPIRED: Status.EXPIRED_UNCLAIMED, Status.LOST: Status.FORFEITED}


@dataclass(frozen=True, slots=True)
class BonusAnswer:
    """What a BONUS event did: the grant as it is now, and whether this event changed it."""

    user_bonus_id: str
    grant_id: int | None
    status: str
    changed: bool


def receive_bonus(report: BonusReport, *, at: datetime) -> BonusAnswer:
    """Let one BONUS event take effect, in one transaction. Told again it changes nothing.

    Raises GrantRefused: a bonus that was never reported, one that has ended otherwise or is paused here, or one of another player or
    currency; IdempotencyConflict: created before with another amount or requirement; InvalidPosting; UnknownPlayer.
    """
    at = require_utc(at)
    source = Source(PLATFORM_SOURCE, report.user_bonus_id)
    if not Player.objects.filter(pk=report.player_id).exists():
        raise UnknownPlayer(f"there is no player with id {report.player_id}")
    with transaction.atomic():
        lock_bonus_of_players([report.player_id])
        grant = stored_grant(source)
        before = "" if grant is None else grant.status
        if grant is not None and (grant.player_id, grant.currency) != (report.player_id, report.currency):
            raise GrantRefused(f"user_bonus_id: {report.user_bonus_id} is a bonus of another player or currency; use a new one")
        if report.status == "Pending":
            grant = grant or make(_draft(report, source, at, offered=True), same=lambda _: True)
        elif report.status == "Created":
            grant = _created(report, grant, source, at)
        elif report.status in _ENDS:
            grant = _ended(report, grant, source, at)
    return BonusAnswer(
        report.user_bonus_id, grant.pk if grant else None, grant.status if grant else "", bool(grant and grant.status != before)
    )


def receive_bonuses(reports: list[BonusReport], *, at: datetime) -> list[BonusAnswer | WalletError]:
    """Several BONUS events, in their order; each stands for itself."""
    answers: list[BonusAnswer | WalletError] = []
    for report in reports:
        try:
            answers.append(receive_bonus(report, at=at))
        except WalletError as refusal:
            answers.append(refusal)
    return answers


def _created(report: BonusReport, grant: BonusGrant | None, source: Source, at: datetime) -> BonusGrant:
    if grant is None:
        return make(_draft(report, source, at, offered=False), same=lambda _: True)
    _check_amount(report)
    if grant.status != Status.OFFERED:
        _check_same(report, grant)
        return grant
    grant.principal, grant.wagering_required = report.amount, report.required
    grant.terms = grant.terms | {"requirement": format(report.required, "f")}
    states.check(Status.OFFERED, Status.QUEUED)
    grant.status, grant.expires_at = Status.QUEUED, at + _KEPT_FOR
    grant.save(update_fields=["principal", "wagering_required", "terms", "status", "expires_at"])
    tell(grant, Status.OFFERED, "claimed on the platform", at, None, content(grant))
    queue.start_next([grant.player_id], at=at)
    grant.refresh_from_db()
    return grant


def _ended(report: BonusReport, grant: BonusGrant | None, source: Source, at: datetime) -> BonusGrant:
    if grant is None:
        raise GrantRefused(f"user_bonus_id: {report.user_bonus_id} was never reported; send its event Created first")
    after = _ENDS[report.status]
    if grant.status in WAITING:
        after = _ENDS_WAITING.get(after, after)
    if grant.status in FINAL:
        if grant.status != after:
            raise GrantRefused(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; that is final")
        _check_turned_real(report, grant, grant.released)
        return grant
    if after == Status.COMPLETED and grant.status not in OPEN:
        raise GrantRefused(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; a bonus that never began cannot be completed")
    _check_turned_real(report, grant, grant.balance + grant.locked)
    if after == Status.REVERSED:
        return reverse_grant(grant.pk, cause="reversed on the platform", source=source, at=at)
    if not queue.end([grant.pk], Closing(after, f"{report.status} on the platform", {"decided_by": PLATFORM_SOURCE}), at=at).count:
        raise GrantRefused(f"bonus grant {grant.pk} is {grant.get_status_display().lower()}; resume it before it ends as {after.lower()}")
    grant.refresh_from_db()
    return grant


def _draft(report: BonusReport, source: Source, at: datetime, *, offered: bool) -> Draft:
    _check_amount(report)
    if not offered and report.amount == 0:
        raise InvalidPosting("amount: a bonus of nothing cannot be created; send Created when its money is granted")
    terms = Terms(products=(report.product,), requirement=report.required)
    return Draft(
        player_id=report.player_id,
        currency=report.currency,
        terms=terms,
        principal=report.amount,
        source=source,
        at=at,
        ends_at=at + _KEPT_FOR,
        offered_until=at + _KEPT_FOR if offered else None,
        reason=f"{report.bonus_type} {report.bonus_code}".strip()[:500],
    )


def _check_same(report: BonusReport, grant: BonusGrant) -> None:
    """What was created with one amount cannot be created with another; what an offer named before stands in no book."""
    if grant.activated_at is None and grant.status != Status.QUEUED:
        return
    if (report.amount, report.required) != (grant.principal, Terms.from_json(grant.terms).requirement):
        raise IdempotencyConflict(
            f"user_bonus_id: {report.user_bonus_id} was created before as bonus grant {grant.pk} with another amount or requirement; "
            "use a new one"
        )


def _check_turned_real(report: BonusReport, grant: BonusGrant, in_books: int) -> None:
    """What the platform paid for a completed bonus is what the books have: a difference is play that was not reported."""
    if _ENDS[report.status] == Status.COMPLETED and report.turned_real and report.turned_real != in_books:
        said, have = (from_minor(amount, grant.currency) for amount in (report.turned_real, in_books))
        raise GrantRefused(
            f"bonus_turned_real: {said} {grant.currency}, but the books have {have} on bonus grant {grant.pk}; "
            "report its bets and wins first"
        )


def _check_amount(report: BonusReport) -> None:
    if not 0 <= report.amount <= MAX_AMOUNT_MINOR:
        raise InvalidPosting(f"amount: must lie between 0 and {MAX_AMOUNT_MINOR} minor units")
    if not 0 <= report.required < 10**14 or report.required != report.required.quantize(SIX_PLACES):
        raise InvalidPosting("required_wagering_amount: must lie between 0 and 10^14, with at most six decimal places")
