"""Whose money a reported stake is, and whose free spin."""

from . import split
from .event import stated_parts
from .split import NotCovered, Parts
from .values import Activity, Grant


def stake_of(activity: Activity, grant: Grant | None) -> Parts:
    """The parts of a stake. Without a statement of the platform and without its cash balance, the whole stake is cash."""
    bonus, locked = (grant.balance, grant.locked) if grant else (0, 0)
    stated = stated_parts(activity)
    if stated is not None:
        if stated.bonus > bonus or stated.locked > locked:
            raise NotCovered(
                f"the stake takes {stated.bonus} from the bonus and {stated.locked} from locked winnings; "
                f"there are {bonus} and {locked} to play with (minor units)"
            )
        return stated
    if activity.cash_before is None:
        return Parts(activity.amount, 0, 0)
    order = grant.terms.fund_order if grant else "real_first"
    return split.stake_parts(order, activity.amount, cash=max(0, activity.cash_before), bonus=bonus, locked=locked)


def is_spin_of(grant: Grant, activity: Activity) -> bool:
    """Whether a free round is one of the grant's spins; else it is a free round of the platform's own."""
    game = grant.terms.spin_game
    return grant.spins_left > 0 and (not game or game.casefold() == activity.game_code.casefold())
