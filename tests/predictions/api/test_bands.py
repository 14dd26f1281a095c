"""Counts above a threshold come from the bands of the run, and are those of the rows."""

from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from players.imports import hooks as import_hooks
from players.models import Player
from predictions import selectors, summaries
from predictions.api.bands import Above
from predictions.models import Kind, ScoringRun
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import churn, engagement, fraud, make_run

pytestmark = pytest.mark.django_db

# on bands and between them, the ends, what floats make of hundredths, and ties
SCORES = [
    *(0.0, 0.004, 0.01, 0.07, 0.28, 0.29, 0.29, 0.295, 0.3, 0.1 + 0.2, 0.57, 0.58),
    *(0.5, 0.5, 0.5, 0.505, 0.79, 0.8, 0.8, 0.81, 0.99, 1.0, 1.0),
]
THRESHOLDS = [0.0, 0.004, 0.005, 0.01, 0.145, 0.28, 0.29, 0.2925, 0.3, 0.4, 0.5, 0.501, 0.57, 0.58, 0.8, 0.805, 0.99, 0.995, 0.9999, 1.0]
TYPES = ["", "MULTI_ACCOUNT", "BONUS_ONLY"]


def scored(*, published: bool = True) -> ScoringRun:
    run = make_run()
    for number, score in enumerate(SCORES):
        player = PlayerFactory(external_id=f"P{number}")
        churn(run, player, score)
        engagement(run, player, score)
        fraud(run, player, score, fraud_type=TYPES[number % 3])
    if published:
        run.summary = {"units": {}, **{kind: summaries.summarise(kind, run) for kind in (Kind.CHURN, Kind.FRAUD, Kind.ENGAGEMENT)}}
        run.save(update_fields=["summary"])
    return run


