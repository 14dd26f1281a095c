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

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit, jobs
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import JobRun
from players.origin import is_simulated
from predictions import gate, registry, training_jobs
from predictions.instants import FutureInstant, require_past
from predictions.models import Kind, ModelVersion
from predictions.thresholds import thresholds

logger = logging.getLogger(__name__)

TRAIN_PERMISSION = "predictions.train_model"

_LOOK_BACK_DAYS = 90  # most features look this far back; earlier cut-offs would see half-filled windows
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
    `earlier_days`: further cut-offs so many days before the end of the history, those that it looks back on 90 days from.
    `learns_what_was_known`: only from cut-offs whose outcome was known at the evaluation, so the first must lie a horizon before it.
    """

    module: str
    horizon_days: Callable[[], int]
    limits: Callable[[], dict[str, int]] = dict
    panel: bool = False
    earlier_days: tuple[int, ...] = ()
    learns_what_was_known: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one kind in a training run. `version` is None when there was too little data; `words` says it for staff."""

    version: ModelVersion | None
    words: str
    rows: int


def _limits() -> dict[str, int]:
    limits = thresholds()
    return {"minimum_players": limits.min_players, "minimum_positives": limits.min_positives}


def _churn_horizon() -> int:
    """Raises TrainingRefused for a horizon that the settings page would refuse: it may have been set elsewhere."""
    days = thresholds().churn_horizon
    least, most = settings.CHURN_HORIZON_RANGE
    if not least <= days <= most:
        raise TrainingRefused(f"CHURN_HORIZON_DAYS is {days}; set {least} to {most} days on the page Thresholds")
    return days


RECIPES: dict[str, Recipe] = {
    Kind.CHURN: Recipe("predictions.ml.churn", _churn_horizon, _limits, learns_what_was_known=True),
    Kind.LTV: Recipe("predictions.ml.ltv", lambda: 90, panel=True, earlier_days=(395, 365)),
    Kind.FRAUD: Recipe("predictions.ml.anomaly", lambda: 30),
    Kind.SEGMENTATION: Recipe("predictions.ml.segmentation", lambda: 30),
    Kind.ENGAGEMENT: Recipe("predictions.ml.engagement", lambda: 7, _limits, learns_what_was_known=True),
    Kind.PROFILE: Recipe("predictions.ml.profile_value", lambda: 365),
}


def start(
    kinds: list[str],
    by: User | None,
    at: datetime,
    *,
    reason: str,
    seed: int = 0,
    is_synthetic: bool = False,
    as_of: datetime | None = None,
) -> JobRun:
    """Record a training of `kinds` (empty: all) up to `as_of` (default: `at`), while no other one is open: for staff and the command.

    The schedule records its own by `jobs.create_run`, which keeps the same rule: one that is due while another is open is left out.
    `by` is None for the command line. Who calls has it executed: `training_jobs.enqueue`, or `jobs.execute` here and now.
    Raises TrainingRefused (no permission, no reason, `as_of` still to come, one is open already), ValueError (unknown kind).
    """
    if by is not None and not by.has_perm(TRAIN_PERMISSION):
        raise TrainingRefused("you may not start a training; ask for the permission 'Can start a training'")
    if not (reason := reason.strip()):
        raise TrainingRefused("say why this training is started")
    try:
        as_of = require_past(as_of or at)
    except FutureInstant as error:
        raise TrainingRefused(str(error)) from error
    parameters = {"kinds": training_jobs.kinds_of({"kinds": kinds}), "seed": seed, "is_synthetic": is_synthetic}
    with transaction.atomic():
        try:
            run = jobs.create_run(training_jobs.NAME, as_of=as_of, parameters=parameters, requested_by=by)
        except jobs.JobRefused as refusal:
            raise TrainingRefused(str(refusal)) from refusal
        audit.record("predictions.training_started", run, at=at, actor=by, after=parameters, reason=reason)
    return run


