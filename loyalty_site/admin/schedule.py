"""When jobs run by themselves. Staff change times and switch lines on and off; what a line runs is fixed by the release."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks, SolarSchedule
from unfold.decorators import display

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import ReasonForm, acting_user, reason_action, run_call
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import badge
from loyalty_site.common.clock import utc_now

for _model in (PeriodicTask, CrontabSchedule, IntervalSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


@admin.register(PeriodicTask)
class ScheduleAdmin(BackOfficeAdmin):
    list_display = ("name", "state", "when", "last_run_at", "total_run_count")
    list_filter = ("enabled",)
    list_filter_submit = False
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "description", "enabled", "crontab", "interval", "task", "kwargs", "last_run_at", "total_run_count")
    readonly_fields = ("name", "task", "kwargs", "last_run_at", "total_run_count")
    actions = ("switch_on", "switch_off")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return super().get_queryset(request).select_related("crontab", "interval").exclude(name="celery.backend_cleanup")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="State", ordering="enabled")
    def state(self, line: PeriodicTask) -> SafeString:
        return badge("On", "good") if line.enabled else badge("Off", "warn")

    @display(description="When (UTC)")
    def when(self, line: PeriodicTask) -> str:
        return line.crontab.human_readable if line.crontab else str(line.interval or line.schedule)

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: ModelForm, change: bool) -> None:
        before = _state(PeriodicTask.objects.get(pk=obj.pk))
        super().save_model(request, obj, form, change)
        after = _state(PeriodicTask.objects.get(pk=obj.pk))
        if before != after:
            audit.record("common.schedule_changed", obj, at=utc_now(), actor=acting_user(request), before=before, after=after)

    @reason_action(
        description="Switch on",
        permissions=["django_celery_beat.change_periodictask"],
        question="These lines will run at their times from now on.",
        submit="Switch on",
    )
    def switch_on(self, request: HttpRequest, queryset: QuerySet, form: ReasonForm) -> None:
        self._switch(request, queryset, enabled=True, reason=form.cleaned_data["reason"])

    @reason_action(
        description="Switch off",
        permissions=["django_celery_beat.change_periodictask"],
        question="These lines will not run by themselves until somebody switches them on again.",
        submit="Switch off",
    )
    def switch_off(self, request: HttpRequest, queryset: QuerySet, form: ReasonForm) -> None:
        self._switch(request, queryset, enabled=False, reason=form.cleaned_data["reason"])

    def _switch(self, request: HttpRequest, queryset: QuerySet, *, enabled: bool, reason: str) -> None:
        def switch() -> int:
            lines = [line for line in queryset if line.enabled != enabled]
            for line in lines:
                PeriodicTask.objects.filter(pk=line.pk).update(enabled=enabled)
                audit.record(
                    "common.schedule_changed",
                    line,
                    at=utc_now(),
                    actor=acting_user(request),
                    before={"enabled": not enabled},
                    after={"enabled": enabled},
                    reason=reason,
                )
            PeriodicTasks.update_changed()
            return len(lines)

        run_call(request, switch, success=lambda count: f"{count} lines switched {'on' if enabled else 'off'}.")


def _state(line: PeriodicTask) -> dict[str, Any]:
    return {"enabled": line.enabled, "crontab": str(line.crontab or ""), "interval": str(line.interval or "")}


@admin.register(CrontabSchedule)
class CrontabAdmin(BackOfficeAdmin):
    list_display = ("human_readable", "minute", "hour", "day_of_week", "day_of_month", "month_of_year")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(IntervalSchedule)
class IntervalAdmin(BackOfficeAdmin):
    list_display = ("__str__", "every", "period")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
