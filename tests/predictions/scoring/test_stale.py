"""Data that stand still do not age: a run counts from the last day with data, however late it is computed."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from predictions import features, selectors, services
from predictions.instants import features_instant, known_through
from predictions.models import ChurnScore, Kind, PastCase
from tests.factories import NOW
from tests.predictions.scoring.models import MODELS, all_champions
from tests.predictions.scoring.world import fill, predict, run_job

pytestmark = pytest.mark.django_db

THREE_DAYS_LATER = NOW + timedelta(days=3)


def churn_of(run):
    return dict(ChurnScore.objects.filter(run=run).values_list("player_id", "probability"))


def midnight_after_the_data():
    """Activity of `fill` ends on one of the last days before NOW, depending on the ids."""
    last = features.data_window()[1]
    assert last < NOW
    return last.replace(hour=0) + timedelta(days=1)


def seen_by(moment, ids):
    """Those who were ever active before it: of the others there is nothing that could age."""
    idle = features.frame(ids[0], ids[-1] + 1, moment)["days_since_last_activity"]
    return idle.index[idle.notna()].tolist()


def at(day, hour, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("as_of", "data_through", "expected"),
    [
        (at(15, 2, 30), at(15, 2, 14), at(15, 2, 30)),  # data of the same night
        (at(15, 2, 30), at(14, 23, 59), at(15, 0)),
        (at(18, 2, 30), at(14, 9), at(15, 0)),  # the feed fell silent on the 14th
        (at(14, 2, 30), at(16, 9), at(14, 2, 30)),  # an instant in the past
        (at(15, 2, 30), None, at(15, 2, 30)),
    ],
)
def test_features_instant__data_through__is_never_passed_by_more_than_its_day(as_of, data_through, expected):
    assert features_instant(as_of, data_through) == expected


@pytest.mark.parametrize(
    ("as_of", "latest", "expected"),
    [
        (at(15, 2, 30), at(15, 2, 14), at(15, 2, 14)),
        (at(15, 2, 30), at(15, 2, 30), at(15, 2, 30)),
        (at(18, 2, 30), at(14, 9), at(14, 9)),
        (at(14, 2, 30), at(16, 9), at(14, 0) - timedelta(microseconds=1)),
        (at(14, 0), at(16, 9), at(14, 0) - timedelta(microseconds=1)),
        (at(15, 2, 30), None, None),
    ],
)
def test_known_through__activity_after_the_instant__is_not_what_the_scores_rest_on(as_of, latest, expected):
    assert known_through(as_of, latest) == expected


def test_predict__instant_in_the_past__names_data_before_it_and_scores_as_before():
    """With all that came since in the database, the features are those of the day's beginning, as they were then."""
    ids = fill()
    all_champions()
    past = NOW - timedelta(days=10)
    predict(past)
    run = selectors.current_run()
    assert features.data_window()[1] > past
    assert run.data_through == past.replace(hour=0) - timedelta(microseconds=1)
    assert run.features_as_of == past.replace(hour=0)
    assert churn_of(run) == MODELS[Kind.CHURN].predict(features.frame(ids[0], ids[-1] + 1, past))["probability"].to_dict()


def test_predict__activity_stopped__scores_as_on_the_day_after_the_last_data():
    ids = fill(80)
    all_champions()
    midnight = midnight_after_the_data()
    predict(midnight)
    first = selectors.current_run()
    fresh, cases = churn_of(first), first.summary["cases"]
    predict(THREE_DAYS_LATER)
    run = selectors.current_run()
    assert run.as_of == THREE_DAYS_LATER
    assert run.features_as_of == midnight
    assert churn_of(run) == fresh
    assert run.units == first.units
    assert run.summary["cases"] == cases
    assert set(PastCase.objects.filter(run=run).values_list("player_id", flat=True)) <= set(ids)
    # the control: counted from the clock, everybody would look more lost
    by_the_clock = MODELS[Kind.CHURN].predict(features.frame(ids[0], ids[-1] + 1, THREE_DAYS_LATER))["probability"]
    seen = seen_by(midnight, ids)
    assert len(seen) > len(ids) / 2
    assert all(by_the_clock[player] > fresh[player] for player in seen)


def test_predict__activity_goes_on_for_one__counts_from_the_clock_for_all():
    """The control: it is the data that hold the instant back, nothing else."""
    ids = fill()
    all_champions()
    midnight = midnight_after_the_data()
    predict(midnight)
    fresh = churn_of(selectors.current_run())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO players_playsession (player_id, external_id, started_at, device_id) VALUES (%s, 'x', %s, '')",
            [ids[0], THREE_DAYS_LATER - timedelta(days=1)],
        )
    run_job("players.rollup", THREE_DAYS_LATER, days=0)
    predict(THREE_DAYS_LATER)
    run = selectors.current_run()
    assert run.features_as_of == THREE_DAYS_LATER.replace(hour=0)
    now = churn_of(run)
    assert all(now[player] > fresh[player] for player in seen_by(midnight, ids) if player != ids[0])


def test_on_demand__activity_stopped__tells_what_the_run_stored():
    ids = fill()
    all_champions()
    predict(THREE_DAYS_LATER)
    row = ChurnScore.objects.get(player=ids[6])
    scored = services.score_player(ids[6], THREE_DAYS_LATER)
    assert (scored.as_of, scored.scores[Kind.CHURN]["probability"]) == (THREE_DAYS_LATER, row.probability)
    assert services.what_if(ids[6], {}, THREE_DAYS_LATER).before == scored
    frame = features.frame_for([ids[6]], midnight_after_the_data())
    assert services.explain_player(Kind.CHURN, ids[6]).raw == pytest.approx(float(MODELS[Kind.CHURN].raw(frame)[0]))
    # and at an instant that no run is of
    other = services.score_player(ids[6], THREE_DAYS_LATER + timedelta(days=9))
    assert other.scores[Kind.CHURN]["probability"] == row.probability
