"""From training to scoring: what has not changed is not called drift, and what has is named."""

import logging
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from players.simulation import SimulationConfig
from players.simulation_writer import write_database
from predictions import drifting, features, selectors
from predictions.ml import drift
from predictions.models import ModelVersion, ScoringRun
from tests.factories import NOW
from tests.predictions.registry.models import saved
from tests.predictions.scoring.models import all_champions
from tests.predictions.scoring.test_eligibility import ask_consent
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db

DEPOSITED = {"deposits_30d", "deposits_90d", "deposits_trend"}


@pytest.fixture
def operator(tmp_path: Path) -> None:
    """700 simulated players of twelve months, with models for churn and fraud in use that look at every feature alike."""
    config = SimulationConfig(players=700, months=12, seed=1, as_of=NOW)
    write_database(config, truth_path=tmp_path / "truth.csv", at=NOW, append=False, progress=lambda _text: None)
    kinds = ["--kind", "churn", "--kind", "fraud"]
    call_command("train_models", "--synthetic", "--promote-first", "--as-of", NOW.isoformat(), *kinds, stdout=StringIO())
    for version in ModelVersion.objects.all():
        version.importance = dict.fromkeys(version.features, 1 / len(version.features))
        version.save(update_fields=["importance"])


def scored(hours: int = 0) -> ScoringRun:
    predict(NOW + timedelta(hours=hours))
    run = selectors.current_run()
    assert run is not None
    return run


def deposits_of_the_last_month_times(factor: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE players_payment SET amount = amount * %s WHERE kind = 'DEPOSIT' AND occurred_at >= %s",
            [factor, NOW - timedelta(days=30)],
        )
    run_job("players.rollup", days=0)


def moved(found: dict[str, Any]) -> dict[str, str]:
    return {one["feature"]: one["level"] for one in found["most_moved"] if one["level"] != "none"}


def test_train_score_shift_score__only_what_was_shifted_has_drifted(operator: None, caplog: pytest.LogCaptureFixture) -> None:
    before = drifting.kept(scored())

    assert sorted(before) == ["churn", "fraud"]
    assert [(kind, one["level"], one["moved"], moved(one)) for kind, one in before.items()] == [
        ("churn", "none", 0, {}),
        ("fraud", "none", 0, {}),
    ]
    champion = ModelVersion.objects.get(kind="churn")
    assert (before["churn"]["version"], before["churn"]["reference_rows"]) == (champion.pk, champion.reference["rows"])
    assert before["churn"]["features"] == len(champion.features) - len(drifting.AGES)
    assert "data_drifted" not in caplog.text

    deposits_of_the_last_month_times(20)
    with caplog.at_level(logging.WARNING, "predictions.drifting"):
        after = drifting.kept(scored(hours=1))

    assert after["churn"]["level"] == "major"
    assert {"deposits_30d": "major", "deposits_trend": "major"}.items() <= moved(after["churn"]).items()
    assert set(moved(after["churn"])) <= {*DEPOSITED, "deposit_mean", "bg_spend", "deposits_total", "bonus_cost_share_90d"}
    assert [one["psi"] for one in after["churn"]["most_moved"]] == sorted(
        (one["psi"] for one in after["churn"]["most_moved"]), reverse=True
    )
    assert f"kind=churn version={champion.pk} level=major" in caplog.text


def test_ages__are_kept_and_not_compared() -> None:
    """A year later everybody is a year older, which says nothing of what they do."""
    fill(300)
    run = a_run_with_reference(of=("tenure_days", "sessions_30d"))
    reference = dict(ModelVersion.objects.get(kind="churn").reference)
    reference["features"] = {**reference["features"], "tenure_days": {"edges": [1.0], "counts": [300, 0], "missing": 0, "median": 0.5}}
    ModelVersion.objects.filter(kind="churn").update(reference=reference)

    found = drifting.of_run(run)["churn"]
    assert (found["level"], found["features"], [one["feature"] for one in found["most_moved"]]) == ("none", 1, ["sessions_30d"])


def a_run_with_reference(of: tuple[str, ...]) -> ScoringRun:
    """A published run; the churn version learned from exactly the players that there are."""
    all_champions()
    run = scored()
    frame = drifting._sample(run)
    ModelVersion.objects.filter(kind="churn").update(reference=drift.reference_bins(frame, of), importance=dict.fromkeys(of, 1 / len(of)))
    return run


def test_of_run__a_feature_that_the_version_does_not_look_at__is_no_alarm() -> None:
    fill(300)
    run = a_run_with_reference(of=("sessions_30d", "bonus_take_rate"))
    reference = dict(ModelVersion.objects.get(kind="churn").reference)
    reference["features"]["bonus_take_rate"] = {"edges": [], "counts": [300], "missing": 0, "median": 0.5}  # nobody's is known now

    def found(share: float) -> dict[str, Any]:
        importance = {"sessions_30d": 1 - share, "bonus_take_rate": share}
        ModelVersion.objects.filter(kind="churn").update(reference=reference, importance=importance)
        return drifting.of_run(run)["churn"]

    unused = found(0.0099)
    assert (unused["level"], unused["features"], [one["feature"] for one in unused["most_moved"]]) == ("none", 1, ["sessions_30d"])
    used = found(0.01)
    assert (used["level"], used["features"], used["moved"], used["most_moved"][0]["feature"]) == ("major", 2, 1, "bonus_take_rate")


