"""From the data gate to a saved version, with a small trainer in place of the real ones; and the job, the command and the schedule."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from constance import config
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from loyalty_site import nightly
from loyalty_site.common import jobs
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import AuditEvent, JobRun
from loyalty_site.job_tasks import start_job
from players import origin
from players.simulation import SimulationConfig
from predictions import features, gate, hooks, measure, registry, training, training_jobs, wording
from predictions.ml import anomaly, drift
from predictions.ml.kinds import Cutoff, History, NotEnoughData, Verdict
from predictions.models import Kind, ModelVersion
from predictions.training import TrainingRefused
from tests.factories import NOW, PlayerFactory
from tests.predictions.registry.at_once import at_once, both_have_looked, one_after_the_other
from tests.predictions.registry.models import AS_OF, a_cutoff, a_history, champion, fit, staff, trained

pytestmark = pytest.mark.django_db

LAST = datetime(2026, 3, 14, 17, 5, tzinfo=UTC)


@pytest.fixture
def world(monkeypatch) -> SimpleNamespace:
    """300 days of history of 800 players, and a trainer of small models; every part may be replaced."""
    seen = SimpleNamespace(histories=[], options=[], trainings=[], history=a_history(), extent=gate.Extent(300, 800), result=trained)
    monkeypatch.setattr(features, "data_window", lambda: (LAST.date() - timedelta(days=300), LAST))
    monkeypatch.setattr(gate, "extent", lambda _as_of: seen.extent)

    def history(as_of, horizon_days, count, sample=None, seed=0, **options):
        seen.histories.append((as_of, horizon_days, count, sample, seed))
        seen.options.append(options)
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


def test_train__beaten_among_active_players_alone__refused(world):
    better = {"auc": 0.5, "brier": 0.5, "auc_active": 0.7, "brier_active": 0.1}

    def result(model, history):
        record = trained(model, history=history).record
        return trained(model, history=history, metrics={**record.metrics, "auc_active": 0.6, "brier_active": 0.09}, baseline=better)

    world.result = result
    version = training.train("churn", as_of=NOW)
    assert version.status == ModelVersion.Status.REFUSED
    assert [(one["name"], one["reason"]) for one in version.gate if not one["passed"]] == [
        ("auc_active", "AUC among active players 0.6000 against 0.7000 of the naive baseline; it must be higher.")
    ]


def test_train__keeps_how_the_features_of_those_it_learned_from_are_distributed(world):
    history = a_history()
    latest = history.development[-1]
    eligible = [number % 4 > 0 for number in range(len(latest.features))]
    latest.labels["is_eligible"] = eligible
    world.history = history
    kept = training.train("churn", as_of=NOW).reference

    rows = latest.features[eligible]
    assert kept == {**drift.reference_bins(rows, ["signal", "noise"]), "cutoff": latest.as_of.isoformat()}
    assert kept["rows"] == 600
    assert wording.quartiles(kept) == {name: rows[name].quantile([0.25, 0.5, 0.75]).tolist() for name in ("signal", "noise")}


def test_train__players_added_to_a_sample__are_not_in_what_drift_is_told_by(world):
    history = a_history()
    *earlier, latest, evaluation = history.cutoffs
    world.history = History([*earlier, replace(latest, added=frozenset(range(1, 101))), evaluation], history.horizon_days)
    kept = {**drift.reference_bins(latest.features.loc[101:], ["signal", "noise"]), "cutoff": latest.as_of.isoformat()}
    assert training.train("fraud", as_of=NOW).reference == kept


def test_train__fewer_players_than_tell_of_a_distribution__keeps_none(world):
    history = a_history()
    history.development[-1].labels["is_eligible"] = [number < 99 for number in range(800)]
    world.history = history
    assert training.train("churn", as_of=NOW).reference == {}


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
        (gate.Extent(10, 3), "10 days of history; 180 are needed: import older activity or wait.* 3 players; 500 are needed"),
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


@pytest.mark.parametrize(
    ("players", "words"),
    [
        (499, "499 players; 500 are needed: import more players."),
        (500, "500 players or more; 500 are needed."),  # nobody counted further
        (501, "501 players; 500 are needed."),
    ],
)
def test_data_verdicts__only_what_fails_names_a_remedy(world, players, words):
    history, known = gate.data_verdicts("churn", gate.Extent(180, players))
    why = "With fewer there are not enough past days to look back and ahead from."
    assert (history.passed, history.reason) == (True, f"180 days of history; 180 are needed. {why}")
    assert (known.passed, known.reason) == (players >= 500, f"{words} With fewer the figures hang on a handful of players.")


def test_case_verdicts__only_what_fails_names_a_remedy(world):
    why = "With fewer of either nobody can tell a good probability from a lucky one."
    assert [gate.case_verdicts("churn", cases, 900)[0].reason for cases in (49, 50)] == [
        f"49 players left after the evaluation cut-off and 900 stayed; 50 of either are needed: wait for more. {why}",
        f"50 players left after the evaluation cut-off and 900 stayed; 50 of either are needed. {why}",
    ]
    (verdict,) = gate.case_verdicts("engagement", 900, 49)
    assert (verdict.passed, verdict.value, verdict.limit) == (False, 49.0, 50.0)
    assert verdict.reason.startswith("900 players were active after the evaluation cut-off and 49 were not; 50 of either are needed: wait")


def test_train__thresholds_are_settings(world):
    world.extent = gate.Extent(160, 200)
    config.PREDICTION_MIN_DAYS, config.PREDICTION_MIN_PLAYERS = 160, 200
    config.CHURN_HORIZON_DAYS = 10
    assert training.train("churn", as_of=NOW).number == 1
    world.extent = gate.Extent(159, 200)
    with pytest.raises(NotEnoughData, match="159 days of history; 160 are needed: import older activity or wait"):
        training.train("churn", as_of=NOW)


@pytest.mark.parametrize(("churned", "what"), [(49, "49 players left .* and 751 stayed"), (751, "751 players left .* and 49 stayed")])
def test_train__too_few_cases_of_either_kind__says_so(world, churned, what):
    world.history = with_churned(churned)
    with pytest.raises(NotEnoughData, match=f"{what}; 50 of either are needed: wait for more"):
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
    with pytest.raises(NotEnoughData, match="40 players left after the evaluation cut-off and 0 stayed"):
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


def test_train__recorded_as_simulated__is_one_of_a_simulated_operator_whoever_starts_it(world, settings):
    origin.record_simulated(SimulationConfig(players=5, as_of=NOW), NOW)
    assert training.train("churn", as_of=NOW, requested_by=staff("train_model")).is_synthetic
    settings.IS_PRODUCTION = True
    with pytest.raises(TrainingRefused, match="the players here are simulated"):
        training.train("churn", as_of=NOW)


@pytest.mark.parametrize(("name", "email", "simulated"), [("P0000001", "a.b1@example.com", True), ("P0000001", "a.b1@home.se", False)])
def test_train__simulated_before_it_was_recorded__is_told_by_the_first_player(world, name, email, simulated):
    PlayerFactory(external_id=name, email=email)
    assert training.train("churn", as_of=NOW).is_synthetic is simulated


@pytest.mark.parametrize(
    ("days", "horizon", "count"),
    [(180, 30, 3), (209, 30, 3), (210, 30, 4), (365, 30, 6), (365, 7, 6), (365, 90, 6), (240, 90, 3), (2000, 365, 6)],
)
def test_cutoff_count__as_many_as_have_room(days, horizon, count):
    assert training.cutoff_count(days, horizon) == count


def test_cutoff_count__no_room_for_three_that_look_back_on_90_days__says_what_is_needed():
    message = (
        "239 days of history; 240 are needed to look 90 days ahead from 3 days that lie 30 apart and 90 back from the first: "
        "import older activity or train again in 1 day."
    )
    with pytest.raises(NotEnoughData, match=f"^{re.escape(message)}$"):
        training.cutoff_count(239, 90)


@pytest.mark.parametrize(("days", "earlier"), [(454, []), (455, [365]), (485, [395, 365]), (2000, [395, 365])])
def test_train__ltv_of_more_than_a_year__takes_cutoffs_whose_year_is_over(world, monkeypatch, days, earlier):
    asked = []

    def with_earlier(history, as_of, days_before, sample=None, seed=0):
        asked.append((as_of, days_before, seed))
        return History([*(a_cutoff(AS_OF - timedelta(days=back), seed=back) for back in days_before), *history.cutoffs], 90)

    monkeypatch.setattr(features, "with_earlier", with_earlier)
    world.extent = gate.Extent(days, 800)
    training.train("ltv", as_of=NOW, seed=2)
    assert asked == ([(LAST, earlier, 2)] if earlier else [])
    assert len(world.trainings[0][2]) == len(world.history.cutoffs) + len(earlier)

    training.train("churn", as_of=NOW)
    assert len(asked) <= 1


def test_train__profile__needs_no_history_and_is_marked_as_simulated(world, settings, monkeypatch):
    settings.IS_PRODUCTION = True  # where it is allowed: it never was about the operator's players
    world.extent = gate.Extent(0, 0)
    monkeypatch.setattr(training, "_trainer", lambda _recipe: lambda *, seed: trained())
    version = training.train("profile", as_of=NOW)

    assert (version.status, version.is_synthetic, version.as_of) == (ModelVersion.Status.CANDIDATE, True, NOW)
    assert world.histories == []


def reviews(count: int) -> pd.DataFrame:
    """Players 1 to `count`, by turns confirmed and cleared."""
    ids = pd.Index(range(1, count + 1), dtype="int64", name="player_id")
    opened = pd.Series(pd.Timestamp(AS_OF) - pd.Timedelta(days=31), index=ids)
    found = [number % 2 for number in range(count)]
    return pd.DataFrame({"confirmed": found, "opened_at": opened, "decided_at": opened, "detectors": 0.5}, index=ids)


def test_train__fraud__supervised_once_there_are_outcomes(monkeypatch):
    players = [PlayerFactory(risk_score=score) for score in (0, 40)]
    ids = pd.Index([player.pk for player in players], name="player_id")
    history = History([Cutoff(AS_OF, pd.DataFrame(index=ids), pd.DataFrame(index=ids))] * 2, 30)
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: reviews(400))
    given = []

    def supervised(history, cases, detectors, *, players, seed):
        given.append((cases, detectors.to_dict(), players, seed))
        return "supervised"

    monkeypatch.setattr(anomaly, "train_supervised", supervised)
    monkeypatch.setattr(anomaly, "train", lambda history, *, seed: "isolation forest")
    recipe = training.RECIPES["fraud"]

    assert training._learn("fraud", recipe, history, 3) == "supervised"
    (known, detectors, count, seed) = given[0]
    pd.testing.assert_frame_equal(known, reviews(400))
    assert (detectors, count, seed) == ({players[0].pk: 0.0, players[1].pk: 0.4}, 2, 3)

    config.PREDICTION_MIN_POSITIVES = 201
    assert training._learn("fraud", recipe, history, 3) == "isolation forest"


def test_train__fraud__too_few_reviews_of_known_players__learns_without_them(monkeypatch):
    ids = pd.Index([PlayerFactory().pk], name="player_id")
    history = History([Cutoff(AS_OF, pd.DataFrame(index=ids), pd.DataFrame(index=ids))] * 2, 30)
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: reviews(400))
    monkeypatch.setattr(anomaly, "train_supervised", raises(NotEnoughData("3 confirmed")))
    monkeypatch.setattr(anomaly, "train", lambda history, *, seed: "isolation forest")
    assert training._learn("fraud", training.RECIPES["fraud"], history, 3) == "isolation forest"


def raises(error: Exception) -> Any:
    def function(*_arguments: Any, **_named: Any) -> Any:
        raise error

    return function


def test_train__fraud__all_reviewed_players_are_looked_at(world, monkeypatch):
    monkeypatch.setattr(hooks, "fraud_outcomes", lambda: reviews(3))
    training.train("fraud", as_of=NOW)
    training.train("churn", as_of=NOW)
    assert world.options == [{"step_days": 30, "always": [1, 2, 3]}, {"step_days": 30, "always": []}]


# -- how far ahead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("horizon", "step"), [(7, 30), (30, 30), (60, 30), (61, 31), (90, 45), (180, 90)])
def test_step_days__of_any_horizon__the_first_of_three_was_known_at_the_last(horizon, step):
    assert training.step_days(horizon) == step
    assert (training._FEWEST_CUTOFFS - 1) * step >= horizon


def test_train__longest_horizon__cut_offs_half_a_horizon_apart(world):
    config.CHURN_HORIZON_DAYS = 180
    world.extent = gate.Extent(450, 800)
    assert training.train("churn", as_of=NOW).horizon_days == 180
    assert (world.histories[-1][1:3], world.options[-1]["step_days"]) == ((180, 3), 90)

    world.extent = gate.Extent(449, 800)
    with pytest.raises(NotEnoughData, match="449 days of history; 450 are needed to look 180 days ahead from 3 days that lie 90 apart"):
        training.train("churn", as_of=NOW)


@pytest.mark.parametrize("days", [0, 6, 181])
def test_train__horizon_set_out_of_range__says_what_is_allowed(world, days):
    config.CHURN_HORIZON_DAYS = days
    with pytest.raises(TrainingRefused, match=f"CHURN_HORIZON_DAYS is {days}; set 7 to 180 days on the page Thresholds"):
        training.train("churn", as_of=NOW)
    assert world.histories == []


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
    assert gate.why_no_model("churn").startswith("Not enough data: 10 players left after the evaluation cut-off and 790 stayed; 50 of")
    assert gate.why_no_model("ltv").startswith("No model has been trained yet")

    world.history = a_history()
    training.attempt("churn", as_of=NOW)
    assert gate.why_no_model("churn").startswith("Churn 1 is trained and waits to be put into use")

    world.result = lambda model, history: trained(model, history=history, gate=(Verdict("calibration", False, 0.2, 0.1, "says too much"),))
    training.attempt("churn", as_of=NOW)
    assert gate.why_no_model("churn") == "Churn 2 was refused by the gate. Calibration: says too much"

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
        "churn": "not trained: 10 days of history; 180 are needed: import older activity or wait. "
        "With fewer there are not enough past days to look back and ahead from.",
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


def test_start__records_audits_and_keeps_who_asked_and_why(world):
    by = staff("train_model")
    run = training.start(["churn"], by, NOW, reason=" newest month ", seed=4)

    assert (run.status, run.requested_by, run.as_of) == (JobRun.Status.QUEUED, by, NOW)
    assert training_jobs.enqueue(run)
    run.refresh_from_db()
    assert run.status == JobRun.Status.SUCCEEDED
    assert ModelVersion.objects.get().trained_by == by
    event = AuditEvent.objects.get(action="predictions.training_started")
    assert (event.actor, event.subject_id, event.reason) == (by, str(run.pk), "newest month")
    assert event.after == {"kinds": ["churn"], "seed": 4, "is_synthetic": False}


@pytest.mark.parametrize(
    ("permission", "reason", "refusal"), [("request_promotion", "why", "may not start"), ("train_model", " ", "say why")]
)
def test_start__without_the_permission_or_a_reason__refused(permission, reason, refusal):
    with pytest.raises(TrainingRefused, match=refusal):
        training.start(["churn"], staff(permission), NOW, reason=reason)
    assert not JobRun.objects.exists()
    assert not AuditEvent.objects.filter(action="predictions.training_started").exists()


@pytest.mark.parametrize("status", [JobRun.Status.QUEUED, JobRun.Status.RUNNING])
def test_start__while_one_is_open__refused(status):
    by = staff("train_model")
    first = training.start(["churn"], by, NOW, reason="first")
    JobRun.objects.update(status=status)
    with pytest.raises(TrainingRefused, match=rf"under way already \(run {first.pk}\)"):
        training.start(["ltv"], None, NOW, reason="second")
    assert JobRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once__one_training(monkeypatch):
    one, other = (lambda who=who: training.start(["churn"], who, NOW, reason="at once") for who in (staff("train_model"), None))

    results = one_after_the_other(monkeypatch, jobs, "open_run", one, other)

    assert [type(one).__name__ for one in results] == ["JobRun", "TrainingRefused"]
    assert JobRun.objects.count() == AuditEvent.objects.filter(action="predictions.training_started").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once__control_without_the_lock__two_trainings(monkeypatch):
    monkeypatch.setattr(jobs, "_lock_starts", lambda _name: None)
    both_have_looked(monkeypatch, jobs, "open_run")

    at_once([lambda: training.start(["churn"], None, NOW, reason="at once")] * 2)

    assert JobRun.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_job__while_a_kind_is_learned__nothing_is_held_that_others_need(world, monkeypatch):
    outcomes: list[Any] = []
    real = training._learn

    def take_everything():
        with transaction.atomic():
            registry.lock_kind("churn")
            return JobRun.objects.select_for_update(nowait=True).count()

    def learn(*arguments):
        outcomes.extend(at_once([take_everything]))
        return real(*arguments)

    monkeypatch.setattr(training, "_learn", learn)
    assert run_job(kinds=["churn"]).status == JobRun.Status.SUCCEEDED
    assert outcomes == [1]


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
            "reason": "not trained: 10 days of history; 180 are needed: import older activity or wait. "
            "With fewer there are not enough past days to look back and ahead from.",
        }
    ]


def test_command__synthetic_in_production__refused(settings):
    settings.IS_PRODUCTION = True
    with pytest.raises(CommandError, match="refused in production"):
        command("--synthetic")


def test_command__instant_that_has_not_come__refused_before_anything_is_recorded(world):
    with pytest.raises(CommandError, match="2099-01-01 00:00:00 UTC has not come yet: give now or an instant in the past"):
        call_command("train_models", "--kind", "churn", "--as-of", "2099-01-01T00:00:00+00:00")
    with pytest.raises(training.TrainingRefused, match="has not come yet"):
        training.start(["churn"], None, NOW, reason="ahead", as_of=utc_now() + timedelta(hours=1))
    assert not JobRun.objects.exists()
    assert not AuditEvent.objects.filter(action="predictions.training_started").exists()


def left_behind(kinds: list[str], status: str = JobRun.Status.RUNNING, **options: Any) -> JobRun:
    """A training whose process was killed."""
    run = training.start(kinds, None, NOW, reason="manage.py train_models", **options)
    JobRun.objects.filter(pk=run.pk).update(status=status)
    return run


@pytest.fixture
def holder() -> Iterator[None]:
    """Another process that executes a training."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with jobs.overlap_lock(training_jobs.NAME):
            held.set()
            release.wait(120)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    yield
    release.set()
    thread.join()


