"""The operator's API as staff see it: how fresh each resource is, what failed, what was set aside, and a way to fetch now."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from players.feeds.pull import mapping_name
from players.feeds.tasks import pull_feeds
from players.models import FeedState


@admin.register(FeedState)
class FeedStateAdmin(ViewOnlyAdmin):
    list_display = ("resource", "state", "taken_until", "last_rows", "last_rejected", "shown_import", "shown_error")
    fields = (
        "resource", "state", "taken_until", "last_attempt_at", "last_success_at", "failing_since", "failures", "last_error", "last_rows",
        "last_rejected", "shown_import", "shown_rejected", "reading",
    )  # fmt: skip
    actions_list = ("fetch_now",)

    @display(description="State")
    def state(self, feed: FeedState) -> SafeString:
        if feed.failing_since is not None:
            return badge(f"Failing since {feed.failing_since:%Y-%m-%d %H:%M} UTC", "bad")
        return badge("Up to date", "good") if feed.cursor_at else badge("Not fetched yet")

    @display(description="Taken in until (UTC)", ordering="cursor_at")
    def taken_until(self, feed: FeedState) -> str:
        return f"{feed.cursor_at:%Y-%m-%d %H:%M}" if feed.cursor_at else DASH

    @display(description="Last import")
    def shown_import(self, feed: FeedState) -> SafeString | str:
        if feed.last_import_id is None:
            return DASH
        url = reverse("admin:players_importjob_change", args=[feed.last_import_id])
        return format_html('<a class="lb-link" href="{}">#{}</a>', url, feed.last_import_id)

    @display(description="Last error")
    def shown_error(self, feed: FeedState) -> str:
        return feed.last_error[:160] or DASH

    @display(description="Rows that were refused")
    def shown_rejected(self, feed: FeedState) -> SafeString | str:
        if not feed.rejected:
            return "None at the last fetch. Rows that an import sets aside stand in the quarantine."
        lines = ((one["row"], one["field"] or "row", one["reason"], one["remedy"]) for one in feed.rejected)
        return format_html("<ul>{}</ul>", format_html_join("", "<li>row {}, {}: {}. {}</li>", lines))

    @display(description="How its columns are read")
    def reading(self, feed: FeedState) -> str:
        return f"By their names. Save a column mapping named '{mapping_name(feed.resource)}' to read them another way."

    @action(description="Fetch now", url_path="fetch-now", icon="sync", permissions=["fetch_now"])
    def fetch_now(self, request: HttpRequest) -> HttpResponse:
        back = HttpResponseRedirect(reverse("admin:players_feedstate_changelist"))
        if not settings.FEED_URL:
            messages.error(request, "No API is configured. An administrator sets LOYALTY_FEED_URL.")
            return back
        at = utc_now()
        with transaction.atomic():
            audit.record("players.feed_requested", ("players.feedstate", "all"), at=at, actor=acting_user(request))
            transaction.on_commit(pull_feeds.delay)
        messages.success(request, "Fetching. Reload this page to see what came.")
        return back

    def has_fetch_now_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("players.pull_feed"))