def test_of_run__a_version_that_looks_at_ages_alone__is_not_called_unmoved() -> None:
    fill(300)
    run = a_run_with_reference(of=("sessions_30d",))
    ModelVersion.objects.filter(kind="churn").update(importance={"tenure_days": 1.0})
    found = drifting.of_run(run)["churn"]
    assert (found["level"], found["reason"]) == ("unknown", "Churn 1 looks at ages alone, which grow whatever anybody does.")


def test_remedy__says_what_is_left_to_do() -> None:
    all_champions()
    version = ModelVersion.objects.get(kind="churn")
    same = saved(kind="churn")
    ModelVersion.objects.filter(pk=same.pk).update(sha256=version.sha256)
    assert "was trained since" not in drifting.remedy(version)  # its promotion would be refused: nothing would change
    newer = saved(kind="churn", seed=1)
    assert drifting.remedy(version) == f"{newer} was trained since: compare the two, and ask for its promotion."
    version.status = ModelVersion.Status.RETIRED
    assert drifting.remedy(version).startswith(f"{version} is not in use any more: the next scoring run compares")


@pytest.mark.parametrize(
    ("kept", "days_back"), [({"cutoff": "2025-11-15T00:00:00+00:00"}, "120 days"), ({}, "more than 30 days")], ids=["kept", "older version"]
)
def test_remedy__no_activity_of_a_week_later__does_not_advise_what_would_change_nothing(kept: dict[str, str], days_back: str) -> None:
    version = all_champions()["churn"]
    ModelVersion.objects.filter(pk=version.pk).update(reference=kept)
    version.refresh_from_db()
    run = ScoringRun.objects.create(as_of=NOW + timedelta(days=9), started_at=NOW, is_current=True, versions={"churn": version.pk})
    nothing_newer = (
        f"Training again would change next to nothing now: Churn 1 learned from data up to 2026-03-15, and there are none 7 days newer. "
        f"The last players that it learned from are those of {days_back} before that day, because outcomes take that long; a season or "
        "growth since then shows here. Wait for newer data and watch the figures of the next training."
    )
    assert drifting.remedy(version) == nothing_newer  # the run knew of no activity at all
    for later, remedy in (
        (timedelta(days=-3), nothing_newer),
        (timedelta(0), nothing_newer),
        (timedelta(days=7, seconds=-1), nothing_newer),
        (
            timedelta(days=7),
            "Its figures were measured on players of another kind, and 7 days of activity have come since: train Churn again on the page "
            "Models, and ask for its promotion.",
        ),
    ):
        run.data_through = NOW + later
        run.save()
        assert drifting.remedy(version) == remedy


def test_remedy__of_a_version_just_trained__does_not_advise_another_training(operator: None) -> None:
    champion = ModelVersion.objects.get(kind="churn")
    assert champion.reference["cutoff"] == "2026-01-14T00:00:00+00:00"  # the evaluation, 30 days before the end, is not learned from
    scored()
    assert "those of 60 days before that day" in drifting.remedy(champion)


def test_of_run__values_that_moved__quartiles_before_and_now() -> None:
    """Everybody has two more sessions than at training, and of the unknown values nothing is said."""
    fill(300)
    run = a_run_with_reference(of=("sessions_30d", "bonus_take_rate"))
    version = ModelVersion.objects.get(kind="churn")
    reference = dict(version.reference)
    now = reference["features"]["sessions_30d"]["quartiles"]
    reference["features"]["sessions_30d"]["quartiles"] = [one - 2 for one in now]
    assert reference["features"]["bonus_take_rate"]["quartiles"] is None
    ModelVersion.objects.filter(kind="churn").update(reference=reference)

    found = {one["feature"]: one for one in drifting.of_run(run)["churn"]["most_moved"]}
    assert len(set(now)) == 3
    assert found["sessions_30d"]["quartiles_before"] == [one - 2 for one in now]
    assert found["sessions_30d"]["quartiles_now"] == now
    assert (found["bonus_take_rate"]["quartiles_before"], found["bonus_take_rate"]["quartiles_now"]) == (None, None)


def test_of_run__reference_of_an_earlier_release__has_no_quartiles_before() -> None:
    fill(300)
    run = a_run_with_reference(of=("sessions_30d",))
    reference = dict(ModelVersion.objects.get(kind="churn").reference)
    del reference["features"]["sessions_30d"]["quartiles"]
    ModelVersion.objects.filter(kind="churn").update(reference=reference)
    (found,) = drifting.of_run(run)["churn"]["most_moved"]
    assert found["quartiles_before"] is None
    assert len(found["quartiles_now"]) == 3


