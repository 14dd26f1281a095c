"""A seeded simulator of an operator: who registers, plays, pays, cheats and leaves. Pure numpy and pandas.

`simulate(config)` returns everything at once; `simulate_blocks(config)` yields it in blocks of players, so that memory stays
bounded for any number of players. The same configuration gives the same bytes on every machine with the same numpy.
"""

from .config import PlayerType, SimulationConfig, SimulationError
from .operator import SimulatedOperator, simulate, simulate_blocks

__all__ = ["PlayerType", "SimulatedOperator", "SimulationConfig", "SimulationError", "simulate", "simulate_blocks"]
