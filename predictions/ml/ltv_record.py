"""What is kept of a training of value: errors against naive forecasts, coverage, deciles, what could not be measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import clv, metrics
from .kinds import Cutoff, Record, Trained, Verdict
from .ltv_boosted import BOOSTED
from .ltv_deposits import PROBABILISTIC
from .ltv_growth import WINDOW, YEAR, Known
from .ltv_interval import COVERAGE, widened
from .ltv_measure import coverage, errors, of_median

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
    value = chosen_value(draft, frame, held_out)
    figures = errors(truth, value, scale) | of_median(truth, bounds["p50"].to_numpy()) | coverage(truth, bounds)
    model = replace(draft, confidence=_confidence(truth, bounds, draft.interval.groups.count))
    naive, mean = _baselines(development, frame)
    last_truth = development[-1].labels["ngr_90d"].to_numpy(float)
    baseline = errors(truth, naive, scale) | of_median(truth, naive) | _naive_coverage(development[-1], last_truth, truth, naive)
    of_mean = errors(truth, mean, scale)
    extension = _extension(model, measured, known)
    explanation = model.explain(frame.iloc[:_EXPLAINED])
    sizes = np.abs(explanation.contributions).mean(axis=0)
    answer = Record(
        rows=sum(len(cutoff.features) for cutoff in development),
        positives=sum(int((cutoff.labels["ngr_90d"] != 0).sum()) for cutoff in development),
        metrics=figures,
        baseline=baseline,
        candidates=_candidates(model, development, distribution, seed),
        curves={
            "deciles": metrics.decile_table(truth, value),
            "coverage": _by_group(truth, bounds),
            "mean_baseline": of_mean,
            "extension": extension,
        },
        importance=dict(zip(model.features, (sizes / sizes.sum()).tolist(), strict=True)),
        parameters=_parameters(model, seed),
        gate=_gate(figures, baseline, of_mean, extension, int((bounds["group"] > 0).sum())),
    )
    return Trained(model, answer)


def chosen_value(model: "LtvModel", frame: pd.DataFrame, distribution: pd.DataFrame) -> np.ndarray:
    """Over 90 days by the method in use, from held-out predictions of the trees; shape (rows,)."""
    boosted = distribution["value"].to_numpy()
    if model.algorithm != PROBABILISTIC:
        return boosted
    by_deposits = model.deposits.value(frame, WINDOW)
    answer: np.ndarray = np.where(np.isnan(by_deposits), boosted, by_deposits)
    return answer


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
    """Coverage per group on the evaluation cut-off; of everybody uncertain for a group of fewer than 30."""
    inside = (truth >= bounds["p10"].to_numpy()) & (truth <= bounds["p90"].to_numpy())
    group = bounds["group"].to_numpy()
    pooled = inside[group > 0] if (group > 0).any() else inside
    return tuple(
        float(inside[group == number].mean()) if (group == number).sum() >= _FEWEST else float(pooled.mean()) for number in range(groups)
    )


def _by_group(truth: np.ndarray, bounds: pd.DataFrame) -> list[Mapping[str, Any]]:
    inside = (truth >= bounds["p10"].to_numpy()) & (truth <= bounds["p90"].to_numpy())
    width = (bounds["p90"] - bounds["p10"]).to_numpy()
    group = bounds["group"].to_numpy()
    names = {0: "almost certainly nothing", 1: "more likely nothing than something"}
    return [
        {
            "group": names.get(int(number), f"size {int(number) - 1}"),
            "n": int((group == number).sum()),
            "coverage": float(inside[group == number].mean()),
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
    by_trees = errors(truth, distribution["value"].to_numpy()[depositors], scale)
    by_trees["coverage_all"] = metrics.coverage(truth, bounds["p10"], bounds["p90"])
    rows = [
        (BOOSTED, by_trees),
        (PROBABILISTIC, by_deposits),
        ("last 90 days carried forward", errors(truth, naive, scale)),
        ("mean", errors(truth, mean, scale)),
    ]
    return [{"algorithm": name, "chosen": name == model.algorithm, "metrics": figures} for name, figures in rows]


def _extension(model: "LtvModel", measured: "Learned", known: Known | None) -> Mapping[str, Any]:
    """How far beyond 90 days anything was measured, and how the extended values did there."""
    growth = model.growth
    answer: dict[str, Any] = {
        "days_measured": growth.days,
        "correction": growth.correction,
        "correction_error": growth.error,
        "players": growth.players,
        "widening": model.widening,
        "validated": growth.days >= YEAR,
        "reason": _reach(growth.days),
    }
    if known is not None and growth.days > WINDOW:
        distribution = measured.distribution(known.rows)
        stretch = growth.of(model.deposits, known.rows, known.days)
        value = chosen_value(model, known.rows, distribution)
        bounds = model.interval.of(distribution)
        wide = widened(bounds, stretch, model.widening).assign(group=bounds["group"].to_numpy())
        if model.algorithm == PROBABILISTIC:
            by_deposits = model.deposits.value(known.rows, known.days)
            value = np.where(np.isnan(by_deposits), value * stretch, by_deposits)
        else:
            value = value * stretch
        naive = np.nan_to_num(known.rows["ngr_90d"].to_numpy(float), nan=0.0) * known.days / WINDOW
        scale = distribution["scale"].to_numpy()
        answer["metrics"] = errors(known.far, value, scale) | coverage(known.far, wide)
        answer["baseline"] = errors(known.far, naive, scale)
    return answer


def _reach(days: int) -> str:
    if days >= YEAR:
        return "The value of 365 days was measured."
    if days > WINDOW:
        return (
            f"The history shows what followed for {days} days. The days from {days} to {YEAR} follow the fitted course of deposits and "
            "were not measured; they will be when cut-offs lie a year back."
        )
    return (
        f"The history shows no more than {WINDOW} days after a cut-off. The days from {WINDOW} to {YEAR} follow the course of deposits "
        "by BG/NBD alone and were not measured."
    )


def _parameters(model: "LtvModel", seed: int) -> Mapping[str, Any]:
    bg, gg = model.deposits.bg, model.deposits.gg
    return {
        "bg_nbd": {"r": bg.r, "alpha": bg.alpha, "a": bg.a, "b": bg.b, "customers": bg.n, "at_limit": list(bg.at_limit)},
        "gamma_gamma": {"p": gg.p, "q": gg.q, "v": gg.v, "customers": gg.n, "at_limit": list(gg.at_limit)},
        "margin": model.deposits.margin,
        "scale_floor": model.boosted.scale.floor,
        "interval_shift": list(model.interval.shift),
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
            f"Share of held-out values inside P10 to P90; {allowed:.3f} away from 80 % is allowed for {uncertain} players.",
        ),
        # no ground for refusal: the 90 days are measured in any case, and the reason says what is not
        Verdict("days measured", True, float(extension["days_measured"]), float(WINDOW), extension["reason"]),
    ]


def _lower(name: str, value: float, limit: float) -> Verdict:
    return Verdict(name, value < limit, value, limit, "Squared error over the player's scale, on the evaluation cut-off.")
