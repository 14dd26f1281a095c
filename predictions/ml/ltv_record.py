"""What is kept of a training of value: errors against naive forecasts, coverage, deciles, what could not be measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import clv, explain, ltv_extension, metrics
from .kinds import Cutoff, Record, Trained, Verdict
from .ltv_boosted import BOOSTED
from .ltv_deposits import PROBABILISTIC
from .ltv_growth import WINDOW, Known
from .ltv_interval import COVERAGE
from .ltv_measure import below, coverage, errors, inside, of_median

if TYPE_CHECKING:
    from .ltv import Learned, LtvModel

TOLERANCE = 0.02
_FEWEST = 30
_EXPLAINED = 500


def record(
    draft: "LtvModel",
    development: Sequence[Cutoff],
    evaluation: Cutoff,
    distribution: pd.DataFrame,
    measured: "Learned",
    known: Known | None,
    *,
    seed: int,
) -> Trained:
    """The model with its confidence measured, and its record. `distribution`: held-out predictions at the last development cut-off."""
    frame, truth = evaluation.features, evaluation.labels["ngr_90d"].to_numpy(float)
    held_out = measured.distribution(frame)
    scale, bounds = held_out["scale"].to_numpy(), draft.interval.of(held_out)
    value = chosen_value(draft, frame, held_out, bounds)
    figures = errors(truth, value, scale) | of_median(truth, bounds["p50"].to_numpy()) | coverage(truth, bounds)
    extended = None if known is None else ltv_extension.held_out(draft, measured, known, seed=seed)
    over, of_group = (truth, bounds) if known is None or extended is None else (known.far, extended.bounds)
    model = replace(draft, confidence=_confidence(over, of_group, len(draft.extended.shift)))
    naive, mean = _baselines(development, frame)
    last_truth = development[-1].labels["ngr_90d"].to_numpy(float)
    baseline = errors(truth, naive, scale) | of_median(truth, naive) | _naive_coverage(development[-1], last_truth, truth, naive)
    of_mean = errors(truth, mean, scale)
    extension = ltv_extension.describe(model, known, extended)
    explained = np.sort(np.random.default_rng(seed).permutation(len(frame))[:_EXPLAINED])
    answer = Record(
        rows=sum(len(cutoff.features) for cutoff in development),
        positives=sum(int((cutoff.labels["ngr_90d"] != 0).sum()) for cutoff in development),
        metrics=figures,
        baseline=baseline,
        candidates=_candidates(model, development, distribution, seed),
        curves={
            "deciles": metrics.decile_table(truth, value),
            "coverage": _by_group(truth, bounds),
            "coverage_extended": _by_group(over, of_group),
            "mean_baseline": of_mean,
            "extension": extension,
        },
        importance=explain.importance(model.explain(frame.iloc[explained])),
        parameters=_parameters(model, seed),
        gate=_gate(figures, baseline, of_mean, extension, int((bounds["group"] > 0).sum())),
    )
    return Trained(model, answer)


def chosen_value(model: "LtvModel", frame: pd.DataFrame, distribution: pd.DataFrame, bounds: pd.DataFrame) -> np.ndarray:
    """Over 90 days by the method in use, from held-out predictions of the trees and their interval; shape (rows,)."""
    return model.of_method(model.expected(distribution, bounds), model.deposits.value(frame, WINDOW), bounds)


def _baselines(development: Sequence[Cutoff], frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """NGR of the last 90 days carried forward, and the mean of all development values."""
    naive = np.nan_to_num(frame["ngr_90d"].to_numpy(float), nan=0.0)
    mean = float(np.mean(np.concatenate([cutoff.labels["ngr_90d"].to_numpy(float) for cutoff in development])))
    return naive, np.full(len(frame), mean)


def _naive_coverage(last: Cutoff, last_truth: np.ndarray, truth: np.ndarray, naive: np.ndarray) -> dict[str, float]:
    """Of the carried-forward value plus the middle 80 % of its errors at the last development cut-off, the same for everybody."""
    away = last_truth - np.nan_to_num(last.features["ngr_90d"].to_numpy(float), nan=0.0)
    low, high = np.quantile(away, (0.1, 0.9))
    inside = (truth >= naive + low) & (truth <= naive + high)
    return {"coverage_all": float(inside.mean()), "interval_width": float(high - low)}


def _confidence(truth: np.ndarray, bounds: pd.DataFrame, groups: int) -> tuple[float, ...]:
    """Share inside per group, ends included; of everybody uncertain for a group of fewer than 30."""
    held, group = inside(truth, bounds), bounds["group"].to_numpy()
    pooled = held[group > 0] if (group > 0).any() else held
    return tuple(
        float(held[group == number].mean()) if (group == number).sum() >= _FEWEST else float(pooled.mean()) for number in range(groups)
    )


def _by_group(truth: np.ndarray, bounds: pd.DataFrame) -> list[Mapping[str, Any]]:
    """`coverage` is that of `_confidence`; `below`: shares below P10, P50 and P90 (`ltv_measure.below`)."""
    held, shares = inside(truth, bounds), below(truth, bounds)
    width = (bounds["p90"] - bounds["p10"]).to_numpy()
    group = bounds["group"].to_numpy()
    names = {0: "almost certainly nothing", 1: "more likely nothing than something"}
    return [
        {
            "group": names.get(int(number), f"size {int(number) - 1}"),
            "n": int((group == number).sum()),
            "coverage": float(held[group == number].mean()),
            "below": shares[group == number].mean(axis=0).tolist(),
            "width": float(width[group == number].mean()),
        }
        for number in np.unique(group)
    ]


def _candidates(model: "LtvModel", development: Sequence[Cutoff], distribution: pd.DataFrame, seed: int) -> list[Mapping[str, Any]]:
    """Both methods and both naive ones for the depositors of the last development cut-off, over 90 days."""
    last = development[-1]
    depositors = last.features["bg_age"].notna().to_numpy()
    frame, truth = last.features[depositors], last.labels["ngr_90d"].to_numpy(float)[depositors]
    scale = distribution["scale"].to_numpy()[depositors]
    naive, mean = _baselines(development[:-1], frame)
    simulated = clv.value(model.deposits.bg, model.deposits.gg, frame, WINDOW, seed=seed, margin=model.deposits.margin)
    by_deposits = errors(truth, simulated["value"].to_numpy(), scale)
    by_deposits["coverage_all"] = metrics.coverage(truth, simulated["p10"], simulated["p90"])
    bounds = model.interval.of(distribution[depositors])
    by_trees = errors(truth, model.expected(distribution[depositors], bounds), scale)
    by_trees["coverage_all"] = metrics.coverage(truth, bounds["p10"], bounds["p90"])
    rows = [
        (BOOSTED, by_trees),
        (PROBABILISTIC, by_deposits),
        ("last 90 days carried forward", errors(truth, naive, scale)),
        ("mean", errors(truth, mean, scale)),
    ]
    return [{"algorithm": name, "chosen": name == model.algorithm, "metrics": figures} for name, figures in rows]


def _parameters(model: "LtvModel", seed: int) -> Mapping[str, Any]:
    bg, gg = model.deposits.bg, model.deposits.gg
    return {
        "bg_nbd": {"r": bg.r, "alpha": bg.alpha, "a": bg.a, "b": bg.b, "customers": bg.n, "at_limit": list(bg.at_limit)},
        "gamma_gamma": {"p": gg.p, "q": gg.q, "v": gg.v, "customers": gg.n, "at_limit": list(gg.at_limit)},
        "margin": model.deposits.margin,
        "scale_floor": model.boosted.scale.floor,
        "interval_shift": [list(group) for group in model.interval.shift],
        "growth_days": model.growth.days,
        "growth_correction": model.growth.correction,
        "confidence_days": model.days,
        "certain_slope": model.certain_slope,
        "seed": seed,
    }


def _gate(
    figures: Mapping[str, float], baseline: Mapping[str, float], of_mean: Mapping[str, float], extension: Mapping[str, Any], uncertain: int
) -> list[Verdict]:
    """Better than both naive forecasts, coverage 78 to 82 % (two standard errors of the count beside it)."""
    gini, naive_gini = figures.get("gini", 0.0), baseline.get("gini", 0.0)
    allowed = TOLERANCE + 2 * float(np.sqrt(COVERAGE * (1 - COVERAGE) / max(uncertain, 1)))
    held = figures.get("coverage", 0.0)
    return [
        _lower("error against carrying forward", figures["scaled_error"], baseline["scaled_error"]),
        _lower("error against the mean", figures["scaled_error"], of_mean["scaled_error"]),
        Verdict("gini", gini >= naive_gini, gini, naive_gini, "Ranks players at least as well as the last 90 days carried forward."),
        Verdict(
            "coverage",
            abs(held - COVERAGE) <= allowed,
            held,
            COVERAGE,
            "Share of held-out values from P10 to P90, those of exactly nothing shared where an end is 0; "
            f"{allowed:.3f} away from 80 % is allowed for {uncertain} players.",
        ),
        # no ground for refusal: the 90 days are measured in any case, and the reason says what is not
        Verdict("days measured", True, float(extension["days_measured"]), float(WINDOW), extension["reason"]),
    ]


def _lower(name: str, value: float, limit: float) -> Verdict:
    return Verdict(name, value < limit, value, limit, "Squared error over the player's scale, on the evaluation cut-off.")
