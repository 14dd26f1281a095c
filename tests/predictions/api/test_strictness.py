"""What a request says is done or refused, never left aside: parameters, numbers, bodies."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.test import Client

from loyalty_site.common.clock import utc_now
from predictions import registry, services
from predictions.models import ScoringRun
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import churn, engagement, ltv, make_run
from tests.predictions.api.test_players_and_models import CLV, DEPOSITOR, PURCHASES

pytestmark = pytest.mark.django_db

SCORES = ("churn", "clv", "ltv")


def refused(answer: Any) -> list[tuple[str, str]]:
    """(field, remedy) of a 400; fails for any other answer."""
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), answer.content
    return [(error["field"], error["remedy"]) for error in answer.json()["errors"]]


def raw(api: KeyedClient, path: str, text: str) -> Any:
    client: Client = api.http
    return client.post(f"/api/v1{path}", text, content_type="application/json")


@pytest.fixture
def scored(db: None) -> None:
    run, player = make_run(), PlayerFactory(external_id="P1")
    churn(run, player, 0.7)
    ltv(run, player, "10")
    engagement(run, player, 0.7)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("churn/predict?threshold=0.5&threshold=0.9", "threshold"),
        ("churn/predict?page=1&page=1", "page"),
        ("churn/players/P1?threshold=0.5&threshold=0.9", "threshold"),
        ("health?format=json&format=json", "format"),
        ("models?kind=churn&kind=ltv", "kind"),
    ],
)
def test_repeated_parameter__refused(api: KeyedClient, scored: None, path: str, field: str) -> None:
    assert refused(api.get(f"/predictions/{path}")) == [(field, "Send it once.")]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("churn/predict?threshold=", "threshold"),
        ("churn/predict?risk_level=", "risk_level"),
        ("churn/predict?sort_by=", "sort_by"),
        ("churn/predict?cursor=", "cursor"),
        ("churn/predict?page=", "page"),
        ("churn/predict?include_details=", "include_details"),
        ("ltv/predict?currency=", "currency"),
        ("churn/players/P1?hint=", "hint"),
    ],
)
def test_empty_parameter__refused(api: KeyedClient, scored: None, path: str, field: str) -> None:
    assert refused(api.get(f"/predictions/{path}")) == [(field, "Send a value, or leave the parameter out.")]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("health?x=1", "x"),
        ("models?x=1", "x"),
        ("churn/predict?riskLevel=high", "riskLevel"),
        # parameters of other kinds
        ("ltv/players/P1?threshold=0.9", "threshold"),
        ("ltv/players/P1?hint=true", "hint"),
        ("engagement/players/P1?hint=true", "hint"),
    ],
)
def test_unknown_parameter__refused(api: KeyedClient, scored: None, path: str, field: str) -> None:
    assert [name for name, _ in refused(api.get(f"/predictions/{path}"))] == [field]


def test_parameters__that_are_known__still_do(api: KeyedClient, scored: None) -> None:
    for path in (
        "health?format=json",
        "churn/predict?threshold=.5&page=1",
        "churn/predict?threshold=5e-1",
        "engagement/players/P1?threshold=1",
    ):
        assert api.get(f"/predictions/{path}").status_code == 200, path


@pytest.mark.parametrize("kind", SCORES)
def test_score__parameter_in_the_address__refused(api: KeyedClient, kind: str) -> None:
    bodies = {"churn": {"features": {"sessions_30d": 2}}, "clv": CLV, "ltv": DEPOSITOR}
    answer = api.post(f"/predictions/{kind}/score?threshold=0.9", bodies[kind])
    assert refused(answer) == [("threshold", "Correct the name, or leave it out.")]


@pytest.mark.parametrize("name", ["format", "threshhold"])
def test_score__unknown_name_in_the_body__refused(api: KeyedClient, name: str) -> None:
    answer = api.post("/predictions/churn/score", {"features": {"sessions_30d": 2}, name: 1})
    assert refused(answer) == [(name, "Correct the name, or leave it out.")]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"features": {"sessions_30d": 2}, "threshold": 0.1, "threshold": 0.9}', "threshold"),
        ('{"features": {"sessions_30d": 2, "sessions_30d": 9}}', "sessions_30d"),
        ('{"features": {"sessions_30d": 2}, "features": {"sessions_30d": 2}}', "features"),
    ],
)
def test_body__name_stands_twice__refused(api: KeyedClient, text: str, field: str) -> None:
    assert refused(raw(api, "/predictions/churn/score", text)) == [(field, "Send it once.")]


@pytest.mark.parametrize("text", ['{"features": {"sessions_30d": NaN}}', '{"features": Infinity}', "{", "\xff", '{"a": 1}}'])
def test_body__no_json__refused(api: KeyedClient, text: str) -> None:
    answer = raw(api, "/predictions/churn/score", text)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:loyalty:problem:parse_error")


@pytest.mark.parametrize("number", ["1_0", "%D9%A1", "%EF%BC%91", "+1", "%201", "1.0", "0x1", "1e1"])
def test_whole_number__anything_but_ascii_digits__refused(api: KeyedClient, scored: None, number: str) -> None:
    assert [name for name, _ in refused(api.get(f"/predictions/churn/predict?page={number}"))] == ["page"]
    assert [name for name, _ in refused(api.get(f"/predictions/segmentation/predict?segment={number}"))] == ["segment"]


@pytest.mark.parametrize("number", ["0.1_0", "%D9%A1", "%200.5", "infinity", "."])
def test_decimal__anything_but_ascii__refused(api: KeyedClient, scored: None, number: str) -> None:
    assert [name for name, _ in refused(api.get(f"/predictions/churn/predict?threshold={number}"))] == ["threshold"]


@pytest.mark.parametrize("code", ["EUR%0A", "%20EUR", "EUR%20", "%09EUR", "EUR%0D%0A"])
def test_currency__with_blanks_around_it__refused(api: KeyedClient, scored: None, code: str) -> None:
    assert [name for name, _ in refused(api.get(f"/predictions/ltv/predict?currency={code}"))] == ["currency"]
    currency = unquote(code)
    for path, body in (("churn", {"features": {"sessions_30d": 3}}), ("ltv", DEPOSITOR)):
        assert [name for name, _ in refused(api.post(f"/predictions/{path}/score", {**body, "currency": currency}))] == ["currency"]


def test_cursor__with_the_end_of_a_line__refused(api: KeyedClient, scored: None) -> None:
    churn(ScoringRun.objects.get(), PlayerFactory(), 0.4)
    cursor = api.get("/predictions/churn/predict?page_size=1").json()["pagination"]["next_cursor"]
    assert api.get(f"/predictions/churn/predict?cursor={quote(cursor)}").status_code == 200
    assert [name for name, _ in refused(api.get(f"/predictions/churn/predict?cursor={quote(cursor)}%0A"))] == ["cursor"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("churn", {"features": {"sessions_30d": "3"}}, "features.sessions_30d"),
        ("churn", {"features": {"sessions_30d": 3}, "threshold": "0.5"}, "threshold"),
        ("churn", {"features": {"sessions_30d": 3}, "user_value": "5"}, "user_value"),
        ("clv", {**CLV, "age": "35"}, "age"),
        ("ltv", {**DEPOSITOR, "deposits": [{"occurred_at": "2026-01-11T21:05:00Z", "amount": "60.5"}]}, "deposits[0].amount"),
    ],
)
def test_body__number_as_text__refused(api: KeyedClient, path: str, body: dict[str, Any], field: str) -> None:
    assert refused(api.post(f"/predictions/{path}/score", body)) == [(field, "Write the number without quotation marks.")]


@pytest.mark.parametrize("moment", ["2030-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59", "2030-01-01T00:00:00"])
@pytest.mark.parametrize(("path", "body"), [("clv", CLV), ("ltv", DEPOSITOR)])
def test_as_of__in_the_future__refused(api: KeyedClient, path: str, body: dict[str, Any], moment: str) -> None:
    assert refused(api.post(f"/predictions/{path}/score", {**body, "as_of": moment})) == [("as_of", "Send an instant that has passed.")]


def test_as_of__left_out__a_transaction_in_the_future_does_not_take_its_place(api: KeyedClient) -> None:
    later = [{**CLV["transactions"][0], "transaction_date": (utc_now() + timedelta(days=400)).isoformat()}]
    answer = api.post("/predictions/clv/score", {**CLV, "transactions": later})
    assert refused(answer) == [("transactions[0].transaction_date", "Send an instant that has passed.")]


def test_start_of_a_product__in_the_future__refused_but_for_clocks_that_differ(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"value": 1.0, "low": 0.0, "high": 2.0, "confidence": 0.8, "level": 0.8, "outside": []}
    monkeypatch.setattr(services, "score_profile", lambda kind, profile: services.ProfileScore(kind, answer, [], [], 9, True))

    def opened(moment: str) -> Any:
        return api.post("/predictions/clv/score", {**CLV, "products": [{**CLV["products"][0], "start_date": moment}]})

    assert refused(opened("2099-01-01T00:00:00Z")) == [("products[0].start_date", "Send an instant that has passed.")]
    assert opened((utc_now() + timedelta(hours=23)).isoformat()).status_code == 200
    assert opened("1962-05-01T00:00:00").status_code == 200  # older than any event can be


def test_deposit__of_a_clock_ahead__is_taken_unless_as_of_says_otherwise(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(summary={"units": {"EUR": 20.0}})
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES))
    now = utc_now()

    def deposited(ahead: timedelta, **more: str) -> Any:
        deposits = [{"occurred_at": (now + ahead).isoformat(), "amount": 5}]
        return api.post("/predictions/ltv/score", {"currency": "EUR", "deposits": deposits, **more})

    assert deposited(timedelta(minutes=5)).status_code == 200
    assert deposited(timedelta(hours=23)).status_code == 200
    assert deposited(timedelta(minutes=5), as_of=(now + timedelta(minutes=5)).isoformat()).status_code == 200
    for answer in (deposited(timedelta(hours=25)), deposited(timedelta(minutes=5), as_of=now.isoformat())):
        assert [name for name, _ in refused(answer)] == ["deposits[0].occurred_at"]


def test_as_of__now__is_taken(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(summary={"units": {"EUR": 20.0}})
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES))
    for moment in (utc_now().isoformat(), utc_now().replace(tzinfo=None).isoformat()):
        assert api.post("/predictions/ltv/score", {**DEPOSITOR, "as_of": moment}).status_code == 200


def test_hint__without_details__refused_instead_of_dropped(api: KeyedClient, scored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "counterfactual", lambda player_id: None)
    answer = api.get("/predictions/churn/players/P1?hint=true&include_details=false")
    assert [name for name, _ in refused(answer)] == ["hint"]
    assert "include_details" in answer.json()["detail"]
    assert api.get("/predictions/churn/players/P1?hint=false&include_details=false").status_code == 200
