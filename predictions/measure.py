"""Two models of a kind, measured on the same players of the same cut-off.

A recorded figure belongs to the cut-off of its own training; comparing two of them compares two months. So whoever decides on a promotion
measures both again, on the evaluation cut-off of the newer of the two, which neither has learned from.

Each kind has one loss a player (lower is better), so that the difference has a standard error: players who are hard for both models cancel.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from django.conf import settings

from predictions import gate, hooks
from predictions.ml import cases
from predictions.ml.anomaly import published
from predictions.ml.kinds import Cutoff, History, Model, NotEnoughData, Verdict
from predictions.models import Kind

# one-sided 95 %: a difference that chance alone explains is no loss of quality, as long as it is small as well
_Z = 1.645
_SMALL = 0.01
_PANEL_OF = 10
_LEAST_OUTCOMES = 10
# fraud is rare: reviews of half a year are compared by
_CASE_CUTOFFS, _CASE_STEP = 6, timedelta(days=30)
_SILHOUETTE_PLAYERS = 3000
_BANK_CUSTOMERS = 12_000
_EVEN = 0.01

VERDICT = "not worse than the version in use"


@dataclass(frozen=True)
class Losses:
    """What a model loses on each player of a cut-off, in the same order for every model.

    `allowed`: the mean difference that may count as chance, in the unit of the loss, where the losses are not independent of each other.
    """

    name: str
    values: np.ndarray
    allowed: float | None = None

    @property
    def mean(self) -> float:
        return float(self.values.mean())


def compare(kind: str, challenger: Model, champion: Model, cutoff: Cutoff, *, seed: int) -> Verdict:
    """Whether the challenger loses no more than the champion. Raises NotEnoughData when the cut-off shows nothing of the kind."""
    return judge(losses(kind, challenger, cutoff, seed=seed), losses(kind, champion, cutoff, seed=seed))


def compare_profiles(challenger: Model, champion: Model, *, seeds: Collection[int]) -> Verdict:
    """The same for the kind that learns from a simulated bank: on customers of a bank of another seed than the `seeds` of both."""
    from predictions.ml import profile_bank
    from predictions.ml.profile_schema import FEATURES, features

    bank = profile_bank.simulate(_BANK_CUSTOMERS, max(seeds) + 1)
    frame = pd.DataFrame(features(bank.people), columns=list(FEATURES))
    found = [np.abs(model.predict(frame)["value"].to_numpy() - bank.expected) for model in (challenger, champion)]
    first, second = (Losses("Mean distance from the true expectation", values) for values in found)
    return judge(first, second)


def judge(challenger: Losses, champion: Losses) -> Verdict:
    """The mean loss may be higher by what chance explains (one-sided 95 % of the paired differences), and by a hundredth at most."""
    difference = challenger.values - champion.values
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else 0.0
    allowed = champion.allowed if champion.allowed is not None else min(_Z * error, _SMALL * abs(champion.mean))
    reason = (
        f"{challenger.name} {challenger.mean:.5f} against {champion.mean:.5f} of the version in use on the same {len(difference):,} "
        f"players; lower is better, and {allowed:.5f} more may be chance."
    )
    return Verdict(VERDICT, bool(difference.mean() <= allowed), challenger.mean, champion.mean + allowed, reason)


def losses(kind: str, model: Model, cutoff: Cutoff, *, seed: int) -> Losses:
    return _LOSSES[Kind(kind)](model, cutoff, seed)


def evaluation_cutoff(as_of: datetime, horizon_days: int, *, seed: int, panel_only: bool = False) -> Cutoff:
    """The cut-off whose labels end at `as_of`, with the players that a training would look at, or those of the panel among them."""
    from predictions import features

    cutoff = features.history(as_of, horizon_days, 1, sample=settings.MODEL_TRAINING_PLAYERS, seed=seed).evaluation
    return _only(cutoff, in_panel(cutoff.features.index)) if panel_only else cutoff


def without_panel(history: History) -> History:
    """Nobody of the panel among those that are learned from; the evaluation cut-off keeps everybody.

    Where the labels of one cut-off reach beyond the next, as 90 days do, time alone does not keep a model from having seen what it is
    measured on. So a tenth of the players is left to the comparison of versions.
    """
    development = [_only(cutoff, ~in_panel(cutoff.features.index)) for cutoff in history.development]
    return History([*development, history.evaluation], history.horizon_days)


def in_panel(players: pd.Index) -> np.ndarray:
    """Whether each player is one of the tenth that no model with a panel learns from: by a hash of the id, the same for ever."""
    mixed = players.to_numpy(dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
    answer: np.ndarray = (mixed >> np.uint64(40)) % np.uint64(_PANEL_OF) == 0
    return answer


def _only(cutoff: Cutoff, rows: np.ndarray) -> Cutoff:
    return replace(cutoff, features=cutoff.features[rows], labels=cutoff.labels[rows])


def known_cases() -> pd.DataFrame:
    """Reviews that a person closed, as `predictions.ml.cases` describes them; empty while nothing tells of any."""
    known = hooks.fraud_outcomes()
    return cases.none() if known is None else known


def detectors_of(players: pd.Index) -> pd.Series:
    """Abuse score of each player as it stands, 0 to 1; index player_id, without players who are gone."""
    from players.models import Player

    rows = Player.objects.filter(pk__in=players.tolist()).values_list("pk", "risk_score")
    found = pd.Series(dict(rows.iterator(chunk_size=10_000)), dtype=float) / 100
    return found.rename_axis("player_id")


def _probability(label: str) -> Callable[[Model, Cutoff, int], Losses]:
    def of(model: Model, cutoff: Cutoff, _seed: int) -> Losses:
        rows = _eligible(cutoff) & cutoff.labels[label].notna().to_numpy()
        _require(bool(rows.any()), "nobody was eligible at the evaluation cut-off.")
        happened = cutoff.labels[label].to_numpy(dtype=float, na_value=np.nan)[rows]
        probability = model.predict(cutoff.features[rows])["probability"].to_numpy(dtype=float)
        return Losses("Brier score", (probability - happened) ** 2)

    return of


def _value(model: Model, cutoff: Cutoff, _seed: int) -> Losses:
    """Squared error of the expected value of 90 days over the player's scale, as `predictions.ml.ltv` chooses by; in currency units."""
    from predictions.ml.ltv_boosted import Scale

    actual = cutoff.labels["ngr_90d"].to_numpy(dtype=float, na_value=np.nan)
    rows = _eligible(cutoff) & np.isfinite(actual)
    _require(bool(rows.any()), "no window of 90 days after the evaluation cut-off is over: wait, or train as of a later day.")
    frame, actual = cutoff.features[rows], actual[rows]
    predicted = model.predict(frame)["value_90"].to_numpy(dtype=float)
    return Losses("Squared error over the player's scale", (predicted - actual) ** 2 / Scale.fit(frame, actual).of(frame))


