"""Similar past cases: players who looked, at an earlier instant, like a player looks now, and what became of them.

With every run a sample of players is described as of a cut-off that lies far enough back for its outcome to be known: 90 days when
the history allows, else the horizon of churn, without a value. Nearness is the Euclidean distance over the features that weigh most
in the churn model of the run, each in standard deviations of the sample; an unknown figure counts as the sample's mean.
"""

import math
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from django.db import connection

from loyalty_site.common.clock import utc_now
from loyalty_site.common.jobs import id_ranges
from players.models import Player
from predictions import features, selectors, wording
from predictions.basis import require_score
from predictions.eligibility import unconsented
from predictions.ml.features import BY_NAME, Feature
from predictions.models import Kind, ModelVersion, PastCase, ScoringRun
from predictions.rows import Column, Type, to_amounts
from predictions.services import Compared, MoneyUnit, SimilarCase, Unavailable, money_unit

LEADING_FEATURES = 8
CASES = 5_000
VALUE_DAYS = 90
_BLOCK_PLAYERS = 200
_LEAST_CASES = 50
_blocks = id_ranges("players_player", chunk_size=_BLOCK_PLAYERS)


def store(run: ScoringRun) -> int:
    """Write the past cases of a run and describe them in `run.summary["cases"]`; the caller saves the run. Returns how many."""
    version = ModelVersion.objects.get(pk=run.versions[Kind.CHURN])
    names = leading_features(version)
    cutoff, value_days = _cutoff(run, version.horizon_days)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM predictions_pastcase WHERE run_id = %s", [run.pk])
    if cutoff is None or not names:
        return 0
    parts = [part for part in _described(run, version, cutoff) if len(part)]
    cases = pd.concat(parts) if parts else pd.DataFrame()
    if len(cases) < _LEAST_CASES:
        return 0
    values = cases[list(names)].to_numpy(float)
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(values).all(axis=0)
    mean = np.where(known, np.nanmean(np.where(known, values, 0.0), axis=0), 0.0)
    spread = np.where(known, np.nanstd(np.where(known, values, 0.0), axis=0), 0.0)
    run.summary["cases"] = {
        "cutoff": cutoff.isoformat(),
        "value_days": value_days,
        "horizon_days": version.horizon_days,
        "features": list(names),
        "mean": mean.tolist(),
        "spread": np.where(spread > 0, spread, 1.0).tolist(),
        "count": len(cases),
    }
    return _write(run, cases, names, value_days)


def leading_features(version: ModelVersion) -> tuple[str, ...]:
    """The features that weigh most in a version, heaviest first."""
    known = [(name, share) for name, share in version.importance.items() if name in BY_NAME and share > 0]
    return tuple(name for name, _ in sorted(known, key=lambda one: (-one[1], one[0]))[:LEADING_FEATURES])


def _cutoff(run: ScoringRun, horizon_days: int) -> tuple[datetime | None, int]:
    """The instant to look back to, and the days after it whose revenue is known (0: none). None when history is too short."""
    first_day, _ = features.data_window()
    if first_day is None:
        return None, 0
    until = run.features_as_of
    for days, value_days in ((max(VALUE_DAYS, horizon_days), VALUE_DAYS), (horizon_days, 0)):
        cutoff = until - timedelta(days=days)
        if (cutoff.date() - first_day).days >= horizon_days:
            return cutoff, value_days
    return None, 0