@pytest.mark.parametrize("status", [JobRun.Status.QUEUED, JobRun.Status.RUNNING])
def test_command__while_a_training_is_executed__refused(world, holder, status):
    run = left_behind(["churn"], status)
    with pytest.raises(CommandError, match="another run of predictions.train is under way; wait for it"):
        command("--kind", "churn")
    run.refresh_from_db()
    assert (JobRun.objects.count(), run.status, world.trainings) == (1, status, [])


@pytest.mark.parametrize("status", [JobRun.Status.QUEUED, JobRun.Status.RUNNING])
def test_command__same_training_left_by_a_killed_process__is_brought_to_its_end(world, status):
    """The demo after Ctrl-C: one kind was trained before, its chunk is done, and nothing is in use."""
    run = left_behind(["churn", "engagement"], status, is_synthetic=True)
    jobs._prepare(run, jobs.get_job(training_jobs.NAME))
    assert jobs.work_one(run.pk)
    JobRun.objects.update(status=status)

    call_command("train_models", "--kind", "churn", "--kind", "engagement", "--synthetic", "--promote-first", stdout=(out := StringIO()))

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(one["kind"], one["version"], one["status"]) for one in lines] == [("churn", 1, "CHAMPION"), ("engagement", 1, "CHAMPION")]
    assert [one[0] for one in world.trainings] == ["churn", "engagement"]  # neither twice
    run.refresh_from_db()
    assert (JobRun.objects.count(), run.status) == (1, JobRun.Status.SUCCEEDED)


