from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from kombu.exceptions import OperationalError

from loyalty_site.common.models import AuditEvent, JobChunk, JobRun
from loyalty_site.navigation import badge_counts
from loyalty_site.roles import ROLES
from predictions import promotion_jobs, training_jobs
from predictions.models import ModelVersion, PromotionRequest, ScoringRun
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
    run = JobRun.objects.get(name=training_jobs.NAME)
    assert answer["HX-Redirect"] == reverse("admin:predictions_modelversion_changelist")
    assert (queued, run.parameters) == ([run.pk], {"kinds": ["churn", "ltv"], "seed": 0, "is_synthetic": False})
    assert AuditEvent.objects.get(action="predictions.training_started").reason == "Monthly training"
    text = client.get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert f"Training #{run.pk}" in text
    assert 'hx-trigger="every 3s"' in text


def ended(**words: str) -> JobRun:
    """A training that ended well, of which each kind says what became of it."""
    rows_done = 5000 * sum(not one.startswith("not trained") for one in words.values())
    run = JobRun.objects.create(
        name=training_jobs.NAME, title="Training", as_of=NOW, created_at=NOW, status="SUCCEEDED", chunks_total=len(words),
        chunks_done=len(words), rows_done=rows_done, parameters={"kinds": list(words)},
    )  # fmt: skip
    for number, (kind, told) in enumerate(words.items()):
        JobChunk.objects.create(
            run=run, number=number, lower_id=number, upper_id=number + 1, status="DONE", result={"rows": rows_done, kind: told}
        )
    return run


def test_train__too_little_data__is_no_success(client_of: Callable[..., Client]) -> None:
    client, missing = client_of(admin=True), "not trained: 400 players; 500 are needed: import more players."
    run = ended(churn=missing)
    page = client.get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert '<span class="lb-badge lb-badge-warn" title="">nothing trained</span>' in page
    assert "0 of 1 models trained" in page
    assert missing in page
    for url in (reverse("admin:common_jobrun_changelist"), reverse("admin:common_jobrun_change", args=[run.pk])):
        text = client.get(url).content.decode()
        assert (">Nothing trained</span>" in text, ">Succeeded</span>" in text) == (True, False)

    ended(churn="Churn 1: Candidate", ltv=missing)
    page = client.get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert "1 of 2 models trained" in page
    assert '<span class="lb-badge lb-badge-good" title="">Succeeded</span>' in page


def test_train__while_one_is_open__is_refused(client_of: Callable[..., Client], queued: list[int]) -> None:
    client = client_of("Risk analyst")
    train(client, "churn")
    train(client, "churn")
    assert JobRun.objects.filter(name=training_jobs.NAME).count() == len(queued) == 1
    assert "wait for its end or cancel it first" in client.get("/admin/").content.decode()


