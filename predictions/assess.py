"""From features to scores as they are stored. Nightly runs, single players and what-if all go through `assess`, so they agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from predictions.eligibility import FREE_PLAYERS_ONLY, WITHOUT_CONSENT
from predictions.ml.advice import HIGH_VALUE_MULTIPLIER, VIP_MULTIPLIER
from predictions.ml.kinds import Model
from predictions.models import Kind
from predictions.rows import BadScores, Column, Type, to_amounts
from predictions.thresholds import Thresholds

_ROUNDING = 1e-6  # a probability may leave [0, 1] by this much through rounding, not by more


@dataclass(frozen=True)
class Known:
    """What the scores need of players beside their features; index as the feature frame.

    `facts` columns: detectors (0 to 1), deposited (int64, amount times 10,000, all time), is_free (bool: neither excluded nor closed, so
    free to play or to leave), has_consented (bool: may be profiled), fraud_type (text), severity (0 to 1).
    """

    facts: pd.DataFrame


@dataclass(frozen=True)
class Scores:
    """Scores of one kind: `columns` are those of its table without run and reasons, one entry per element of `player_ids`."""

    player_ids: npt.NDArray[np.int64]
    columns: dict[str, Column]

    def row(self, number: int) -> dict[str, Any]:
        return {name: column.value(number) for name, column in self.columns.items()}


def assess(frame: pd.DataFrame, models: Mapping[str, Model], known: Known, limits: Thresholds) -> dict[str, Scores]:
    """Scores of the rows of `frame` for every kind in `models`.

    `frame`: features, `currency` and `currency_unit` (`predictions.features.frame`). Players whose currency has no unit (too few
    deposits) have no value score and no segment, players of whom no day is known have no segment, and players who are excluded or closed
    have no churn and no engagement score. Raises BadScores when a model answers with NaN, infinity or an impossible probability.
    """
    answers = {kind: models[kind].predict(rows) for kind in models if len(rows := _rows_for(kind, frame, known))}
    found: dict[str, Scores] = {}
    if Kind.LTV in answers:
        found[Kind.LTV] = _value(frame, answers)
    if Kind.CHURN in answers:
        found[Kind.CHURN] = _churn(frame, answers, known, found.get(Kind.LTV), limits)
    if Kind.FRAUD in answers:
        found[Kind.FRAUD] = _fraud(frame, answers[Kind.FRAUD], known)
    if Kind.SEGMENTATION in answers:
        found[Kind.SEGMENTATION] = _segmentation(answers[Kind.SEGMENTATION])
    if Kind.ENGAGEMENT in answers:
        found[Kind.ENGAGEMENT] = _engagement(answers[Kind.ENGAGEMENT])
    return {str(kind): scores for kind, scores in found.items()}


def _rows_for(kind: str, frame: pd.DataFrame, known: Known) -> pd.DataFrame:
    """The rows that a kind can say something about: value needs a currency unit; segments need that, and a day to count from.

    Neither is anything said of players whom the kind does not cover (`predictions.eligibility`).
    """
    if kind in FREE_PLAYERS_ONLY:
        frame = frame[known.facts["is_free"].reindex(frame.index)]
    if kind not in WITHOUT_CONSENT:
        frame = frame[known.facts["has_consented"].reindex(frame.index)]
    if kind == Kind.LTV:
        return frame[frame["currency_unit"].notna()]
    if kind == Kind.SEGMENTATION:
        from predictions.ml import rfm

        return frame[frame["currency_unit"].notna() & rfm.dated(frame)]
    return frame


def _value(frame: pd.DataFrame, answers: Mapping[str, pd.DataFrame]) -> Scores:
    answer = answers[Kind.LTV]
    rows = frame.loc[answer.index]
    unit = rows["currency_unit"].to_numpy(float)
    _require_finite(Kind.LTV, answer, ("value", "p10", "p50", "p90", "value_90", "boosted", "confidence"))

    def amount(name: str) -> Column:
        return Column(Type.AMOUNT, to_amounts(answer[name].to_numpy(float), unit))

    probabilistic = answer["probabilistic"].to_numpy(float)
    columns = {"currency": Column(Type.TEXT, rows["currency"].to_numpy(object))}
    columns |= {name: amount(name) for name in ("value", "p10", "p50", "p90", "value_90")}
    columns |= {
        "churn_adjusted": _churn_adjusted(answer, unit, answers.get(Kind.CHURN)),
        "probabilistic": Column(Type.AMOUNT, to_amounts(probabilistic, unit), np.isnan(probabilistic)),
        "boosted": amount("boosted"),
        "alive": _nullable(answer, "alive"),
        "purchases": _nullable(answer, "purchases"),
        "confidence": _share(Kind.LTV, answer, "confidence"),
    }
    return Scores(answer.index.to_numpy(np.int64), columns)


def _churn_adjusted(answer: pd.DataFrame, unit: npt.NDArray[np.float64], churn: pd.DataFrame | None) -> Column:
    """The reference's figure: value times the probability of staying. It ranks players and forecasts nothing, because the value is net of
    leaving already. No value where churn is withheld: another weight would be another figure."""
    if churn is None:
        none = np.zeros(len(answer), dtype=np.int64)
        return Column(Type.AMOUNT, none, np.ones(len(answer), dtype=bool))
    staying = 1.0 - churn["probability"].reindex(answer.index).to_numpy(float)
    return Column(Type.AMOUNT, to_amounts(answer["value"].to_numpy(float) * staying, unit), ~answer.index.isin(churn.index))


def _churn(frame: pd.DataFrame, answers: Mapping[str, pd.DataFrame], known: Known, value: Scores | None, limits: Thresholds) -> Scores:
    answer = answers[Kind.CHURN]
    rows = frame.loc[answer.index]
    columns = {name: _share(Kind.CHURN, answer, name) for name in ("probability", "lower", "upper")}
    at_stake = known.facts.loc[answer.index, "deposited"].to_numpy(np.int64).copy()
    if value is not None:
        place = pd.Index(value.player_ids).get_indexer(answer.index)
        at_stake[place >= 0] = value.columns["value"].values[place[place >= 0]]
    idle = rows["days_since_last_activity"].fillna(rows["tenure_days"]).to_numpy(float)
    columns["value"] = Column(Type.AMOUNT, at_stake)
    columns["priority"] = Column(Type.FLOAT, _priority(columns["probability"].values, at_stake, limits))
    columns["idle_days"] = Column(Type.INT, np.maximum(np.floor(np.nan_to_num(idle)), 0).astype(np.int64))
    return Scores(answer.index.to_numpy(np.int64), columns)


def _priority(probability: npt.NDArray[np.float64], value: npt.NDArray[np.int64], limits: Thresholds) -> npt.NDArray[np.float64]:
    """Reference 000: probability times 1.5 above the VIP threshold, 1.2 above that of high value, at most 1."""
    vip, high = (int(limit.scaleb(4)) for limit in (limits.value_vip_from, limits.value_high_from))
    multiplier = np.where(value > vip, VIP_MULTIPLIER, np.where(value > high, HIGH_VALUE_MULTIPLIER, 1.0))
    return np.minimum(probability * multiplier, 1.0)


def _fraud(frame: pd.DataFrame, answer: pd.DataFrame, known: Known) -> Scores:
    """What is published: with closed reviews or without, the model's own answer together with the detectors."""
    from predictions.ml.anomaly import published

    facts = known.facts
    detectors = facts["detectors"].to_numpy(float)
    answer = answer.assign(**published(answer, detectors))
    columns = {name: _share(Kind.FRAUD, answer, name) for name in ("score", "anomaly", "interval_low", "interval_high")}
    columns["detectors"] = Column(Type.FLOAT, detectors)
    columns["fraud_type"] = Column(Type.TEXT, facts["fraud_type"].to_numpy(object))
    columns["severity"] = Column(Type.FLOAT, facts["severity"].to_numpy(float))
    return Scores(frame.index.to_numpy(np.int64), columns)


