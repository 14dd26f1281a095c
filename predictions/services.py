"""Predictions on demand: one player, a described profile, what-if, explanations. The door for pages and the API.

Everything here loads models, once per process, and imports the machine-learning libraries when it is first called, never before.
Money is in the player's currency (Decimal, four places); probabilities are floats between 0 and 1; nothing is ever NaN.
Every function raises `Unavailable` when the kind has no model in use or is withheld, with the reason in words for staff, and
`Player.DoesNotExist` for an unknown player.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from predictions.models import ScoringRun


class Unavailable(Exception):
    """Nothing can be said for this kind; `reason` says why and what to do."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind = str(kind)
        self.reason = reason


class InvalidProfile(ValueError):
    """A described profile or a change that cannot be read. `errors`: field to what is wrong with it and what is expected."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))
        self.errors = dict(errors)


@dataclass(frozen=True)
class MoneyUnit:
    """What one currency unit is for a player: `amount` of `currency`; None where there are too few deposits to know a typical one."""

    currency: str = ""
    amount: float | None = None


@dataclass(frozen=True)
class Reason:
    """One feature's part in a score; `words` is what staff read.

    `contribution` is on the model's own scale (see `Explained.scale`), to the value in the player's currency. `value` of a monetary feature
    is in currency units; `amount` is the same in `currency`, None for any other feature and where the unit is not known.
    """

    feature: str
    label: str
    unit: str
    value: float | None
    contribution: float
    words: str
    amount: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True)
class Explained:
    """Exact additive explanation: base + sum of all contributions = raw, the model's raw output on `scale`.

    Of the value all are amounts in `currency` ("" where no unit of currency is known: then in currency units).

    `reasons` holds every feature, largest contribution first. `importance` is the share of each feature in the sum of the absolute
    contributions; the shares sum to 1.
    """

    kind: str
    player_id: int | None
    as_of: datetime | None
    version_id: int
    scale: str
    base: float
    raw: float
    reasons: list[Reason]
    importance: dict[str, float]
    currency: str = ""


@dataclass(frozen=True)
class Scored:
    """Scores of one player or profile, computed now. `scores`: kind to {column of its score model: value}, without run and player.

    `withheld`: kind to the reason why it is not in `scores`; `versions`: kind to the id of the version that scored it. `currency` is
    that of the amounts; "" means currency units (a typical deposit), for a profile without currency. `features`: name to value, None
    for unknown, monetary ones in units of `currency_unit`, an amount of the currency (None: too few deposits to know what a typical
    one is).
    """

    player_id: int | None
    as_of: datetime
    currency: str
    scores: dict[str, dict[str, Any]]
    withheld: dict[str, str]
    versions: dict[str, int]
    features: dict[str, float | None] = field(default_factory=dict)
    currency_unit: float | None = None


@dataclass(frozen=True)
class ProfileScore:
    """Answer for a described profile. `answer`: churn: probability, lower, upper; ltv: the columns of the value score;
    profile: value, low, high, confidence, level, base, outside. `missing`: names of features that were not given and count as unknown."""

    kind: str
    answer: dict[str, Any]
    reasons: list[Reason]
    missing: list[str]
    version_id: int
    is_synthetic: bool


@dataclass(frozen=True)
class WhatIf:
    """Scores and reasons before and after changes. `before` is None without a player. `changed`: feature to (before, after),
    including features that follow from a changed one."""

    before: Scored | None
    after: Scored
    reasons_before: dict[str, list[Reason]]
    reasons_after: dict[str, list[Reason]]
    changed: dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Compared:
    """A feature of a player now and of a past case then; None where it was not known. `mine_told`, `theirs_told`: in words, money of both
    in the player's currency, because a typical deposit of his is what they are compared by."""

    label: str
    mine: float | None
    theirs: float | None
    mine_told: str
    theirs_told: str


@dataclass(frozen=True)
class SimilarCase:
    """A player who looked alike at `cutoff`, and what became of him. `distance` is in standard deviations per leading feature.

    churned: no bet and no deposit within the horizon. value: net revenue in the `value_days` after the cut-off in the player's
    currency; None when that window was not over.
    """

    player_id: int
    external_id: str
    cutoff: datetime
    distance: float
    churned: bool
    value: Decimal | None
    value_days: int
    currency: str
    compared: tuple[Compared, ...]


