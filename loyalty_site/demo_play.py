"""How the demo's players use their bonuses: bets, wins, rollbacks and rounds left open, drawn from a seed.

What can be staked at all depends on what happened before, so the play is tried on working copies of the wallets by the engine itself; the
activity that comes out is then reported like that of any platform.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from wallet.bonus import engine
from wallet.bonus.states import OPEN
from wallet.bonus.values import Activity, Grant, Kind, Outcome, Wallet
from wallet.bonus.weights import Table

SOURCE = "demo-platform"
_ROLLED_BACK = 0.02
_LEFT_OPEN = 0.01
_OVER_THE_LIMIT = 0.02
_HIT_RATE = 0.28


@dataclass(frozen=True, slots=True)
class DemoGame:
    code: str
    provider: str
    category: str
    edge: Decimal
    spread: float  # standard deviation of a round's return per unit staked

    @property
    def product(self) -> str:
        return "sports" if self.category == "sports" else "casino"


@dataclass(frozen=True, slots=True)
class Session:
    """One player's play: from when to when, with how much cash at the start (minor units), at most how many bets."""

    player_id: int
    currency: str
    begins: datetime
    ends: datetime
    cash: int
    bets: int


def play(
    session: Session, wallet: Wallet, games: Sequence[DemoGame], tables: Mapping[int, Table], rng: np.random.Generator
) -> Iterator[Activity]:
    """The activity of a session. Works on `wallet`, which ends as the real one will."""
    player = _Player(session, wallet, games, tables, rng)
    for number, minute in enumerate(_minutes(session, rng)):
        yield from player.round(number, session.begins + minute)
        if not player.has_open_grant():
            return


def _minutes(session: Session, rng: np.random.Generator) -> list[timedelta]:
    length = (session.ends - session.begins).total_seconds()
    return [timedelta(seconds=int(second)) for second in np.sort(rng.uniform(0, length, session.bets))]


class _Player:
    def __init__(
        self, session: Session, wallet: Wallet, games: Sequence[DemoGame], tables: Mapping[int, Table], rng: np.random.Generator
    ) -> None:
        self.session, self.wallet, self.tables, self.rng = session, wallet, tables, rng
        self.cash = session.cash
        liked = rng.permutation(len(games))[: max(3, len(games) // 3)]
        self.games = [games[number] for number in liked]
        self.all_games = list(games)

    def has_open_grant(self) -> bool:
        return any(grant.status in OPEN for grant in self.wallet.grants.values())

    def round(self, number: int, at: datetime) -> Iterator[Activity]:
        grant = self._grant()
        if grant is None:
            return
        free = grant.spins_left > 0
        game = self._game(grant, free)
        stake = grant.terms.spin_value if free else self._stake(grant)
        left_open = self.rng.random() < _LEFT_OPEN
        bet = self._activity(Kind.BET, number, at, game, amount=stake, is_free_round=free, cash_before=self.cash)
        if stake <= 0 or not self._happens(bet):
            return
        yield bet
        if self.rng.random() < _ROLLED_BACK:
            back = self._activity(
                Kind.ROLLBACK, number, at + timedelta(seconds=2), game, takes_back_id=bet.activity_id, takes_back_kind="BET"
            )
            if self._happens(back):
                yield back
            return
        won = self._win(game, stake)
        if left_open:
            return
        kind = Kind.WIN if won else Kind.ROUND_END
        end = self._activity(kind, number, at + timedelta(seconds=4), game, amount=won, ends_round=True)
        if self._happens(end):
            yield end

    def _grant(self) -> Grant | None:
        found = [grant for grant in self.wallet.grants.values() if grant.status in OPEN]
        return found[int(self.rng.integers(len(found)))] if found else None

    def _game(self, grant: Grant, free: bool) -> DemoGame:
        if free:
            return next(game for game in self.all_games if game.code == grant.terms.spin_game)
        fitting = [game for game in self.games if game.product == grant.product]
        fitting = fitting or [game for game in self.all_games if game.product == grant.product]
        return fitting[int(self.rng.integers(len(fitting)))]

    def _stake(self, grant: Grant) -> int:
        """A round figure: part of what there is to play with, mostly within the largest bet of the terms."""
        to_play = grant.money + self.cash
        wanted = int(max(grant.principal, to_play) * self.rng.uniform(0.03, 0.12)) // 10 * 10
        limit = grant.terms.max_bet
        if limit is not None and self.rng.random() >= _OVER_THE_LIMIT:
            wanted = min(wanted, limit)
        return min(max(wanted, grant.terms.min_bet, 20), to_play)

    def _win(self, game: DemoGame, stake: int) -> int:
        """A skewed return whose mean is what the game pays back."""
        if self.rng.random() >= _HIT_RATE:
            return 0
        mean = (1 - float(game.edge)) / _HIT_RATE
        width = min(1.2, 0.25 * game.spread**0.5)
        return int(stake * mean * self.rng.lognormal(-width * width / 2, width))

    def _activity(self, kind: Kind, number: int, at: datetime, game: DemoGame, **fields: object) -> Activity:
        name = f"{self.session.player_id}-{self.session.begins:%y%m%d%H%M}-{number}"
        return Activity(
            source=SOURCE,
            activity_id=name,
            kind=kind,
            player_id=self.session.player_id,
            currency=self.session.currency,
            round_id=name,
            occurred_at=at,
            received_at=at,
            product=game.product,
            game_code=game.code,
            game_category=game.category,
            provider=game.provider,
            house_edge=game.edge,
            **fields,  # type: ignore[arg-type]
        )

    def _happens(self, activity: Activity) -> bool:
        try:
            outcome: Outcome = engine.apply(self.wallet, activity, self.tables)
        except engine.StakeNotCovered:
            return False
        self.cash += outcome.cash_change + sum(payout.amount for payout in outcome.payouts)
        return True
