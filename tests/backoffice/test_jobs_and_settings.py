"""Job runs, thresholds, schedule, staff and the audit trail, as staff handle them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from constance import config
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from loyalty_site import job_tasks
from loyalty_site.admin.jobs import job_choices, start_run, startable_choices
from loyalty_site.common import audit, jobs
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import ApiClient, AuditEvent, JobChunk, JobRun

pytestmark = pytest.mark.django_db
THRESHOLDS = "/admin/constance/config/"
RUNS = "/admin/common/jobrun/"


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the runs that workers were asked to execute."""
    asked: list[int] = []
    monkeypatch.setattr(job_tasks.execute_run, "delay", lambda *, run_id: asked.append(run_id))
    return asked


def run_of(status: str, **fields: Any) -> JobRun:
    values = {"name": "players.metrics", "title": "Metrics", "as_of": utc_now(), "created_at": utc_now()}
    return JobRun.objects.create(status=status, **(values | fields))


def post(client: Client, url: str, **data: object) -> list[str]:
    answer = client.post(url, {"_form_submitted": "True", **data}, headers={"HX-Request": "true"})
    return [str(one) for one in get_messages(answer.wsgi_request)]


def test_run_job__manager_with_reason__is_queued_audited_and_sent(client_of: Callable[..., Client], woken: list[int]) -> None:
    said = post(client_of("CRM manager"), reverse("admin:common_jobrun_run_job"), job="players.metrics", reason="New file")
    run = JobRun.objects.get()
    assert (run.name, run.status, run.requested_by.username) == ("players.metrics", "QUEUED", "crm_manager")
    assert woken == [run.pk]
    assert said == [f"{jobs.get_job('players.metrics').title} is queued as run {run.pk}."]
    assert AuditEvent.objects.get(action="common.job_started").reason == "New file"


@pytest.mark.parametrize("role", ["CRM agent", "Finance", "Read-only", "Risk analyst", "Compliance"])
def test_run_job__others__are_refused_and_nothing_is_queued(role: str, client_of: Callable[..., Client], woken: list[int]) -> None:
    client = client_of(role)
    answer = client.post(reverse("admin:common_jobrun_run_job"), {"_form_submitted": "True", "job": "players.metrics", "reason": "because"})
    assert (answer.status_code, JobRun.objects.count(), woken) == (403, 0, [])


def test_rerun__failed_run__opens_only_the_failed_chunks(client_of: Callable[..., Client], woken: list[int]) -> None:
    run = run_of("FAILED")
    for number, status in [(1, "DONE"), (2, "FAILED")]:
        JobChunk.objects.create(run=run, number=number, lower_id=number, upper_id=number + 1, status=status, error="boom")
    said = post(client_of("CRM manager"), reverse("admin:common_jobrun_rerun_failed", args=[run.pk]), reason="Fixed")
    assert said == ["1 failed chunks are open again."]
    assert list(run.chunks.order_by("number").values_list("status", flat=True)) == ["DONE", "PENDING"]
    assert woken == [run.pk]


def test_rerun__run_that_succeeded__is_refused_in_words(client_of: Callable[..., Client], woken: list[int]) -> None:
    run = run_of("SUCCEEDED")
    said = post(client_of("CRM manager"), reverse("admin:common_jobrun_rerun_failed", args=[run.pk]), reason="Again")
    assert (said, woken) == (["This run is succeeded: only a failed or cancelled run can be taken up again."], [])


def test_rerun__approval_of_a_promotion__is_not_offered_and_refused_in_words(client_of: Callable[..., Client], woken: list[int]) -> None:
    run = run_of("FAILED", name="predictions.promote", title="Approval of the promotion of Churn 1")
    client = client_of("CRM manager")
    assert client.get(f"{RUNS}{run.pk}/change/").context["actions_detail"] == []
    said = post(client, reverse("admin:common_jobrun_rerun_failed", args=[run.pk]), reason="Again")
    run.refresh_from_db()
    assert said == ["An approval is one person's decision and is not taken up again; approve again on the request's page."]
    assert (run.status, woken) == ("FAILED", [])


@pytest.mark.parametrize("name", ["predictions.promote", "predictions.train"])
def test_run_job__job_with_a_page_of_its_own__is_no_choice_and_refused(
    name: str, client_of: Callable[..., Client], woken: list[int]
) -> None:
    assert name in dict(job_choices())  # the list may still be filtered by it
    assert name not in dict(startable_choices())
    post(client_of("CRM manager"), reverse("admin:common_jobrun_run_job"), job=name, reason="because")
    with pytest.raises(jobs.JobRefused, match="is not started by its name alone; start it .* page"):
        start_run(name, actor=User.objects.get(username="crm_manager"), reason="because")
    assert (JobRun.objects.count(), woken) == (0, [])


def test_cancel__running_pipeline__asks_it_and_its_stages_to_stop(client_of: Callable[..., Client]) -> None:
    run = run_of("RUNNING")
    stage = run_of("RUNNING", parent=run)
    post(client_of("CRM manager"), reverse("admin:common_jobrun_cancel_run", args=[run.pk]), reason="Wrong file")
    stage.refresh_from_db()
    assert stage.cancel_requested is True
    assert AuditEvent.objects.get(action="common.job_cancelled").reason == "Wrong file"


