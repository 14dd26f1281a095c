"""Training of one kind: is there enough data, build the history, train, judge, save.

Nothing is put into use here. The history ends with the last activity there is: labels beyond it would call everybody inactive.
"""

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from constance import config
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit, jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from predictions import gate, registry, training_jobs
from predictions.models import Kind, ModelVersion

logger = logging.getLogger(__name__)

TRAIN_PERMISSION = "predictions.train_model"

_LOOK_BACK_DAYS = 90  # features look this far back; earlier cut-offs would see half-filled windows
_STEP_DAYS = 30
_PANEL_FROM_PLAYERS = 1000
PANEL = "players_kept_for_comparison"  # in the parameters of a version that was trained without the panel
_FEWEST_CUTOFFS, _MOST_CUTOFFS = 3, 6


class TrainingRefused(ValueError):
    """The training may not be started as things stand; nothing was written."""


@dataclass(frozen=True)
class Recipe:
    """How a kind is trained. `module` has `train(history, *, seed)`; `horizon_days()` is how far the labels look ahead.

    `limits()` are further arguments of that function. `panel`: a tenth of the players is kept from it (see `measure.without_panel`).
    """

    module: str
    horizon_days: Callable[[], int]
    limits: Callable[[], dict[str, int]] = dict
    panel: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one kind in a training run. `version` is None when there was too little data; `words` says it for staff."""

    version: ModelVersion | None
    words: str
    rows: int


def _limits() -> dict[str, int]:
    return {"minimum_players": int(config.PREDICTION_MIN_PLAYERS), "minimum_positives": int(config.PREDICTION_MIN_POSITIVES)}


RECIPES: dict[str, Recipe] = {
    Kind.CHURN: Recipe("predictions.ml.churn", lambda: int(config.CHURN_HORIZON_DAYS), _limits),
    Kind.LTV: Recipe("predictions.ml.ltv", lambda: 90, panel=True),
    Kind.FRAUD: Recipe("predictions.ml.anomaly", lambda: 30),
    Kind.SEGMENTATION: Recipe("predictions.ml.segmentation", lambda: 30),
    Kind.ENGAGEMENT: Recipe("predictions.ml.engagement", lambda: 7, _limits),
    Kind.PROFILE: Recipe("predictions.ml.profile_value", lambda: 365),
}


def start(kinds: list[str], by: User, at: datetime, *, seed: int = 0) -> JobRun:
    """Queue a training of `kinds` (empty: all) for staff; the run shows its progress. Raises TrainingRefused, ValueError (unknown kind)."""
    if not by.has_perm(TRAIN_PERMISSION):
        raise TrainingRefused("you may not start a training; ask for the permission 'Can start a training'")
    parameters = {"kinds": training_jobs.kinds_of({"kinds": kinds}), "seed": seed}
    open_runs = JobRun.objects.filter(name=training_jobs.NAME, status__in=[JobRun.Status.QUEUED, JobRun.Status.RUNNING])
    with transaction.atomic():
        if (running := open_runs.order_by("id").first()) is not None:
            raise TrainingRefused(f"a training is under way already (run {running.pk}); wait for its end or cancel it")
        run = jobs.create_run(training_jobs.NAME, as_of=require_utc(at), parameters=parameters, requested_by=by)
        audit.record("predictions.training_started", run, at=at, actor=by, after=parameters)
        transaction.on_commit(lambda: training_jobs.execute_training.delay(run_id=run.pk))
    return run


def attempt(kind: str, *, as_of: datetime, seed: int = 0, requested_by: User | None = None, is_synthetic: bool = False) -> Outcome:
    """Train a kind, or say what is missing: too little data is an answer, kept in the audit log for whoever asks why nothing is shown."""
    from predictions.ml.kinds import NotEnoughData

    try:
        version = train(kind, as_of=as_of, seed=seed, requested_by=requested_by, is_synthetic=is_synthetic)
    except NotEnoughData as missing:
        audit.record(gate.TRAINING_WITHHELD, (gate.KIND_SUBJECT, str(kind)), at=utc_now(), actor=requested_by, reason=str(missing))
        logger.info("predictions.training_withheld kind=%s", kind)
        return Outcome(None, f"not trained: {missing}", 0)
    words = f"{version}: {version.get_status_display()}"
    if version.status == ModelVersion.Status.REFUSED:
        words += f". {gate.failures(gate.recorded(version))}"
    return Outcome(version, words, version.rows)


def is_up_to_date(kind: str) -> bool:
    """Whether another training would bring the same: the simulated customers do not change, and the version in use can be opened."""
    if kind not in gate.WITHOUT_HISTORY:
        return False
    try:
        registry.load_champion(kind)
    except registry.NoModel:
        return False
    return True


def train(kind: str, *, as_of: datetime, seed: int = 0, requested_by: User | None = None, is_synthetic: bool = False) -> ModelVersion:
    """Train a version as of `as_of` and save it as a candidate, or as refused when it does not pass its gate.

    Raises NotEnoughData (what there is, what is needed, what to do); TrainingRefused when `requested_by` may not train, or for a simulated
    operator in production.
    """
    _require_allowed(kind, requested_by, is_synthetic)
    recipe = RECIPES[Kind(kind)]
    started = time.monotonic()
    if kind in gate.WITHOUT_HISTORY:
        as_of, trained, is_synthetic = require_utc(as_of), _trainer(recipe)(seed=seed), True
    else:
        as_of, trained = _train_on_history(kind, recipe, require_utc(as_of), seed)
    trained = _judged(trained, gate.baseline_verdicts(kind, trained.record.metrics, trained.record.baseline))
    return registry.save(
        kind,
        trained,
        as_of=as_of,
        horizon_days=recipe.horizon_days(),
        seed=seed,
        is_synthetic=is_synthetic,
        trained_by=requested_by,
        seconds=time.monotonic() - started,
        at=utc_now(),
    )


def _require_allowed(kind: str, requested_by: User | None, is_synthetic: bool) -> None:
    if requested_by is not None and not requested_by.has_perm(TRAIN_PERMISSION):
        raise TrainingRefused(f"{requested_by} may not train models; the permission is 'Can start a training'")
    if is_synthetic and settings.IS_PRODUCTION and kind not in gate.WITHOUT_HISTORY:
        raise TrainingRefused("a model of a simulated operator says nothing about real players; train without --synthetic")


def _train_on_history(kind: str, recipe: Recipe, as_of: datetime, seed: int) -> tuple[datetime, Any]:
    """(end of the history that was used, Trained). The evaluation cut-off is the last: only the figures come from it."""
    from predictions import features, measure
    from predictions.ml.kinds import NotEnoughData

    _first_day, last = features.data_window()
    as_of = min(as_of, last) if last is not None else as_of
    have = gate.extent(as_of)
    enough = gate.data_verdicts(kind, have)
    if not gate.passed(enough):
        raise NotEnoughData(" ".join(verdict.reason for verdict in enough if not verdict.passed))
    horizon = recipe.horizon_days()
    count = cutoff_count(have.days, horizon)
    history = features.history(as_of, horizon, count, sample=settings.MODEL_TRAINING_PLAYERS, seed=seed)
    logger.info("predictions.history_ready kind=%s cutoffs=%s rows=%s", kind, count, sum(len(one.features) for one in history.cutoffs))
    if kind in gate.PROBABILITIES:
        labels = history.evaluation.labels
        happened = labels.loc[labels["is_eligible"].astype(bool), gate.PROBABILITIES[Kind(kind)]].dropna().astype(bool)
        cases = gate.case_verdicts(kind, int(happened.sum()), int((~happened).sum()))
        if not gate.passed(cases):
            raise NotEnoughData(" ".join(verdict.reason for verdict in cases if not verdict.passed))
        enough += cases
    if panel := recipe.panel and _has_room_for_panel(history):
        history = measure.without_panel(history)
    trained = _learn(kind, recipe, history, seed)
    parameters = {**trained.record.parameters, **({PANEL: True} if panel else {})}
    return as_of, _judged(replace(trained, record=replace(trained.record, parameters=parameters)), enough)


def _learn(kind: str, recipe: Recipe, history: Any, seed: int) -> Any:
    """The kind's own trainer; for fraud the supervised one, once enough reviews have found abuse and enough have not."""
    if kind == Kind.FRAUD:
        from predictions import measure
        from predictions.ml import anomaly
        from predictions.ml.kinds import NotEnoughData

        outcomes = measure.training_outcomes()
        if min((outcomes == 1).sum(), (outcomes == 0).sum()) >= config.PREDICTION_MIN_POSITIVES:
            try:
                return anomaly.train_supervised(history, outcomes, seed=seed)
            except NotEnoughData as missing:  # enough reviews, but not of players who were there at the cut-off
                logger.info("predictions.fraud_not_supervised reason=%s", missing)
    return _trainer(recipe)(history, seed=seed, **recipe.limits())


