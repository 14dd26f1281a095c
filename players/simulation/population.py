"""Who the players are: type, market, arrival, lifetime, taste for stakes and bonuses, and which of them are planted abusers."""

from dataclasses import dataclass

import numpy as np

from . import catalogue
from .config import ABUSER_SHARES, HOUSEHOLD_SHARE, MARKETS, PLAYER_TYPES, RING_SIZES, SimulationConfig

FAVOURITES = 4
LIFETIME_SHAPE = 0.85  # Weibull, in mean-like units of the type's lifetime
ABUSER_LIFETIME = (20, 120)  # days: the least, and how much more at most
RATE_SHAPE = 2.0  # of the Gamma factor with mean 1 on the type's visits a week
_SMALLEST_BLOCK_WITH_ABUSERS = 100


@dataclass
class Population:
    """Columns over the players of a block, position = player. Amounts in minor units of the player's currency, days since the first day."""

    number: np.ndarray
    kind: np.ndarray  # index into PLAYER_TYPES
    market: np.ndarray  # index into MARKETS
    abuser: np.ndarray  # "" or a key of ABUSER_SHARES
    ring: np.ndarray  # -1, or the ring's number in the block
    household: np.ndarray  # -1, or the household's number in the block
    arrival: np.ndarray  # float days
    leaves: np.ndarray  # float days; may lie beyond the end
    sessions_per_day: np.ndarray
    stake: np.ndarray
    deposit_unit: np.ndarray
    minutes: np.ndarray
    games: np.ndarray
    uplift: np.ndarray
    takes_bonus: np.ndarray
    at_risk: np.ndarray
    favourites: np.ndarray  # (n, FAVOURITES) game indices

    def __len__(self) -> int:
        return len(self.number)

    def trait(self, name: str) -> np.ndarray:
        """A column of the player types, spread over the players."""
        return np.array([getattr(one, name) for one in PLAYER_TYPES])[self.kind]

    @property
    def scale(self) -> np.ndarray:
        return np.array([market.scale for market in MARKETS])[self.market]


def draw_population(rng: np.random.Generator, config: SimulationConfig, numbers: np.ndarray) -> Population:
    size = len(numbers)
    kind = rng.choice(len(PLAYER_TYPES), size=size, p=_normalised([one.share for one in PLAYER_TYPES]))
    market = rng.choice(len(MARKETS), size=size, p=_normalised([one.share for one in MARKETS]))
    abuser, ring, household = _plant(rng, size)
    # abusers are active people whatever type they were drawn as
    kind[abuser != ""] = _type_index("bonus_hunter")

    def trait(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in PLAYER_TYPES], dtype=float)[kind]

    scale = np.array([one.scale for one in MARKETS])[market]
    arrival = config.days * rng.random(size) ** 1.35
    lifetime = trait("lifetime_days") * rng.weibull(LIFETIME_SHAPE, size)
    lifetime[abuser != ""] = ABUSER_LIFETIME[0] + ABUSER_LIFETIME[1] * rng.random((abuser != "").sum())
    together = ring >= 0
    ring_start = rng.random(max(ring.max(initial=-1) + 1, 1)) * config.days * 0.8
    arrival[together] = ring_start[ring[together]] + rng.random(together.sum()) * 10
    stake = trait("stake") * np.exp(trait("stake_spread") * rng.standard_normal(size)) * scale * 100
    stake = np.clip(np.round(stake / 5) * 5, 10, 20_000 * scale)
    deposit_unit = np.round(stake * trait("deposit_rounds") * np.exp(0.3 * rng.standard_normal(size)) / 500) * 500
    deposit_unit = np.maximum(deposit_unit, np.ceil(scale) * 1000)
    in_and_out = abuser == "immediate_withdrawer"  # small sums are not worth the trouble
    deposit_unit[in_and_out] = np.maximum(deposit_unit, np.ceil(scale) * 4000)[in_and_out]
    return Population(
        number=numbers,
        kind=kind,
        market=market,
        abuser=abuser,
        ring=ring,
        household=household,
        arrival=arrival,
        leaves=arrival + lifetime,
        sessions_per_day=trait("sessions_per_week") / 7 * rng.gamma(RATE_SHAPE, 1 / RATE_SHAPE, size),
        stake=stake.astype(np.int64),
        deposit_unit=deposit_unit.astype(np.int64),
        minutes=trait("minutes") * np.exp(0.3 * rng.standard_normal(size)),
        games=trait("games"),
        uplift=np.maximum(trait("uplift") * (1 + 0.6 * rng.standard_normal(size)), -0.3),
        takes_bonus=np.clip(trait("takes_bonus") + 0.1 * rng.standard_normal(size), 0.02, 1.0),
        at_risk=rng.random(size) < trait("at_risk"),
        favourites=rng.choice(len(catalogue.popularity()), size=(size, FAVOURITES), p=catalogue.popularity()),
    )


def _plant(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Abuser kind, ring number and household number of each player; households are honest people who share a home."""
    abuser = np.full(size, "", dtype="U24")
    ring = np.full(size, -1, dtype=np.int64)
    household = np.full(size, -1, dtype=np.int64)
    if size < _SMALLEST_BLOCK_WITH_ABUSERS:
        return abuser, ring, household
    free = list(rng.permutation(size))
    wanted = max(int(round(ABUSER_SHARES["ring"] * size)), RING_SIZES[0])
    number = 0
    while wanted >= RING_SIZES[0]:
        members = [free.pop() for _ in range(min(int(rng.integers(RING_SIZES[0], RING_SIZES[1] + 1)), wanted))]
        ring[members], abuser[members] = number, "ring"
        number += 1
        wanted -= len(members)
    for kind in ("bonus_only", "immediate_withdrawer", "bet_manipulator"):
        members = [free.pop() for _ in range(max(1, int(round(ABUSER_SHARES[kind] * size))))]
        abuser[members] = kind
    for number in range(int(HOUSEHOLD_SHARE * size / 2)):
        household[[free.pop(), free.pop()]] = number
    return abuser, ring, household


def _type_index(name: str) -> int:
    return [one.name for one in PLAYER_TYPES].index(name)


def _normalised(shares: list[float]) -> np.ndarray:
    weights = np.array(shares)
    return weights / weights.sum()
