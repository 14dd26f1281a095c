"""The thin history of scores: what is kept of it, and in whose words it is told."""

from datetime import UTC, datetime, timedelta

import pytest
from constance import config

from loyalty_site.common.models import JobRun
from predictions import selectors
from predictions.admin.player_panel import panel
from predictions.models import Kind, ModelVersion, ScorePoint, ScoringRun
from tests.factories import NOW, PlayerFactory, UserFactory
from tests.predictions.scoring.models import MODELS, all_champions, champion
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db


def day(month, number, year=2026):
    return datetime(year, month, number, 2, 30, tzinfo=UTC)


def add(player, kind, *instants):
    ScorePoint.objects.bulk_create([ScorePoint(player=player, kind=kind, as_of=one, value=0.5) for one in instants])


def left(player, kind):
    return list(ScorePoint.objects.filter(player=player, kind=kind).order_by("as_of").values_list("as_of", flat=True))


def test_prune__points__one_a_month_remains_of_what_is_long_past():
    first, second = PlayerFactory(), PlayerFactory()
    november, december = [day(11, 1, 2025), day(11, 8, 2025), day(11, 29, 2025)], [day(12, 6, 2025), day(12, 13, 2025), day(12, 31, 2025)]
    long_ago = [day(3, 1, 2021), day(4, 2, 2021), day(4, 30, 2021)]
    add(first, Kind.CHURN, *long_ago, *november, *december, day(3, 8))
    add(first, Kind.LTV, november[0])
    add(second, Kind.CHURN, november[0], november[1])
    # 90 days before 15 March is 15 December: November is wholly past, December not yet
    run = run_job("predictions.prune", day(3, 15))
    assert left(first, Kind.CHURN) == [long_ago[2], november[2], *december, day(3, 8)]
    assert left(first, Kind.LTV) == [november[0]]
    assert left(second, Kind.CHURN) == [november[1]]
    assert run.result["points_thinned"] == 2 + 2 + 1  # of 2021 the first by age, the second by its month


def test_prune__points__are_looked_at_once_a_month():
    player = PlayerFactory()
    add(player, Kind.CHURN, day(11, 1, 2025), day(11, 8, 2025))
    assert run_job("predictions.prune", day(3, 15)).result["points_thinned"] == 1
    add(player, Kind.CHURN, day(11, 2, 2025))
    assert run_job("predictions.prune", day(3, 16)).result["points_thinned"] == 0
    # 90 days before 1 April is 1 January: December is over
    assert run_job("predictions.prune", day(4, 1)).result["points_thinned"] == 1
    assert left(player, Kind.CHURN) == [day(11, 8, 2025)]


def test_prune__points__after_a_night_that_failed_are_looked_at_in_the_next():
    player = PlayerFactory()
    add(player, Kind.CHURN, day(11, 1, 2025), day(11, 8, 2025))
    JobRun.objects.create(name="predictions.prune", as_of=day(3, 15), status=JobRun.Status.FAILED, created_at=NOW)
    assert run_job("predictions.prune", day(3, 16)).result["points_thinned"] == 1


def test_prune__settings__say_how_much_is_kept():
    player = PlayerFactory()
    instants = [day(1, 3, 2025), day(11, 1, 2025), day(11, 8, 2025), day(1, 3), day(1, 10)]
    add(player, Kind.CHURN, *instants)
    config.PREDICTION_HISTORY_DAYS, config.PREDICTION_HISTORY_YEARS = 400, 1
    run_job("predictions.prune", day(3, 15))
    assert left(player, Kind.CHURN) == instants[1:]
    config.PREDICTION_HISTORY_DAYS = 10
    run_job("predictions.prune", day(4, 20))
    assert left(player, Kind.CHURN) == [instants[2], instants[4]]


def test_prune__runs__nothing_of_the_current_goes_and_the_rest_of_a_killed_night_does():
    ids = fill()
    all_champions()
    config.PREDICTION_RUNS_KEPT = 2
    predict(NOW - timedelta(days=1))
    predict()
    assert run_job("predictions.score", NOW + timedelta(days=1)).status == "SUCCEEDED"
    later = ScoringRun.objects.get(as_of=NOW + timedelta(days=1))
    ScoringRun.objects.filter(pk=later.pk).update(status=ScoringRun.Status.ABANDONED)
    # a night that died after a few ranges
    from predictions.pruning import prune

    assert prune(ids[0], ids[10], NOW)["pruned"] == 5 * 10
    assert run_job("predictions.prune", NOW).result["pruned"] == 5 * 50
    assert set(selectors.SCORES[Kind.CHURN].objects.values_list("run__status", flat=True)) == {"PUBLISHED"}
    assert selectors.scores(Kind.CHURN, selectors.current_run()).count() == 60


def segments(*names, swapped=False):
    """A version with two clusters; swapped: the same split, numbered the other way round."""
    sign = -1 if swapped else 1
    model = type(MODELS[Kind.SEGMENTATION])("two", ("days_since_last_activity",), (0.0,), sign * 1.0)
    version = champion(Kind.SEGMENTATION, model)
    ModelVersion.objects.filter(pk=version.pk).update(
        curves={"characteristics": [{"name": name, "recommendation": "engage"} for name in names]}
    )
    return version


def test_cluster_history__training_between__keeps_the_words_of_its_time():
    ids = fill(20)
    viewer = UserFactory(is_superuser=True)
    first = segments("Quiet", "Loyal")
    predict()
    second = segments("Loyal", "Quiet", swapped=True)
    predict(NOW + timedelta(days=1))
    third = segments("Sleepers", "Regulars")
    predict(NOW + timedelta(days=2))
    one, two, three = NOW, NOW + timedelta(days=1), NOW + timedelta(days=2)
    assert selectors.cluster_history(ids[6]) == [(one, 1, first.pk), (two, 0, second.pk), (three, 1, third.pk)]
    (card,) = [card for card in panel(ScorePoint.objects.filter(player=ids[6]).first().player, viewer)["cards"] if card.get("moves")]
    assert card["moves"] == [f"{three:%Y-%m-%d}: Loyal to Regulars"]  # from the first to the second nothing but the numbers changed


def test_points__another_version_of_segments__leaves_a_point_though_the_number_is_the_same():
    ids = fill(20)
    segments("Quiet", "Loyal")
    predict()
    predict(NOW + timedelta(hours=1))
    assert ScorePoint.objects.filter(player=ids[6], kind=Kind.SEGMENTATION).count() == 1
    segments("Sleepers", "Regulars")
    predict(NOW + timedelta(hours=2))
    assert ScorePoint.objects.filter(player=ids[6], kind=Kind.SEGMENTATION).count() == 2