def test_run_page__failed_with_stages__shows_errors_progress_and_the_fitting_button(client_of: Callable[..., Client]) -> None:
    run = run_of("FAILED", error="1 chunks failed", chunks_total=4, chunks_done=3, rows_done=1234)
    JobChunk.objects.create(run=run, number=4, lower_id=300, upper_id=400, status="FAILED", attempts=3, error="ValueError: bad row")
    run_of("SUCCEEDED", parent=run, title="Stage one")
    answer = client_of("CRM manager").get(f"{RUNS}{run.pk}/change/")
    body = answer.content.decode()
    assert all(text in body for text in ("ValueError: bad row", "300 to 399", "3 of 4", "1,234", "Stage one"))
    assert [entry["title"] for entry in answer.context["actions_detail"]] == ["Rerun what failed"]


def test_run_list__stages__stand_only_on_the_page_of_their_run(client_of: Callable[..., Client]) -> None:
    run = run_of("SUCCEEDED")
    run_of("SUCCEEDED", parent=run)
    assert list(client_of("Read-only").get(RUNS).context["cl"].result_list) == [run]


def test_broker_down__run_is_kept_and_the_person_told(client_of: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.exceptions import OperationalError

    def refuse(*, run_id: int) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(job_tasks.execute_run, "delay", refuse)
    said = post(client_of("CRM manager"), reverse("admin:common_jobrun_run_job"), job="players.metrics", reason="because")
    assert JobRun.objects.get().status == "QUEUED"
    assert said[-1].startswith("The message broker does not answer")


# thresholds


def threshold_form(client: Client, **changes: object) -> dict[str, Any]:
    form = client.get(THRESHOLDS).context["form"]
    return {name: form[name].value() for name in form.fields} | {"reason": "Board decision"} | changes


def test_thresholds__finance_changes_a_cap__is_saved_and_audited_from_to_and_why(client_of: Callable[..., Client]) -> None:
    client = client_of("Finance")
    answer = client.post(THRESHOLDS, threshold_form(client, REWARD_CAP_DAY="900.5"))
    assert answer.status_code == 302
    assert config.REWARD_CAP_DAY == Decimal("900.5")
    event = AuditEvent.objects.get(action="common.threshold_changed")
    assert (event.before, event.after, event.reason) == ({"REWARD_CAP_DAY": "1000"}, {"REWARD_CAP_DAY": "900.5"}, "Board decision")
    assert (event.actor.username, event.subject_id) == ("finance", "REWARD_CAP_DAY")


def test_thresholds__without_reason__are_not_saved(client_of: Callable[..., Client]) -> None:
    client = client_of("Finance")
    body = client.post(THRESHOLDS, threshold_form(client, REWARD_CAP_DAY="900", reason=" ")).content.decode()
    assert "Say why" in body
    assert config.REWARD_CAP_DAY == Decimal(1000)
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"REWARD_CAP_DAY": "6000"}, "Reward cap day"),
        ({"REWARD_CAP_DAY": "-1"}, "This cannot be negative."),
        ({"APPROVAL_FROM_AMOUNT": "2000"}, "Approval from amount"),
    ],
)
def test_thresholds__that_contradict_one_another__are_refused(changes: dict[str, str], says: str, client_of: Callable[..., Client]) -> None:
    client = client_of("Finance")
    answer = client.post(THRESHOLDS, threshold_form(client, **changes))
    assert says in str(answer.context["form"].errors)
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("days", "says"), [("6", "greater than or equal to 7"), ("181", "less than or equal to 180"), ("0", "or equal to 7")]
)
def test_thresholds__horizon_that_no_model_could_learn__is_refused(days: str, says: str, client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    answer = client.post(THRESHOLDS, threshold_form(client, CHURN_HORIZON_DAYS=days))
    assert says in str(answer.context["form"].errors["CHURN_HORIZON_DAYS"])
    assert config.CHURN_HORIZON_DAYS == 30


def test_thresholds__longest_horizon__is_saved(client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    assert client.post(THRESHOLDS, threshold_form(client, CHURN_HORIZON_DAYS="180")).status_code == 302
    assert config.CHURN_HORIZON_DAYS == 180


def test_thresholds__of_somebody_elses_subject__stay_as_they_are_even_when_sent(client_of: Callable[..., Client]) -> None:
    client = client_of("CRM manager")
    client.post(THRESHOLDS, threshold_form(client, APPROVAL_FROM_AMOUNT="999999", REWARD_CAP_DAY="999999", SEGMENT_VIP_FROM_SESSIONS="60"))
    assert (config.APPROVAL_FROM_AMOUNT, config.REWARD_CAP_DAY, config.SEGMENT_VIP_FROM_SESSIONS) == (Decimal(100), Decimal(1000), 60)


def test_thresholds__compliance__reads_them_and_saves_nothing(client_of: Callable[..., Client]) -> None:
    client = client_of("Compliance")
    assert "Save thresholds" not in client.get(THRESHOLDS).content.decode()
    client.post(THRESHOLDS, threshold_form(client, REWARD_CAP_DAY="1"))
    assert config.REWARD_CAP_DAY == Decimal(1000)


# staff, roles, audit


def test_staff__new_role__is_audited_with_both_sides(client_of: Callable[..., Client], staff: Callable[..., User]) -> None:
    person = staff("Read-only", username="kim")
    client = client_of(admin=True)
    finance = Group.objects.get(name="Finance")
    data = {"username": "kim", "is_active": "on", "is_staff": "on", "groups": [finance.pk]}
    assert client.post(reverse("admin:auth_user_change", args=[person.pk]), data).status_code == 302
    event = AuditEvent.objects.get(action="auth.rights_changed")
    assert (event.before["roles"], event.after["roles"]) == (["Read-only"], ["Finance"])


def test_roles__of_the_product__cannot_be_edited_even_by_an_administrator(client_of: Callable[..., Client]) -> None:
    client = client_of(admin=True)
    role = Group.objects.get(name="Read-only")
    assert client.post(reverse("admin:auth_group_change", args=[role.pk]), {"name": "Everything"}).status_code == 403
    assert client.post(reverse("admin:auth_group_delete", args=[role.pk]), {"post": "yes"}).status_code == 403
    assert Group.objects.get(pk=role.pk).name == "Read-only"


def test_audit_page__of_a_change__shows_field_before_after_and_reason(client_of: Callable[..., Client]) -> None:
    event = audit.record(
        "players.tier_changed",
        ("players.tier", "7"),
        at=utc_now(),
        before={"entry_points": "100", "same": 1},
        after={"entry_points": "200", "same": 1},
        reason="Spring programme",
    )
    answer = client_of("Compliance").get(reverse("admin:common_auditevent_change", args=[event.pk]))
    assert answer.context["rows"] == [{"field": "entry_points", "before": "100", "after": "200"}]
    assert "Spring programme" in answer.content.decode()


def test_audit_list__rule_switched_on__says_it_in_words(client_of: Callable[..., Client]) -> None:
    AuditEvent.objects.create(
        occurred_at=utc_now(), action="rewards.rule_activated", subject_type="rewards.rewardrule", subject_id="7",
        before={"is_active": False, "conditions": {"segment": "VIP"}}, after={"is_active": True, "conditions": {"birthday_today": True}},
    )  # fmt: skip
    body = client_of("Compliance").get(reverse("admin:common_auditevent_changelist")).content.decode()
    assert "Rule activated" in body
    assert "Reward rule 7" in body
    assert "is_active: no → yes" in body
    assert "{&quot;birthday_today&quot;: true}" in body


def test_api_client__switched_off__asks_why_and_is_audited(client_of: Callable[..., Client]) -> None:
    api_client = ApiClient.objects.create(name="casino platform", created_at=utc_now())
    client, url = client_of(admin=True), reverse("admin:common_apiclient_change", args=[api_client.pk])
    client.post(url, {"name": "casino platform", "contact": ""})
    api_client.refresh_from_db()
    assert api_client.is_active  # control: no reason, no change
    client.post(url, {"name": "casino platform", "contact": "", "reason": "contract ended"})
    event = AuditEvent.objects.get()
    assert (event.action, event.before, event.after) == ("api.client_changed", {"is_active": True}, {"is_active": False})
    assert event.reason == "contract ended"


def test_audit__administrator__can_neither_change_nor_delete_an_event(client_of: Callable[..., Client]) -> None:
    event = audit.record("x.y_z", ("players.tier", "7"), at=utc_now(), reason="because")
    client = client_of(admin=True)
    page = reverse("admin:common_auditevent_change", args=[event.pk])
    assert client.post(page, {"reason": "other"}).status_code == 403
    assert client.post(reverse("admin:common_auditevent_delete", args=[event.pk]), {"post": "yes"}).status_code == 403
    event.refresh_from_db()
    assert event.reason == "because"


def test_schedule__switched_off_in_the_list__asks_why_then_audits(client_of: Callable[..., Client]) -> None:
    from django_celery_beat.models import CrontabSchedule, PeriodicTask

    line = PeriodicTask.objects.create(name="Test line", task="x", crontab=CrontabSchedule.objects.create(minute="1"))
    client = client_of("CRM manager")
    url = reverse("admin:django_celery_beat_periodictask_changelist")
    chosen = {"action": "switch_off", "_selected_action": [line.pk]}
    assert "will not run by themselves" in client.post(url, {**chosen, "index": "0"}).content.decode()
    line.refresh_from_db()
    assert line.enabled is True
    client.post(url, {**chosen, "confirm_action": "1", "_form_submitted": "True", "reason": "Holiday"})
    line.refresh_from_db()
    assert line.enabled is False
    assert AuditEvent.objects.get(action="common.schedule_changed").reason == "Holiday"
