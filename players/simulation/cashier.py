"""What happens in the visits: deposits, bonuses, bets, payouts and withdrawals, with every balance kept exactly.

All players of a block move together: step j plays everybody's j-th visit, so the Python loop is as long as the most visits of one
player, never as long as the number of players. Amounts are integers in minor units.

A round of a game pays stake x Gamma(k) with k = (1-edge)^2 / sd^2 and scale sd^2 / (1-edge): mean 1-edge, deviation sd. The sum of n
such rounds is Gamma(n k), so a batch of rounds is one exact draw. Fractions of a cent are rounded at random, which keeps the mean.
"""

from dataclasses import dataclass, field

import numpy as np

from . import catalogue
from .calendar import period_numbers
from .config import SimulationConfig
from .population import Population
from .protection import Limits
from .visits import MAX_GAMES, Visits

_DUST = 10  # a balance below this many minor units cannot be staked
_WAGERING = {"": 20, "ring": 8, "bonus_only": 4, "immediate_withdrawer": 20, "bet_manipulator": 4}
_GIVES_UP_AFTER_FAILURES = 2
_CANCELLED_WITHDRAWALS = 0.04


@dataclass
class Books:
    """Everything that moved: column parts of plays and payments in the order of play, and closing sums per player."""

    plays: list[dict[str, np.ndarray]] = field(default_factory=list)
    payments: list[dict[str, np.ndarray]] = field(default_factory=list)
    granted: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    forfeited: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cash: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    bonus: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def columns(self, name: str) -> dict[str, np.ndarray]:
        parts = getattr(self, name)
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}


