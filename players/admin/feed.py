"""The operator's API as staff see it: how fresh each resource is, what failed, what was refused, and a way to fetch now."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from kombu.exceptions import OperationalError as BrokerError
from unfold.decorators import display

from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from players.feeds import refusals, runs
from players.feeds.columns import mapping_name
from players.feeds.freshness import fetched_resources, is_overdue, renewed_at, stale_since
from players.feeds.pull import RESOURCES, set_aside_count
from players.feeds.tasks import pull_feeds
from players.models import FeedRun, FeedState

_PULL = "players.pull_feed"
_RUNS_SHOWN = 5
_SILENCE = timedelta(minutes=2)
_RUN_TONES = {
    FeedRun.Status.WAITING: "",
    FeedRun.Status.RUNNING: "info",
    FeedRun.Status.DONE: "good",
    FeedRun.Status.FAILED: "bad",
    FeedRun.Status.BROKEN_OFF: "warn",
}


@dataclass(frozen=True)
class Card:
    """One resource on the page. `feed` is None before anything was asked for; `open_rows` wait for the next fetch or for a person."""

    resource: str
    feed: FeedState | None
    state: SafeString
    open_rows: int
    mapping: str
    path: str


def state_badge(feed: FeedState | None, at: datetime, run: FeedRun | None = None) -> SafeString:
    if feed is not None and run is not None and run.resource == feed.resource:
        return badge("Fetching", "info")
    if feed is not None and feed.ask_not_before is not None and feed.ask_not_before > at:
        return badge(f"Left alone until {feed.ask_not_before:%Y-%m-%d %H:%M} UTC", "warn", title="The source asked for it (Retry-After).")
    if feed is not None and feed.failing_since is not None:
        return badge(f"Failing since {feed.failing_since:%Y-%m-%d %H:%M} UTC", "bad")
    if feed is not None and is_overdue(feed, at):
        return badge(f"Overdue: nothing since {renewed_at(feed):%Y-%m-%d %H:%M} UTC", "bad")
    if feed is not None and feed.last_success_at is not None:
        return badge("Up to date", "good")
    return badge("Fetched in part", "warn") if feed is not None and feed.cursor_at is not None else badge("Not fetched yet")


def _card(resource: str, feed: FeedState | None, at: datetime, run: FeedRun | None) -> Card:
    fetched = resource in fetched_resources()
    refused = refusals.open_count(resource) if resource == "bonuses" else set_aside_count(resource)
    return Card(
        resource=resource,
        feed=feed,
        state=state_badge(feed, at, run) if fetched else badge("Not fetched", title="No address, or left out of LOYALTY_FEED_PATHS."),
        open_rows=refused,
        mapping=mapping_name(resource) if resource != "bonuses" else "",
        path=settings.FEED_PATHS.get(resource, ""),
    )


@admin.register(FeedState)
class FeedStateAdmin(ViewOnlyAdmin):
    change_list_template = "admin/players/feedstate/change_list.html"
    list_display = ("resource",)
    fields = (
        "resource", "state", "taken_until", "last_attempt_at", "last_success_at", "failing_since", "failures", "last_error",
        "ask_not_before", "last_rows", "last_rejected", "shown_import",
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        return [path("fetch-now/", self.admin_site.admin_view(self.fetch_now), name="players_feed_fetch"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        at = utc_now()
        feeds = {feed.resource: feed for feed in FeedState.objects.select_related("last_import")}
        run = runs.open_run()
        recent = FeedRun.objects.filter(finished_at__isnull=False).select_related("requested_by")[:_RUNS_SHOWN]
        address = urlsplit(settings.FEED_URL)
        context = {
            "cards": [_card(one, feeds.get(one), at, run) for one in RESOURCES],
            "address": f"{address.scheme}://{address.hostname}{f':{address.port}' if address.port else ''}{address.path}"
            if settings.FEED_URL
            else "",
            "stale_since": stale_since(at),
            "stale_after": settings.FEED_STALE_AFTER_MINUTES,
            "run": run,
            "is_silent": run is not None and run.heartbeat_at is not None and run.heartbeat_at < at - _SILENCE,
            "recent": [(one, badge(one.get_status_display(), _RUN_TONES[FeedRun.Status(one.status)])) for one in recent],
            "may_fetch": request.user.has_perm(_PULL),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def fetch_now(self, request: HttpRequest) -> HttpResponse:
        """Start a fetch in the background; while one waits or is under way another click starts none."""
        if not request.user.has_perm(_PULL):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        back = HttpResponseRedirect(reverse("admin:players_feedstate_changelist"))
        if not fetched_resources():
            messages.error(request, "No API is configured. An administrator sets LOYALTY_FEED_URL.")
            return back
        run, is_new = runs.request_run(actor=acting_user(request), at=utc_now())
        if run.status == FeedRun.Status.RUNNING:
            messages.info(request, "A fetch is under way already; this page shows how far it is.")
            return back
        try:
            pull_feeds.delay(run_id=run.pk)  # told twice it runs once, so a lost message costs another click at the most
        except BrokerError:
            messages.warning(request, "The message broker does not answer. The fetch is recorded and starts when workers are back.")
            return back
        if is_new:
            messages.success(request, "The fetch starts in the background. This page shows how far it is.")
        else:
            messages.info(request, f"A fetch has been waiting for a worker since {run.created_at:%H:%M:%S} UTC; no second one was started.")
        return back

    @display(description="State")
    def state(self, feed: FeedState) -> SafeString:
        return state_badge(feed, utc_now())

    @display(description="Taken in until (UTC)", ordering="cursor_at")
    def taken_until(self, feed: FeedState) -> str:
        return f"{feed.cursor_at:%Y-%m-%d %H:%M}" if feed.cursor_at else DASH

    @display(description="Last import")
    def shown_import(self, feed: FeedState) -> SafeString | str:
        if feed.last_import_id is None:
            return DASH
        url = reverse("admin:players_importjob_change", args=[feed.last_import_id])
        return format_html('<a class="lb-link" href="{}">#{}</a>', url, feed.last_import_id)
