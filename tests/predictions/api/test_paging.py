"""Paging, order, filters and refusals."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

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