def _fraud(model: Model, cutoff: Cutoff, _seed: int) -> Losses:
    """With outcomes of reviews: of each confirmed case, the share of false alarms that rank above it (their mean is 1 - AUC).

    The players are those that no supervised model learns from, whenever it was trained (`cases.held_out`); isolation alone learns from
    the features of all, and from nobody's outcome. Each comes with the features of the last of six cut-offs before the review was opened.
    Their score is the published one, detectors as they stood then. Without outcomes: how far isolation is from what it claims. It is the
    share of players who are less isolated, so those of all players must lie evenly between 0 and 1.
    """
    frame, known = _held_out_reviews(cutoff)
    cases_, alarms = ((known["confirmed"] == one).to_numpy() for one in (1, 0))
    if min(cases_.sum(), alarms.sum()) >= _LEAST_OUTCOMES:
        score = published(model.predict(frame), known["detectors"].to_numpy(float))["score"].to_numpy()
        ranked = [float((score[alarms] > one).mean() + (score[alarms] == one).mean() / 2) for one in score[cases_]]
        return Losses("Share of false alarms ranked above a confirmed case", np.array(ranked))
    unusual = np.sort(model.predict(cutoff.features)["anomaly"].to_numpy())
    even = (np.arange(len(unusual)) + 0.5) / len(unusual)
    return Losses(
        "Distance of isolation from the shares that it claims (too few outcomes of reviews to compare by)",
        np.abs(unusual - even),
        allowed=_EVEN,
    )


def _held_out_reviews(cutoff: Cutoff) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and cases of reviewed players whose outcome nothing was learned from, row by row the same players."""
    from predictions import features

    moments = [cutoff.as_of - _CASE_STEP * back for back in reversed(range(_CASE_CUTOFFS))]
    known = known_cases()
    position = cases.place(known[cases.held_out(known.index)], moments)
    here = {number: position.index[position == number].tolist() for number in range(len(moments))}
    frames = [features.frame_for(ids, moments[number]) for number, ids in here.items() if ids]
    frame = pd.concat(frames) if frames else cutoff.features.iloc[:0]
    return frame, known.loc[frame.index]


def _segmentation(model: Model, cutoff: Cutoff, seed: int) -> Losses:
    """1 - silhouette of each of at most 3,000 players, in one space for all models: log recency, frequency and monetary, standardised."""
    from sklearn.metrics import silhouette_samples

    from predictions.ml import rfm

    frame = cutoff.features[_eligible(cutoff) & rfm.dated(cutoff.features)]
    _require(len(frame) > 1, "nobody was eligible at the evaluation cut-off.")
    frame = frame.iloc[np.random.default_rng(seed).permutation(len(frame))[:_SILHOUETTE_PLAYERS]]
    points = np.log1p(rfm.values(frame))
    deviation = points.std(axis=0)
    points = (points - points.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    clusters = model.predict(frame)["cluster"].to_numpy()
    if len(np.unique(clusters)) < 2:
        return Losses("1 - silhouette", np.ones(len(frame)))
    return Losses("1 - silhouette", 1.0 - silhouette_samples(points, clusters))


def _eligible(cutoff: Cutoff) -> np.ndarray:
    answer: np.ndarray = cutoff.labels["is_eligible"].to_numpy().astype(bool)
    return answer


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise NotEnoughData(message)


_LOSSES: dict[Kind, Callable[[Model, Cutoff, int], Losses]] = {
    **{kind: _probability(label) for kind, label in gate.PROBABILITIES.items()},
    Kind.LTV: _value,
    Kind.FRAUD: _fraud,
    Kind.SEGMENTATION: _segmentation,
}
