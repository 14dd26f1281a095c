"""Answers with data, and the examples, are what the OpenAPI document says."""

from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator

from loyalty_site.wsgi import application
from predictions import registry, services
from predictions.api import examples
from predictions.models import Kind
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import churn, engagement, fraud, ltv, make_run, make_version, segment
from tests.predictions.api.test_players_and_models import CLV, DEPOSITOR, PURCHASES, REASON

pytestmark = pytest.mark.django_db

KINDS = ("churn", "ltv", "fraud", "segmentation", "engagement")
SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/schema?format=json", application)


@pytest.fixture
def scored(api: KeyedClient) -> int:
    """Players with a score of every kind, with and without reasons; the id of a model version."""
    run = make_run()
    for number in range(3):
        player = PlayerFactory(external_id=f"P{number}")
        more: dict[str, Any] = {"reasons": []} if number == 2 else {}
        for write, figure in (
            (churn, 0.4 * number),
            (fraud, 0.45 * number),
            (engagement, 0.4 * number),
            (ltv, str(900 * number)),
            (segment, number),
        ):
            write(run, player, figure, **more)
    return make_version(Kind.PROFILE).pk


def faults(path: str, method: str, body: Any) -> list[str]:
    """What of `body` is not as the document says for a 200 of the operation."""
    document = dict(SCHEMA.raw_schema)
    shape = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**shape, "components": document["components"]})
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(body)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("params", [{}, {"include_details": "false"}, {"page_size": "1"}])
def test_page__with_data__is_as_documented(api: KeyedClient, scored: int, kind: str, params: dict[str, str]) -> None:
    body = api.get(f"/predictions/{kind}/predict", **params).json()
    assert body["data"]["results"]
    assert faults(f"/api/v1/predictions/{kind}/predict", "get", body) == []


@pytest.mark.parametrize("kind", KINDS)
def test_player__with_data__is_as_documented(api: KeyedClient, scored: int, kind: str) -> None:
    body = api.get(f"/predictions/{kind}/players/P1").json()
    assert faults(f"/api/v1/predictions/{kind}/players/{{player_id}}", "get", body) == []


@pytest.mark.parametrize("path", ["models", "models/{id}", "models/{id}/card", "health"])
def test_models_and_health__are_as_documented(api: KeyedClient, scored: int, path: str) -> None:
    body = api.get(f"/predictions/{path.format(id=scored)}").json()
    assert faults(f"/api/v1/predictions/{path}", "get", body) == []


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of all three descriptions: fixed answers for churn and the bank's customer, the real one for deposits."""
    make_run(summary={"units": {"EUR": 20.0}})
    answers: dict[str, dict[str, Any]] = {
        Kind.CHURN: {"probability": 0.75, "lower": 0.7, "upper": 0.8},
        Kind.PROFILE: {"value": 4210.35, "low": 2890.1, "high": 5730.9, "confidence": 0.8, "level": 0.8, "outside": []},
    }
    monkeypatch.setattr(
        services, "score_profile", lambda kind, profile: services.ProfileScore(kind, answers[kind], [REASON], ["ips"], 7, True)
    )
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES))


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("churn", {"features": {"sessions_30d": 2}}, {"priority_score": None}),
        ("churn", {"features": {"days_since_last_activity": 2}, "user_value": 2500}, {"priority_score": 0.9}),
        ("clv", without(CLV, "customer_id"), {"customer_id": None}),
        ("clv", CLV, {"customer_id": 1}),
        ("clv", {**CLV, "customer_id": "C-1"}, {"customer_id": "C-1"}),
        ("clv", {**CLV, "customer_id": ""}, {"customer_id": ""}),
        ("ltv", without(DEPOSITOR, "player_id", "as_of"), {"player_id": None}),
        ("ltv", {**DEPOSITOR, "deposits": DEPOSITOR["deposits"][:1]}, {"player_id": "lead-1", "probability_active": None}),
    ],
)
def test_score__with_and_without_what_may_be_left_out__is_as_documented(
    api: KeyedClient, models: None, kind: str, body: dict[str, Any], told: dict[str, Any]
) -> None:
    answer = api.post(f"/predictions/{kind}/score", body)
    assert answer.status_code == 200, answer.content
    assert told.items() <= answer.json().items()
    assert faults(f"/api/v1/predictions/{kind}/score", "post", answer.json()) == []


def test_examples__of_the_document__are_as_documented() -> None:
    found = []
    for path, operations in SCHEMA.raw_schema["paths"].items():
        if not path.startswith("/api/v1/predictions/"):
            continue
        for method, operation in operations.items():
            content = operation["responses"]["200"]["content"]["application/json"]
            assert content.get("examples") or path.endswith("/models"), f"{method} {path} has no example"
            for example in content.get("examples", {}).values():
                found += [f"{path} {fault}" for fault in faults(path, method, example["value"])]
            if method == "post":
                assert operation["requestBody"]["content"]["application/json"]["examples"], path
    assert found == []


@pytest.mark.parametrize("kind", KINDS)
def test_example_result__has_the_fields_of_a_real_one(api: KeyedClient, scored: int, kind: str) -> None:
    real, shown = api.get(f"/predictions/{kind}/predict").json(), examples.page(kind)
    assert real.keys() == shown.keys()
    assert real["data"].keys() == shown["data"].keys()
    assert real["data"]["summary"].keys() == shown["data"]["summary"].keys()
    assert real["data"]["metadata"].keys() == shown["data"]["metadata"].keys()
    assert real["data"]["metadata"]["model"].keys() == shown["data"]["metadata"]["model"].keys()
    assert real["pagination"].keys() == shown["pagination"].keys()
    assert real["filters_applied"].keys() == shown["filters_applied"].keys()
    first, example = real["data"]["results"][0], shown["data"]["results"][0]
    assert first.keys() == example.keys()