class Cashier:
    """State of all players of a block while their visits are played."""

    def __init__(self, rng: np.random.Generator, config: SimulationConfig, people: Population, visits: Visits, limits: Limits) -> None:
        self.rng, self.config, self.people, self.visits, self.limits = rng, config, people, visits, limits
        size = len(people)
        self.cash, self.bonus, self.wager_left, self.granted, self.forfeited = (np.zeros(size, dtype=np.int64) for _ in range(5))
        self.period = np.full(size, -1, dtype=np.int64)
        self.deposited_in_period = np.zeros(size, dtype=np.int64)
        self.just_released = np.zeros(size, dtype=bool)
        self.welcomed = np.zeros(size, dtype=bool)
        self.wagering = np.array([_WAGERING[kind] for kind in people.abuser], dtype=np.int64)
        self.books = Books()
        self.edge = catalogue.column("house_edge")
        self.sd = catalogue.column("round_sd")
        self.pace = catalogue.column("rounds_per_minute")
        self.smallest = catalogue.column("min_stake")
        self.popularity = catalogue.popularity()
        self.kind = {kind: people.abuser == kind for kind in _WAGERING}
        self.quiet_game = int(np.flatnonzero(catalogue.column("code") == "blackjack-classic")[0])

    def play_all(self) -> Books:
        order = np.argsort(-self.visits.count, kind="stable")
        sorted_counts = self.visits.count[order]
        for step in range(int(sorted_counts[0]) if len(sorted_counts) else 0):
            ids = np.sort(order[: np.searchsorted(-sorted_counts, -step, side="left")])
            self._visit(ids, self.visits.first[ids] + step)
        self.books.granted, self.books.forfeited = self.granted, self.forfeited
        self.books.cash, self.books.bonus = self.cash, self.bonus
        return self.books

    def _visit(self, ids: np.ndarray, visit: np.ndarray) -> None:
        offer = self.visits.offer[visit] | ~self.welcomed[ids]
        self._gift(ids, offer)
        mood = np.exp(0.35 * self.rng.standard_normal(len(ids)))
        deposited = np.zeros(len(ids), dtype=np.int64)
        going = np.ones(len(ids), dtype=bool)
        for slot in range(MAX_GAMES):
            going &= self.visits.games[visit] > slot
            if slot > 0:  # immediate withdrawers play one short game only
                going &= ~self.kind["immediate_withdrawer"][ids]
            position = np.flatnonzero(going)
            if not len(position):
                break
            paid_in = self._bet(ids[position], visit[position], slot, mood[position], offer[position], deposited[position])
            deposited[position] += paid_in
        self._withdraw(ids, visit, deposited)

    def _gift(self, ids: np.ndarray, offer: np.ndarray) -> None:
        """Bonuses without a deposit: for bonus-only players in most visits, for others in some offer weeks."""
        chance = np.where(self.kind["bonus_only"][ids], 0.75, np.where(offer & self.welcomed[ids], 0.3, 0.0))
        gets = (self.rng.random(len(ids)) < chance) & (self.bonus[ids] < _DUST)
        amount = np.where(gets, np.maximum(self.people.deposit_unit[ids] // 2, 500), 0)
        self._grant(ids, amount)

    def _grant(self, ids: np.ndarray, amount: np.ndarray) -> None:
        self.bonus[ids] += amount
        self.granted[ids] += amount
        self.wager_left[ids] = np.where(amount > 0, amount * self.wagering[ids], self.wager_left[ids])

    def _bet(self, ids: np.ndarray, visit: np.ndarray, slot: int, mood: np.ndarray, offer: np.ndarray, already: np.ndarray) -> np.ndarray:
        """One batch of rounds of one game for each of `ids`; returns what they deposited for it."""
        rng, people = self.rng, self.people
        game = self._choose_game(ids)
        seconds = self.visits.end[visit] - self.visits.start[visit]
        share = np.maximum(self.visits.games[visit], 1)
        at = self.visits.start[visit] + seconds * slot // share + 1 + slot
        at = np.minimum(at, self.visits.end[visit] - 1)
        smallest = np.round(self.smallest[game] * people.scale[ids] * 100).astype(np.int64)
        stake = np.maximum((people.stake[ids] * mood).astype(np.int64) // 5 * 5, smallest)
        rounds = np.maximum((seconds / 60 / share * self.pace[game] * np.exp(0.3 * rng.standard_normal(len(ids)))).astype(np.int64), 1)
        hasty = self.kind["immediate_withdrawer"][ids]
        rounds = np.where(hasty, np.minimum(rounds, 1 + people.deposit_unit[ids] // 20 // stake), rounds)

        paid_in = self._deposit(ids, visit, slot, at, stake * rounds, already)
        matched = offer & (paid_in > 0) & (self.bonus[ids] < _DUST) & (rng.random(len(ids)) < people.takes_bonus[ids])
        self._grant(ids, np.where(matched, np.minimum(paid_in, (20_000 * people.scale[ids]).astype(np.int64)), 0))
        self.welcomed[ids] |= paid_in > 0

        crawling = self.kind["bet_manipulator"][ids] & (self.bonus[ids] >= _DUST)
        rounds = np.where(crawling, rounds * 6, rounds)
        stake, jumping = self._manipulated(ids, stake, smallest)
        funds = self.cash[ids] + self.bonus[ids]
        bets = np.where(jumping, 4, 15)  # most people want at least some rounds out of a small balance
        stake = np.where(funds < stake * bets, np.maximum(funds // bets // 5 * 5, np.minimum(smallest, 10)), stake)
        rounds = np.minimum(rounds, funds // stake)
        live = rounds > 0
        if live.any():
            self._settle(ids[live], visit[live], slot, at[live], game[live], stake[live], rounds[live])
        return paid_in

    def _choose_game(self, ids: np.ndarray) -> np.ndarray:
        rng = self.rng
        favourite = self.people.favourites[ids, np.minimum(rng.geometric(0.5, len(ids)) - 1, self.people.favourites.shape[1] - 1)]
        other = np.searchsorted(np.cumsum(self.popularity)[:-1], rng.random(len(ids)))
        game = np.where(rng.random(len(ids)) < 0.75, favourite, other)
        # rings and bet manipulators clear bonuses where little can be lost
        careful = (self.kind["ring"][ids] | self.kind["bet_manipulator"][ids]) & (self.bonus[ids] >= _DUST) & (rng.random(len(ids)) < 0.6)
        return np.where(careful, self.quiet_game, game)

    def _manipulated(self, ids: np.ndarray, stake: np.ndarray, smallest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bet manipulators crawl while they wager a bonus and jump when it is released: (stakes, who jumps)."""
        plotting = self.kind["bet_manipulator"][ids]
        wagering = plotting & (self.bonus[ids] >= _DUST)
        jumping = plotting & ~wagering & self.just_released[ids]
        self.just_released[ids[jumping]] = self.rng.random(jumping.sum()) < 0.6
        stake = np.where(wagering, np.maximum(smallest, 20), np.where(jumping, np.maximum(stake, smallest) * 15, stake))
        return stake, jumping

    def _deposit(
        self, ids: np.ndarray, visit: np.ndarray, slot: int, at: np.ndarray, planned: np.ndarray, already: np.ndarray
    ) -> np.ndarray:
        """Deposit when the balance is small for the plan; a few attempts fail, limits hold. Returns the amounts credited."""
        rng, people = self.rng, self.people
        unit = people.deposit_unit[ids]
        short = self.cash[ids] + self.bonus[ids] < np.minimum(planned * 0.4, unit)
        again = np.where(already > 0, np.where(people.at_risk[ids], 0.75, 0.25), 0.85)
        wants = short & ~self.kind["bonus_only"][ids] & (rng.random(len(ids)) < again)
        amount = np.where(wants, unit * rng.choice([1, 1, 1, 2, 3], size=len(ids)), 0)
        number = period_numbers(at, self.limits.period[ids])
        new_period = number != self.period[ids]
        self.period[ids] = number
        self.deposited_in_period[ids[new_period]] = 0
        bounded = (self.limits.amount[ids] > 0) & (at >= self.limits.starts[ids])
        room = np.where(bounded, np.maximum(self.limits.amount[ids] - self.deposited_in_period[ids], 0), np.iinfo(np.int64).max)
        amount = np.where(amount > room, 0, amount)
        attempt = np.flatnonzero(amount > 0)
        failures = np.minimum(rng.geometric(0.93, len(attempt)) - 1, _GIVES_UP_AFTER_FAILURES)
        for tries in range(_GIVES_UP_AFTER_FAILURES):
            failed = attempt[failures > tries]
            self._record_payment(ids[failed], visit[failed], f"s%dx{slot}{tries}", 0, 1, amount[failed], at[failed] - 45 + 15 * tries)
        amount[attempt[failures >= _GIVES_UP_AFTER_FAILURES]] = 0
        paid = np.flatnonzero(amount > 0)
        self._record_payment(ids[paid], visit[paid], f"s%dd{slot}", 0, 0, amount[paid], at[paid] - 10)
        self.cash[ids] += amount
        self.deposited_in_period[ids] += amount
        return amount

    def _settle(
        self, ids: np.ndarray, visit: np.ndarray, slot: int, at: np.ndarray, game: np.ndarray, stake: np.ndarray, rounds: np.ndarray
    ) -> None:
        total = stake * rounds
        bonus_first = (self.people.abuser[ids] != "") & (self.bonus[ids] >= self.cash[ids])
        from_bonus = np.where(bonus_first, np.minimum(total, self.bonus[ids]), np.maximum(total - self.cash[ids], 0))
        keep = 1 - self.edge[game]
        returned = self.rng.gamma(rounds * keep**2 / self.sd[game] ** 2, stake * self.sd[game] ** 2 / keep)
        payout = np.floor(returned + self.rng.random(len(ids))).astype(np.int64)
        to_bonus = (payout.astype(float) * from_bonus / total).astype(np.int64)
        self.cash[ids] += payout - to_bonus - (total - from_bonus)
        self.bonus[ids] += to_bonus - from_bonus
        self.wager_left[ids] -= from_bonus
        done = (from_bonus > 0) & (self.wager_left[ids] <= 0)
        lost = (from_bonus > 0) & ~done & (self.bonus[ids] < _DUST)
        self.just_released[ids[done]] = True
        self.cash[ids] += np.where(done, self.bonus[ids], 0)
        self.forfeited[ids] += np.where(lost, self.bonus[ids], 0)
        self.bonus[ids] = np.where(done | lost, 0, self.bonus[ids])
        self.books.plays.append(
            {
                "player": ids,
                "visit": visit,
                "slot": np.full(len(ids), slot),
                "game": game,
                "at": at,
                "stake": total,
                "payout": payout,
                "bonus_stake": from_bonus,
                "rounds": rounds,
            }
        )

    def _withdraw(self, ids: np.ndarray, visit: np.ndarray, deposited: np.ndarray) -> None:
        rng, people = self.rng, self.people
        unit = people.deposit_unit[ids]
        whole = np.maximum(people.scale[ids].round().astype(np.int64), 1) * 100
        hasty = self.kind["immediate_withdrawer"][ids] & (deposited > 0)
        schemer = (self.kind["ring"][ids] | self.kind["bonus_only"][ids] | self.kind["bet_manipulator"][ids]) & (self.bonus[ids] < _DUST)
        tempted = (self.cash[ids] > people.trait("withdraw_at")[ids] * unit) & (rng.random(len(ids)) < people.trait("withdraw_chance")[ids])
        schemes = schemer & (self.cash[ids] > unit) & (rng.random(len(ids)) < 0.8)
        part = np.where(hasty | schemes | (rng.random(len(ids)) < 0.4), 1.0, 0.5 + 0.4 * rng.random(len(ids)))
        amount = (self.cash[ids] * part).astype(np.int64) // whole * whole
        wait = np.where(hasty, 300 + 3000 * rng.random(len(ids)), 900 + 36_000 * rng.exponential(1.0, len(ids))).astype(np.int64)
        at = self.visits.end[visit] + wait
        is_last = visit + 1 >= self.visits.first[ids] + self.visits.count[ids]
        following = np.where(is_last, self.config.end_second, self.visits.start[np.minimum(visit + 1, len(self.visits.start) - 1)])
        at = np.minimum(at, following - 60)
        asks = (hasty | schemes | tempted) & (amount >= 10 * whole) & (at > self.visits.end[visit])
        cancelled = rng.random(len(ids)) < _CANCELLED_WITHDRAWALS
        back, out = np.flatnonzero(asks & cancelled), np.flatnonzero(asks & ~cancelled)
        self._record_payment(ids[back], visit[back], "s%dc", 1, 2, amount[back], at[back])
        self._record_payment(ids[out], visit[out], "s%dw", 1, 0, amount[out], at[out])
        self.cash[ids[out]] -= amount[out]
        self.forfeited[ids[out]] += self.bonus[ids[out]]  # a withdrawal ends the bonus
        self.bonus[ids[out]] = 0

    def _record_payment(
        self, ids: np.ndarray, visit: np.ndarray, reference: str, kind: int, status: int, amount: np.ndarray, at: np.ndarray
    ) -> None:
        """`kind` and `status` are positions in the tables of `frames`; `reference` is a pattern over the visit's number."""
        if len(ids):
            number = visit - self.visits.first[ids] + 1
            self.books.payments.append(
                {
                    "player": ids,
                    "visit": visit,
                    "reference": np.char.mod(reference, number),
                    "kind": np.full(len(ids), kind),
                    "status": np.full(len(ids), status),
                    "amount": amount,
                    "at": at,
                }
            )
