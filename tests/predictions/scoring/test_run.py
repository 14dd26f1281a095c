"""A scoring run from features to rows, and what readers may see of it."""

from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from io import StringIO

import numpy as np
import pytest
from constance import config
from django.core.management import CommandError, call_command

from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobRun
from players.models import Player, PlayerMetrics
from predictions import drifting, features, hooks, registry, selectors
from predictions.models import ChurnScore, Kind, ModelVersion, PastCase, ScorePoint, ScoringRun, SegmentScore, ValueScore
from predictions.selectors import SCORES
from tests.factories import NOW, PlayerMetricsFactory
from tests.predictions.scoring.models import MODELS, Broken, all_champions, champion
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db

CENT = Decimal("0.0001")


def rows(model, run=None):
    chosen = model.objects.filter(run=run) if run else model.objects.all()
    return list(chosen.order_by("player_id").values())


def without_ids(found):
    return [{name: value for name, value in row.items() if name != "id"} for row in found]


def test_predict__all_models__scores_every_player_of_every_kind():
    ids = fill()
    versions = all_champions()
    predict()
    run = selectors.current_run()
    assert run.status == ScoringRun.Status.PUBLISHED
    assert run.versions == {kind: version.pk for kind, version in versions.items()}
    assert run.withheld == {}
    assert run.data_through is not None
    for model in SCORES.values():
        assert [row["player_id"] for row in rows(model, run)] == ids
    frame = features.frame(ids[0], ids[-1] + 1, NOW)
    expected = MODELS[Kind.CHURN].predict(frame)
    stored = rows(ChurnScore, run)
    assert [row["probability"] for row in stored] == expected["probability"].tolist()
    assert [row["idle_days"] for row in stored] == [
        int(idle if idle == idle else tenure) for idle, tenure in zip(frame["days_since_last_activity"], frame["tenure_days"], strict=True)
    ]
    assert {row["rfm_segment"] for row in rows(SegmentScore)} == {"Champions", "Can't Lose Them"}


def test_predict__amounts__are_exact_in_the_players_currency():
    ids = fill()
    all_champions()
    predict()
    frame = features.frame(ids[0], ids[-1] + 1, NOW)
    assert set(frame["currency"]) == {"EUR", "JPY", "KWD"}
    answer = MODELS[Kind.LTV].predict(frame)
    churn = MODELS[Kind.CHURN].predict(frame)["probability"]
    for row in rows(ValueScore):
        player = row["player_id"]
        unit = Decimal(repr(float(frame.at[player, "currency_unit"])))
        for name in ("value", "p10", "p50", "p90", "value_90", "boosted"):
            assert row[name] == (Decimal(repr(float(answer.at[player, name]))) * unit).quantize(CENT, ROUND_HALF_EVEN)
        assert row["currency"] == frame.at[player, "currency"]
        staying = float(answer.at[player, "value"] * (1 - churn[player]))
        assert row["churn_adjusted"] == (Decimal(repr(staying)) * unit).quantize(CENT, ROUND_HALF_EVEN)
        depositor = not np.isnan(frame.at[player, "bg_age"])
        assert (row["probabilistic"] is not None) == depositor == (row["alive"] is not None)
    assert {row["value"] for row in rows(ChurnScore)} == {row["value"] for row in rows(ValueScore)}


def test_priority__value_bands__multiply_as_the_reference_says():
    fill()
    all_champions()
    config.VALUE_HIGH_FROM, config.VALUE_VIP_FROM = Decimal(100), Decimal(10_000)
    predict()
    found = set()
    for row in rows(ChurnScore):
        multiplier = 1.5 if row["value"] > 10_000 else 1.2 if row["value"] > 100 else 1.0
        found.add(multiplier)
        assert row["priority"] == min(row["probability"] * multiplier, 1.0)
    assert found == {1.0, 1.2, 1.5}


def test_predict__again_for_the_same_instant__changes_nothing():
    fill()
    all_champions()
    predict()
    before = {kind: rows(model) for kind, model in SCORES.items()}
    predict()
    assert {kind: rows(model) for kind, model in SCORES.items()} == before
    assert ScoringRun.objects.count() == 1


def test_score__range_worked_twice__gives_the_same_rows():
    ids = fill()
    all_champions()
    run_job("predictions.score")
    before = {kind: without_ids(rows(model)) for kind, model in SCORES.items()}
    from predictions.scoring import score_range

    score_range(ids[0], ids[10], NOW)
    score_range(ids[0], ids[-1] + 1, NOW)
    assert {kind: without_ids(rows(model)) for kind, model in SCORES.items()} == before
    assert selectors.current_run() is None  # nothing is shown before it is published


