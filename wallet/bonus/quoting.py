"""What a bet would do, without doing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from . import counting, split
from .counting import ZERO
from .event import check, set_parts
from .split import Parts
from .stakes import is_spin_of, stake_of
from .values import Activity, Grant, Recorded, Wallet
from .weights import Table
from .working import Work


@dataclass(frozen=True, slots=True)
class Quote:
    """How a stake and a win would be divided now, and what the stake would count. Changes nothing."""

    grant_id: int | None
    stake: Parts
    win: Parts | None
    verdict: str
    rule: str
    weight: Decimal
    would_count: Decimal


def quote(wallet: Wallet, bet: Activity, tables: Mapping[int, Table], *, win: int | None = None) -> Quote:
    """What `apply` would do with a bet that settles at once. Raises StakeNotCovered, InvalidActivity."""
    check(bet)
    grant = Work(wallet, bet.received_at, tables).open_grant(bet.product)
    why_not = counting.unusable(grant, bet) if grant else "NO_BONUS"
    if grant and bet.is_free_round and not is_spin_of(grant, bet):
        grant, why_not = None, "NO_BONUS"  # a free round of the platform's own
    usable = grant if grant and not why_not else None
    parts = Parts(0, 0, 0) if bet.is_free_round else stake_of(bet, usable)
    won = None if win is None else _win(win, bet, parts, usable)
    if usable is None:
        return Quote(grant.grant_id if grant else None, parts, won, why_not, "", ZERO, ZERO)
    recorded = Recorded(bet)
    set_parts(recorded, parts, usable)
    judged = counting.judge(recorded, usable, win or 0, tables)
    would_count = min(judged.counts, usable.required + judged.penalty - usable.wagered)
    return Quote(usable.grant_id, parts, won, judged.verdict, judged.rule, judged.weight, would_count)


def _win(win: int, bet: Activity, stake: Parts, grant: Grant | None) -> Parts:
    if bet.is_free_round and grant is not None:
        return Parts(0, win, 0)  # what spins win is the bonus
    return split.win_parts(win, stake, to_locked=grant is not None and grant.terms.winnings == "locked")