def attempt(kind: str, *, as_of: datetime, seed: int = 0, requested_by: User | None = None, is_synthetic: bool = False) -> Outcome:
    """Train a kind, or say what is missing: too little data is an answer, kept in the audit log for whoever asks why nothing is shown."""
    from predictions.ml.kinds import NotEnoughData

    try:
        version = train(kind, as_of=as_of, seed=seed, requested_by=requested_by, is_synthetic=is_synthetic)
    except NotEnoughData as missing:
        audit.record(gate.TRAINING_WITHHELD, (gate.KIND_SUBJECT, str(kind)), at=utc_now(), actor=requested_by, reason=str(missing))
        logger.info("predictions.training_withheld kind=%s", kind)
        return Outcome(None, f"{training_jobs.NOT_TRAINED}: {missing}", 0)
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

    It is recorded as one of a simulated operator when the players are (`players.origin`); `is_synthetic` says so of players that are not
    known to be.
    Raises NotEnoughData (what there is, what is needed, what to do); TrainingRefused when `requested_by` may not train, or for a simulated
    operator in production.
    """
    is_synthetic = is_synthetic or is_simulated()
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
        raise TrainingRefused("the players here are simulated; a model of them says nothing about real players and is for no production")


def _train_on_history(kind: str, recipe: Recipe, as_of: datetime, seed: int) -> tuple[datetime, Any]:
    """(end of the history that was used, Trained). The evaluation cut-off is the last: only the figures come from it."""
    from predictions import drifting, features, measure
    from predictions.ml.kinds import NotEnoughData

    _first_day, last = features.data_window()
    as_of = min(as_of, last) if last is not None else as_of
    have = gate.extent(as_of)
    enough = gate.data_verdicts(kind, have)
    if not gate.passed(enough):
        raise NotEnoughData(" ".join(verdict.reason for verdict in enough if not verdict.passed))
    horizon = recipe.horizon_days()
    step = step_days(horizon) if recipe.learns_what_was_known else _STEP_DAYS
    count = cutoff_count(have.days, horizon, step)
    always = measure.known_cases().index.tolist() if kind == Kind.FRAUD else []  # reviews are few: a sample must not lose them
    history = features.history(as_of, horizon, count, sample=settings.MODEL_TRAINING_PLAYERS, seed=seed, step_days=step, always=always)
    if earlier := [days for days in recipe.earlier_days if have.days >= days + _LOOK_BACK_DAYS]:
        history = features.with_earlier(history, as_of, earlier, sample=settings.MODEL_TRAINING_PLAYERS, seed=seed)
    logger.info(
        "predictions.history_ready kind=%s cutoffs=%s rows=%s",
        kind,
        len(history.cutoffs),
        sum(len(one.features) for one in history.cutoffs),
    )
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
    record = replace(trained.record, parameters=parameters, reference=drifting.reference(kind, history, trained.model.features, as_of))
    return as_of, _judged(replace(trained, record=record), enough)


def _learn(kind: str, recipe: Recipe, history: Any, seed: int) -> Any:
    """The kind's own trainer; for fraud the supervised one, once enough reviews have found abuse and enough have not."""
    if kind == Kind.FRAUD and (supervised := _learn_from_cases(history, seed)) is not None:
        return supervised
    return _trainer(recipe)(history, seed=seed, **recipe.limits())


def _learn_from_cases(history: Any, seed: int) -> Any:
    """The supervised model of fraud; None while there are too few closed reviews, or too few of players known shortly before them."""
    from predictions import measure
    from predictions.features.frames import known_ids
    from predictions.ml import anomaly
    from predictions.ml.kinds import NotEnoughData

    cases = measure.known_cases()
    if min((cases["confirmed"] == 1).sum(), (cases["confirmed"] == 0).sum()) < thresholds().min_positives:
        return None
    latest = history.development[-1]
    players = len(latest.features)
    if players >= settings.MODEL_TRAINING_PLAYERS:  # a sample: how many does it stand for
        players = len(known_ids(latest.as_of))
    everybody = latest.features.index.union(history.evaluation.features.index)
    try:
        return anomaly.train_supervised(history, cases, measure.detectors_of(everybody), players=players, seed=seed)
    except NotEnoughData as missing:
        logger.info("predictions.fraud_not_supervised reason=%s", missing)
        return None


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


def step_days(horizon_days: int) -> int:
    """How far cut-offs lie apart, so that of three the outcome of the first is known at the last: half a horizon, at least 30 days."""
    return max(_STEP_DAYS, -(-horizon_days // (_FEWEST_CUTOFFS - 1)))


def cutoff_count(days: int, horizon_days: int, step: int = _STEP_DAYS) -> int:
    """How many cut-offs, `step` days apart, the history has room for with 90 days before the first: 3 to 6.

    Raises NotEnoughData when three do not fit: a model that learns from half-filled windows would be given full ones.
    """
    from predictions.ml.kinds import NotEnoughData

    needed = horizon_days + _LOOK_BACK_DAYS + step * (_FEWEST_CUTOFFS - 1)
    if days < needed:
        wait = f"{needed - days} day{'s' * (needed - days > 1)}"
        raise NotEnoughData(
            f"{days} days of history; {needed} are needed to look {horizon_days} days ahead from {_FEWEST_CUTOFFS} days that lie "
            f"{step} apart and {_LOOK_BACK_DAYS} back from the first: import older activity or train again in {wait}."
        )
    return min(_MOST_CUTOFFS, (days - horizon_days - _LOOK_BACK_DAYS) // step + 1)
