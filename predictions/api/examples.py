"""Answers as a demo gives them, for the OpenAPI document. A test holds them against the shapes and against real answers."""

from typing import Any

from predictions.models import Kind

_RUN = {"id": 12, "as_of": "2026-03-15T02:30:00Z", "published_at": "2026-03-15T02:36:41Z", "data_through": "2026-03-15T02:14:09Z"}
_NO_AMOUNT = {"amount": None, "currency": None}  # of a feature that is no money
_REASON = {
    "feature": "days_since_last_deposit",
    "label": "days since last deposit",
    "unit": "days",
    "value": 23.0,
    "contribution": 0.914402,
    "words": "last deposit longer ago than usual (days since last deposit: 23)",
    **_NO_AMOUNT,
}
_WHO = {"user_id": "P00186", "player_id": "P00186"}
_WHY = {
    "feature_importance": {"days_since_last_deposit": 0.5, "sessions_30d": 0.3, "deposits_90d": 0.2},
    "feature_importance_of": "reasons",
    "reasons": [_REASON],
}
_METRICS = {
    Kind.CHURN: ({"auc": 0.8731, "pr_auc": 0.6402, "brier": 0.1024, "base_rate": 0.2211}, {"auc": 0.8127, "brier": 0.1243}),
    Kind.LTV: ({"mae": 1.84, "gini": 0.71, "coverage": 0.801}, {"mae": 2.61}),
    Kind.FRAUD: ({"share_flagged": 0.012}, {}),
    Kind.SEGMENTATION: ({"silhouette": 0.412, "stability": 0.951}, {"silhouette": 0.184}),
    Kind.ENGAGEMENT: ({"auc": 0.8914, "brier": 0.0961}, {"auc": 0.8502}),
}
_ALGORITHMS = {
    Kind.CHURN: "gradient boosting",
    Kind.LTV: "gradient boosting with quantiles",
    Kind.FRAUD: "isolation forest",
    Kind.SEGMENTATION: "k-means on RFM",
    Kind.ENGAGEMENT: "logistic regression",
}
_RESULTS: dict[str, dict[str, Any]] = {
    Kind.CHURN: {
        "churn_probability": 0.75,
        "churn_label": "Churn",
        "confidence": 0.925,
        "probability_interval": {"min": 0.71, "max": 0.79, "level": 0.9},
        "priority_score": 0.9,
        "risk_level": "high",
        "retention_recommendation": "Re-engagement campaign with comeback bonus",
        "estimated_impact": 1875.0,
        "user_value": 2500.0,
        "currency": "EUR",
        "days_since_last_activity": 19,
        "threshold_used": 0.5,
        **_WHY,
    },
    Kind.LTV: {
        "predicted_ltv": 750.5,
        "prediction_confidence": 0.801,
        "churn_adjusted_ltv": 600.4,
        "ltv_confidence_interval": {"min": 210.35, "max": 1480.0, "level": 0.8},
        "cross_sell_opportunity": "Offer premium membership",
        "ltv_segment": "medium_value",
        "median_ltv": 655.1,
        "ltv_90_days": 190.2,
        "currency": "EUR",
        "methods": {"boosted": 750.5, "probabilistic": 702.3},
        "probability_active": 0.84,
        "expected_deposit_days": 22.4,
        **_WHY,
    },
    Kind.FRAUD: {
        "fraud_label": "Fraud",
        "fraud_score": 0.85,
        "confidence": 0.91,
        "confidence_basis": "agreement",
        "fraud_type": "Payment Fraud",
        "severity_score": 0.8,
        "severity": "high",
        "suspicious_activity": {"timestamp": "2026-03-14T21:05:00Z", "details": "Withdrew 480.00 within 20 minutes of a deposit"},
        "linked_accounts": [{"user_id": "P00412", "shared_attribute": "device"}],
        "threshold_used": 0.8,
        "strongest_signal": {"type": "Payment Fraud", "severity_score": 0.8},
        "anomaly_score": 0.97,
        "detector_score": 0.88,
        "score_interval": None,
        "signals": ["Withdrew 480.00 within 20 minutes of a deposit"],
        **_WHY,
    },
    Kind.SEGMENTATION: {
        "segment": 1,
        "segment_name": "High value, active",
        "segment_characteristics": {"avg_ltv": 1204.6, "avg_sessions": 41.2, "avg_deposits": 1893.4, "currency": "EUR"},
        "segment_recommendation": "Offer exclusive VIP rewards",
        "segment_stability": 0.95,
        "predicted_next_segment": 1,
        "transition_probability": 0.86,
        "rfm_scores": {"recency": 5, "frequency": 5, "monetary": 4},
        "rfm_segment": "Champions",
        "rfm_recommendation": "Offer exclusive VIP rewards",
        **_WHY,
    },
    Kind.ENGAGEMENT: {
        "engagement_prediction": "Not Engaged",
        "engagement_score": 0.31,
        "probability_interval": {"min": 0.28, "max": 0.34, "level": 0.9},
        "engagement_breakdown": {"logins": 0.17, "deposits": 0.08, "gameplay": 0.06},
        "engagement_trigger": "Offer free spins on new slot game",
        "campaign_eligibility": "Re-engagement email",
        "predicted_decay": 0.12,
        "timeframe": "next 7 days",
        "threshold_used": 0.5,
        **_WHY,
    },
}