def _has_room_for_panel(history: Any) -> bool:
    """Below this number a tenth of the players is missed more by the model than gained by the comparison."""
    return len(history.evaluation.features) >= _PANEL_FROM_PLAYERS


def _judged(trained: Any, verdicts: list[Any]) -> Any:
    """The trained model with our verdicts beside the trainer's own; of two with one name ours counts."""
    ours = {verdict.name for verdict in verdicts}
    kept = [verdict for verdict in trained.record.gate if verdict.name not in ours]
    return replace(trained, record=replace(trained.record, gate=[*verdicts, *kept]))


def _trainer(recipe: Recipe) -> Callable[..., Any]:
    function: Callable[..., Any] = importlib.import_module(recipe.module).train
    return function


def cutoff_count(days: int, horizon_days: int) -> int:
    """How many cut-offs, 30 days apart, the history has room for: 3 to 6, so that the earliest looks back on 90 days where it can.

    Raises NotEnoughData when three do not fit with a month of history before the first.
    """
    from predictions.ml.kinds import NotEnoughData

    fitting = (days - horizon_days - _LOOK_BACK_DAYS) // _STEP_DAYS + 1
    needed = horizon_days + _STEP_DAYS * _FEWEST_CUTOFFS
    if days < needed:
        raise NotEnoughData(
            f"{days} days of history; {needed} are needed to look {horizon_days} days ahead: import older activity or wait."
        )
    return max(_FEWEST_CUTOFFS, min(_MOST_CUTOFFS, fitting))