def _described(run: ScoringRun, version: ModelVersion, cutoff: datetime) -> list[pd.DataFrame]:
    """Features and outcomes of sampled blocks of players, those who could still be lost at the cut-off."""
    ranges = list(_blocks({}))
    chosen = random.Random(run.as_of.isoformat()).sample(ranges, min(len(ranges), CASES // _BLOCK_PLAYERS))  # noqa: S311 - a sample
    units = features.currency_units(cutoff)  # of the past instant, as the model was taught
    until = min(run.features_as_of, cutoff + timedelta(days=400))
    described = []
    for lower, upper in sorted(chosen):
        frame = features.frame(lower, upper, cutoff, units=units)
        outcome = features.labels(lower, upper, cutoff, version.horizon_days, until, units=units)
        frame = frame.drop(index=list(unconsented(frame.index.tolist(), run.as_of)))
        both = frame.join(outcome[["churned", "ngr_90d", "is_eligible"]].add_prefix("then_"), how="inner")
        described.append(both[both["then_is_eligible"].astype(bool) & both["then_churned"].notna()])
    return described


def _write(run: ScoringRun, cases: pd.DataFrame, names: tuple[str, ...], value_days: int) -> int:
    revenue = cases["then_ngr_90d"].to_numpy(float) if value_days else np.full(len(cases), np.nan)
    unit = cases["currency_unit"].to_numpy(float)
    missing = np.isnan(revenue) | np.isnan(unit)
    amounts = to_amounts(np.where(missing, 0.0, revenue), np.where(missing, 1.0, unit))
    columns = cases[list(names)].to_numpy(float)
    objects = [
        PastCase(
            run=run,
            player_id=int(player),
            features=[None if math.isnan(value) else float(value) for value in columns[row]],
            churned=bool(cases["then_churned"].iloc[row]),
            value=None if missing[row] else Column(Type.AMOUNT, amounts).value(row),
        )
        for row, player in enumerate(cases.index)
    ]
    return len(PastCase.objects.bulk_create(objects, batch_size=1_000))


def similar_cases(player_id: int, count: int) -> list[SimilarCase]:
    run = selectors.current_run()
    reason = selectors.withheld_reason(Kind.CHURN, run)
    if run is None or reason is not None:
        raise Unavailable(Kind.CHURN, reason or selectors.NEVER_SCORED)
    description = run.summary.get("cases")
    if not description:
        raise Unavailable(Kind.CHURN, "The history is too short for past cases whose outcome is known.")
    require_score(Kind.CHURN, player_id, run.as_of)
    names = description["features"]
    mine = features.frame_for([player_id], run.features_as_of, units=run.units)
    if mine.empty:
        raise Unavailable(Kind.CHURN, "The player was not there yet when the last scores were computed.")
    others = PastCase.objects.filter(run=run).exclude(player_id=player_id).order_by("player_id")
    kept = list(others.values_list("id", "features", "player_id"))
    silent = unconsented([player for _, _, player in kept], utc_now())
    found = [(case, values) for case, values, player in kept if player not in silent]
    if not found:
        return []
    own = mine[names].to_numpy(float)[0]
    distances = _distances(own, np.array([values for _, values in found], dtype=float), description)
    nearest = np.argsort(distances, kind="stable")[:count]
    unit = money_unit(run, Player.objects.values_list("currency", flat=True).get(pk=player_id))
    return _cases(description, own, unit, [(found[row][0], float(distances[row])) for row in nearest])


def _distances(own: npt.NDArray[np.float64], others: npt.NDArray[np.float64], description: dict[str, Any]) -> npt.NDArray[np.float64]:
    mean, spread = np.array(description["mean"]), np.array(description["spread"])
    standard = np.nan_to_num((others - mean) / spread)
    difference = standard - np.nan_to_num((own - mean) / spread)
    return np.asarray(np.sqrt((difference**2).mean(axis=1)))


def _cases(
    description: dict[str, Any], own: npt.NDArray[np.float64], unit: MoneyUnit, nearest: list[tuple[int, float]]
) -> list[SimilarCase]:
    stored = {one.pk: one for one in PastCase.objects.filter(pk__in=[case for case, _ in nearest]).select_related("player")}
    answer = []
    for number, distance in nearest:
        case = stored.get(number)
        if case is None:  # went with an undone import in this very moment
            continue
        pairs = zip(description["features"], own.tolist(), case.features, strict=True)
        answer.append(
            SimilarCase(
                player_id=case.player_id,
                external_id=case.player.external_id,
                cutoff=datetime.fromisoformat(description["cutoff"]),
                distance=distance,
                churned=case.churned,
                value=case.value,
                value_days=description["value_days"],
                currency=case.player.currency,
                compared=tuple(_compared(BY_NAME[name], None if math.isnan(now) else now, then, unit) for name, now, then in pairs),
            )
        )
    return answer


def _compared(feature: Feature, mine: float | None, theirs: float | None, unit: MoneyUnit) -> Compared:
    return Compared(feature.label, mine, theirs, wording.figure_text(feature, mine, unit), wording.figure_text(feature, theirs, unit))
