"""What an operator is made of: kinds of players, markets, shares of abusers. Amounts of types are in euro."""

from dataclasses import dataclass
from datetime import UTC, datetime

AVERAGE_MONTH_DAYS = 365.25 / 12


class SimulationError(ValueError):
    """A configuration that cannot be simulated."""


@dataclass(frozen=True)
class PlayerType:
    """Behaviour of one kind of player; single players scatter around it.

    `stake` is the median stake of a round, `lifetime_days` the mean time from registration to leaving, `deposit_rounds` the
    usual deposit in units of the stake, `withdraw_at` the balance (in usual deposits) at which the player thinks of cashing
    out, `uplift` the mean relative rise of visits in the week of a bonus offer (its true response).
    """

    name: str
    share: float
    sessions_per_week: float
    stake: float
    stake_spread: float
    lifetime_days: float
    deposit_rounds: float
    minutes: float
    games: float
    withdraw_at: float
    withdraw_chance: float
    takes_bonus: float
    uplift: float
    at_risk: float
    streaky: bool = False


PLAYER_TYPES = (
    PlayerType("dormant", 0.235, 0.0, 0.30, 0.5, 30, 60, 15, 1.0, 5, 0.2, 0.2, 0.0, 0.0),
    PlayerType("casual", 0.325, 1.3, 0.35, 0.8, 150, 70, 25, 2.2, 4, 0.25, 0.35, 0.25, 0.01),
    PlayerType("regular", 0.150, 4.2, 0.70, 0.8, 330, 90, 40, 2.8, 4, 0.25, 0.45, 0.15, 0.04),
    PlayerType("high_roller", 0.010, 4.5, 11.0, 0.7, 420, 110, 60, 3.2, 4, 0.30, 0.40, 0.08, 0.08),
    PlayerType("bonus_hunter", 0.065, 1.6, 0.40, 0.6, 200, 60, 30, 2.4, 2, 0.50, 0.95, 0.80, 0.01),
    PlayerType("streaky", 0.080, 5.5, 0.60, 0.9, 300, 80, 50, 2.8, 5, 0.20, 0.40, 0.20, 0.06, streaky=True),
    PlayerType("churner", 0.135, 2.5, 0.40, 0.7, 10, 60, 25, 2.2, 4, 0.30, 0.45, 0.10, 0.01),
)

# Share of all players that is planted as each kind of abuser.
ABUSER_SHARES = {"ring": 0.012, "bonus_only": 0.006, "immediate_withdrawer": 0.005, "bet_manipulator": 0.005}
RING_SIZES = (3, 8)
HOUSEHOLD_SHARE = 0.03


@dataclass(frozen=True)
class Market:
    country: str
    currency: str
    language: str
    share: float
    scale: float  # amounts of the currency for one euro; every currency here has two decimal places
    names: str


MARKETS = (
    Market("DE", "EUR", "de", 0.22, 1.0, "german"),
    Market("FI", "EUR", "fi", 0.16, 1.0, "nordic"),
    Market("IE", "EUR", "en", 0.11, 1.0, "english"),
    Market("AT", "EUR", "de", 0.09, 1.0, "german"),
    Market("ES", "EUR", "es", 0.08, 1.0, "southern"),
    Market("MT", "EUR", "en", 0.07, 1.0, "southern"),
    Market("NL", "EUR", "nl", 0.06, 1.0, "german"),
    Market("GB", "GBP", "en", 0.10, 0.85, "english"),
    Market("SE", "SEK", "sv", 0.05, 11.0, "nordic"),
    Market("CA", "CAD", "en", 0.06, 1.5, "english"),
)


@dataclass(frozen=True)
class SimulationConfig:
    """`as_of` is the end of history (aware); nothing happens at or after it. Players are numbered from `first_number`.

    `block_players` bounds memory and is part of the seed's meaning: another block size gives other, equally valid, players.
    """

    players: int
    as_of: datetime
    months: int = 12
    seed: int = 1
    id_prefix: str = "P"
    block_players: int = 5000
    first_number: int = 1

    def __post_init__(self) -> None:
        if self.players < 1:
            raise SimulationError(f"players is {self.players}; simulate at least 1")
        if not 1 <= self.months <= 120:
            raise SimulationError(f"months is {self.months}; use 1 to 120")
        if self.seed < 0:
            raise SimulationError(f"seed is {self.seed}; use 0 or more")
        if self.block_players < 1:
            raise SimulationError(f"block_players is {self.block_players}; use at least 1")
        if self.first_number < 1:
            raise SimulationError(f"first_number is {self.first_number}; use at least 1")
        if self.as_of.tzinfo is None:
            raise SimulationError("as_of has no time zone; pass an aware datetime")

    @property
    def days(self) -> int:
        return round(self.months * AVERAGE_MONTH_DAYS)

    @property
    def end_second(self) -> int:
        return int(self.as_of.astimezone(UTC).timestamp())

    @property
    def first_day(self) -> int:
        """Days since 1970-01-01 of the first simulated day."""
        return self.end_second // 86400 - self.days
