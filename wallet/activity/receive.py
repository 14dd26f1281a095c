"""Receiving reported activity: one event interactively, or some thousands in one transaction. Each event stands for itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from loyalty_site.common.clock import require_utc
from wallet.bonus import engine
from wallet.bonus.values import Activity, Kind, Outcome
from wallet.errors import IdempotencyConflict, InsufficientFunds, InvalidPosting, UnknownPlayer, WalletError
from wallet.models import Product
from wallet.values import MAX_AMOUNT_MINOR, check_account_kind

from .answers import Received, answer, counts_of, first_answer
from .load import Chunk, Key, Loaded, load
from .write import write

MAX_BATCH = 5000
_ATTEMPTS = 4
_LENGTHS = (
    ("source", 1, 40), ("activity_id", 1, 80), ("round_id", 1, 80), ("takes_back_id", 0, 80), ("game_code", 0, 80),
    ("game_category", 0, 40), ("provider", 0, 80),
)  # fmt: skip


def receive(activities: Sequence[Activity]) -> list[Received | WalletError]:
    """Let reported events take effect, in the order given, in one transaction. An answer or a refusal for each, in its place.

    One effect per (source, activity_id, kind): reported again, an event gets the answer of the first time; with other content it is
    refused with IdempotencyConflict. Other refusals: InvalidPosting (the report contradicts itself), InsufficientFunds (the stake needs
    more than the player has), UnknownPlayer. A refused event leaves nothing. Raises InvalidPosting for more than 5,000 events.
    """
    if len(activities) > MAX_BATCH:
        raise InvalidPosting(f"{len(activities)} events at once; send at most {MAX_BATCH}, or import them as a file")
    asked = [checked(one) for one in activities]
    valid = [one for one in asked if isinstance(one, Activity)]
    answers = iter(_receive_valid(valid) if valid else [])
    return [one if isinstance(one, WalletError) else next(answers) for one in asked]


def receive_one(activity: Activity) -> Received:
    """`receive` for one event; raises its refusal."""
    (result,) = receive([activity])
    if isinstance(result, WalletError):
        raise result
    return result


def _receive_valid(activities: Sequence[Activity]) -> list[Received | WalletError]:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return take_in(activities).answers()
        except IntegrityError as error:
            # another player's event took the same id at the same moment; it is known now
            name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
            if name != "wager_activity_once" or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


@dataclass(slots=True)
class TakenIn:
    """What became of some events: per event its outcome or refusal, in their order."""

    chunk: Chunk
    results: list[Outcome | WalletError] = field(default_factory=list)
    first: dict[Key, Outcome] = field(default_factory=dict)  # of events of this very batch

    def answers(self) -> list[Received | WalletError]:
        stored = [
            result.recorded.event_id
            for result in self.results
            if isinstance(result, Outcome) and result.repeated and result.recorded and result.recorded.event_id is not None
        ]
        counts = counts_of(stored) if stored else {}
        return [self._answer(result, counts) for result in self.results]

    def _answer(self, result: Outcome | WalletError, counts: Any) -> Received | WalletError:
        if isinstance(result, WalletError):
            return result
        assert result.recorded is not None
        if not result.repeated:
            return first_answer(result)
        activity, event_id = result.recorded.activity, result.recorded.event_id
        if event_id is None:
            return replace(first_answer(self.first[activity.key]), repeated=True)
        cash_change = self.chunk.wallets[activity.player_id].cash_changes[event_id]
        return answer(result.recorded, cash_change, counts.get(event_id, ()), repeated=True)


def take_in(activities: Sequence[Activity]) -> TakenIn:
    """Lock, load, decide and write, inside the caller's transaction. The activities have passed `checked`."""
    chunk = load(activities, at=max(one.received_at for one in activities))
    taken = TakenIn(chunk)
    done: list[tuple[Loaded, Outcome]] = []
    owners: dict[Key, int] = {}
    for activity in activities:
        loaded = chunk.wallets.get(activity.player_id)
        if loaded is None:
            taken.results.append(UnknownPlayer(f"there is no player with id {activity.player_id}"))
            continue
        try:
            _check_owner(activity, owners)
            outcome = engine.apply(loaded.wallet, _with_edge(activity, chunk.edges), chunk.tables)
        except ValueError as error:
            taken.results.append(_refusal(error))
            continue
        taken.results.append(outcome)
        if not outcome.repeated:
            taken.first[activity.key] = outcome
            owners[activity.key] = activity.player_id
            done.append((loaded, outcome))
    write(chunk, done)
    return taken


