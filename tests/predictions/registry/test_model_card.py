"""The card says what the record says, and nothing that is not in it."""

import pytest

from predictions import model_card
from predictions.models import Kind, ModelVersion
from tests.factories import NOW
from tests.predictions.registry.models import AS_OF, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    return ModelVersion(
        kind="churn",
        number=7,
        algorithm="gradient boosting",
        as_of=AS_OF,
        horizon_days=30,
        seed=4,
        rows=12_345,
        positives=678,
        metrics={"auc": 0.81234, "brier": 0.11, "base_rate": 0.25},
        baseline={"auc": 0.75, "brier": 0.12, "base_rate": 0.25},
        candidates=[
            {"algorithm": "logistic regression", "chosen": False, "metrics": {"auc": 0.79}},
            {"algorithm": "gradient boosting", "chosen": True, "metrics": {"auc": 0.81}},
        ],
        curves={
            "reliability": [
                {"from": 0.0, "to": 0.1, "n": 900, "predicted": 0.05, "observed": 0.048},
                {"from": 0.1, "to": 0.2, "n": 0, "predicted": None, "observed": None},
            ],
            "lift": [{"decile": 1, "n": 100, "positives": 80, "lift": 3.2}],
        },
        importance={"days_since_last_deposit": 0.7, "sessions_30d": 0.3},
        gate=[
            {"name": "auc", "passed": True, "value": 0.81234, "limit": 0.75, "reason": "ranks better"},
            {"name": "calibration", "passed": False, "value": 0.09, "limit": 0.05, "reason": "says | too much"},
        ],
        libraries={"scikit-learn": "1.9.1", "lightgbm": "4.7.0"},
        artifact="churn/abc.joblib",
        sha256="abc",
        size_bytes=54_321,
        trained_at=NOW,
        training_seconds=12.34,
    )


def test_text__holds_the_record(version):
    text = model_card.text(version)

    assert text.startswith("# Churn 7\n\nThe probability that a player places no real-money bet and makes no deposit within 30 days.")
    for line in (
        "| Trained on | this operator's own history, up to 2026-03-01 00:00 UTC, labels included |",
        "| Rows learned from | 12,345, of which 678 cases |",
        "| Trained | 2026-03-15 12:00 UTC by the schedule or the command line, in 12.3 s, seed 4 |",
        "| AUC | 0.8123 | 0.75 | better |",
        "| Brier score | 0.11 | 0.12 | better |",
        "| Base rate | 0.25 | 0.25 |  |",
        "| 0% to 10% | 900 | 5.0% | 4.8% |",
        "| 1 | 100 | 80 | 3.2 |",
        "| logistic regression | 0.79 |",
        "| **gradient boosting** (chosen) | 0.81 |",
        "| days since last deposit | 70.0% |",
        "| passed | AUC | 0.8123 | 0.75 | ranks better |",
        "| **failed** | Calibration | 0.09 | 0.05 | says \\| too much |",
        "`churn/abc.joblib` in the model storage, 54,321 bytes, SHA-256 `abc`, signed. Made with lightgbm 4.7.0, scikit-learn 1.9.1.",
    ):
        assert line in text
    assert "10% to 20%" not in text  # an empty band says nothing


def test_text__worse_than_the_baseline__says_so(version):
    version.metrics["brier"] = 0.2
    assert "| Brier score | 0.2 | 0.12 | worse |" in model_card.text(version)


def test_text__simulated__says_so(version):
    version.is_synthetic = True
    version.trained_by = staff()
    text = model_card.text(version)
    assert "a simulated operator, up to" in text
    assert f"by {version.trained_by.username}," in text


@pytest.mark.parametrize("kind", Kind.values)
def test_text__every_kind_with_an_empty_record__says_what_it_must_not_be_used_for(kind):
    bare = ModelVersion(kind=kind, number=1, algorithm="x", as_of=AS_OF, trained_at=NOW, horizon_days=7)
    text = model_card.text(bare)
    assert "## What it must not be used for" in text
    assert "There is no file." in text
    assert "{" not in text
    assert "None" not in text
