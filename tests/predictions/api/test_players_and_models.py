"""One player, scoring of descriptions, models, health, and who may read what."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from predictions import gate, registry, services
from predictions.ml import clv
from predictions.ml.bgnbd import BgNbd
from predictions.ml.gamma_gamma import GammaGamma
from predictions.ml.ltv_deposits import Deposits
from predictions.models import Kind, ModelVersion, ScorePoint
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory
from tests.predictions.api.factories import AS_OF, churn, fraud, make_run, make_version

pytestmark = pytest.mark.django_db

# CDNOW's published parameters; 40 % of what is deposited is kept
PURCHASES = Deposits(
    bg=BgNbd(0.243, 4.414, 0.793, 2.426, -9582.4, 2357),
    gg=GammaGamma(6.25, 3.74, 15.44, 0.0, 946),
    margin=0.4,
    pooled={90: 1.0, 365: 3.0},
    means=(0.7, 2.0, 30.0),
)
REASON = services.Reason("sessions_30d", "sessions in 30 days", "count", 2.0, -0.6, "fewer sessions in 30 days than usual")


def test_player__scored__result_and_history(api: KeyedClient) -> None:
    run = make_run()
    player = PlayerFactory(external_id="P1")
    churn(run, player, 0.75, "2500")
    ScorePoint.objects.create(player=player, kind=Kind.CHURN, as_of=AS_OF - timedelta(days=7), value=0.44)
    answer = api.get("/predictions/churn/players/P1").json()
    (result,) = answer["data"]["results"]
    assert (result["user_id"], result["churn_probability"], result["priority_score"]) == ("P1", 0.75, 0.9)
    assert answer["data"]["history"] == [
        {"as_of": "2026-03-08T02:30:00Z", "value": 0.44},
        {"as_of": "2026-03-15T02:30:00Z", "value": 0.75},
    ]
    assert "history" not in api.get("/predictions/churn/players/P1", include_details="false").json()["data"]


def test_player__no_stored_reasons__computed_now(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    player = PlayerFactory(external_id="P1")
    churn(make_run(), player, 0.75, reasons=[])
    found = services.Explained("churn", player.pk, AS_OF, 1, "log-odds", 0.1, -0.5, [REASON], {"sessions_30d": 1.0})
    monkeypatch.setattr(services, "explain_player", lambda kind, player_id: found)
    (result,) = api.get("/predictions/churn/players/P1").json()["data"]["results"]
    assert (result["feature_importance"], result["feature_importance_of"]) == ({"sessions_30d": 1.0}, "player")
    assert result["reasons"][0]["words"] == "fewer sessions in 30 days than usual"


def test_player__reasons_cannot_be_computed__score_stands_and_says_so(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    churn(make_run(), PlayerFactory(external_id="P1"), 0.75, reasons=[])

    def refuse(kind: str, player_id: int) -> Any:
        raise services.Unavailable(kind, "The model cannot be opened.")

    monkeypatch.setattr(services, "explain_player", refuse)
    body = api.get("/predictions/churn/players/P1").json()
    assert body["data"]["results"][0]["churn_probability"] == 0.75
    assert body["errors"][0]["code"] == "explanation-unavailable"


def test_player__unknown_not_scored_withheld__told_apart(api: KeyedClient) -> None:
    PlayerFactory(external_id="P1")
    assert (no_run := api.get("/predictions/churn/players/P1")).status_code == 409
    assert no_run.json()["type"] == "urn:loyalty:problem:withheld"
    make_run(withheld={Kind.LTV: "Too little history."})
    assert api.get("/predictions/churn/players/nobody").json()["type"] == "urn:loyalty:problem:not_found"
    not_scored = api.get("/predictions/churn/players/P1")
    assert (not_scored.status_code, not_scored.json()["type"]) == (404, "urn:loyalty:problem:not-scored")
    assert api.get("/predictions/ltv/players/P1").json()["detail"] == "Too little history."


def test_churn_score__described_player__advice_from_the_models_answer(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def score(kind: str, profile: Any) -> services.ProfileScore:
        asked.append((kind, dict(profile)))
        return services.ProfileScore(kind, {"probability": 0.75, "lower": 0.7, "upper": 0.8}, [REASON], ["ips"], 7, True)

    monkeypatch.setattr(services, "score_profile", score)
    body = {"features": {"days_since_last_activity": 19, "sessions_30d": None}, "currency": "EUR", "user_value": 2500}
    answer = api.post("/predictions/churn/score", body).json()
    assert asked == [("churn", {"days_since_last_activity": 19.0, "sessions_30d": None, "currency": "EUR"})]
    assert (answer["churn_probability"], answer["priority_score"], answer["estimated_impact"]) == (0.75, 0.9, 1875.0)
    assert answer["retention_recommendation"] == "Re-engagement campaign with comeback bonus"
    assert (answer["feature_importance"], answer["missing"], answer["model_id"]) == ({"sessions_30d": 1.0}, ["ips"], 7)
    bare = api.post("/predictions/churn/score", {"features": {"sessions_30d": 2}}).json()
    assert (bare["priority_score"], bare["retention_recommendation"]) == (None, None)


def test_churn_score__priority__is_rounded_as_in_the_list(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = 0.43218765432
    answer = {"probability": chance, "lower": 0.4, "upper": 0.5}
    monkeypatch.setattr(services, "score_profile", lambda kind, profile: services.ProfileScore(kind, answer, [REASON], [], 7, True))
    churn(make_run(), PlayerFactory(), chance, "6000", priority=chance * 1.5)
    (listed,) = api.get("/predictions/churn/predict").json()["data"]["results"]
    scored = api.post("/predictions/churn/score", {"features": {"sessions_30d": 2}, "user_value": 6000}).json()
    assert scored["priority_score"] == listed["priority_score"] == 0.648281


def test_churn_score__what_the_model_refuses__named_by_field(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, profile: Any) -> Any:
        raise services.InvalidProfile({"shoe_size": "This is not a feature.", "currency": "Too few deposits."})

    monkeypatch.setattr(services, "score_profile", refuse)
    answer = api.post("/predictions/churn/score", {"features": {"shoe_size": 43}})
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {"features.shoe_size", "currency"}


@pytest.mark.parametrize("path", ["/predictions/churn/score", "/predictions/clv/score"])
def test_score__no_model__conflict_with_the_reason(api: KeyedClient, path: str) -> None:
    body: Any = CLV if "clv" in path else {"features": {"sessions_30d": 2}}
    answer = api.post(path, body)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loyalty:problem:withheld")


CLV = {
    "customer_id": 1,
    "age": 35,
    "income": 75000,
    "credit_score": 720,
    "tenure_months": 24,
    "region": "North",
    "acquisition_channel": "Online",
    "products": [{"product_type": "Savings", "start_date": "2023-01-01T00:00:00", "balance": 5000, "status": "Active"}],
    "transactions": [{"transaction_date": "2024-01-01T10:00:00", "transaction_type": "Deposit", "amount": 1000, "channel": "Online"}],
}


def test_clv_score__the_reference_body__value_interval_confidence_drivers(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def score(kind: str, profile: Any) -> services.ProfileScore:
        asked.append((kind, dict(profile)))
        answer = {"value": 4210.35, "low": 2890.1, "high": 5730.9, "confidence": 0.8, "level": 0.8, "outside": []}
        return services.ProfileScore(kind, answer, [REASON], [], 9, True)

    monkeypatch.setattr(services, "score_profile", score)
    answer = api.post("/predictions/clv/score", CLV).json()
    ((kind, profile),) = asked
    assert kind == Kind.PROFILE
    assert "customer_id" not in profile
    assert profile["products"][0]["start_date"].isoformat() == "2023-01-01T00:00:00+00:00"
    assert (answer["customer_id"], answer["predicted_clv"], answer["confidence_score"]) == (1, 4210.35, 0.8)
    assert answer["clv_interval"] == {"min": 2890.1, "max": 5730.9, "level": 0.8}
    assert answer["drivers"][0]["feature"] == "sessions_30d"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"age": "old"}, "age"),
        ({"age": True}, "age"),
        ({"income": "1e400"}, "income"),
        ({"credit_score": -1}, "credit_score"),
        ({"products": [{"product_type": "Savings"}]}, "products[0].start_date"),
        ({"transactions": "none"}, "transactions"),
        ({"customer_id": {"a": 1}}, "customer_id"),
        ({"customer_id": 1.5}, "customer_id"),
        ({"customer_id": True}, "customer_id"),
        ({"customer_id": "x" * 65}, "customer_id"),
        ({"customer_id": 10**64}, "customer_id"),
        ({"customer_id": "\ud800"}, "customer_id"),
        ({"shoe_size": 43}, "shoe_size"),
    ],
)
def test_clv_score__bad_profile__four_hundred_that_names_it(api: KeyedClient, change: dict[str, Any], field: str) -> None:
    answer = api.post("/predictions/clv/score", {**CLV, **change})
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


DEPOSITOR = {
    "player_id": "lead-1",
    "currency": "EUR",
    "deposits": [{"occurred_at": "2026-01-11T21:05:00", "amount": 80}, {"occurred_at": "2026-03-02T18:40:00Z", "amount": 60.5}],
    "as_of": "2026-03-15T08:30:00Z",
}


def test_ltv_score__deposits__are_valued_by_the_model_in_use(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(summary={"units": {"EUR": 20.0}})
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES, version=version))
    answer = api.post("/predictions/ltv/score", DEPOSITOR).json()
    # two deposit days, the second 50 days after the first, 63 days ago now: what the purchase model says of them, in euro
    frame = pd.DataFrame([[1.0, 50 / 7, 63 / 7, 60.5 / 20]], columns=list(clv.COLUMNS))
    assert answer["predicted_ltv"] == pytest.approx(20 * PURCHASES.value(frame, 365)[0], abs=1e-4)
    assert answer["probability_active"] == pytest.approx(PURCHASES.alive(frame)[0], abs=1e-6)
    assert answer["expected_deposit_days"] == pytest.approx(PURCHASES.purchases(frame, 365)[0], abs=0.01)
    assert answer["ltv_interval"]["min"] < answer["median_ltv"] < answer["ltv_interval"]["max"]
    assert (answer["player_id"], answer["currency"], answer["confidence_score"]) == ("lead-1", "EUR", None)
    assert {one["feature"] for one in answer["drivers"]} == {"bg_recency", "bg_frequency", "bg_spend"}
    assert answer["model_id"] == run.versions["ltv"]

    ModelVersion.objects.filter(kind="ltv").update(status=ModelVersion.Status.RETIRED)
    promoted = make_version("ltv", number=2)  # after the run that is shown
    assert api.post("/predictions/ltv/score", DEPOSITOR).json()["model_id"] == promoted.pk


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "euro"}, "currency"),
        ({"currency": "SEK"}, "currency"),
        ({"deposits": []}, "deposits"),
        ({"deposits": [{"occurred_at": "2026-03-02T18:40:00Z", "amount": 0}]}, "deposits[0].amount"),
        ({"deposits": [{"occurred_at": "2026-03-20T18:40:00Z", "amount": 5}]}, "deposits[0].occurred_at"),
        ({"age": 40}, "age"),
    ],
)
def test_ltv_score__bad_description__four_hundred_that_names_it(
    api: KeyedClient, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], field: str
) -> None:
    make_run(summary={"units": {"EUR": 20.0}})
    monkeypatch.setattr(registry, "load", lambda version: SimpleNamespace(deposits=PURCHASES))
    answer = api.post("/predictions/ltv/score", {**DEPOSITOR, **change})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_ltv_score__value_withheld__409_with_the_reason(api: KeyedClient) -> None:
    assert api.post("/predictions/ltv/score", DEPOSITOR).status_code == 409
    make_run(withheld={Kind.LTV: "Too little history."}, summary={"units": {}})
    answer = api.post("/predictions/ltv/score", DEPOSITOR)
    assert (answer.status_code, answer.json()["detail"]) == (409, gate.why_no_model(Kind.LTV))


def test_models__list_filters_detail_and_card(api: KeyedClient) -> None:
    old = make_version(Kind.CHURN, status=ModelVersion.Status.RETIRED)
    now = make_version(Kind.CHURN, number=2)
    make_version(Kind.LTV)
    rows = api.get("/predictions/models", kind="churn").json()["results"]
    assert [(row["id"], row["status"]) for row in rows] == [(now.pk, "CHAMPION"), (old.pk, "RETIRED")]
    detail = api.get(f"/predictions/models/{now.pk}").json()
    assert (detail["gate"][0]["passed"], detail["importance"]) == (True, {"days_since_last_deposit": 0.75, "sessions_30d": 0.25})
    assert not {"artifact", "signature", "trained_by"} & detail.keys()
    card = api.get(f"/predictions/models/{now.pk}/card").json()
    assert card["markdown"].startswith("#")
    assert api.get("/predictions/models/999999").status_code == 404
    assert api.get("/predictions/models", kind="shoes").status_code == 400


def test_models_and_health__drift__is_that_of_the_current_run(api: KeyedClient) -> None:
    now, old = make_version(Kind.CHURN, number=2), make_version(Kind.CHURN, status=ModelVersion.Status.RETIRED)
    figures = {"psi": 0.4, "limit": 0.1, "missing_before": 0.0, "missing_now": 0.3}
    moved = {"feature": "deposits_90d", "level": "major", **figures}
    drift = {
        "version": now.pk, "level": "major", "rows": 500, "reference_rows": 400, "features": 2, "moved": 1,
        "most_moved": [moved, {**moved, "feature": "sessions_30d", "level": "none", "psi": 0.01}],
    }  # fmt: skip
    run = make_run(summary={"drift": {"churn": drift, "ltv": {"version": 1, "level": "unknown", "reason": "60 rows tell too little."}}})
    assert api.get(f"/predictions/models/{now.pk}").json()["drift"] == drift
    assert api.get(f"/predictions/models/{old.pk}").json()["drift"] is None
    health = {one["kind"]: (one["drift"], one["drifted_features"]) for one in api.get("/predictions/health").json()["kinds"]}
    assert health["churn"] == ("major", ["deposits_90d"])
    assert health["fraud"] == (None, [])  # not compared in this run
    assert health["ltv"][0] is None  # another version scored it
    assert run.versions["ltv"] != 1


def test_health__before_and_after_the_first_run(api: KeyedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_intact", lambda version: True)  # these versions have no files
    empty = api.get("/predictions/health").json()
    assert (empty["status"], empty["scored_as_of"]) == ("unavailable", None)
    assert {one["status"] for one in empty["kinds"]} == {"no_model"}
    make_run(withheld={Kind.LTV: "Too little history."})
    make_version(Kind.LTV)
    body = api.get("/predictions/health").json()
    found = {one["kind"]: (one["status"], one["reason"]) for one in body["kinds"]}
    assert body["status"] == "degraded"
    assert found["churn"] == ("ok", None)
    assert found["ltv"] == ("withheld", "Too little history.")
    assert found["profile"][0] == "no_model"


@pytest.fixture
def person(db: None) -> Callable[..., Client]:
    def make(*roles: str) -> Client:
        user = User.objects.create_user("-".join(roles) or "nobody", is_staff=True)
        user.groups.set(Group.objects.filter(name__in=roles))
        client = Client()
        client.force_login(user)
        return client

    return make


def test_fraud__needs_the_permission_of_fraud_scores(person: Callable[..., Client]) -> None:
    fraud(make_run(), PlayerFactory(external_id="P1"), 0.9)
    statuses = SimpleNamespace(allowed=set(), refused=set())
    for name in Group.objects.values_list("name", flat=True):
        client = person(name)
        may = User.objects.get(username=name).has_perm("predictions.view_fraudscore")
        found = {client.get(f"/api/v1/predictions/fraud/{rest}").status_code for rest in ("predict", "players/P1")}
        (statuses.allowed if may else statuses.refused).update(found)
    assert (statuses.allowed, statuses.refused) == ({200}, {403})


@pytest.mark.parametrize("rest", ["predict", "players/P1"])
def test_scopes__fraud_has_its_own(rest: str) -> None:
    run, player = make_run(), PlayerFactory(external_id="P1")
    fraud(run, player, 0.9)
    churn(run, player, 0.6)
    reader, guard = KeyedClient(["predictions:read"]), KeyedClient(["fraud:read"])
    refused = reader.get(f"/predictions/fraud/{rest}")
    assert refused.status_code == 403
    assert "lacks the scope fraud:read" in refused.json()["detail"]
    assert "fraud_score" not in refused.content.decode()
    assert guard.get(f"/predictions/fraud/{rest}").status_code == 200
    assert [client.get(f"/predictions/churn/{rest}").status_code for client in (reader, guard)] == [200, 403]


def test_scopes__are_named_in_the_document(api: KeyedClient) -> None:
    paths = api.get("/schema", format="json").json()["paths"]
    for kind, scope in {**dict.fromkeys(("churn", "ltv", "segmentation", "engagement"), "predictions:read"), "fraud": "fraud:read"}.items():
        for rest in ("predict", "players/{player_id}"):
            assert f"Scope `{scope}`." in paths[f"/api/v1/predictions/{kind}/{rest}"]["get"]["description"]


def test_scopes__reading_and_scoring_are_two(db: None) -> None:
    reader, scorer, neither = (KeyedClient(scopes) for scopes in (["predictions:read"], ["predictions:score"], ["players:read"]))
    body = {"features": {"sessions_30d": 2}}
    assert [client.get("/predictions/churn/predict").status_code for client in (reader, scorer, neither)] == [200, 403, 403]
    assert [client.post("/predictions/churn/score", body).status_code for client in (reader, scorer, neither)] == [403, 409, 403]
    assert Client().get("/api/v1/predictions/health").status_code == 401