def _segmentation(answer: pd.DataFrame) -> Scores:
    whole = ("cluster", "recency_score", "frequency_score", "monetary_score", "next_cluster")
    _require_finite(Kind.SEGMENTATION, answer, whole)
    columns = {name: Column(Type.SMALLINT, answer[name].to_numpy(np.int64)) for name in whole}
    columns["rfm_segment"] = Column(Type.TEXT, answer["rfm_segment"].to_numpy(object))
    columns |= {name: _share(Kind.SEGMENTATION, answer, name) for name in ("stability", "transition_probability")}
    return Scores(answer.index.to_numpy(np.int64), columns)


def _engagement(answer: pd.DataFrame) -> Scores:
    columns = {name: _share(Kind.ENGAGEMENT, answer, name) for name in ("probability", "lower", "upper", "decay")}
    _require_finite(Kind.ENGAGEMENT, answer, ("logins", "deposits", "gameplay"))
    columns |= {name: Column(Type.FLOAT, answer[name].to_numpy(float)) for name in ("logins", "deposits", "gameplay")}
    return Scores(answer.index.to_numpy(np.int64), columns)


def _share(kind: str, answer: pd.DataFrame, name: str) -> Column:
    """A column that must lie between 0 and 1."""
    _require_finite(kind, answer, (name,))
    values = answer[name].to_numpy(float)
    outside = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
    if outside.any():
        raise BadScores(f"{kind}: {name} of player {answer.index[outside][0]} is {values[outside][0]:g}, which is not between 0 and 1")
    return Column(Type.FLOAT, np.clip(values, 0.0, 1.0))


def _nullable(answer: pd.DataFrame, name: str) -> Column:
    values = answer[name].to_numpy(float)
    if np.isinf(values).any():
        raise BadScores(f"{Kind.LTV}: {name} of player {answer.index[np.isinf(values)][0]} is infinite")
    return Column(Type.FLOAT, np.nan_to_num(values), np.isnan(values))


def _require_finite(kind: str, answer: pd.DataFrame, names: tuple[str, ...]) -> None:
    for name in names:
        wrong = ~np.isfinite(answer[name].to_numpy(float))
        if wrong.any():
            raise BadScores(f"{kind}: {name} is no finite number for {wrong.sum()} players, first player {answer.index[wrong][0]}")
