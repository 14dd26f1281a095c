"""The audit trail: who did what to what, from what to what, and why. Nobody edits it, here or elsewhere."""

import json
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.models import AuditEvent


class SubjectFilter(DropdownFilter):
    """By kind of record; the kinds are our own models, so the list needs no scan."""

    title = "kind of record"
    parameter_name = "subject_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        ours = {"common", "players", "wallet", "predictions", "fraud", "rewards", "constance", "auth"}
        labels = sorted(
            (model._meta.label_lower, str(model._meta.verbose_name).capitalize())
            for model in apps.get_models()
            if model._meta.app_label in ours and not model.__name__.startswith("Historical")
        )
        return labels

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(subject_type=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ViewOnlyAdmin):
    list_display = ("when", "who", "shown_action", "subject", "change", "reason_line")
    list_filter = (SubjectFilter, ("actor", AutocompleteSelectFilter), ("occurred_at", UtcDateRangeFilter))
    list_select_related = ("actor", "api_client")
    search_fields = ("subject_id",)
    search_help_text = "Id of the record, or an action such as rewards.decision_approved"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/common/auditevent/change_form.html"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return (queryset.filter(action=term) if "." in term else queryset.filter(subject_id=term)), False

    @display(description="When (UTC)", ordering="id")
    def when(self, event: AuditEvent) -> str:
        return f"{event.occurred_at:%Y-%m-%d %H:%M:%S}"

    @display(description="Who")
    def who(self, event: AuditEvent) -> str:
        return who(event)

    @display(description="Action")
    def shown_action(self, event: AuditEvent) -> SafeString:
        return format_html('{}<span class="lb-note" style="display:block">{}</span>', action_words(event.action), event.action)

    @display(description="Record")
    def subject(self, event: AuditEvent) -> SafeString | str:
        return subject_link(event)

    @display(description="Changed")
    def change(self, event: AuditEvent) -> str:
        rows = diff_rows(event)
        shown = ", ".join(f"{row['field']}: {_short(row['before'])} → {_short(row['after'])}" for row in rows[:2])
        return f"{shown} and {len(rows) - 2} more" if len(rows) > 2 else shown or DASH

    @display(description="Reason")
    def reason_line(self, event: AuditEvent) -> str:
        return event.reason if len(event.reason) <= 80 else f"{event.reason[:79]}…"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        event = self.get_object(request, object_id) if object_id else None
        page = (
            {
                "event": event,
                "who": who(event),
                "subject": subject_link(event),
                "rows": diff_rows(event),
                "title": action_words(event.action),
            }
            if event
            else {}
        )
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})


def who(event: AuditEvent) -> str:
    if event.actor:
        return str(event.actor)
    return f"API: {event.api_client.name}" if event.api_client else "system"


def subject_link(event: AuditEvent) -> SafeString | str:
    """The record the event is about, linked when it has a page."""
    text = f"{record_kind(event.subject_type)} {event.subject_id}".strip()
    try:
        url = reverse(f"admin:{event.subject_type.replace('.', '_')}_change", args=[event.subject_id])
    except NoReverseMatch:
        return text
    return format_html('<a class="lb-link" href="{}">{}</a>', url, text)


def diff_rows(event: AuditEvent) -> list[dict[str, Any]]:
    """One row a field that differs: field, and its value before and after in words (a dash where the side does not have it)."""
    fields = sorted({*event.before, *event.after})
    pairs = [(field, event.before.get(field), event.after.get(field)) for field in fields]
    return [
        {"field": field, "before": value_words(before), "after": value_words(after)} for field, before, after in pairs if before != after
    ]


def action_words(action: str) -> str:
    """The action in words: rewards.rule_activated is Rule activated."""
    return action.rpartition(".")[2].replace("_", " ").capitalize()


def record_kind(label: str) -> str:
    """The kind of record in words: rewards.rewardrule is Reward rule; a label of no model stays as it is."""
    try:
        return str(apps.get_model(label)._meta.verbose_name).capitalize()
    except (LookupError, ValueError):
        return label


def value_words(value: Any) -> str:
    """A stored value as a person reads it: yes and no, and JSON where it has parts."""
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:29]}…"