def test_score__promotion_in_mid_run__keeps_to_the_first_version():
    ids = fill()
    first = all_champions()
    from predictions.scoring import score_range

    score_range(ids[0], ids[30], NOW)
    champion(Kind.CHURN, type(MODELS[Kind.CHURN])("other", MODELS[Kind.CHURN].features, (0.0, 0.0, 0.0), 50.0))
    score_range(ids[30], ids[-1] + 1, NOW)
    assert ScoringRun.objects.get().versions[Kind.CHURN] == first[Kind.CHURN].pk
    expected = MODELS[Kind.CHURN].predict(features.frame(ids[0], ids[-1] + 1, NOW))["probability"]
    assert [row["probability"] for row in rows(ChurnScore)] == expected.tolist()  # the other one says 1 of everybody


@pytest.mark.parametrize("job", ["predictions.score", "predictions.publish"])
def test_predict__instant_that_has_not_come__is_refused(job):
    fill()
    all_champions()
    run = run_job(job, utc_now() + timedelta(hours=1))
    assert run.status == JobRun.Status.FAILED
    assert "has not come yet" in run.error
    assert not ScoringRun.objects.exists()
    assert not ChurnScore.objects.exists()


def test_predict__clock_of_another_host_ahead_by_seconds__is_no_future():
    fill()
    all_champions()
    assert run_job("predictions.score", utc_now() + timedelta(seconds=20)).status == JobRun.Status.SUCCEEDED


def test_publish__without_complete_scores__is_refused():
    fill()
    all_champions()
    run = run_job("predictions.publish")
    assert run.status == JobRun.Status.FAILED
    assert "not complete" in run.error
    assert selectors.current_run() is None


def test_publish__scores_that_were_not_prepared__is_refused():
    fill()
    all_champions()
    run_job("predictions.score")
    run = run_job("predictions.publish")
    assert run.status == JobRun.Status.FAILED
    assert "not complete" in run.error
    assert selectors.current_run() is None


def test_prepare__run_nobody_sees_yet__has_all_that_belongs_to_it_and_is_scored_no_more():
    ids = fill(80)
    all_champions()
    run_job("predictions.score")
    prepared = run_job("predictions.prepare")
    assert prepared.status == JobRun.Status.SUCCEEDED
    run = ScoringRun.objects.get()
    assert run.status == ScoringRun.Status.COMPLETE
    assert selectors.current_run() is None
    assert set(run.summary) == {"units", *SCORES, "cases", drifting.SUMMARY}
    assert set(run.summary[drifting.SUMMARY]) == set(SCORES)
    assert prepared.result["reasons"] == 5 * len(ids)
    assert prepared.result["cases"] == PastCase.objects.filter(run=run).count() > 0
    before = rows(ChurnScore)
    from predictions.scoring import score_range

    assert score_range(ids[0], ids[-1] + 1, NOW) == {"rows": 0}
    assert rows(ChurnScore) == before


def test_prepare__worked_again_before_it_is_shown__stores_the_same():
    fill(80)
    all_champions()
    run_job("predictions.score")
    found = []
    for _ in range(2):
        run_job("predictions.prepare")
        cases = [(one.player_id, one.features, one.churned, one.value) for one in PastCase.objects.order_by("player_id")]
        summary = ScoringRun.objects.get().summary
        # sums of floats may differ in the last place: rows that were given reasons lie elsewhere
        players = {kind: summary[kind]["players"] for kind in SCORES}
        found.append((players, summary["units"], summary["cases"], summary[drifting.SUMMARY], rows(ChurnScore), cases))
    assert found[0] == found[1]


def test_publish__run_of_an_earlier_instant__does_not_replace_a_later_one():
    fill()
    all_champions()
    earlier = NOW - timedelta(days=1)
    for job in ("predictions.score", "predictions.prepare"):
        assert run_job(job, earlier).status == JobRun.Status.SUCCEEDED
    predict()
    # a worker held it when the later one was published, which then left it to the next publication
    ScoringRun.objects.filter(as_of=earlier).update(status=ScoringRun.Status.COMPLETE)
    assert run_job("predictions.publish", earlier).result == {"rows": 0, "overtaken": 1}
    assert selectors.current_run().as_of == NOW
    assert ScoringRun.objects.get(as_of=earlier).status == ScoringRun.Status.ABANDONED