@pytest.mark.parametrize("arguments", [("--seed", "1"), ("--synthetic",), ("--as-of", LAST.isoformat())])
def test_command__another_training_left__is_ended_first_and_then_its_own_runs(world, arguments):
    left = left_behind(["churn"])
    (line,) = command("--kind", "churn", *arguments)
    assert line["version"] == 2
    assert list(JobRun.objects.order_by("pk").values_list("status", flat=True)) == ["SUCCEEDED", "SUCCEEDED"]
    assert ModelVersion.objects.get(number=1).as_of == LAST
    assert JobRun.objects.earliest("pk") == left


def test_command__cancelled_training_left__ends_as_cancelled_and_its_own_runs(world):
    left = left_behind(["churn"])
    jobs.request_cancel(left)
    assert command("--kind", "churn")[0]["version"] == 1
    assert list(JobRun.objects.order_by("pk").values_list("status", flat=True)) == ["CANCELLED", "SUCCEEDED"]


def test_command__time_without_zone__refused():
    with pytest.raises(CommandError, match="has no time zone"):
        call_command("train_models", "--as-of", "2026-03-15")


# -- the schedule -----------------------------------------------------------------------------------------------------


def test_schedule__trains_on_sundays():
    task = PeriodicTask.objects.get(name="Weekly training")
    assert (task.task, json.loads(task.kwargs)) == ("loyalty_site.job_tasks.start_job", {"name": "predictions.train"})
    assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == ("45", "4", "0")
    assert PeriodicTask.objects.get(name="Nightly run").crontab.day_of_week == "*"


def test_schedule__while_a_training_is_open__is_left_out(world):
    open_one = training.start(["churn"], None, NOW, reason="by hand")
    assert start_job(name=training_jobs.NAME) is None
    assert list(JobRun.objects.values_list("pk", "status")) == [(open_one.pk, JobRun.Status.QUEUED)]


def test_schedule__database_of_an_earlier_release__gets_the_missing_rows_and_no_others():
    PeriodicTask.objects.filter(name__in=["Weekly training", "Deliver pay-outs", "Hourly run"]).delete()
    nightly.ensure_schedule(apps, ("Weekly training", "Deliver pay-outs"))

    names = set(PeriodicTask.objects.values_list("name", flat=True))
    assert {"Weekly training", "Deliver pay-outs"} <= names
    assert "Hourly run" not in names  # removed by staff
