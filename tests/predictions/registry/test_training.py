"""From the data gate to a saved version, with a small trainer in place of the real ones; and the job, the command and the schedule."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from constance import config
from django.apps import apps
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask

from loyalty_site import nightly
from loyalty_site.common import jobs
from loyalty_site.common.models import AuditEvent, JobRun
from predictions import features, gate, hooks, measure, registry, training, training_jobs
from predictions.ml import anomaly
from predictions.ml.kinds import Cutoff, History, NotEnoughData, Verdict
from predictions.models import Kind, ModelVersion
from predictions.training import TrainingRefused
from tests.factories import NOW, PlayerFactory
from tests.predictions.registry.models import AS_OF, a_cutoff, a_history, champion, fit, staff, trained

pytestmark = pytest.mark.django_db

LAST = datetime(2026, 3, 14, 17, 5, tzinfo=UTC)


@pytest.fixture
def world(monkeypatch) -> SimpleNamespace:
    """300 days of history of 800 players, and a trainer of small models; every part may be replaced."""
    seen = SimpleNamespace(histories=[], trainings=[], history=a_history(), extent=gate.Extent(300, 800), result=trained)
    monkeypatch.setattr(features, "data_window", lambda: (LAST.date() - timedelta(days=300), LAST))
    monkeypatch.setattr(gate, "extent", lambda _as_of: seen.extent)

    def history(as_of, horizon_days, count, sample=None, seed=0):
        seen.histories.append((as_of, horizon_days, count, sample, seed))
        return seen.history

    def learn(kind, _recipe, history, seed):
        seen.trainings.append((kind, seed, [len(one.features) for one in history.cutoffs]))
        return seen.result(fit(history), history=history)

    monkeypatch.setattr(features, "history", history)
    monkeypatch.setattr(training, "_learn", learn)
    return seen


# -- one kind ---------------------------------------------------------------------------------------------------------


def test_train__enough_data__saves_a_candidate_with_all_verdicts(world, settings):
    by = staff("train_model")
    version = training.train("churn", as_of=NOW, seed=3, requested_by=by)

    assert (version.status, version.number, version.trained_by, version.seed) == (ModelVersion.Status.CANDIDATE, 1, by, 3)
    assert version.as_of == LAST  # nothing is known after the last activity
    assert world.histories == [(LAST, 30, 6, settings.MODEL_TRAINING_PLAYERS, 3)]
    assert [one["name"] for one in version.gate] == ["auc", "brier", "history", "players", "observed cases"]
    assert all(one["passed"] for one in version.gate)
    assert registry.champion("churn") is None  # training puts nothing into use


def test_train__no_better_than_the_baseline__refused_whatever_the_trainer_says(world):
    world.result = lambda model, history: trained(model, history=history, baseline={"auc": 0.99, "brier": 0.01})
    version = training.train("churn", as_of=NOW)

    assert version.status == ModelVersion.Status.REFUSED
    assert [one["name"] for one in version.gate if not one["passed"]] == ["auc", "brier"]


def test_train__our_verdict_counts_where_the_trainer_has_one_of_that_name(world):
    lenient = (Verdict("auc", True, 1.0, 0.0, "mine"), Verdict("calibration", True, 0.01, 0.05, "mine"))
    world.result = lambda model, history: trained(model, history=history, gate=lenient)
    version = training.train("churn", as_of=NOW)

    by_name = {one["name"]: one["reason"] for one in version.gate}
    assert by_name["calibration"] == "mine"
    assert by_name["auc"].startswith("AUC 0.")


@pytest.mark.parametrize(
    ("extent", "missing"),
    [
        (gate.Extent(179, 800), "179 days of history; 180 are needed"),
        (gate.Extent(300, 499), "499 players; 500 are needed"),
        (gate.Extent(10, 3), "10 days of history; 180 are needed: import older activity or wait. 3 players; 500 are needed"),
    ],
)
@pytest.mark.parametrize("kind", [kind for kind in Kind.values if kind != "profile"])
def test_train__too_little__says_so_and_leaves_nothing(world, kind, extent, missing):
    world.extent = extent
    with pytest.raises(NotEnoughData, match=missing):
        training.train(kind, as_of=NOW)
    assert not ModelVersion.objects.exists()
    assert world.histories == []


def test_train__exactly_enough__trains(world):
    world.extent = gate.Extent(180, 500)
    assert training.train("churn", as_of=NOW).number == 1


def test_train__thresholds_are_settings(world):
    world.extent = gate.Extent(120, 200)
    config.PREDICTION_MIN_DAYS, config.PREDICTION_MIN_PLAYERS = 120, 200
    assert training.train("churn", as_of=NOW).number == 1


@pytest.mark.parametrize(("churned", "what"), [(49, "49 cases"), (751, "49 opposite cases")])
def test_train__too_few_cases_of_either_kind__says_so(world, churned, what):
    world.history = with_churned(churned)
    with pytest.raises(NotEnoughData, match=f"{what} observed on the evaluation cut-off; 50 are needed"):
        training.train("churn", as_of=NOW)
    assert world.trainings == []


def with_churned(count: int) -> History:
    history = a_history()
    labels = history.evaluation.labels.assign(churned=[1.0] * count + [0.0] * (800 - count))
    return History([*history.development, Cutoff(history.evaluation.as_of, history.evaluation.features, labels)], 30)


def test_train__players_under_exclusion_are_no_cases(world):
    history = a_history()
    labels = history.evaluation.labels.assign(churned=1.0, is_eligible=[False] * 760 + [True] * 40)
    world.history = History([*history.development, Cutoff(AS_OF, history.evaluation.features, labels)], 30)
    with pytest.raises(NotEnoughData, match="0 opposite cases"):
        training.train("churn", as_of=NOW)


def test_train__ltv__leaves_the_panel_to_the_comparison(world):
    cutoffs = [a_cutoff(AS_OF - timedelta(days=30 * back), players=2000, seed=back) for back in (2, 1, 0)]
    world.history = History(cutoffs, 90)
    version = training.train("ltv", as_of=NOW)

    panel = int(measure.in_panel(cutoffs[0].features.index).sum())
    assert world.trainings == [("ltv", 0, [2000 - panel, 2000 - panel, 2000])]
    assert version.parameters[training.PANEL] is True


def test_train__ltv_of_a_small_operator__learns_from_everybody(world):
    version = training.train("ltv", as_of=NOW)
    assert world.trainings[0][2] == [800, 800, 800]
    assert training.PANEL not in version.parameters


def test_train__without_the_permission__refused(world):
    with pytest.raises(TrainingRefused, match="may not train models"):
        training.train("churn", as_of=NOW, requested_by=staff("view_modelversion"))
    assert world.histories == []


def test_train__simulated_operator_in_production__refused(world, settings):
    settings.IS_PRODUCTION = True
    with pytest.raises(TrainingRefused, match="says nothing about real players"):
        training.train("churn", as_of=NOW, is_synthetic=True)


@pytest.mark.parametrize(
    ("days", "horizon", "count"),
    [(180, 30, 3), (210, 30, 4), (365, 30, 6), (365, 7, 6), (365, 90, 6), (180, 90, 3), (2000, 365, 6)],
)
def test_cutoff_count__as_many_as_have_room(days, horizon, count):
    assert training.cutoff_count(days, horizon) == count


def test_cutoff_count__no_room_for_three__says_what_is_needed():
    with pytest.raises(NotEnoughData, match="179 days of history; 180 are needed to look 90 days ahead"):
        training.cutoff_count(179, 90)


def test_train__profile__needs_no_history_and_is_marked_as_simulated(world, settings, monkeypatch):
    settings.IS_PRODUCTION = True  # where it is allowed: it never was about the operator's players
    world.extent = gate.Extent(0, 0)
    monkeypatch.setattr(training, "_trainer", lambda _recipe: lambda *, seed: trained())
    version = training.train("profile", as_of=NOW)

    assert (version.status, version.is_synthetic, version.as_of) == (ModelVersion.Status.CANDIDATE, True, NOW)
    assert world.histories == []


def test_train__fraud__supervised_once_there_are_outcomes_and_never_with_those_kept_apart(monkeypatch):
    outcomes = pd.Series([1, 0] * 200, index=pd.Index(range(1, 401), name="player_id"))
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: outcomes)
    given = []
    monkeypatch.setattr(anomaly, "train_supervised", lambda history, outcomes, *, seed: given.append((outcomes, seed)) or "supervised")
    monkeypatch.setattr(anomaly, "train", lambda history, *, seed: "isolation forest")
    recipe = training.RECIPES["fraud"]

    assert training._learn("fraud", recipe, None, 3) == "supervised"
    (used, seed), apart = given[0], measure.held_out_outcomes()
    assert (seed, len(used), len(apart)) == (3, 320, 80)
    assert set(used.index).isdisjoint(apart.index)

    config.PREDICTION_MIN_POSITIVES = 161
    assert training._learn("fraud", recipe, None, 3) == "isolation forest"


# -- why there is no model ---------------------------------------------------------------------------------------------


def test_extent__empty_database__nothing():
    assert gate.extent(NOW) == gate.Extent(0, 0)
    assert gate.shortfall("churn", NOW).startswith("0 days of history; 180 are needed")
    assert gate.shortfall("profile", NOW) == ""


def test_extent__counts_players_of_that_time_up_to_what_is_needed(monkeypatch):
    monkeypatch.setattr(features, "data_window", lambda: (NOW.date() - timedelta(days=200), NOW))
    config.PREDICTION_MIN_PLAYERS = 3
    PlayerFactory.create_batch(2)
    PlayerFactory(registered_at=NOW + timedelta(days=1))
    assert gate.extent(NOW) == gate.Extent(200, 2)
    PlayerFactory.create_batch(5)
    assert gate.extent(NOW) == gate.Extent(200, 3)


def test_why_no_model__names_the_step_that_is_missing(world):
    assert gate.why_no_model("churn").startswith("No model has been trained yet")

    world.history = with_churned(10)
    outcome = training.attempt("churn", as_of=NOW)
    assert (outcome.version, outcome.words) == (None, "not trained: " + AuditEvent.objects.get(action=gate.TRAINING_WITHHELD).reason)
    assert gate.why_no_model("churn").startswith("Not enough data: 10 cases observed")
    assert gate.why_no_model("ltv").startswith("No model has been trained yet")

    world.history = a_history()
    training.attempt("churn", as_of=NOW)
    assert gate.why_no_model("churn").startswith("Churn 1 is trained and waits to be put into use")

    world.result = lambda model, history: trained(model, history=history, gate=(Verdict("calibration", False, 0.2, 0.1, "says too much"),))
    training.attempt("churn", as_of=NOW)
    assert gate.why_no_model("churn") == "Churn 2 was refused by the gate. calibration: says too much"

    world.extent = gate.Extent(20, 800)
    assert gate.why_no_model("churn").startswith("Not enough data: 20 days of history; 180 are needed")


# -- the job ----------------------------------------------------------------------------------------------------------


def run_job(**parameters: Any) -> JobRun:
    return jobs.execute(jobs.create_run(training_jobs.NAME, as_of=NOW, parameters=parameters))


def test_job__is_registered_for_the_schedule_and_the_workers():
    assert jobs.get_job("predictions.train").title == "Training of the models"


def test_job__one_chunk_a_kind_with_its_outcome(world):
    run = run_job(kinds=["churn", "engagement"], seed=5)

    assert (run.status, run.chunks_done, run.chunks_total, run.error) == (JobRun.Status.SUCCEEDED, 2, 2, "")
    assert [chunk.result for chunk in run.chunks.all()] == [
        {"rows": 1600, "churn": "Churn 1: Candidate"},
        {"rows": 1600, "engagement": "Engagement 1: Candidate"},
    ]
    assert {one[:2] for one in world.trainings} == {("churn", 5), ("engagement", 5)}


def test_job__too_little_data__is_no_failure_and_says_what_is_missing(world):
    world.extent = gate.Extent(10, 800)
    run = run_job(kinds=["churn"])

    assert run.status == JobRun.Status.SUCCEEDED
    assert run.chunks.get().result == {
        "rows": 0,
        "churn": "not trained: 10 days of history; 180 are needed: import older activity or wait.",
    }


def test_job__one_kind_breaks__the_others_are_trained(world, monkeypatch):
    real = training._learn

    def breaking(kind, recipe, history, seed):
        if kind == "churn":
            raise RuntimeError("no convergence")
        return real(kind, recipe, history, seed)

    monkeypatch.setattr(training, "_learn", breaking)
    run = run_job(kinds=["churn", "engagement"])

    assert (run.status, run.chunks_done) == (JobRun.Status.FAILED, 1)
    assert "no convergence" in run.error
    assert list(ModelVersion.objects.values_list("kind", flat=True)) == ["engagement"]


def test_job__all_kinds_by_default_none_for_single_players():
    assert list(training_jobs.train_ranges({})) == [(place, place + 1) for place in range(6)]
    assert list(training_jobs.train_ranges({"ids": [3]})) == []
    with pytest.raises(ValueError, match="luck"):
        list(training_jobs.train_ranges({"kinds": ["luck"]}))


def test_job__of_the_schedule__leaves_out_what_cannot_change(world, monkeypatch):
    monkeypatch.setattr(training_jobs, "kinds_of", lambda _parameters: ["profile"])
    monkeypatch.setattr(training, "_trainer", lambda _recipe: lambda *, seed: trained())
    assert run_job().chunks.get().result["profile"] == "Value of a profile 1: Candidate"
    champion(ModelVersion.objects.get())

    assert run_job().chunks.get().result["profile"] == "not trained: what it learns from does not change"
    assert run_job(kinds=["profile"]).chunks.get().result["profile"] == "Value of a profile 2: Candidate"  # asked for by name


def test_start__queues_audits_and_keeps_who_asked(world, django_capture_on_commit_callbacks):
    by = staff("train_model")
    with django_capture_on_commit_callbacks(execute=True):
        run = training.start(["churn"], by, NOW)

    run.refresh_from_db()
    assert (run.status, run.requested_by) == (JobRun.Status.SUCCEEDED, by)
    assert ModelVersion.objects.get().trained_by == by
    event = AuditEvent.objects.get(action="predictions.training_started")
    assert (event.actor, event.subject_id, event.after) == (by, str(run.pk), {"kinds": ["churn"], "seed": 0})


def test_start__without_the_permission__refused():
    with pytest.raises(TrainingRefused, match="may not start a training"):
        training.start(["churn"], staff("request_promotion"), NOW)
    assert not JobRun.objects.exists()


def test_start__while_one_is_open__refused():
    by = staff("train_model")
    first = training.start(["churn"], by, NOW)
    with pytest.raises(TrainingRefused, match=rf"under way already \(run {first.pk}\)"):
        training.start(["ltv"], by, NOW)
    assert JobRun.objects.count() == 1


# -- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("train_models", "--as-of", NOW.isoformat(), *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_command__trains_and_puts_nothing_into_use(world):
    (line,) = command("--kind", "churn")
    assert (line["kind"], line["version"], line["status"], line["failed"]) == ("churn", 1, "CANDIDATE", [])
    assert line["metrics"]["auc"] > line["baseline"]["auc"]
    assert not ModelVersion.objects.get().is_synthetic


def test_command__promote_first__only_the_first(world):
    assert command("--kind", "churn", "--promote-first", "--synthetic")[0]["status"] == "CHAMPION"
    assert command("--kind", "churn", "--promote-first", "--synthetic", "--seed", "1")[0]["status"] == "CANDIDATE"

    assert ModelVersion.objects.filter(is_synthetic=True).count() == 2
    event = AuditEvent.objects.get(action="predictions.model_promoted_first")
    assert event.reason == "manage.py train_models --promote-first"


def test_command__refused_by_its_gate__is_not_put_into_use(world):
    world.result = lambda model, history: trained(model, history=history, baseline={"auc": 0.99, "brier": 0.01})
    (line,) = command("--kind", "churn", "--promote-first")
    assert (line["status"], line["failed"]) == ("REFUSED", ["auc", "brier"])


def test_command__too_little_data__says_so_without_failing(world):
    world.extent = gate.Extent(10, 800)
    assert command("--kind", "churn") == [
        {
            "kind": "churn",
            "version": None,
            "reason": "not trained: 10 days of history; 180 are needed: import older activity or wait.",
        }
    ]


def test_command__synthetic_in_production__refused(settings):
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError, match="refused in production"):
        command("--synthetic")


def test_command__time_without_zone__refused():
    with pytest.raises(CommandError, match="has no time zone"):
        call_command("train_models", "--as-of", "2026-03-15")


# -- the schedule -----------------------------------------------------------------------------------------------------


def test_schedule__trains_on_sundays():
    task = PeriodicTask.objects.get(name="Weekly training")
    assert (task.task, json.loads(task.kwargs)) == ("loyalty_site.job_tasks.start_job", {"name": "predictions.train"})
    assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == ("45", "4", "0")
    assert PeriodicTask.objects.get(name="Nightly run").crontab.day_of_week == "*"


def test_schedule__database_of_an_earlier_release__gets_the_missing_rows_and_no_others():
    PeriodicTask.objects.filter(name__in=["Weekly training", "Deliver pay-outs", "Hourly run"]).delete()
    nightly.ensure_schedule(apps, ("Weekly training", "Deliver pay-outs"))

    names = set(PeriodicTask.objects.values_list("name", flat=True))
    assert {"Weekly training", "Deliver pay-outs"} <= names
    assert "Hourly run" not in names  # removed by staff
