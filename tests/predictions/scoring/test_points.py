"""Points of history are written before a run is shown, seen with it, and go with a run that never is."""

from datetime import timedelta

import pytest
from constance import config
from django.db import connection
from django.test.utils import CaptureQueriesContext

from loyalty_site.common.models import JobRun
from predictions import selectors
from predictions.models import Kind, ScorePoint, ScoringRun
from predictions.points import add_points, delete_abandoned
from predictions.pruning import prune
from tests.factories import NOW
from tests.predictions.scoring.models import MODELS, all_champions, champion
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db

NIGHT = timedelta(days=1)
KINDS = len(selectors.SCORES)


def prepare(as_of):
    for job in ("predictions.score", "predictions.prepare"):
        run = run_job(job, as_of)
        assert run.status == JobRun.Status.SUCCEEDED, run.error
    return run


def engagement(intercept):
    """A version that says the same of everybody: 0.5 at 0.0."""
    return champion(Kind.ENGAGEMENT, type(MODELS[Kind.ENGAGEMENT])("constant", ("sessions_30d",), (0.0,), intercept))


def instants():
    return set(ScorePoint.objects.values_list("as_of", flat=True))


def test_publish__points__are_there_and_the_switch_reads_and_writes_no_row_of_a_player():
    ids = fill()
    all_champions()
    assert prepare(NOW).result["points"] == ScorePoint.objects.count() == KINDS * len(ids)
    with CaptureQueriesContext(connection) as seen:
        assert run_job("predictions.publish").status == JobRun.Status.SUCCEEDED
    tables = ("scorepoint", "pastcase", *(model._meta.db_table for model in selectors.SCORES.values()))
    assert [query["sql"] for query in seen if any(table in query["sql"] for table in tables)] == []
    assert selectors.history(ids[0], Kind.CHURN) == [(NOW, ScorePoint.objects.get(player=ids[0], kind=Kind.CHURN).value)]


def test_points__prepared_and_not_shown__nobody_sees():
    ids = fill()
    engagement(1.0)
    prepare(NOW - NIGHT)  # a night that died before its publication
    engagement(0.0)
    prepare(NOW)
    run_job("predictions.publish")
    engagement(1.0)
    prepare(NOW + NIGHT)
    for unseen in (NOW - NIGHT, NOW + NIGHT):
        assert ScorePoint.objects.filter(as_of=unseen).count() == len(ids)
    assert selectors.history(ids[0], Kind.ENGAGEMENT) == [(NOW, 0.5)]
    run_job("predictions.publish", NOW + NIGHT)
    (first, second) = selectors.history(ids[0], Kind.ENGAGEMENT)
    assert first == (NOW, 0.5)
    assert second == (NOW + NIGHT, pytest.approx(0.731, abs=0.001))


def test_prepare__again__writes_no_point_twice():
    ids = fill()
    all_champions()
    prepare(NOW)
    before = list(ScorePoint.objects.order_by("player", "kind").values())
    assert run_job("predictions.prepare").result["points"] == 0
    assert list(ScorePoint.objects.order_by("player", "kind").values()) == before
    ScorePoint.objects.filter(player__in=ids[10:20]).delete()  # as a night that died in the midst leaves it
    run = ScoringRun.objects.get()
    assert add_points(run, ids[0], ids[15]) == KINDS * 5
    assert add_points(run, ids[0], ids[-1] + 1) == KINDS * 5
    assert list(ScorePoint.objects.order_by("player", "kind").values()) == before


def test_points__run_that_is_abandoned__vanish_and_do_not_stand_in_for_those_of_the_next():
    ids = fill()
    all_champions()
    prepare(NOW)
    later = NOW + NIGHT
    for job in ("predictions.score", "predictions.prepare", "predictions.publish"):
        run_job(job, later)
    assert ScoringRun.objects.get(as_of=NOW).status == ScoringRun.Status.ABANDONED
    # nothing that was shown is younger than a week: everybody has a point of this night, and readers know of this night alone
    assert ScorePoint.objects.filter(as_of=later).count() == ScorePoint.objects.filter(as_of=NOW).count() == KINDS * len(ids)
    assert [as_of for as_of, _ in selectors.history(ids[0], Kind.CHURN)] == [later]
    assert prune(ids[0], ids[10], later)["points_abandoned"] == KINDS * 10  # a night that dies after a few ranges
    assert run_job("predictions.prune", later).result["points_abandoned"] == KINDS * (len(ids) - 10)
    assert instants() == {later}
    assert delete_abandoned(ids[0], ids[-1] + 1) == 0


def test_points__run_that_a_later_one_overtook__vanish():
    fill()
    all_champions()
    prepare(NOW - NIGHT)
    assert instants() == {NOW - NIGHT}
    predict()
    predict(NOW - NIGHT)  # taken up again
    assert ScoringRun.objects.get(as_of=NOW - NIGHT).status == ScoringRun.Status.ABANDONED
    assert instants() == {NOW}


def test_points__runs_whose_scores_were_deleted__stay():
    ids = fill()
    engagement(0.0)
    config.PREDICTION_RUNS_KEPT = 2
    for night in range(3):
        predict(NOW + night * 7 * NIGHT)
    assert [run.status for run in ScoringRun.objects.order_by("as_of")] == ["PRUNED", "PUBLISHED", "PUBLISHED"]
    assert [as_of for as_of, _ in selectors.history(ids[0], Kind.ENGAGEMENT)] == [NOW + night * 7 * NIGHT for night in range(3)]


def test_prune__points_of_a_month__one_that_nobody_sees_is_not_its_last():
    ids = fill(10)
    shown, unseen, now = NOW.replace(month=1, day=5), NOW.replace(month=1, day=20), NOW.replace(month=6)
    ScoringRun.objects.create(as_of=unseen, started_at=unseen, status=ScoringRun.Status.COMPLETE)
    points = [ScorePoint(player_id=ids[0], kind=Kind.CHURN, as_of=one, value=0.5) for one in (shown, unseen)]
    ScorePoint.objects.bulk_create(points)
    assert run_job("predictions.prune", now).result["points_thinned"] == 0
    assert instants() == {shown, unseen}