def _advice(kind: str, action: str, group: str, users: int, impact: float | None) -> dict[str, Any]:
    return {
        "type": kind,
        "action": action,
        "group": group,
        "user_count": users,
        "estimated_impact": impact,
        "currency": None if impact is None else "EUR",
        "estimated_impact_by_currency": {} if impact is None else {"EUR": impact},
    }


_SUMMARIES: dict[str, dict[str, Any]] = {
    Kind.CHURN: {
        "total_users": 5000,
        "predicted_churners": 1130,
        "expected_churners": 1104.2,
        "average_churn_probability": 0.22084,
        "risk_levels": {"low": 3420, "medium": 610, "high": 970},
        "value_at_risk": {"EUR": {"user_value": 1843210.5, "expected_loss": 241093.1}},
        "business_recommendations": [
            _advice("urgent_action", "Urgent Action: contact in person today", "high value, churn probability from 0.7", 41, 60212.4)
        ],
    },
    Kind.LTV: {
        "total_users": 5000,
        "segments": {"low_value": 3890, "medium_value": 620, "high_value": 490},
        "value_by_currency": {
            "EUR": {"users": 5000, "total_ltv": 1843210.5, "average_ltv": 368.6421, "total_churn_adjusted_ltv": 1602117.4}
        },
        "interval_coverage": 0.801,
        "business_recommendations": [
            _advice(
                "high_value", "Protect: promote live tournaments and personal service", "predicted value from the high bound", 490, 940312.2
            )
        ],
    },
    Kind.FRAUD: {
        "total_users": 5000,
        "flagged_users": 12,
        "average_fraud_score": 0.0421,
        "fraud_types": {"Payment Fraud": 7, "Multiple Accounts": 5},
        "business_recommendations": [
            _advice("review", "Review: open a case and hold bonuses until it is closed", "score above the threshold", 12, None)
        ],
    },
    Kind.SEGMENTATION: {
        "total_users": 5000,
        "average_stability": 0.951,
        "segments": [
            {
                "segment": 1,
                "name": "High value, active",
                "users": 812,
                "share": 0.1624,
                "segment_characteristics": {"avg_ltv": 1204.6, "avg_sessions": 41.2, "avg_deposits": 1893.4, "currency": "EUR"},
            }
        ],
        "rfm_segments": {"Champions": 640, "Lost": 910},
        "business_recommendations": [_advice("vip", "Offer exclusive VIP rewards", "High value, active", 812, 978135.2)],
    },
    Kind.ENGAGEMENT: {
        "total_users": 5000,
        "engaged_users": 2240,
        "not_engaged_users": 2760,
        "average_engagement_score": 0.4512,
        "average_weekly_decay": 0.11,
        "business_recommendations": [
            _advice("not_engaged", "Re-engagement email with free spins on a new slot game", "score up to the threshold", 2760, None)
        ],
    },
}
_TYPES = {
    Kind.CHURN: "churn_prediction",
    Kind.LTV: "ltv_prediction",
    Kind.FRAUD: "fraud_detection",
    Kind.SEGMENTATION: "user_segmentation",
    Kind.ENGAGEMENT: "engagement_prediction",
}
_EXTRAS: dict[str, dict[str, Any]] = {
    Kind.FRAUD: {
        "alerts": [
            {
                "user_id": "P00186",
                "alert": "Payment Fraud: review needed",
                "severity": "high",
                "fraud_score": 0.85,
                "timestamp": "2026-03-15T02:30:00Z",
            }
        ]
    },
    Kind.ENGAGEMENT: {"decay_analysis": [{"user_id": "P00186", "predicted_decay": 0.12, "timeframe": "next 7 days"}]},
}
_FILTERS: dict[str, dict[str, Any]] = {
    Kind.CHURN: {"threshold": 0.5, "risk_level": "high", "sort_by": "priority_score"},
    Kind.LTV: {"segment": "medium_value", "sort_by": "predicted_ltv"},
    Kind.FRAUD: {"threshold": 0.8, "label": "all", "sort_by": "fraud_score"},
    Kind.SEGMENTATION: {"sort_by": "segment"},
    Kind.ENGAGEMENT: {"threshold": 0.5, "engagement": "all", "sort_by": "engagement_score"},
}