def score_player(player_id: int, as_of: datetime, kinds: Sequence[str] | None = None) -> Scored:
    """All kinds (or `kinds`) for one player as of `as_of`, by the models in use. Equal to what a scoring run would store.

    At the instant of the run that is shown: by its versions and with its units of currency, whatever was promoted since. A kind without
    a model, or whose version cannot be opened, is in `withheld`, not raised; so are churn and engagement of players who are excluded or
    closed. Raises Player.DoesNotExist, and Unavailable when the player was not yet registered at `as_of`.
    """
    from predictions import profiles

    return profiles.score_player(player_id, as_of, kinds)


def explain_player(kind: str, player_id: int) -> Explained:
    """Why the player has the score of the current run (same instant, version and units; with no run: now and the model in use).

    Raises Unavailable when the run's version cannot be opened, and for churn and engagement of players who are excluded or closed."""
    from predictions import profiles

    return profiles.explain_player(str(kind), player_id)


def score_profile(kind: str, profile: Mapping[str, Any]) -> ProfileScore:
    """Score somebody who is not in the database.

    kind churn or ltv: `profile` maps feature names (`predictions.ml.features.FEATURE_NAMES`) to numbers, amounts in "currency" when
    that is given (else in currency units); what is not given is unknown. kind profile: the described customer of
    `predictions.ml.profile_value`. Raises InvalidProfile with one message a field.
    """
    from predictions import profiles

    return profiles.score_profile(str(kind), profile)


def what_if(player_id: int | None, changes: Mapping[str, Any], as_of: datetime, kinds: Sequence[str] | None = None) -> WhatIf:
    """Change features of a real player (or, without one, of an unknown person) and score again, on what `score_player` rests on.

    `changes`: feature name to number (None: unknown); amounts in the player's currency. With no changes `after` equals `before`
    equals what a scoring run stores. Raises InvalidProfile for names that are no feature and values that are no number.
    """
    from predictions import profiles

    return profiles.what_if(player_id, changes, as_of, kinds)


def counterfactual(player_id: int, target: float | None = None) -> Any:
    """The smallest plausible change that brings the churn probability shown below `target` (default: RISK_MEDIUM_FROM).

    Verified by rescoring with the version that scored it: a `predictions.ml.counterfactual.Suggestion`, or None when there is none or the
    player is below it already. Raises Unavailable as `explain_player` does."""
    from predictions import profiles

    return profiles.counterfactual(player_id, target)


def similar_cases(player_id: int, count: int = 5) -> list[SimilarCase]:
    """Players of a past instant who looked most like this one does now, nearest first, and what became of them.

    Compared over the features that weigh most in the churn model of the current run. Raises Unavailable when that run has no past cases
    (too little history)."""
    from predictions import similar

    return similar.similar_cases(player_id, count)


def in_words(kind: str, stored: Sequence[Mapping[str, Any]], unit: MoneyUnit, probability: float | None = None) -> list[Reason]:
    """Stored reasons ({"feature", "value", "contribution", "quartiles"}) in the words of the feature catalogue. No model is loaded.

    `unit`: that of the run and the player's currency. `probability`: of the score, where it is one. First those that speak for the
    score's label, then those against it, each largest first.
    """
    ahead, behind = for_and_against(kind, stored, unit, probability)
    return [*ahead, *behind]


def for_and_against(
    kind: str, stored: Sequence[Mapping[str, Any]], unit: MoneyUnit, probability: float | None = None
) -> tuple[list[Reason], list[Reason]]:
    """As `in_words`, apart: what speaks for the score's label, and what against it.

    For a probability of at least one half, and for kinds whose score is no probability of two outcomes, speaks what raises the figure;
    else what lowers it.
    """
    from predictions import wording

    return wording.for_and_against(str(kind), wording.in_words(str(kind), stored, unit), probability)


def money_unit(run: "ScoringRun", currency: str) -> MoneyUnit:
    """What the features of `run` were divided by for players of `currency`."""
    amount = run.units.get(currency)
    return MoneyUnit(currency, None if amount is None else float(amount))