def test_predict__instant_before_the_run_that_is_shown__scores_and_explains_nobody(monkeypatch):
    fill()
    all_champions()
    predict()
    monkeypatch.setattr(features, "frame", lambda *_, **__: pytest.fail("features were computed"))
    run = predict(NOW - timedelta(days=1))  # as in a night that is taken up again: it goes on without scores
    found = {stage.name: stage.result for stage in run.stages.all()}
    assert found["predictions.score"] == {"rows": 0}
    assert found["predictions.prepare"] == {"rows": 0}
    assert found["predictions.publish"] == {"rows": 0, "overtaken": 1}
    assert [one.as_of for one in ScoringRun.objects.all()] == [NOW]


@pytest.mark.parametrize("job", ["predictions", "predictions.score"])
def test_run_job__instant_before_the_run_that_is_shown__is_refused_and_names_it(job):
    fill()
    all_champions()
    predict()
    before, shown = JobRun.objects.count(), selectors.current_run()
    earlier = NOW - timedelta(hours=1)
    words = f"^scores as of 2026-03-15 12:00 \\(run {shown.pk}\\) are shown already, and those of 2026-03-15 11:00 would never be"
    with pytest.raises(CommandError, match=words):
        call_command("run_job", job, "--as-of", earlier.isoformat())
    assert JobRun.objects.count() == before
    call_command("run_job", job, "--as-of", NOW.isoformat(), stdout=StringIO())  # of the run itself: nothing to refuse
    call_command("run_job", "predictions.prune", "--as-of", earlier.isoformat(), stdout=StringIO())


def test_predict__narrowed_to_players__scores_and_publishes_nothing():
    ids = fill()
    all_champions()
    predict()
    run_job("predictions", NOW + timedelta(days=1), ids=ids[:2])
    assert ScoringRun.objects.count() == 1
    assert selectors.current_run().as_of == NOW


def test_predict__many_nights__keeps_the_last_runs_and_the_records_of_all():
    fill()
    all_champions()
    config.PREDICTION_RUNS_KEPT = 2
    for night in range(4):
        predict(NOW + timedelta(days=night))
    runs = list(ScoringRun.objects.order_by("as_of"))
    assert [run.status for run in runs] == ["PRUNED", "PRUNED", "PUBLISHED", "PUBLISHED"]
    assert [run.is_current for run in runs] == [False, False, False, True]
    for model in (*SCORES.values(), PastCase):
        assert set(model.objects.values_list("run_id", flat=True)) == {runs[2].pk, runs[3].pk}


def test_predict__run_that_was_never_finished__is_abandoned():
    fill()
    all_champions()
    run_job("predictions.score")
    predict(NOW + timedelta(days=1))
    left = ScoringRun.objects.get(as_of=NOW)
    assert left.status == ScoringRun.Status.ABANDONED
    assert not ChurnScore.objects.filter(run=left).exists()
    # a worker that wakes up late writes nothing into it
    assert run_job("predictions.score").result["rows"] == 0
    assert not ChurnScore.objects.filter(run=left).exists()


def test_predict__no_model_in_use__withholds_the_kind_with_a_reason():
    ids = fill()
    all_champions(without=(Kind.FRAUD, Kind.CHURN))
    predict()
    run = selectors.current_run()
    assert set(run.withheld) == {Kind.FRAUD, Kind.CHURN}
    assert "No model has been trained yet" in selectors.withheld_reason(Kind.CHURN, run)
    assert set(selectors.score_of(ids[0])) == {Kind.LTV, Kind.SEGMENTATION, Kind.ENGAGEMENT}
    assert selectors.history(ids[0], Kind.CHURN) == []
    assert selectors.histogram(Kind.CHURN) == []
    assert not selectors.scores(Kind.CHURN, run).exists()
    # the weight is unknown without churn, so the weighted value is unknown as well
    assert set(ValueScore.objects.values_list("churn_adjusted", flat=True)) == {None}


def test_predict__too_little_history__withholds_everything():
    fill()
    all_champions()
    config.PREDICTION_MIN_DAYS = 1000
    predict()
    run = selectors.current_run()
    assert set(run.withheld) == set(SCORES)
    assert "1000 are needed" in run.withheld[Kind.LTV]
    assert run.versions == {}
    assert not ChurnScore.objects.exists()