def test_train__broker_does_not_answer__is_recorded_and_says_so(client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_arguments: Any) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(training_jobs.execute_training, "delay", refuse)
    client = client_of("CRM manager")
    train(client, "churn")
    assert JobRun.objects.get(name=training_jobs.NAME).status == JobRun.Status.QUEUED
    assert "The message broker does not answer" in client.get("/admin/").content.decode()


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


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Approvals that a worker was asked to measure."""
    runs: list[int] = []
    monkeypatch.setattr(promotion_jobs.execute_promotion, "delay", lambda *, run_id: runs.append(run_id))
    return runs


def waiting() -> PromotionRequest:
    """A candidate that somebody else asked for."""
    version, other = rows.version("churn", status="CANDIDATE"), User.objects.create(username="other")
    return PromotionRequest.objects.create(version=version, reason="better", requested_by=other, requested_at=NOW)


def approve(client: Client, asked: PromotionRequest) -> str:
    """Approve, and the page of the request afterwards."""
    url = reverse("admin:predictions_promotionrequest_approve", args=[asked.pk])
    client.post(url, {"reason": "Looks good", "_form_submitted": "True"}, **DIALOG)
    return client.get(change("promotionrequest", asked.pk)).content.decode()


def test_promotion__approved__is_measured_in_the_background_and_the_page_follows(
    client_of: Callable[..., Client], measured: list[int]
) -> None:
    asked = waiting()
    client = client_of("Compliance")
    page = approve(client, asked)
    run = JobRun.objects.get(name=promotion_jobs.NAME)
    assert (measured, run.requested_by.username if run.requested_by else "") == ([run.pk], "compliance")
    assert "Both versions are measured on the same players" in page
    assert 'hx-trigger="every 2s"' in page
    assert "/approve" not in page  # it is being measured
    assert "/refuse" in page
    approve(client, asked)
    assert measured == [run.pk]

    JobRun.objects.filter(pk=run.pk).update(status="SUCCEEDED", finished_at=NOW)
    verdict = {"name": "not worse", "passed": False, "value": 0.2, "limit": 0.1, "reason": "Brier score 0.2 against 0.1"}
    JobChunk.objects.create(
        run=run, number=1, lower_id=0, upper_id=1, status="DONE", result={"rows": 0, "refused": "Churn 1 is worse", "verdicts": [verdict]}
    )
    page = client.get(change("promotionrequest", asked.pk)).content.decode()
    for words in ("not put into use", "A check speaks against it", "The request keeps waiting", "Brier score 0.2 against 0.1", "/approve"):
        assert words in page
    assert "every 2s" not in page

    JobChunk.objects.update(result={"rows": 0, "refused": "another version was put into use meanwhile", "verdicts": []})
    assert "Another version was put into use meanwhile" in client.get(change("promotionrequest", asked.pk)).content.decode()


def test_promotion__measuring_failed__says_so_and_nothing_was_decided(client_of: Callable[..., Client], measured: list[int]) -> None:
    asked = waiting()
    client = client_of("Compliance")
    approve(client, asked)
    JobRun.objects.update(status="FAILED", error="MemoryError", finished_at=NOW)
    page = client.get(change("promotionrequest", asked.pk)).content.decode()
    for words in ("measuring failed", "MemoryError", "Nothing was decided", "/approve"):
        assert words in page


def test_version__its_record__is_drawn_beside_the_baseline(client_of: Callable[..., Client]) -> None:
    text = client_of("Read-only").get(change("modelversion", rows.version("churn").pk)).content.decode()
    for words in ("0.8100", "0.7000", "Calibration", "Lift", "baseline", "chosen", "Days since last deposit", "Model card"):
        assert words in text
    assert "Ranks better than the baseline" in text


def test_version__its_checks__are_named_in_words(client_of: Callable[..., Client]) -> None:
    names = ("auc_active", "rank_agreement", "not worse than the version in use", "coverage")
    gate = [{"name": name, "passed": True, "value": 1.0, "limit": 0.0, "reason": "as wanted"} for name in names]
    text = client_of("Read-only").get(change("modelversion", rows.version("churn", gate=gate).pk)).content.decode()
    labels = (
        *("AUC among active players", "Agreement of two forests (rank)"),
        *("Not worse than the version in use", "Coverage of the 80 % interval"),
    )
    assert [label for label in labels if f"<strong>{label}</strong><small" not in text] == []
    assert "auc_active" not in text.lower()


@pytest.mark.parametrize("role", ROLES)
def test_models_and_promotions__of_a_kind__are_for_whoever_sees_its_scores(role: str, client_of: Callable[..., Client]) -> None:
    fraud, churn, profile = (rows.version(kind, number=7, status="CANDIDATE") for kind in ("fraud", "churn", "profile"))
    other = User.objects.create(username="other")
    asked = PromotionRequest.objects.create(version=fraud, reason="better", requested_by=other, requested_at=NOW)
    client, sees = client_of(role), "predictions.view_fraudscore" in ROLES[role].permissions
    assert client.get(change("modelversion", churn.pk)).status_code == client.get(change("modelversion", profile.pk)).status_code == 200
    hidden = [client.get(change("modelversion", fraud.pk)), client.get(change("promotionrequest", asked.pk))]
    assert [answer.status_code for answer in hidden] == [200 if sees else 403] * 2
    for model in ("modelversion", "promotionrequest"):
        listed = client.get(reverse(f"admin:predictions_{model}_changelist")).content.decode()
        assert ("Fraud 7" in listed) is sees


MOVED = {"feature": "deposits_90d", "level": "major", "psi": 0.4, "limit": 0.1, "missing_before": 0.0, "missing_now": 0.25}
STILL = {"feature": "sessions_30d", "level": "none", "psi": 0.012, "limit": 0.1, "missing_before": 0.0, "missing_now": 0.0}


def drifted(level: str, *features: dict[str, Any]) -> ModelVersion:
    """A churn version in use, and a published run that found this drift for it, in data of a month after the training."""
    run = rows.run()
    version = ModelVersion.objects.get(pk=run.versions["churn"])
    run.data_through = version.as_of + timedelta(days=30)
    moved = sum(one["level"] != "none" for one in features)
    found = {"version": version.pk, "level": level, "rows": 18240, "reference_rows": 17655, "features": 64, "moved": moved}
    run.summary = {"drift": {"churn": {**found, "most_moved": list(features)}}}
    run.published_at = NOW
    run.save(update_fields=["summary", "published_at", "data_through"])
    return version


@pytest.mark.parametrize(
    ("feature", "before", "now", "told"),
    [
        ("deposits_90d", [0.5, 2.0, 12.25], [1.0, 3.25, 1240.0], "quartiles 0.5 / 2 / 12 → 1 / 3.2 / 1,240 typical deposits"),
        ("days_since_last_deposit", None, [1.0, 2.0, 9.0], "quartiles not known → 1 / 2 / 9 days"),
        ("bonus_take_rate", [0.1, 0.2, 0.3], None, "quartiles 10.0 % / 20.0 % / 30.0 % → not known"),
    ],
)
def test_version__values_moved__quartiles_before_and_now(
    feature: str, before: list[float] | None, now: list[float] | None, told: str, client_of: Callable[..., Client]
) -> None:
    version = drifted("major", {**MOVED, "feature": feature, "quartiles_before": before, "quartiles_now": now})
    page = client_of("CRM manager").get(change("modelversion", version.pk)).content.decode()
    assert f'<small class="pred-note">{told}; unknown 0.0 % → 25.0 %</small>' in page


def test_version__run_of_an_earlier_release_without_quartiles__shows_the_unknown_alone(client_of: Callable[..., Client]) -> None:
    page = client_of("CRM manager").get(change("modelversion", drifted("major", MOVED).pk)).content.decode()
    assert '<small class="pred-note">unknown 0.0 % → 25.0 %</small>' in page


def test_version__no_newer_data__page_and_scores_advise_no_training(client_of: Callable[..., Client]) -> None:
    version, client = drifted("major", MOVED), client_of("CRM manager")
    ScoringRun.objects.update(data_through=version.as_of)
    for url in (change("modelversion", version.pk), reverse("admin:predictions_churnscore_changelist")):
        page = client.get(url).content.decode()
        assert "Training again would change next to nothing now" in page
        assert "on the page Models" not in page


def test_version__players_have_changed__page_list_and_scores_say_so(client_of: Callable[..., Client]) -> None:
    version, client = drifted("major", MOVED, STILL), client_of("CRM manager")
    page = client.get(change("modelversion", version.pk)).content.decode()
    told = (
        "major drift",
        "1 of the 64 features that this version looks at is distributed otherwise",
        "18,240 players",
        "17,655 at training",
        "Deposited money in 90 days",
        "unknown 0.0 % → 25.0 %",
    )
    assert [words for words in told if words not in page] == []
    listed = client.get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert listed.count("major drift") == 1
    assert 'title="deposited money in 90 days"' in listed
    scores = client.get(reverse("admin:predictions_churnscore_changelist")).content.decode()
    assert "The players have changed since Churn 1 was trained</strong> in deposited money in 90 days" in scores
    assert "train Churn again on the page Models" in scores
    assert "train Churn again on the page Models" in page
    other = client.get(reverse("admin:predictions_engagementscore_changelist")).content.decode()
    assert "The players have changed since" not in other


def test_version__players_have_not_changed__says_so_and_warns_nobody(client_of: Callable[..., Client]) -> None:
    version, client = drifted("none", STILL), client_of("CRM manager")
    page = client.get(change("modelversion", version.pk)).content.decode()
    assert "no drift" in page
    assert "None of the 64 features that this version looks at is distributed otherwise" in page
    assert "The players have changed" not in client.get(reverse("admin:predictions_churnscore_changelist")).content.decode()


def test_version__no_run_has_compared__says_so(client_of: Callable[..., Client]) -> None:
    page = client_of("CRM manager").get(change("modelversion", rows.version("churn").pk)).content.decode()
    assert "No published run has used this version" in page


@pytest.mark.parametrize("kind", ["ltv", "fraud", "segmentation", "engagement", "profile"])
def test_version__any_kind_and_an_empty_record__opens(kind: str, client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    bare = rows.version(kind, number=2, status="REFUSED", metrics={}, baseline={}, candidates=[], importance={}, gate=[], curves={})
    for version in (rows.version(kind), bare):
        assert client.get(change("modelversion", version.pk)).status_code == 200


def test_version__file_was_deleted__says_why_and_offers_no_promotion(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    kept = rows.version("churn", number=2, status="CANDIDATE")
    gone = rows.version("churn", number=1, status="CANDIDATE", artifact_deleted_at=NOW)
    page = client.get(change("modelversion", gone.pk)).content.decode()
    told = ("The file of this version was deleted on 2026-03-15", "10 newer versions of its kind are kept", "deleted 2026-03-15 12:00")
    assert [words for words in told if words not in page] == []
    assert "/ask_promotion" not in page
    assert "/ask_promotion" in client.get(change("modelversion", kept.pk)).content.decode()


def test_versions__none_yet__say_what_to_do(client_of: Callable[..., Client]) -> None:
    text = client_of("CRM manager").get(reverse("admin:predictions_modelversion_changelist")).content.decode()
    assert "No model has been trained yet" in text
