"""Whose money is staked, and whose is won. Amounts are minor units; what cannot be divided goes to cash."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a stake or a win: the platform's cash, the bonus, and winnings locked until the wagering is complete."""

    real: int
    bonus: int
    locked: int

    @property
    def total(self) -> int:
        return self.real + self.bonus + self.locked

    @property
    def on_grant(self) -> int:
        return self.bonus + self.locked


class NotCovered(ValueError):
    """A stake that needs more than the player has."""


def stake_parts(order: str, stake: int, *, cash: int, bonus: int, locked: int) -> Parts:
    """Divide a stake by the fund order: real_first, bonus_first or proportional.

    Of the grant's money the bonus goes before the locked winnings. Proportional takes the grant's share rounded down, so the odd minor
    unit is cash. Raises NotCovered.
    """
    if stake > cash + bonus + locked:
        raise NotCovered(f"the stake of {stake} needs more than cash {cash}, bonus {bonus} and locked winnings {locked} (minor units)")
    if order == "bonus_first":
        on_grant = min(stake, bonus + locked)
    elif order == "proportional":
        on_grant = stake * (bonus + locked) // max(cash + bonus + locked, 1)
    else:
        on_grant = stake - min(stake, cash)
    from_bonus = min(on_grant, bonus)
    return Parts(stake - on_grant, from_bonus, on_grant - from_bonus)


def win_parts(win: int, stake: Parts, *, to_locked: bool) -> Parts:
    """Divide a win in the ratio of the stake's parts. `to_locked`: what the bonus won is locked until the wagering is complete."""
    if stake.total == 0:
        return Parts(win, 0, 0)
    bonus = win * stake.bonus // stake.total
    locked = win * stake.locked // stake.total
    real = win - bonus - locked
    return Parts(real, 0, locked + bonus) if to_locked else Parts(real, bonus, locked)
