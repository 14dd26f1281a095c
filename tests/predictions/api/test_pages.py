"""Pages of the five kinds: every field of the reference, each a figure of the run."""

from datetime import timedelta
from typing import Any

import pytest

from predictions import hooks
from predictions.ml import advice
from predictions.models import Kind
from tests.api_client import KeyedClient
from tests.factories import PlayerFactory, PlayerMetricsFactory
from tests.predictions.api.factories import AS_OF, IMPORTANCE, churn, engagement, fraud, ltv, make_run, segment

pytestmark = pytest.mark.django_db

KINDS = ("churn", "ltv", "fraud", "segmentation", "engagement")


def one(api: KeyedClient, kind: str, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the answer, its only result)."""
    answer = api.get(f"/predictions/{kind}/predict", **params).json()
    (result,) = answer["data"]["results"]
    return answer, result


def test_churn__the_reference_example__every_field(api: KeyedClient) -> None:
    churn(make_run(), PlayerFactory(external_id="186201"), 0.75, "2500")
    answer, result = one(api, "churn")
    assert result == {
        "user_id": "186201",
        "player_id": "186201",
        "churn_probability": 0.75,
        "churn_label": "Churn",
        "confidence": 0.925,
        "probability_interval": {"min": 0.7, "max": 0.8, "level": 0.9},
        "priority_score": 0.9,
        "risk_level": "high",
        "retention_recommendation": "Re-engagement campaign with comeback bonus",
        "estimated_impact": 1875.0,
        "user_value": 2500.0,
        "currency": "EUR",
        "days_since_last_activity": 19,
        "threshold_used": 0.5,
        "feature_importance": {"days_since_last_deposit": 0.6, "sessions_30d": 0.4},
        "feature_importance_of": "reasons",
        "reasons": result["reasons"],
    }
    assert [reason["feature"] for reason in result["reasons"]] == ["days_since_last_deposit", "sessions_30d"]
    assert answer["data"]["prediction_type"] == "churn_prediction"


def test_churn__summary__sums_of_the_run_by_currency(api: KeyedClient) -> None:
    run = make_run()
    churn(run, PlayerFactory(), 0.9, "2000")
    churn(run, PlayerFactory(), 0.5, "100")
    churn(run, PlayerFactory(currency="USD"), 0.75, "1000")
    churn(run, PlayerFactory(), 0.1, "9000")
    answer = api.get("/predictions/churn/predict", page_size=1, risk_level="low").json()
    summary = answer["data"]["summary"]
    assert (summary["total_users"], summary["predicted_churners"], summary["expected_churners"]) == (4, 3, 2.2)
    assert summary["average_churn_probability"] == 0.5625
    assert summary["risk_levels"] == {"low": 1, "medium": 1, "high": 2}
    assert summary["value_at_risk"] == {
        "EUR": {"user_value": 11100.0, "expected_loss": 2750.0},
        "USD": {"user_value": 1000.0, "expected_loss": 750.0},
    }
    found = {
        row["type"]: (row["user_count"], row["estimated_impact"], row["estimated_impact_by_currency"])
        for row in summary["business_recommendations"]
    }
    assert found == {
        "urgent_action": (1, 1800.0, {"EUR": 1800.0, "USD": 0.0}),
        "retention_campaign": (2, 1800.0, {"EUR": 1800.0, "USD": 750.0}),
        "engagement_boost": (1, 50.0, {"EUR": 50.0, "USD": 0.0}),
        "win_back": (0, 0.0, {"EUR": 0.0, "USD": 0.0}),
        "no_contact": (0, 0.0, {"EUR": 0.0, "USD": 0.0}),
    }


def test_churn__recommendations_of_the_run__count_players_where_their_own_recommendation_sends_them(api: KeyedClient) -> None:
    run = make_run()
    for probability in (0.95, 0.75, 0.65, 0.6, 0.45, 0.1):
        for value in ("-5", "9.99", "10", "300", "1000", "1000.01", "7000"):
            for idle in (90, 91):
                churn(run, PlayerFactory(), probability, value, idle_days=idle)
    answer = api.get("/predictions/churn/predict", page_size=100).json()["data"]
    counted = {row["type"]: row["user_count"] for row in answer["summary"]["business_recommendations"]}

    def told(*words: str, least: float = 0.0, below: float = 1.1) -> int:
        rows = [row for row in answer["results"] if least <= row["churn_probability"] < below]
        return sum(any(row["retention_recommendation"].startswith(word) for word in words) for row in rows)

    contacts = ("Immediate VIP", "Priority", "Urgent", "Re-engagement", "Offer targeted", "Personal", "Reminder", "Missions")
    assert counted == {
        "urgent_action": 8,  # two probabilities, two high values, two times away
        "retention_campaign": told(*contacts, least=0.7),
        "engagement_boost": told(*contacts, least=0.3, below=0.7),
        "win_back": told(advice.WIN_BACK),
        "no_contact": told(advice.NO_CONTACT_WORTH),
    }
    assert all(counted.values())


def test_churn__threshold_of_the_request__label_confidence_and_summary(api: KeyedClient) -> None:
    churn(make_run(), PlayerFactory(), 0.45)
    answer, result = one(api, "churn", threshold=0.4)
    assert (result["churn_label"], result["confidence"], result["threshold_used"]) == ("Churn", 0.9, 0.4)
    assert answer["data"]["summary"]["predicted_churners"] == 1
    assert answer["filters_applied"]["threshold"] == 0.4
    answer, result = one(api, "churn")
    assert (result["churn_label"], answer["data"]["summary"]["predicted_churners"]) == ("Not Churn", 0)


def test_ltv__every_field(api: KeyedClient) -> None:
    ltv(make_run(), PlayerFactory(external_id="P1"), "750.50")
    answer, result = one(api, "ltv")
    assert result["predicted_ltv"] == 750.5
    assert result["prediction_confidence"] == 0.801
    assert result["churn_adjusted_ltv"] == 600.4
    assert result["ltv_confidence_interval"] == {"min": 300.2, "max": 1501.0, "level": 0.8}
    assert result["cross_sell_opportunity"] == "Offer premium membership"
    assert result["ltv_segment"] == "medium_value"
    assert result["methods"] == {"boosted": 750.5, "probabilistic": 825.55}
    assert (result["probability_active"], result["expected_deposit_days"]) == (0.84, 22.41)
    summary = answer["data"]["summary"]
    assert summary["segments"] == {"low_value": 0, "medium_value": 1, "high_value": 0}
    assert summary["value_by_currency"]["EUR"]["average_ltv"] == 750.5
    assert summary["interval_coverage"] == 0.801


def test_ltv__without_deposit_or_churn__says_null(api: KeyedClient) -> None:
    ltv(make_run(), PlayerFactory(), "3", probabilistic=None, alive=None, purchases=None, churn_adjusted=None)
    answer, result = one(api, "ltv")
    assert result["methods"]["probabilistic"] is None
    assert result["churn_adjusted_ltv"] is None
    assert result["probability_active"] is None
    assert answer["data"]["summary"]["value_by_currency"]["EUR"]["total_churn_adjusted_ltv"] is None


@pytest.fixture
def evidence() -> Any:
    before = list(hooks._fraud_evidence)
    detail = hooks.FraudDetail(
        fraud_type="IMMEDIATE_WITHDRAWAL",
        severity=0.8,
        suspicious_activity=("Withdrew 480.00 within 20 minutes of a deposit", "Two bonus bets above the limit"),
        linked_accounts=("P9",),
        shared_attributes={"P9": "device"},
        seen_at=AS_OF - timedelta(hours=6),
    )
    hooks.register_fraud_evidence(lambda players: dict.fromkeys(players, detail))
    yield detail
    hooks._fraud_evidence[:] = before


def test_fraud__above_the_threshold__evidence_links_and_alert(api: KeyedClient, evidence: Any) -> None:
    fraud(make_run(), PlayerFactory(external_id="P1"), 0.85)
    answer, result = one(api, "fraud")
    assert (result["fraud_label"], result["fraud_score"], result["fraud_type"]) == ("Fraud", 0.85, "Payment Fraud")
    assert (result["severity_score"], result["severity"]) == (0.8, "high")
    assert (result["confidence"], result["confidence_basis"]) == (0.91, "agreement")
    assert result["suspicious_activity"] == {
        "timestamp": "2026-03-14T20:30:00Z",
        "details": "Withdrew 480.00 within 20 minutes of a deposit",
    }
    assert result["linked_accounts"] == [{"user_id": "P9", "shared_attribute": "device"}]
    (alert,) = answer["data"]["alerts"]
    assert (alert["user_id"], alert["severity"]) == ("P1", "high")
    assert answer["data"]["summary"]["fraud_types"] == {"Payment Fraud": 1}


def test_fraud__below_the_threshold__no_type_but_the_signal_beside(api: KeyedClient) -> None:
    fraud(make_run(), PlayerFactory(), 0.5, interval_low=0.4, interval_high=0.6)
    answer, result = one(api, "fraud")
    assert (result["fraud_label"], result["fraud_type"], result["severity_score"], result["severity"]) == ("Not Fraud", None, 0.0, "none")
    assert result["strongest_signal"] == {"type": "Payment Fraud", "severity_score": 0.8}
    assert (result["confidence"], result["confidence_basis"]) == (0.5, "outcomes")
    assert result["score_interval"] == {"min": 0.4, "max": 0.6}
    assert result["suspicious_activity"] is None
    assert answer["data"]["alerts"] == []
    assert [row["user_count"] for row in answer["data"]["summary"]["business_recommendations"]] == [0, 1]


def test_segmentation__every_field(api: KeyedClient) -> None:
    run = make_run()
    for number, (cluster, worth) in enumerate([(1, "1000"), (1, "2000"), (3, "10")]):
        player = PlayerFactory(external_id=f"P{number}")
        PlayerMetricsFactory(player=player, sessions=10 * (number + 1), total_deposited=100)
        segment(run, player, cluster, next_cluster=2)
        ltv(run, player, worth)
    answer = api.get("/predictions/segmentation/predict", segment=1).json()
    first = answer["data"]["results"][0]
    assert (first["user_id"], first["segment"], first["segment_name"]) == ("P0", 1, "High value, active")
    assert first["segment_characteristics"] == {"avg_ltv": 1500.0, "avg_sessions": 15.0, "avg_deposits": 100.0, "currency": "EUR"}
    assert first["segment_recommendation"] == "Offer exclusive VIP rewards"
    assert (first["segment_stability"], first["predicted_next_segment"], first["transition_probability"]) == (0.95, 2, 0.86)
    assert (first["rfm_segment"], first["rfm_scores"]) == ("Champions", {"recency": 5, "frequency": 5, "monetary": 4})
    assert answer["pagination"]["total_items"] == 2
    summary = answer["data"]["summary"]
    assert [(row["segment"], row["users"]) for row in summary["segments"]] == [(1, 2), (3, 1)]
    assert [(row["type"], row["user_count"], row["estimated_impact"]) for row in summary["business_recommendations"]] == [
        ("vip", 2, 3000.0),
        ("onboarding", 1, 10.0),
    ]


def test_engagement__both_sides_of_the_threshold__breakdown_and_decay(api: KeyedClient) -> None:
    run = make_run()
    engagement(run, PlayerFactory(external_id="A"), 0.75)
    engagement(run, PlayerFactory(external_id="B"), 0.5)
    answer = api.get("/predictions/engagement/predict").json()
    high, low = answer["data"]["results"]
    assert (high["engagement_prediction"], high["campaign_eligibility"]) == ("Engaged", "VIP rewards")
    assert high["engagement_trigger"] == "Invite to exclusive tournament"
    assert high["engagement_breakdown"] == {"logins": 0.375, "deposits": 0.225, "gameplay": 0.15}
    assert (low["engagement_prediction"], low["campaign_eligibility"]) == ("Not Engaged", "Re-engagement email")
    assert answer["data"]["decay_analysis"] == [{"user_id": "B", "predicted_decay": 0.12, "timeframe": "next 7 days"}]
    assert (answer["data"]["summary"]["engaged_users"], answer["data"]["summary"]["not_engaged_users"]) == (1, 1)


def test_envelope__model_run_staleness_and_place(api: KeyedClient) -> None:
    run = make_run(stale_since=AS_OF - timedelta(days=2))
    churn(run, PlayerFactory(), 0.2)
    answer = api.get("/predictions/churn/predict").json()
    assert set(answer) == {
        "status",
        "api_version",
        "timestamp",
        "data",
        "pagination",
        "filters_applied",
        "errors",
        "localization",
    }
    assert (answer["status"], answer["errors"]) == ("success", [])
    metadata = answer["data"]["metadata"]
    assert metadata["stale_since"] == "2026-03-13T02:30:00Z"
    assert (metadata["run"]["id"], metadata["run"]["as_of"]) == (run.pk, "2026-03-15T02:30:00Z")
    assert (metadata["model"]["number"], metadata["model"]["metrics"], metadata["model"]["baseline"]) == (1, {"auc": 0.87}, {"auc": 0.81})
    assert answer["localization"] == {"currency": "EUR", "language": "en", "region": "EU"}
    assert answer["pagination"] == {
        "page": 1,
        "page_size": 50,
        "total_items": 1,
        "total_pages": 1,
        "has_next": False,
        "next_cursor": None,
    }


def test_details__left_out__no_reasons_and_no_analysis(api: KeyedClient) -> None:
    run = make_run()
    player = PlayerFactory()
    churn(run, player, 0.2)
    engagement(run, player, 0.2)
    _, result = one(api, "churn", include_details="false")
    assert not {"reasons", "feature_importance", "feature_importance_of"} & result.keys()
    answer, _ = one(api, "engagement", include_details="false")
    assert "decay_analysis" not in answer["data"]


def test_reasons__none_stored__shares_of_the_model_and_says_so(api: KeyedClient) -> None:
    churn(make_run(), PlayerFactory(), 0.2, reasons=[])
    _, result = one(api, "churn")
    assert (result["feature_importance"], result["feature_importance_of"], result["reasons"]) == (IMPORTANCE, "model", [])


@pytest.mark.parametrize("kind", KINDS)
def test_no_run__two_hundred_with_the_reason(api: KeyedClient, kind: str) -> None:
    answer = api.get(f"/predictions/{kind}/predict")
    body = answer.json()
    assert (answer.status_code, body["status"], body["data"]["results"], body["data"]["summary"]) == (200, "withheld", [], None)
    assert body["errors"][0]["code"] == "withheld"
    assert body["data"]["metadata"]["withheld_reason"].startswith("Not enough data: 0 days of history")


def test_withheld_kind__nothing_shown_though_rows_exist(api: KeyedClient) -> None:
    run = make_run(withheld={Kind.CHURN: "Only 41 days of history; 180 are needed."})
    churn(run, PlayerFactory(), 0.9)
    body = api.get("/predictions/churn/predict").json()
    assert (body["status"], body["data"]["results"], body["pagination"]["total_items"]) == ("withheld", [], 0)
    assert body["errors"][0]["detail"] == "Only 41 days of history; 180 are needed."


def test_player_who_may_be_given_nothing__is_recommended_nothing(api: KeyedClient) -> None:
    run = make_run()
    player = PlayerFactory(external_id="P1", status="CLOSED")
    churn(run, player, 0.9)
    ltv(run, player, "2000")
    segment(run, player, 1)
    engagement(run, player, 0.9)
    told = [one(api, "churn")[1]["retention_recommendation"], one(api, "ltv")[1]["cross_sell_opportunity"]]
    result = one(api, "engagement")[1]
    told += [result["engagement_trigger"], result["campaign_eligibility"]]
    result = one(api, "segmentation")[1]
    told += [result["segment_recommendation"], result["rfm_recommendation"]]
    assert told == ["No action"] * 6
    assert api.get("/predictions/churn/players/P1").json()["data"]["results"][0]["retention_recommendation"] == "No action"


@pytest.mark.parametrize(("status", "asked"), [("ACTIVE", 1), ("CLOSED", 0)])
def test_hint__of_what_would_make_somebody_play_more__is_not_given_for_players_who_may_be_given_nothing(
    api: KeyedClient, monkeypatch: pytest.MonkeyPatch, status: str, asked: int
) -> None:
    churn(make_run(), PlayerFactory(external_id="P1", status=status), 0.9, reasons=[{"feature": "x", "value": 1, "contribution": 1}])
    asks: list[int] = []
    monkeypatch.setattr("predictions.services.counterfactual", asks.append)
    answer = api.get("/predictions/churn/players/P1?hint=true").json()
    assert (answer["data"]["hint"], len(asks)) == (None, asked)


@pytest.mark.parametrize("kind", KINDS)
def test_personal_data__in_no_answer(api: KeyedClient, kind: str) -> None:
    run = make_run()
    player = PlayerFactory(external_id="P1", first_name="Erika", last_name="Mustermann", email="erika@example.com", username="erika77")
    for write, figure in ((churn, 0.9), (fraud, 0.9), (engagement, 0.9), (ltv, "10"), (segment, 1)):
        write(run, player, figure)
    for path in (f"/predictions/{kind}/predict", f"/predictions/{kind}/players/P1"):
        text = api.get(path).content.decode()
        assert "P1" in text
        assert not any(secret in text for secret in ("Erika", "Mustermann", "erika"))