def test_of_run__the_same_players__have_not_moved_at_all() -> None:
    fill(300)
    run = a_run_with_reference(of=("sessions_30d", "days_since_last_deposit"))
    found = drifting.of_run(run)["churn"]
    assert [(one["feature"], one["psi"], one["level"]) for one in found["most_moved"]] == [
        ("days_since_last_deposit", 0.0, "none"),
        ("sessions_30d", 0.0, "none"),
    ]
    assert (found["rows"], found["reference_rows"]) == (300, 300)


def test_of_run__players_who_could_not_come__are_left_out_as_at_training() -> None:
    ids = fill(300)
    run = a_run_with_reference(of=("sessions_30d",))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE players_player SET status = 'CLOSED' WHERE id = ANY(%s)", [ids[:20]])
        cursor.execute(
            """INSERT INTO players_exclusion (player_id, kind, starts_at, ends_at, reason, recorded_at)
            SELECT id, 'COOL_OFF', %(now)s - interval '2 days', CASE id %% 2 WHEN 0 THEN %(now)s - interval '1 day' END, '', %(now)s
            FROM unnest(%(ids)s) id""",
            {"now": NOW, "ids": ids[100:140]},
        )
        cursor.execute(
            """INSERT INTO players_exclusion (player_id, kind, starts_at, reason, recorded_at) VALUES (%s, 'COOL_OFF', %s, '', %s)""",
            [ids[200], run.features_as_of, NOW],  # at this very instant
        )
    assert drifting.of_run(run)["churn"]["rows"] == 300 - 20 - 20 - 1


def test_of_run__players_who_did_not_consent__count_for_fraud_alone() -> None:
    ids = fill(300)
    run = a_run_with_reference(of=("sessions_30d",))
    ModelVersion.objects.filter(kind="fraud").update(reference=ModelVersion.objects.get(kind="churn").reference)
    ask_consent(ids[:50], given_by=ids[:10])
    found = drifting.of_run(run)
    assert {kind: found[kind]["rows"] for kind in ("churn", "fraud")} == {"churn": 260, "fraud": 300}


def test_reference__players_who_did_not_consent__are_as_in_a_run() -> None:
    ids = fill(300)
    history = features.history(NOW, 30, 2)
    ask_consent(ids[:50], given_by=ids[:10])
    rows = [drifting.reference(kind, history, ["sessions_30d"], NOW)["rows"] for kind in ("churn", "fraud")]
    assert rows[1] - rows[0] == 40


def test_of_run__large_operator__reads_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(300)
    run = a_run_with_reference(of=("sessions_30d",))
    monkeypatch.setattr(drifting, "SAMPLE_PLAYERS", 150)
    monkeypatch.setattr(drifting, "_BATCH", 60)
    first, second = drifting.of_run(run), drifting.of_run(run)
    assert first["churn"]["rows"] == 150
    assert first == second  # the same players


def test_of_run__nothing_to_compare__says_why() -> None:
    fill(60)
    all_champions()
    run = scored()
    ModelVersion.objects.filter(kind="churn").update(reference={})
    found = drifting.of_run(run)
    assert found["churn"] == {
        "version": run.versions["churn"],
        "level": "unknown",
        "reason": "The training of Churn 1 kept no distribution of its features.",
    }
    assert found["ltv"]["reason"] == "60 rows tell too little of a distribution; use at least 100."


def test_of_run__nothing_scored__nothing_found() -> None:
    assert drifting.of_run(ScoringRun(as_of=NOW, versions={}, summary={})) == {}


def feature(name: str, level: str = "moderate") -> dict[str, Any]:
    return {"feature": name, "level": level}


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([], ""),
        (["sessions_30d"], "sessions in 30 days"),
        (["sessions_30d", "deposits_30d"], "sessions in 30 days and deposited money in 30 days"),
        (
            ["sessions_30d", "deposits_30d", "ips", "devices", "x_y"],
            "sessions in 30 days, deposited money in 30 days, IP addresses in 90 days and 2 more",
        ),
    ],
)
def test_in_words__names_three(features: list[str], words: str) -> None:
    found = {"moved": len(features), "most_moved": [*map(feature, features), feature("refunds_365d", "none")]}
    assert drifting.in_words(found) == words


def test_kept__without_the_summary_at_hand__reads_that_part_only(django_assert_num_queries: Any) -> None:
    ScoringRun.objects.create(as_of=NOW, started_at=NOW, summary={"drift": {"churn": {"level": "none"}}, "units": {}})
    run = ScoringRun.objects.defer("summary").get()
    with django_assert_num_queries(1):
        assert drifting.kept(run) == {"churn": {"level": "none"}}
    assert drifting.kept(ScoringRun.objects.get()) == {"churn": {"level": "none"}}
    assert drifting.found("ltv", run) is None
    assert drifting.kept(None) == {}