def _with_edge(activity: Activity, edges: dict[str, Any]) -> Activity:
    edge = edges.get(activity.game_code) if edges and activity.kind == Kind.BET and activity.house_edge is None else None
    return activity if edge is None else replace(activity, house_edge=edge)


def _check_owner(activity: Activity, owners: dict[Key, int]) -> None:
    """What another player's event of the same batch did is known to this one too, as it would be if it had come before."""
    if owners.get(activity.key, activity.player_id) != activity.player_id:
        raise engine.Conflict(
            f"{activity.kind} {activity.activity_id} of {activity.source} was reported before for another player; "
            "use a new activity_id for a new event"
        )
    if activity.kind == Kind.ROLLBACK:
        for kind in (activity.takes_back_kind,) if activity.takes_back_kind else (Kind.BET, Kind.WIN):
            if owners.get((activity.source, activity.takes_back_id, kind), activity.player_id) != activity.player_id:
                raise engine.InvalidActivity(f"takes_back_id: {activity.takes_back_id} is an activity of another player")


def _refusal(error: ValueError) -> WalletError:
    if isinstance(error, engine.Conflict):
        return IdempotencyConflict(str(error))
    if isinstance(error, engine.StakeNotCovered):
        return InsufficientFunds(str(error))
    if isinstance(error, engine.InvalidActivity):
        return InvalidPosting(str(error))
    raise error  # nothing that a report can cause


def checked(activity: Activity) -> Activity | WalletError:
    """The activity as it is stored, or why no wallet takes it."""
    try:
        check_account_kind("BONUS", activity.currency)
        _check_texts(activity)
        _check_amounts(activity)
        return replace(
            activity, occurred_at=_utc(activity.occurred_at, "occurred_at"), received_at=_utc(activity.received_at, "received_at")
        )
    except WalletError as refusal:
        return refusal


def _utc(moment: datetime, name: str) -> datetime:
    try:
        return require_utc(moment, name)
    except ValueError as error:
        raise InvalidPosting(str(error)) from error


def _check_texts(activity: Activity) -> None:
    for name, shortest, longest in _LENGTHS:
        value = getattr(activity, name)
        if not isinstance(value, str) or not shortest <= len(value) <= longest:
            raise InvalidPosting(f"{name} must be a text of {shortest} to {longest} characters")
        if "\x00" in value:
            raise InvalidPosting(f"{name} holds a NUL character, which cannot be stored")
    if activity.product not in Product.values:
        raise InvalidPosting(f"product {activity.product!r} is unknown; use one of {', '.join(Product.values)}")
    if activity.takes_back_kind not in ("", Kind.BET, Kind.WIN):
        raise InvalidPosting(f"takes_back_kind {activity.takes_back_kind!r} is unknown; a rollback takes back a BET or a WIN")


def _check_amounts(activity: Activity) -> None:
    for name in ("amount", "real_part", "bonus_part", "locked_part"):
        value = getattr(activity, name)
        if value is not None and not 0 <= value <= MAX_AMOUNT_MINOR:
            raise InvalidPosting(f"{name} must lie between 0 and {MAX_AMOUNT_MINOR} minor units, not {value}")
    if activity.kind == Kind.ROUND_END and activity.amount:
        raise InvalidPosting("amount: the end of a round has none; report what was won as a WIN")
    if activity.cash_before is not None and abs(activity.cash_before) > MAX_AMOUNT_MINOR:
        raise InvalidPosting("cash_before is larger than any balance may be")
    if activity.coverage is not None and not 0 <= activity.coverage <= 1:
        raise InvalidPosting(f"coverage must be a share from 0 to 1, not {activity.coverage}")
    if activity.house_edge is not None and not -1 < activity.house_edge < 1:
        raise InvalidPosting(f"house_edge must be a share between -1 and 1, not {activity.house_edge}")
