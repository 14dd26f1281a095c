"""Paging, order, filters and refusals."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from predictions import selectors
from predictions.api import kinds, paging
from predictions.api.kinds.base import Prediction
from predictions.models import Kind, ScoringRun
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import AS_OF, churn, engagement, fraud, ltv, make_run, segment

pytestmark = pytest.mark.django_db


def ids(answer: Any) -> list[str]:
    return [row["user_id"] for row in answer.json()["data"]["results"]]


def walk(api: KeyedClient, kind: str, **params: Any) -> list[str]:
    """User ids of all pages by following the cursor."""
    found: list[str] = []
    answer = api.get(f"/predictions/{kind}/predict", **params)
    while True:
        assert answer.status_code == 200, answer.content
        found += ids(answer)
        cursor = answer.json()["pagination"]["next_cursor"]
        assert answer.json()["pagination"]["has_next"] is (cursor is not None)
        if cursor is None:
            return found
        answer = api.get(f"/predictions/{kind}/predict", **params, cursor=cursor)


@pytest.fixture
def crowd(db: None) -> ScoringRun:
    """23 players with many equal figures, whose ids sort otherwise than they came."""
    run = make_run()
    for number in range(23):
        player = PlayerFactory(external_id=f"P{(number * 7) % 23:02d}", currency="USD" if number % 5 == 0 else "EUR")
        churn(run, player, (number % 4) / 4 + 0.1, str(400 * (number % 6)))
        ltv(run, player, str(400 * (number % 6)))
        fraud(run, player, (number % 5) / 4, anomaly=(number % 3) / 4)
        segment(run, player, number % 4, stability=(number % 3) / 2, rfm_segment="Lost" if number % 2 else "Champions")
        engagement(run, player, (number % 5) / 5, decay=(number % 3) / 10)
    return run


ORDERS = [
    ("churn", "probability", lambda row: -row["churn_probability"]),
    ("churn", "priority_score", lambda row: -row["priority_score"]),
    ("churn", "user_value", lambda row: -row["user_value"]),
    ("churn", "user_id", lambda row: row["user_id"]),
    ("ltv", "predicted_ltv", lambda row: -row["predicted_ltv"]),
    ("ltv", "churn_adjusted_ltv", lambda row: -row["churn_adjusted_ltv"]),
    ("fraud", "fraud_score", lambda row: -row["fraud_score"]),
    ("fraud", "anomaly_score", lambda row: -row["anomaly_score"]),
    ("segmentation", "segment", lambda row: row["segment"]),
    ("segmentation", "stability", lambda row: -row["segment_stability"]),
    ("engagement", "engagement_score", lambda row: -row["engagement_score"]),
    ("engagement", "predicted_decay", lambda row: -row["predicted_decay"]),
]


@pytest.mark.parametrize(("kind", "sort_by", "key"), ORDERS)
def test_order__pages_and_cursor__the_same_walk_over_everybody(
    api: KeyedClient, crowd: ScoringRun, kind: str, sort_by: str, key: Any
) -> None:
    rows = api.get(f"/predictions/{kind}/predict", sort_by=sort_by, page_size=100).json()["data"]["results"]
    whole = [row["user_id"] for row in rows]
    assert [key(row) for row in rows] == sorted(key(row) for row in rows)
    assert len(set(whole)) == 23
    pages = [ids(api.get(f"/predictions/{kind}/predict", sort_by=sort_by, page_size=5, page=page)) for page in range(1, 6)]
    assert sum(pages, []) == whole
    assert walk(api, kind, sort_by=sort_by, page_size=4) == whole


@pytest.fixture
def partly_adjusted(db: None) -> tuple[list[str], list[str]]:
    """Ids in order: 7 players with an adjusted value (two alike), then 5 without one, whose other values lie between and above."""
    run = make_run()
    adjusted = {number: str([900, 700, 700, 400, 90, 0, -20][number]) for number in range(7)}
    known, unknown = [], []
    for number in range(12):
        player = PlayerFactory(external_id=f"P{(number * 5) % 12:02d}", currency="USD" if number % 2 else "EUR")
        # every other one without a value, so that neither part is a block of ids
        if number % 2 and number < 10:
            ltv(run, player, str(10_000 - number), churn_adjusted=None)
            unknown.append(player.external_id)
        else:
            ltv(run, player, "500", churn_adjusted=adjusted[len(known)])
            known.append(player.external_id)
    return known, unknown


ADJUSTED = {"sort_by": "churn_adjusted_ltv"}


@pytest.mark.parametrize("size", [1, 3, 4, 5, 7, 8])
def test_order__values_missing__they_come_last_by_cursor_and_by_number(
    api: KeyedClient, partly_adjusted: tuple[list[str], list[str]], size: int
) -> None:
    expected = [*partly_adjusted[0], *partly_adjusted[1]]
    assert (len(partly_adjusted[0]), len(partly_adjusted[1])) == (7, 5)
    assert walk(api, "ltv", **ADJUSTED, page_size=size) == expected
    pages = [ids(api.get("/predictions/ltv/predict", **ADJUSTED, page_size=size, page=page)) for page in range(1, 12 // size + 3)]
    assert sum(pages, []) == expected
    assert pages[-1] == []
    # a cursor from any page that was reached by its number goes on where the number would
    for number, page in enumerate(pages[:-2], 1):
        answer = api.get("/predictions/ltv/predict", **ADJUSTED, page_size=size, page=number).json()["pagination"]
        assert answer["total_items"] == 12
        if answer["next_cursor"]:
            following = api.get("/predictions/ltv/predict", **ADJUSTED, page_size=size, cursor=answer["next_cursor"])
            assert ids(following) == pages[number], page


def test_order__values_missing_under_a_filter__only_what_is_asked_for(
    api: KeyedClient, partly_adjusted: tuple[list[str], list[str]]
) -> None:
    known, unknown = partly_adjusted
    assert walk(api, "ltv", **ADJUSTED, currency="USD", page_size=2) == [known[-1], *unknown]
    assert walk(api, "ltv", **ADJUSTED, min_ltv=1000, page_size=2) == unknown
    assert ids(api.get("/predictions/ltv/predict", **ADJUSTED, min_ltv=1000, page_size=2, page=2)) == unknown[2:4]


def test_keys__rising_order__values_missing_come_last_too(partly_adjusted: tuple[list[str], list[str]]) -> None:
    rows = selectors.scores(Kind.LTV, ScoringRun.objects.get())
    sort = paging.Sort("churn_adjusted", descending=False, nullable=True)
    whole = paging.keys_from(rows, sort, 0, 20)
    by_key = {row.player_id: row for row in rows.select_related("player")}
    known, unknown = partly_adjusted
    assert [by_key[key].player.external_id for key in whole] == [*known[:2:-1], known[1], known[2], known[0], *unknown]
    assert sum((paging.keys_from(rows, sort, offset, 3) for offset in range(0, 15, 3)), []) == whole
    for place, key in enumerate(whole):
        position = paging.Position(sort.value_of(by_key[key]), key)
        assert paging.keys_after(rows, sort, position, 4) == whole[place + 1 : place + 5]


@pytest.mark.parametrize("prediction", [kinds.Churn(), kinds.Ltv(), kinds.Fraud(), kinds.Segmentation(), kinds.Engagement()])
def test_sorts__are_nullable_where_their_columns_are(prediction: Prediction) -> None:
    for name, sort in prediction.sorts.items():
        field: Any = None
        for part in sort.column.split("__"):
            field = (field.related_model if field else selectors.SCORES[str(prediction.kind)])._meta.get_field(part)
        assert sort.nullable is field.null, name


def test_parts__values_missing__each_is_read_in_the_order_of_the_index(partly_adjusted: tuple[list[str], list[str]]) -> None:
    rows = selectors.scores(Kind.LTV, ScoringRun.objects.get())
    parts = kinds.Ltv.sorts["churn_adjusted_ltv"].parts(rows)
    with connection.cursor() as cursor:
        # a dozen rows are cheaper to sort: without these ways the plan is that of a million
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off")
    for part in (*parts, parts[1].filter(player_id__gt=1)):
        plan = part.values_list("player_id")[:50].explain()
        assert "valuescore_by_adjusted" in plan
        assert "Sort" not in plan


@pytest.mark.parametrize("level", ["low", "medium", "high"])
@pytest.mark.parametrize("sort_by", ["probability", "priority_score", "user_value", "user_id"])
def test_risk_level__each_level_and_order__exactly_its_players(api: KeyedClient, crowd: ScoringRun, level: str, sort_by: str) -> None:
    everybody = api.get("/predictions/churn/predict", page_size=100).json()["data"]["results"]
    expected = {row["user_id"] for row in everybody if row["risk_level"] == level}
    found = walk(api, "churn", risk_level=level, sort_by=sort_by, page_size=3)
    assert (len(found), set(found)) == (len(expected), expected)
    answer = api.get("/predictions/churn/predict", risk_level=level, page_size=3).json()
    assert answer["pagination"]["total_items"] == len(expected)
    assert answer["pagination"]["total_pages"] == -(-len(expected) // 3)


@pytest.mark.parametrize(
    ("kind", "params", "holds"),
    [
        ("ltv", {"segment": "medium_value"}, lambda row: row["ltv_segment"] == "medium_value"),
        ("ltv", {"segment": "high_value", "currency": "USD"}, lambda row: row["ltv_segment"] == "high_value" and row["currency"] == "USD"),
        ("ltv", {"min_ltv": 1600}, lambda row: row["predicted_ltv"] >= 1600),
        ("fraud", {"label": "fraud"}, lambda row: row["fraud_label"] == "Fraud"),
        ("fraud", {"label": "not_fraud", "threshold": 0.4}, lambda row: row["fraud_score"] <= 0.4),
        ("fraud", {"min_score": 0.5}, lambda row: row["fraud_score"] >= 0.5),
        ("segmentation", {"segment": 2}, lambda row: row["segment"] == 2),
        ("segmentation", {"rfm_segment": "Lost"}, lambda row: row["rfm_segment"] == "Lost"),
        ("engagement", {"engagement": "engaged"}, lambda row: row["engagement_prediction"] == "Engaged"),
        ("engagement", {"engagement": "not_engaged", "threshold": 0.2}, lambda row: row["engagement_score"] <= 0.2),
    ],
)
def test_filters__of_each_kind__exactly_what_holds(
    api: KeyedClient, crowd: ScoringRun, kind: str, params: dict[str, Any], holds: Any
) -> None:
    shared = {"threshold": params["threshold"]} if "threshold" in params else {}
    everybody = api.get(f"/predictions/{kind}/predict", page_size=100, **shared).json()["data"]["results"]
    expected = {row["user_id"] for row in everybody if holds(row)}
    answer = api.get(f"/predictions/{kind}/predict", page_size=100, **params)
    assert expected
    assert set(ids(answer)) == expected
    assert answer.json()["pagination"]["total_items"] == len(expected)
    assert params.items() <= answer.json()["filters_applied"].items()


def test_cursor__another_run_is_published_meanwhile__stays_with_its_run(api: KeyedClient, crowd: ScoringRun) -> None:
    first = api.get("/predictions/churn/predict", page_size=10).json()
    later = make_run(AS_OF + timedelta(days=1))
    churn(later, PlayerFactory(external_id="NEW"), 0.99)
    second = api.get("/predictions/churn/predict", page_size=10, cursor=first["pagination"]["next_cursor"]).json()
    assert second["data"]["metadata"]["run"]["id"] == crowd.pk
    assert (len(second["data"]["results"]), second["pagination"]["page"], second["pagination"]["total_items"]) == (10, None, 23)
    assert ids(api.get("/predictions/churn/predict")) == ["NEW"]
    ScoringRun.objects.filter(pk=crowd.pk).update(status=ScoringRun.Status.PRUNED)
    gone = api.get("/predictions/churn/predict", page_size=10, cursor=first["pagination"]["next_cursor"])
    assert gone.status_code == 400
    assert "replaced" in gone.json()["detail"]


def test_cursor__other_filters_or_forged__refused(api: KeyedClient, crowd: ScoringRun) -> None:
    cursor = api.get("/predictions/churn/predict", page_size=10).json()["pagination"]["next_cursor"]
    for params in ({"risk_level": "high"}, {"sort_by": "user_value"}, {"threshold": 0.4}):
        answer = api.get("/predictions/churn/predict", cursor=cursor, **params)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")
    for forged in (cursor[:-2], "x", "a:b:c", cursor.swapcase()):
        assert api.get("/predictions/churn/predict", cursor=forged).status_code == 400
    assert api.get("/predictions/engagement/predict", cursor=cursor).status_code == 400
    assert api.get("/predictions/churn/predict", cursor=cursor, page=2).status_code == 400
    # a page of another size is the same walk
    assert api.get("/predictions/churn/predict", cursor=cursor, page_size=100).status_code == 200


def test_deep_page__beyond_ten_thousand_rows__refused_with_the_cursor_as_remedy(api: KeyedClient, crowd: ScoringRun) -> None:
    answer = api.get("/predictions/churn/predict", page=101, page_size=100)
    problem = answer.json()
    assert (answer.status_code, problem["errors"][0]["field"]) == (400, "page")
    assert "Use the cursor" in problem["errors"][0]["remedy"]
    assert api.get("/predictions/churn/predict", page=100, page_size=100).status_code == 200


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("churn", {"threshold": "1.5"}, "threshold"),
        ("churn", {"threshold": "nan"}, "threshold"),
        ("churn", {"threshold": "1e999"}, "threshold"),
        ("churn", {"page": "0"}, "page"),
        ("churn", {"page_size": "101"}, "page_size"),
        ("churn", {"risk_level": "severe"}, "risk_level"),
        ("churn", {"sort_by": "name"}, "sort_by"),
        ("churn", {"include_details": "yes"}, "include_details"),
        ("churn", {"riskLevel": "high"}, "riskLevel"),
        ("ltv", {"currency": "eur"}, "currency"),
        ("ltv", {"min_ltv": "inf"}, "min_ltv"),
        ("fraud", {"label": "maybe"}, "label"),
        ("segmentation", {"segment": "-1"}, "segment"),
        ("segmentation", {"rfm_segment": "Whales"}, "rfm_segment"),
        ("engagement", {"engagement": "some"}, "engagement"),
    ],
)
def test_bad_parameter__four_hundred_that_names_it(api: KeyedClient, kind: str, params: dict[str, str], field: str) -> None:
    answer = api.get(f"/predictions/{kind}/predict", **params)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_churn_adjusted__while_churn_is_withheld__refused_with_the_reason(api: KeyedClient) -> None:
    run = make_run(withheld={Kind.CHURN: "Too little history."})
    ltv(run, PlayerFactory(), "10", churn_adjusted=None)
    answer = api.get("/predictions/ltv/predict", sort_by="churn_adjusted_ltv")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "sort_by")
    assert api.get("/predictions/ltv/predict").json()["pagination"]["total_items"] == 1


def test_second_request__sums_and_counts_are_remembered(api: KeyedClient, crowd: ScoringRun) -> None:
    api.get("/predictions/churn/predict", risk_level="high")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        api.get("/predictions/churn/predict", risk_level="high")
    tables = [query["sql"] for query in queries.captured_queries if "predictions_churnscore" in query["sql"]]
    assert len(tables) == 2  # the keys of the page and its rows
    assert not [sql for sql in tables if "COUNT(" in sql]
    assert len(queries) <= 9


def test_new_run__remembered_sums_of_the_old_one_are_not_told(api: KeyedClient, crowd: ScoringRun) -> None:
    assert api.get("/predictions/churn/predict").json()["data"]["summary"]["total_users"] == 23
    churn(make_run(AS_OF + timedelta(days=1)), PlayerFactory(), 0.5)
    assert api.get("/predictions/churn/predict").json()["data"]["summary"]["total_users"] == 1