def _answer(kind: str, data: dict[str, Any], pagination: dict[str, Any], filters: dict[str, Any]) -> dict[str, Any]:
    metrics, baseline = _METRICS[Kind(kind)]
    model = {
        "id": 7,
        "number": 3,
        "algorithm": _ALGORITHMS[Kind(kind)],
        "trained_at": "2026-03-09T03:10:22Z",
        "trained_on_data_until": "2026-03-09T00:00:00Z",
        "horizon_days": 30,
        "is_synthetic": True,
        "metrics": metrics,
        "baseline": baseline,
    }
    metadata = {"model": model, "run": _RUN, "age_seconds": 21600, "stale_since": None, "withheld_reason": None}
    return {
        "status": "success",
        "api_version": "1.0.0",
        "timestamp": "2026-03-15T08:30:00Z",
        "data": {
            "prediction_type": _TYPES[Kind(kind)],
            "results": [{**_WHO, **_RESULTS[kind]}],
            **_EXTRAS.get(kind, {}),
            **data,
            "metadata": metadata,
        },
        "pagination": pagination,
        "filters_applied": filters,
        "errors": [],
        "localization": {"currency": "EUR", "language": "en", "region": "EU"},
    }


def page(kind: str) -> dict[str, Any]:
    """A page of a kind."""
    pagination = {
        "page": 1,
        "page_size": 50,
        "total_items": 970,
        "total_pages": 20,
        "has_next": True,
        "next_cursor": "WzEyLCI5YTRmIiwwLjc1LDE4Nl0:1vXy:Q2h1cm4",
    }
    return _answer(kind, {"summary": _SUMMARIES[kind]}, pagination, {"page": 1, "page_size": 50, "include_details": True, **_FILTERS[kind]})


def player(kind: str) -> dict[str, Any]:
    """One player of a kind."""
    pagination = {"page": 1, "page_size": 1, "total_items": 1, "total_pages": 1, "has_next": False, "next_cursor": None}
    history = [{"as_of": "2026-03-08T02:30:00Z", "value": 0.44}, {"as_of": "2026-03-15T02:30:00Z", "value": 0.75}]
    return _answer(kind, {"history": history}, pagination, {"include_details": True, "hint": False})


