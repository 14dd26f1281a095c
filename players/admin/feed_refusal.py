"""Rows of the operator's API that could not be taken: why, since when, and dismissing those that never will be."""

import json
import re
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from loyalty_site.common.admin.actions import ReasonForm, acting_user, reason_action, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from players.feeds import refusals
from players.models import FeedRefusal

_HIDDEN = "•••"
_CELLS_SHOWN = 3
_TONES = {FeedRefusal.Status.OPEN: "warn", FeedRefusal.Status.ACCEPTED: "good", FeedRefusal.Status.DISMISSED: ""}


@admin.register(FeedRefusal)
class FeedRefusalAdmin(ViewOnlyAdmin):
    list_display = ("number", "resource", "status_badge", "cells", "field", "why", "attempts", "first_refused", "last_tried")
    list_filter = (("status", ChoicesDropdownFilter), "resource", "field")
    search_fields = ("=id", "field")  # not the reason: who may not read the cells that it quotes could search for them
    search_help_text = "Number or field"
    ordering = ("-id",)
    fields = (
        "number", "resource", "status_badge", "field", "why", "shown_row", "attempts", "first_refused_at", "last_tried_at",
        "resolved_at", "resolved_by", "note",
    )  # fmt: skip
    actions = ("dismiss",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeedRefusal]:
        # on the rows: this object serves all threads, and the permission is this request's alone
        may_see = Value(request.user.has_perm("players.view_player_pii"), output_field=BooleanField())
        return super().get_queryset(request).annotate(may_see_personal=may_see)

    @display(description="No.", ordering="id")
    def number(self, row: FeedRefusal) -> str:
        return f"#{row.pk}"

    @display(description="Status", ordering="status")
    def status_badge(self, row: FeedRefusal) -> SafeString:
        return badge(row.get_status_display(), _TONES[FeedRefusal.Status(row.status)])

    @display(description="Reason")
    def why(self, row: FeedRefusal) -> SafeString | str:
        """Reason and remedy. Reasons quote cells, which people who may not see personal data do not get to read."""
        if not row.reason:
            return DASH
        # from the first quote to the last: cells hold quotes, too
        reason = row.reason if row.may_see_personal else re.sub(r"['\"].*['\"]", _HIDDEN, row.reason, flags=re.DOTALL)  # type: ignore[attr-defined]
        return format_html('{}.<br><span class="lb-note">{}</span>', f"{reason[:1].upper()}{reason[1:]}".rstrip("."), row.remedy)

    @display(description="Row")
    def cells(self, row: FeedRefusal) -> str:
        """Its ids, by which staff find the row at the source."""
        if row.raw and not row.may_see_personal:  # type: ignore[attr-defined]
            return _HIDDEN
        ids = [f"{name} {cell}" for name, cell in sorted(row.raw.items()) if name.lower().endswith("id") and isinstance(cell, str | int)]
        return ", ".join(ids[:_CELLS_SHOWN])[:120] or DASH

    @display(description="First refused (UTC)", ordering="first_refused_at")
    def first_refused(self, row: FeedRefusal) -> str:
        return f"{row.first_refused_at:%Y-%m-%d %H:%M}"

    @display(description="Last tried (UTC)", ordering="last_tried_at")
    def last_tried(self, row: FeedRefusal) -> str:
        return f"{row.last_tried_at:%Y-%m-%d %H:%M}"

    @display(description="The row as it came")
    def shown_row(self, row: FeedRefusal) -> SafeString | str:
        if not row.raw:
            return DASH
        cells = row.raw if row.may_see_personal else dict.fromkeys(row.raw, _HIDDEN)  # type: ignore[attr-defined]
        return format_html(
            '<pre style="white-space:pre-wrap;overflow-wrap:anywhere">{}</pre>', json.dumps(cells, ensure_ascii=False, indent=2)
        )

    @reason_action(
        description="Dismiss: never take these rows",
        permissions=["players.dismiss_feedrefusal"],
        question="They are not tried again, nor taken when the source sends them once more, and their cells are deleted. This is final.",
        submit="Dismiss",
    )
    def dismiss(self, request: HttpRequest, queryset: QuerySet[FeedRefusal], form: ReasonForm) -> HttpResponse | None:
        ids: list[Any] = list(queryset.values_list("pk", flat=True))
        run_call(
            request,
            lambda: refusals.dismiss(ids, actor=acting_user(request), at=utc_now(), reason=form.cleaned_data["reason"]),
            success=lambda count: f"{count:,} rows dismissed.",
        )
        return None