def test_predict__artifact_that_was_altered__scores_nobody_and_keeps_what_is_shown(model_folder):
    fill()
    versions = all_champions()
    predict()
    shown = selectors.current_run()
    (model_folder / versions[Kind.LTV].artifact).write_bytes(b"something else")
    registry.forget_opened()
    failed = run_job("predictions", NOW + timedelta(hours=1))
    assert failed.status == JobRun.Status.FAILED
    assert "Lifetime value 1 is in use but cannot be opened" in failed.error
    assert "the last scores stay" in failed.error
    assert selectors.current_run() == shown
    assert ChurnScore.objects.filter(run=shown).count() == ChurnScore.objects.count()
    champion(Kind.LTV, MODELS[Kind.LTV])
    predict(NOW + timedelta(hours=1))
    assert selectors.current_run() != shown


def test_predict__file_damaged_while_the_worker_has_it_open__scores_nobody(model_folder, monkeypatch):
    fill()
    versions = all_champions()
    predict()
    shown = selectors.current_run()
    (model_folder / versions[Kind.LTV].artifact).unlink()
    now = registry.monotonic()
    monkeypatch.setattr(registry, "monotonic", lambda: now + registry.FILE_TRUSTED_SECONDS)
    failed = run_job("predictions", NOW + timedelta(hours=1))
    assert failed.status == JobRun.Status.FAILED
    assert "Lifetime value 1 is in use but cannot be opened" in failed.error
    assert selectors.current_run() == shown


def test_predict__no_value_model__puts_the_deposits_at_stake():
    ids = fill()
    PlayerMetricsFactory(player=Player.objects.get(pk=ids[0]), total_deposited=Decimal("123.4567"))
    all_champions(without=(Kind.LTV,))
    predict()
    assert ChurnScore.objects.get(player=ids[0]).value == Decimal("123.4567")
    assert ChurnScore.objects.get(player=ids[1]).value == 0
    assert PlayerMetrics.objects.count() == 1


def test_predict__currency_with_few_deposits__is_scored_without_value():
    ids = fill()
    Player.objects.filter(pk=ids[3]).update(currency="SEK")
    all_champions()
    predict()
    assert not ValueScore.objects.filter(player=ids[3]).exists()
    assert ChurnScore.objects.filter(player=ids[3]).exists()
    assert selectors.summary(Kind.LTV)["without_unit"] == {"SEK": 1}


def test_score__model_that_answers_nan__fails_and_shows_nothing():
    fill()
    all_champions()
    champion(Kind.CHURN, Broken(*vars(MODELS[Kind.CHURN]).values()))
    run = run_job("predictions")
    assert run.status == JobRun.Status.FAILED
    assert "lower is no finite number" in run.error
    assert not ChurnScore.objects.exists()
    assert selectors.current_run() is None


def test_predict__feed_fails__marks_the_run_and_every_answer(monkeypatch):
    fill()
    all_champions()
    since = NOW - timedelta(hours=5)
    monkeypatch.setattr(hooks, "_feed_states", [lambda: since])
    predict()
    run = selectors.current_run()
    assert run.stale_since == since
    monkeypatch.setattr(hooks, "_feed_states", [lambda: None])  # it works again, but the scores still come from old data
    assert selectors.stale_since(run) == since
    predict(NOW + timedelta(days=1))
    assert selectors.stale_since(selectors.current_run()) is None
    later = NOW + timedelta(days=2)
    monkeypatch.setattr(hooks, "_feed_states", [lambda: later, lambda: None])
    assert selectors.stale_since(selectors.current_run()) == later


def test_reasons__of_the_top__are_stored_and_of_the_others_not():
    fill()
    all_champions()
    config.PREDICTION_REASONS_FOR = 7
    published = predict()
    for kind, order in ((Kind.CHURN, "-priority"), (Kind.LTV, "-value"), (Kind.FRAUD, "-score"), (Kind.ENGAGEMENT, "-probability")):
        top = set(SCORES[kind].objects.order_by(order, "player_id").values_list("player_id", flat=True)[:7])
        with_reasons = set(SCORES[kind].objects.exclude(reasons=[]).values_list("player_id", flat=True))
        assert with_reasons <= top  # whom no feature moves has none
        assert len(with_reasons) >= 5
    assert published.result["predictions.prepare"]["reasons"] == 7 * 5
    row = ChurnScore.objects.order_by("-priority", "player_id").first()
    assert 1 <= len(row.reasons) <= 4
    up = row.probability >= 0.5
    towards = [one["contribution"] if up else -one["contribution"] for one in row.reasons]
    assert towards == sorted(towards, reverse=True)  # what speaks for the label, largest first; at the end the one that speaks against it
    assert sum(one < 0 for one in towards) <= 1
    assert {one["feature"] for one in row.reasons} <= set(MODELS[Kind.CHURN].features)


