"""Put the parts together: blocks of players with all their activity, as frames."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from . import catalogue, frames
from .cashier import Cashier
from .config import SimulationConfig
from .population import draw_population
from .protection import draw_consent, draw_exclusions, draw_limits
from .visits import draw_visits


@dataclass
class SimulatedOperator:
    """Frames in the column layout of the activity kinds (`frames.LAYOUT`), protection, and the hidden truth.

    Money columns (`frames.MONEY`) are int64 in minor units of the player's currency, instants are UTC datetimes, ids are text.
    `truth` must not reach the database: it is what models and detectors are judged by.
    """

    players: pd.DataFrame
    payments: pd.DataFrame
    sessions: pd.DataFrame
    plays: pd.DataFrame
    totals: pd.DataFrame
    protections: pd.DataFrame
    exclusions: pd.DataFrame
    deposit_limits: pd.DataFrame
    games: pd.DataFrame
    truth: pd.DataFrame


def simulate_blocks(config: SimulationConfig) -> Iterator[SimulatedOperator]:
    """One `SimulatedOperator` for each `config.block_players` players. Blocks have seeds of their own, so they could run apart."""
    for block, first in enumerate(range(0, config.players, config.block_players)):
        numbers = config.first_number + np.arange(first, min(first + config.block_players, config.players))
        yield _simulate_block(config, np.random.default_rng([config.seed, block]), numbers)


def simulate(config: SimulationConfig) -> SimulatedOperator:
    """All players in one piece; for more than some ten thousand use `simulate_blocks`."""
    blocks = list(simulate_blocks(config))
    if len(blocks) == 1:
        return blocks[0]
    joined = {
        one.name: pd.concat([getattr(block, one.name) for block in blocks], ignore_index=True)
        for one in fields(SimulatedOperator)
        if one.name != "games"
    }
    return SimulatedOperator(games=blocks[0].games, **joined)


def _simulate_block(config: SimulationConfig, rng: np.random.Generator, numbers: np.ndarray) -> SimulatedOperator:
    people = draw_population(rng, config, numbers)
    exclusions = draw_exclusions(rng, config, people)
    limits = draw_limits(rng, config, people)
    consent = draw_consent(rng, config, people, exclusions)
    visits = draw_visits(rng, config, people, exclusions.away())
    books = Cashier(rng, config, people, visits, limits).play_all()
    ids = frames.player_ids(config, people)
    plays = frames.plays(config, ids, visits, books)
    payments = frames.payments(rng, config, people, ids, books)
    sessions = frames.sessions(rng, config, people, ids, visits)
    return SimulatedOperator(
        players=frames.players(rng, config, people, ids, consent),
        payments=payments,
        sessions=sessions,
        plays=plays,
        totals=frames.totals(config, ids, payments, sessions, plays),
        protections=frames.protections(config, people, ids, consent),
        exclusions=frames.exclusions(config, ids, exclusions),
        deposit_limits=frames.deposit_limits(ids, limits),
        games=catalogue.games(),
        truth=frames.truth(config, people, ids, visits, books),
    )