def undo(players: list[int]) -> None:
    """What undoing the import that brought these players does to the predictions, and to the players."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE undone_player ON COMMIT DROP AS SELECT unnest(%s::bigint[]) AS player_id", [players])
        import_hooks.run_undo_cleaners(cursor)
        Player.objects.filter(pk__in=players).delete()
        cursor.execute("DROP TABLE undone_player")


def above(kind: str, run: ScoringRun) -> Above:
    return Above(kind, run, selectors.scores(kind, run))


@pytest.mark.parametrize("published", [True, False])
def test_above__any_threshold__is_what_the_rows_say(published: bool) -> None:
    run = scored(published=published)
    for kind in (Kind.CHURN, Kind.FRAUD, Kind.ENGAGEMENT):
        found = above(kind, run)
        for threshold in THRESHOLDS:
            assert found.count(threshold) == sum(score > threshold for score in SCORES), (kind, threshold)
            assert found.count(threshold, inclusive=True) == sum(score >= threshold for score in SCORES), (kind, threshold)


@pytest.mark.parametrize("published", [True, False])
def test_types__any_threshold__is_what_the_rows_say(published: bool) -> None:
    found = above(Kind.FRAUD, scored(published=published))
    for threshold in THRESHOLDS:
        kinds = [TYPES[number % 3] for number, score in enumerate(SCORES) if score > threshold]
        assert found.types(threshold) == {kind: kinds.count(kind) for kind in TYPES if kind in kinds}, threshold


def test_types__of_the_whole_run__are_those_of_its_bands() -> None:
    run = scored()
    assert run.summary["fraud"]["types"] == {"": 8, "MULTI_ACCOUNT": 8, "BONUS_ONLY": 7}
    assert run.summary["fraud"]["histogram"][80]["types"] == {"BONUS_ONLY": 1, "": 1}


def test_above__on_a_band__reads_no_row_but_the_ties() -> None:
    run = scored()
    with CaptureQueriesContext(connection) as seen:
        above(Kind.CHURN, run).count(0.29, inclusive=True)
    assert [query["sql"] for query in seen if "churnscore" in query["sql"]] == []
    with CaptureQueriesContext(connection) as seen:
        assert above(Kind.CHURN, run).count(0.29) == above(Kind.CHURN, run).count(0.29, inclusive=True) - 2
    (ties,) = [query["sql"] for query in seen if "churnscore" in query["sql"]]
    assert '"probability" = 0.29' in ties
    with CaptureQueriesContext(connection) as seen:
        above(Kind.CHURN, run).count(0.295)
    (cut,) = [query["sql"] for query in seen if "churnscore" in query["sql"]]
    assert '"probability" > 0.295' in cut
    assert '"probability" < 0.3' in cut


def test_pages__another_threshold__moves_the_sums_and_adds_nothing_up_again(api: KeyedClient) -> None:
    scored()
    for threshold in (0.29, 0.8, 0.145):
        first = api.get("/predictions/churn/predict").json()["data"]["summary"]
        with CaptureQueriesContext(connection) as seen:
            asked: Any = {
                kind: api.get(f"/predictions/{kind}/predict", threshold=str(threshold)).json()["data"]["summary"]
                for kind in ("churn", "fraud", "engagement")
            }
        assert asked["churn"]["predicted_churners"] == sum(score >= threshold for score in SCORES)
        assert {**first, "predicted_churners": 0} == {**asked["churn"], "predicted_churners": 0}
        review = sum(score > threshold for score in SCORES)
        assert asked["fraud"]["flagged_users"] == review == sum(asked["fraud"]["fraud_types"].values())
        watch = next(one for one in asked["fraud"]["business_recommendations"] if one["type"] == "watch")
        assert watch["user_count"] == sum(threshold / 2 < score <= threshold for score in SCORES)
        assert not any("sum(" in query["sql"].lower() and "churnscore" in query["sql"] for query in seen)


@pytest.mark.parametrize(
    ("kind", "params", "test"),
    [
        ("fraud", {"label": "fraud"}, lambda score, bound: score > bound),
        ("fraud", {"label": "not_fraud"}, lambda score, bound: score <= bound),
        ("fraud", {"label": "fraud", "min_score": "0.9"}, lambda score, bound: score > bound and score >= 0.9),
        ("engagement", {"engagement": "engaged"}, lambda score, bound: score > bound),
        ("engagement", {"engagement": "not_engaged"}, lambda score, bound: score <= bound),
    ],
)
def test_pages__label_at_a_threshold__as_many_items_as_rows(api: KeyedClient, kind: str, params: dict[str, str], test: Any) -> None:
    scored()
    for threshold in (0.29, 0.5, 0.805):
        body = api.get(f"/predictions/{kind}/predict", threshold=str(threshold), **params).json()
        wanted = sum(test(score, threshold) for score in SCORES)
        assert (body["pagination"]["total_items"], len(body["data"]["results"])) == (wanted, wanted)


def test_pages__risk_level__as_many_items_as_rows(api: KeyedClient) -> None:
    scored()
    for level, low, high in (("low", -1, 0.3), ("medium", 0.3, 0.6), ("high", 0.6, 2)):
        body = api.get("/predictions/churn/predict", risk_level=level).json()
        assert body["pagination"]["total_items"] == len(body["data"]["results"]) == sum(low <= score < high for score in SCORES)


def test_above__random_scores__never_miss_a_row() -> None:
    rng = np.random.default_rng(5)
    run = make_run()
    scores = [float(score) for score in rng.random(150) ** 3] + [round(float(score), 2) for score in rng.random(50)]
    for number, score in enumerate(scores):
        engagement(run, PlayerFactory(external_id=f"R{number}"), score)
    run.summary = {"units": {}, "engagement": summaries.summarise(Kind.ENGAGEMENT, run)}
    run.save(update_fields=["summary"])
    found = above(Kind.ENGAGEMENT, run)
    for threshold in [number / 100 for number in range(101)] + [float(one) for one in rng.random(50)]:
        assert found.count(threshold) == sum(score > threshold for score in scores)
        assert found.count(threshold, inclusive=True) == sum(score >= threshold for score in scores)


def test_above__figures_beside_a_hundredth__are_on_their_side_of_it() -> None:
    """The floats next to every hundredth, which a product with 100 would take for it."""
    run = make_run()
    starts = [number / 100 for number in range(101)]
    beside = [0.2899999999999999, *(float(np.nextafter(one, side)) for one in starts for side in (-1, 2))]
    scores = [score for score in beside if 0 <= score <= 1]
    for number, score in enumerate(scores):
        engagement(run, PlayerFactory(external_id=f"N{number}"), score)
    run.summary = {"units": {}, "engagement": summaries.summarise(Kind.ENGAGEMENT, run)}
    run.save(update_fields=["summary"])
    bands = run.summary["engagement"]["histogram"]
    for band, following in zip(bands, [*bands[1:], {"from": 2}], strict=True):
        assert band["players"] == sum(band["from"] <= score < following["from"] for score in scores), band["from"]
    found = above(Kind.ENGAGEMENT, run)
    for threshold in sorted({*starts, *scores}):
        assert found.count(threshold) == sum(score > threshold for score in scores), threshold
        assert found.count(threshold, inclusive=True) == sum(score >= threshold for score in scores), threshold


def test_undone_import__players_that_go__are_in_no_count_any_more(api: KeyedClient) -> None:
    run = scored()

    def asked() -> dict[str, Any]:
        bodies = {
            "churn": api.get("/predictions/churn/predict", threshold="0.5").json(),
            "high": api.get("/predictions/churn/predict", risk_level="high").json(),
            "fraud": api.get("/predictions/fraud/predict", threshold="0.29", label="fraud").json(),
            "engaged": api.get("/predictions/engagement/predict", threshold="0.5", engagement="engaged").json(),
        }
        for name in ("high", "fraud", "engaged"):  # what a page counts is what it lists
            assert bodies[name]["pagination"]["total_items"] == len(bodies[name]["data"]["results"]), name
        counts = {name: body["pagination"]["total_items"] for name, body in bodies.items()}
        summary = bodies["churn"]["data"]["summary"]
        types = bodies["fraud"]["data"]["summary"]["fraud_types"]
        return {**counts, "users": summary["total_users"], "churning": summary["predicted_churners"], "types": sum(types.values())}

    def expected(scores: list[float]) -> dict[str, Any]:
        review = sum(score > 0.29 for score in scores)
        return {
            "churn": len(scores), "high": sum(score >= 0.6 for score in scores), "fraud": review,
            "engaged": sum(score > 0.5 for score in scores), "users": len(scores),
            "churning": sum(score >= 0.5 for score in scores), "types": review,
        }  # fmt: skip

    assert asked() == expected(SCORES)
    undo(list(Player.objects.filter(external_id__in=[f"P{number}" for number in (7, 14, 22)]).values_list("pk", flat=True)))
    left = [score for number, score in enumerate(SCORES) if number not in (7, 14, 22)]
    assert asked() == expected(left)
    run = ScoringRun.objects.get(pk=run.pk)
    assert run.revision == 1
    for kind in (Kind.CHURN, Kind.FRAUD, Kind.ENGAGEMENT):
        assert run.summary[kind]["players"] == sum(band["players"] for band in run.summary[kind]["histogram"]) == 20
        assert run.summary[kind]["mean"] == pytest.approx(sum(left) / 20)