def test_points__nights_of_the_same_score__leave_one_a_week():
    ids = fill()
    all_champions(without=(Kind.CHURN, Kind.LTV, Kind.FRAUD, Kind.SEGMENTATION))
    champion(Kind.ENGAGEMENT, type(MODELS[Kind.ENGAGEMENT])("constant", ("sessions_30d",), (0.0,), 0.0))
    for night in range(9):
        predict(NOW + timedelta(days=night))
    points = ScorePoint.objects.filter(player=ids[0], kind=Kind.ENGAGEMENT).order_by("as_of").values_list("as_of", "value")
    assert list(points) == [(NOW, 0.5), (NOW + timedelta(days=7), 0.5)]
    shown = selectors.history(ids[0], Kind.ENGAGEMENT)
    assert shown == [(NOW, 0.5), (NOW + timedelta(days=7), 0.5), (NOW + timedelta(days=8), 0.5)]


@pytest.mark.parametrize(("second", "points"), [(0.35, 1), (0.45, 2), (-0.35, 1), (-0.45, 2)])
def test_points__score_that_moves_by_a_tenth__leaves_a_point(second, points):
    ids = fill()
    kind = Kind.ENGAGEMENT  # 0.5 + 0.1 lies at log-odds 0.405
    for night, intercept in enumerate((0.0, second)):
        champion(kind, type(MODELS[kind])("constant", ("sessions_30d",), (0.0,), intercept))
        predict(NOW + timedelta(days=night))
    assert ScorePoint.objects.filter(player=ids[0]).count() == points


def test_summary__churn__adds_up_to_the_rows():
    fill()
    all_champions()
    predict()
    run = selectors.current_run()
    summary = selectors.summary(Kind.CHURN, run)
    bands = selectors.histogram(Kind.CHURN, run)
    stored = rows(ChurnScore, run)
    assert summary["players"] == len(stored) == sum(band["players"] for band in bands)
    assert len(bands) == 100
    high = [row for row in stored if row["probability"] >= 0.6]
    assert sum(band["players"] for band in bands if band["from"] >= 0.6) == len(high)
    assert sum(band["sum"] for band in bands) == pytest.approx(sum(row["probability"] for row in stored))
    total = sum(Decimal(amount) for band in bands for amount in band["value"].values())
    assert total == sum(row["value"] for row in stored) == sum(Decimal(amount) for amount in summary["value"].values())


def test_summary__other_kinds__add_up_to_the_rows():
    fill()
    all_champions()
    predict()
    values = selectors.summary(Kind.LTV)
    assert {name: one["players"] for name, one in values["currencies"].items()} == {"EUR": 36, "JPY": 12, "KWD": 12}
    for currency, one in values["currencies"].items():
        bands = [band for band in values["histogram"] if band["currency"] == currency]
        assert sum(band["players"] for band in bands) == one["players"]
        assert sum(Decimal(band["value"][currency]) for band in bands) == Decimal(one["total"])
    segments = selectors.summary(Kind.SEGMENTATION)
    assert sum(segments["clusters"].values()) == sum(segments["segments"].values()) == 60
    assert sum(players for moves in segments["transitions"].values() for players in moves.values()) == 60
    assert selectors.summary(Kind.FRAUD)["types"] == {"": 60}


def test_run__fraud__carries_the_strongest_signal_and_the_detectors(monkeypatch):
    ids = fill()
    all_champions()
    monkeypatch.setattr(hooks, "_fraud_signals", [lambda lower, upper: {ids[4]: ("BONUS_ONLY", 0.75)}])
    predict()
    row = SCORES[Kind.FRAUD].objects.get(player=ids[4])
    assert (row.fraud_type, row.severity) == ("BONUS_ONLY", 0.75)
    assert row.detectors == Player.objects.get(pk=ids[4]).risk_score / 100
    assert SCORES[Kind.FRAUD].objects.exclude(player=ids[4]).values_list("fraud_type", flat=True).distinct().get() == ""


def test_versions__after_scoring__stay_as_they_were():
    fill()
    all_champions()
    before = list(ModelVersion.objects.order_by("pk").values())
    predict()
    assert list(ModelVersion.objects.order_by("pk").values()) == before