CHURN_PROFILE = {
    "features": {"days_since_last_activity": 19, "days_since_last_deposit": 23, "sessions_30d": 2, "deposits_90d": 150, "tenure_days": 400},
    "currency": "EUR",
    "user_value": 2500,
}
CHURN_SCORE = {
    **{
        name: value
        for name, value in _RESULTS[Kind.CHURN].items()
        if name.startswith(("churn_", "confidence", "prob", "pri", "risk", "ret"))
    },
    "estimated_impact": 1875.0,
    "threshold_used": 0.5,
    "feature_importance": _WHY["feature_importance"],
    "drivers": [_REASON],
    "missing": ["devices", "ips"],
    "model_id": 7,
    "is_synthetic": True,
}
CLV_PROFILE = {
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
CLV_SCORE = {
    "customer_id": 1,
    "predicted_clv": 4210.35,
    "confidence_score": 0.8,
    "clv_interval": {"min": 2890.1, "max": 5730.9, "level": 0.8},
    "outside": [],
    "feature_importance": {"income": 0.6, "balance": 0.4},
    "drivers": [
        {
            "feature": "income",
            "label": "income",
            "unit": "",
            "value": 75000.0,
            "contribution": 812.4,
            "words": "income: 75,000",
            **_NO_AMOUNT,
        },
        {
            "feature": "balance",
            "label": "balance",
            "unit": "",
            "value": 5000.0,
            "contribution": 541.6,
            "words": "balance: 5,000",
            **_NO_AMOUNT,
        },
    ],
    "missing": [],
    "model_id": 9,
    "is_synthetic": True,
}
DEPOSITOR = {
    "player_id": "lead-204",
    "currency": "EUR",
    "deposits": [
        {"occurred_at": "2025-11-03T19:20:00Z", "amount": 50},
        {"occurred_at": "2026-01-11T21:05:00Z", "amount": 80},
        {"occurred_at": "2026-03-02T18:40:00Z", "amount": 60},
    ],
    "as_of": "2026-03-15T08:30:00Z",
}
DEPOSITOR_SCORE = {
    "player_id": "lead-204",
    "currency": "EUR",
    "predicted_ltv": 212.4,
    "ltv_interval": {"min": 0.0, "max": 488.2, "level": 0.8},
    "median_ltv": 184.9,
    "confidence_score": None,
    "probability_active": 0.88,
    "expected_deposit_days": 6.9,
    "amounts_used": 2,
    "outside": [],
    "feature_importance": {"bg_spend": 0.7, "bg_recency": 0.3},
    "drivers": [
        {
            "feature": "bg_spend",
            "label": "deposited on a deposit day",
            "unit": "money",
            "value": 71.2,
            "contribution": -98.3,
            "words": "71.20 on a deposit day",
            **_NO_AMOUNT,
        },
        {
            "feature": "bg_recency",
            "label": "still a customer",
            "unit": "share",
            "value": 0.88,
            "contribution": 42.1,
            "words": "still a customer with 88 %",
            **_NO_AMOUNT,
        },
    ],
    "missing": [],
    "model_id": 8,
    "is_synthetic": True,
}
MODEL = {
    "id": 7,
    "kind": "churn",
    "number": 3,
    "status": "CHAMPION",
    "algorithm": "gradient boosting",
    "as_of": "2026-03-09T00:00:00Z",
    "horizon_days": 30,
    "is_synthetic": True,
    "rows": 41230,
    "positives": 9115,
    "metrics": _METRICS[Kind.CHURN][0],
    "baseline": _METRICS[Kind.CHURN][1],
    "trained_at": "2026-03-09T03:10:22Z",
    "training_seconds": 21.4,
    "promoted_at": "2026-03-09T09:00:00Z",
    "retired_at": None,
    "drift": {
        "version": 7,
        "level": "moderate",
        "rows": 18240,
        "reference_rows": 17655,
        "features": 64,
        "moved": 1,
        "most_moved": [
            {"feature": "deposits_90d", "level": "moderate", "psi": 0.1312, "limit": 0.1, "missing_before": 0.0, "missing_now": 0.0}
        ],
    },
    "seed": 20260309,
    "features": ["days_since_last_deposit", "sessions_30d", "deposits_90d"],
    "parameters": {"trees": 200, "leaves": 31},
    "candidates": [{"algorithm": "gradient boosting", "chosen": True, "metrics": {"auc": 0.8702}}],
    "curves": {"reliability": [{"from": 0.7, "to": 0.8, "n": 412, "predicted": 0.748, "observed": 0.755}]},
    "importance": _WHY["feature_importance"],
    "gate": [{"name": "auc", "passed": True, "value": 0.8731, "limit": 0.8127, "reason": "Better than recency alone."}],
    "libraries": {"sklearn": "1.9.1", "lightgbm": "4.7.0"},
    "sha256": "9f2c7d1e5b8a4c3f0e6d9b2a7c5f8e1d4b3a6c9f2e5d8b1a4c7f0e3d6b9a2c5f",
    "size_bytes": 712004,
}
CARD = {"id": 7, "kind": "churn", "markdown": "# Churn 3\n\nThe probability that a player places no real-money bet ..."}
HEALTH = {
    "status": "ok",
    "scored_as_of": "2026-03-15T02:30:00Z",
    "published_at": "2026-03-15T02:36:41Z",
    "data_through": "2026-03-15T02:14:09Z",
    "age_seconds": 21600,
    "stale_since": None,
    "kinds": [
        {
            "kind": "churn",
            "status": "ok",
            "reason": None,
            "model_id": 7,
            "model_number": 3,
            "trained_at": "2026-03-09T03:10:22Z",
            "is_synthetic": True,
            "drift": "moderate",
            "drifted_features": ["deposits_90d"],
        }
    ],
}
