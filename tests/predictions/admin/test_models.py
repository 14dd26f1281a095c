from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from loyalty_site.common.models import AuditEvent, JobRun
from loyalty_site.navigation import badge_counts
from loyalty_site.roles import ROLES
from predictions import training_jobs
from predictions.admin.version import TRAINING
from predictions.models import ModelVersion, PromotionRequest
from tests.factories import NOW

from . import rows

pytestmark = pytest.mark.django_db

DIALOG = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Runs that a worker was asked to execute."""
    asked: list[int] = []
    monkeypatch.setattr(training_jobs.execute_training, "delay", lambda *, run_id: asked.append(run_id))
    return asked


def change(model: str, pk: int) -> str:
    return reverse(f"admin:predictions_{model}_change", args=[pk])


def train(client: Client, *kinds: str) -> Any:
    form = {"kinds": list(kinds), "reason": "Monthly training", "_form_submitted": "True"}
    return client.post(reverse("admin:predictions_modelversion_retrain"), form, **DIALOG)


def test_train__chosen_kinds__make_a_run_that_the_page_follows(client_of: Callable[..., Client], queued: list[int]) -> None:
    client = client_of("CRM manager")
    answer = train(client, "churn", "ltv")
    run = JobRun.objects.get(name=TRAINING)
    assert answer["HX-Redirect"] == reverse("admin:predictions_modelversion_changelist")
    assert (queued, run.parameters) == ([run.pk], {"kinds": ["churn", "ltv"]})
    assert AuditEvent.objects.get(action="predictions.training_started").reason == "Monthly training"
    text = client.get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert f"Training #{run.pk}" in text
    assert 'hx-trigger="every 3s"' in text


def test_train__while_one_is_open__is_refused(client_of: Callable[..., Client], queued: list[int]) -> None:
    client = client_of("Risk analyst")
    train(client, "churn")
    train(client, "churn")
    assert JobRun.objects.filter(name=TRAINING).count() == len(queued) == 1
    assert "wait for its end or cancel it first" in client.get("/admin/").content.decode()


def test_train__without_a_kind__asks_for_one(client_of: Callable[..., Client], queued: list[int]) -> None:
    train(client_of("CRM manager"))
    assert (JobRun.objects.count(), queued) == (0, [])


@pytest.mark.parametrize("role", ROLES)
def test_roles__train_ask_and_decide__as_declared(role: str, client_of: Callable[..., Client], queued: list[int]) -> None:
    version = rows.version("churn", status="CANDIDATE")
    asked = PromotionRequest.objects.create(
        version=version, reason="better", requested_by=User.objects.create(username="other"), requested_at=NOW
    )
    client, permissions = client_of(role), ROLES[role].permissions
    listed = client.get(reverse("admin:predictions_modelversion_changelist"))
    assert (listed.status_code, b"/retrain" in listed.content) == (200, "predictions.train_model" in permissions)
    train(client, "churn")
    assert bool(queued) is ("predictions.train_model" in permissions)
    decides = "predictions.decide_promotion" in permissions
    assert (b"/approve" in client.get(change("promotionrequest", asked.pk)).content) is decides
    client.post(
        reverse("admin:predictions_promotionrequest_refuse", args=[asked.pk]), {"reason": "Not yet", "_form_submitted": "True"}, **DIALOG
    )
    asked.refresh_from_db()
    assert (asked.status == "REFUSED") is decides


def test_promotion__asked_by_one__is_refused_by_another_and_never_by_the_same(
    client_of: Callable[..., Client], staff: Callable[..., User]
) -> None:
    staff("Compliance")  # somebody who may decide
    version = rows.version("churn", status="CANDIDATE")
    risk = client_of("Risk analyst")
    form = {"reason": "Better on the same players", "_form_submitted": "True"}
    answer = risk.post(reverse("admin:predictions_modelversion_ask_promotion", args=[version.pk]), form, **DIALOG)
    asked = PromotionRequest.objects.get(version=version)
    assert answer["HX-Redirect"] == change("promotionrequest", asked.pk)
    own = risk.get(change("promotionrequest", asked.pk)).content
    assert b"You asked for this, so another person must decide" in own
    assert b"/approve" not in own
    risk.post(reverse("admin:predictions_promotionrequest_approve", args=[asked.pk]), form, **DIALOG)
    asked.refresh_from_db()
    assert asked.status == "PENDING"
    assert badge_counts()["promotions"] == 1
    other = Client()
    other.force_login(User.objects.get(username="compliance"))
    other.post(reverse("admin:predictions_promotionrequest_refuse", args=[asked.pk]), form, **DIALOG)
    asked.refresh_from_db()
    assert (asked.status, asked.note) == ("REFUSED", "Better on the same players")


def test_promotion__version_whose_file_is_gone__stays_unused_and_says_why(client_of: Callable[..., Client]) -> None:
    version = rows.version("churn", status="CANDIDATE")
    asked = PromotionRequest.objects.create(
        version=version, reason="better", requested_by=User.objects.create(username="other"), requested_at=NOW
    )
    client = client_of("Compliance")
    url = reverse("admin:predictions_promotionrequest_approve", args=[asked.pk])
    client.post(url, {"reason": "Looks good", "_form_submitted": "True"}, **DIALOG)
    version.refresh_from_db()
    assert version.status == ModelVersion.Status.CANDIDATE
    assert "cannot be opened" in client.get(change("promotionrequest", asked.pk)).content.decode()


def test_version__its_record__is_drawn_beside_the_baseline(client_of: Callable[..., Client]) -> None:
    text = client_of("Read-only").get(change("modelversion", rows.version("churn").pk)).content.decode()
    for words in ("0.8100", "0.7000", "Calibration", "Lift", "baseline", "chosen", "Days since last deposit", "Model card"):
        assert words in text
    assert "ranks better than the baseline" in text


@pytest.mark.parametrize("kind", ["ltv", "fraud", "segmentation", "engagement", "profile"])
def test_version__any_kind_and_an_empty_record__opens(kind: str, client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    bare = rows.version(kind, number=2, status="REFUSED", metrics={}, baseline={}, candidates=[], importance={}, gate=[], curves={})
    for version in (rows.version(kind), bare):
        assert client.get(change("modelversion", version.pk)).status_code == 200


def test_versions__none_yet__say_what_to_do(client_of: Callable[..., Client]) -> None:
    text = client_of("CRM manager").get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert "No model has been trained yet" in text
