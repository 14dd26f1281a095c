"""Exclusions, deposit limits, consent and harm of simulated players."""

from dataclasses import dataclass

import numpy as np

from .calendar import DAY, MONTH, WEEK
from .config import SimulationConfig
from .population import Population

SELF_EXCLUSION, COOL_OFF = 1, 2


@dataclass
class Exclusions:
    """Per player: 0 or a kind; days since the first day (`until` inf: indefinite)."""

    kind: np.ndarray
    since: np.ndarray
    until: np.ndarray

    def away(self) -> np.ndarray:
        """(n, 2) days; nan for players who never excluded themselves."""
        both = np.column_stack([self.since, self.until]).astype(float)
        both[self.kind == 0] = np.nan
        return both


@dataclass
class Limits:
    """Per player: 0 or an amount in minor units per period, from an instant on (seconds)."""

    amount: np.ndarray
    period: np.ndarray
    starts: np.ndarray


@dataclass
class Consent:
    marketing: np.ndarray
    profiling: np.ndarray
    harm: np.ndarray
    harm_second: np.ndarray


def draw_exclusions(rng: np.random.Generator, config: SimulationConfig, people: Population) -> Exclusions:
    """Self-exclusion is far likelier for players at risk; the first exclusion of a player only."""
    size = len(people)
    weeks_present = np.clip(np.minimum(people.leaves, config.days) - people.arrival, 0, None) / 7
    active = people.sessions_per_day > 0
    p_self = np.where(people.at_risk, 1 - 0.985**weeks_present, 1 - 0.9993**weeks_present) * active
    p_cool = np.where(people.at_risk, 1 - 0.985**weeks_present, 1 - 0.999**weeks_present) * active
    self_excluded = rng.random(size) < p_self
    cooled = ~self_excluded & (rng.random(size) < p_cool)
    since = people.arrival + 1 + rng.random(size) * np.maximum(np.minimum(people.leaves, config.days) - people.arrival - 1, 0)
    since = np.minimum(since, config.days - 0.01)
    length = np.where(self_excluded, rng.choice([183.0, 365.0, np.inf], size=size, p=[0.5, 0.3, 0.2]), rng.choice([1.0, 7, 30], size=size))
    kind = np.where(self_excluded, SELF_EXCLUSION, np.where(cooled, COOL_OFF, 0))
    return Exclusions(kind, since, since + length)


def draw_limits(rng: np.random.Generator, config: SimulationConfig, people: Population) -> Limits:
    size = len(people)
    has = (rng.random(size) < np.where(people.at_risk, 0.3, 0.07)) & (people.sessions_per_day > 0)
    period = rng.choice([DAY, WEEK, MONTH], size=size, p=[0.2, 0.3, 0.5])
    units = np.select([period == DAY, period == WEEK], [2, 4], 10)
    starts = (config.first_day + people.arrival + 30 * rng.random(size)) * 86400
    starts = np.minimum(starts, config.end_second - 1)
    return Limits(np.where(has, people.deposit_unit * units, 0), period, starts.astype(np.int64))


def draw_consent(rng: np.random.Generator, config: SimulationConfig, people: Population, exclusions: Exclusions) -> Consent:
    """A harm flag is set by staff on some players at risk, before or when they exclude themselves."""
    size = len(people)
    seen = np.minimum(people.leaves, config.days)
    flagged = people.at_risk & (rng.random(size) < 0.35) & (seen > people.arrival + 14)
    harm_day = people.arrival + 7 + rng.random(size) * np.maximum(seen - people.arrival - 7, 0)
    harm_second = np.minimum((config.first_day + harm_day) * 86400, config.end_second - 1)
    marketing = (rng.random(size) < 0.68) & (exclusions.kind != SELF_EXCLUSION)
    return Consent(marketing, rng.random(size) < 0.74, flagged, harm_second.astype(np.int64))
