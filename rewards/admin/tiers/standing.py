"""Tier standings: the board above, the players below; overrides on the page of one."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from import_export import fields
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from players.imports.export import SafeExportAdminMixin, SafeResource
from players.models import PlayerTier, Tier
from rewards.tiers import overrides

from .board import TONES, board, without_clearance
from .panel import points, tier_badge, tier_panel


class WatchFilter(DropdownFilter):
    title = "watch"
    parameter_name = "watch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("grace", "In grace"),
            ("override", "With an override"),
            ("ending", "Override ends in 30 days"),
            ("waiting", "Wait for clearance"),
            ("uncleared", "VIP tier without clearance"),
            ("untiered", "Without a tier"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        now = utc_now()
        match self.value():
            case "grace":
                return queryset.filter(grace_until__isnull=False)
            case "override":
                return queryset.filter(override_until__isnull=False)
            case "ending":
                return queryset.filter(override_until__lte=now + timedelta(days=30))
            case "waiting":
                return queryset.filter(waiting_since__isnull=False)
            case "uncleared":
                return queryset.filter(pk__in=without_clearance(now).values("pk"))
            case "untiered":
                return queryset.filter(tier__isnull=True)
        return queryset


class StandingResource(SafeResource):
    """The filtered standings, without personal data."""

    player_id = fields.Field(attribute="player__external_id", column_name="player_id")
    tier = fields.Field(attribute="tier__name", column_name="tier_by_rules")
    override = fields.Field(attribute="override_tier__name", column_name="override_tier")
    projected = fields.Field(attribute="projected_tier__name", column_name="projected_tier")

    class Meta:
        model = PlayerTier
        fields = (
            "player_id", "tier", "override", "override_until", "since", "valid_until", "grace_until", "frozen", "metric", "review_metric",
            "to_next", "to_keep", "next_review_at", "outcome", "projected",
        )  # fmt: skip
        export_order = fields


class OverrideForm(ReasonForm):
    tier = forms.ModelChoiceField(Tier.objects.order_by("-rank"), widget=UnfoldAdminSelectWidget)
    last_day = forms.DateField(
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="The player has the tier to the end of this day; then the rules decide again.",
    )


@admin.register(PlayerTier)
class PlayerTierAdmin(SafeExportAdminMixin, ViewOnlyAdmin):
    resource_classes = [StandingResource]
    list_display = (
        "shown_player",
        "shown_tier",
        "shown_outcome",
        "shown_metric",
        "shown_next",
        "shown_keep",
        "shown_review",
        "shown_state",
    )
    list_filter = (
        ("tier", RelatedDropdownFilter),
        ("outcome", ChoicesDropdownFilter),
        WatchFilter,
        ("next_review_at", UtcDateRangeFilter),
    )
    list_select_related = ("player", "tier", "override_tier", "projected_tier", "waiting_tier")
    search_fields = ("player__external_id",)
    search_help_text = "Player id or its beginning"
    ordering = ("next_review_at", "player_id")
    list_before_template = "admin/players/playertier/board.html"
    change_form_template = "admin/players/playertier/change_form.html"
    fields = ()
    actions_detail = ("override", "lift")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        return (queryset.filter(player__external_id__startswith=term) if term else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {**(extra_context or {}), "board": board(utc_now())})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        standing = self.get_object(request, object_id) if object_id else None
        page = {}
        if standing is not None and self.has_view_permission(request, standing):
            page = {"panel": tier_panel(standing.pk, utc_now()), "standing": standing, "title": f"Tier of {standing.player.external_id}"}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Lifting is offered only while there is something to lift."""
        offered = super().get_actions_detail(request, object_id)
        held = PlayerTier.objects.filter(pk=object_id, override_until__isnull=False).exists()
        return [one for one in offered if held or getattr(one.method, "__name__", "") != "lift"]

    @display(description="Player", ordering="player__external_id")
    def shown_player(self, row: PlayerTier) -> str:
        return row.player.external_id

    @display(description="Tier", ordering="tier__rank")
    def shown_tier(self, row: PlayerTier) -> SafeString | str:
        return tier_badge(row.override_tier or row.tier)

    @display(description="Next review", ordering="outcome")
    def shown_outcome(self, row: PlayerTier) -> SafeString:
        label = badge(row.get_outcome_display(), TONES[row.outcome])
        moves = row.projected_tier is not None and row.projected_tier_id != (row.override_tier_id or row.tier_id)
        return format_html("{} <small>{}</small>", label, f"→ {row.projected_tier.name}") if moves and row.projected_tier else label

    @display(description="Points", ordering="metric")
    def shown_metric(self, row: PlayerTier) -> str:
        return points(row.metric)

    @display(description="To next", ordering=F("to_next").asc(nulls_last=True))
    def shown_next(self, row: PlayerTier) -> str:
        return points(row.to_next)

    @display(description="To keep", ordering="to_keep")
    def shown_keep(self, row: PlayerTier) -> str:
        return points(row.to_keep)

    @display(description="Review or end of grace (UTC)", ordering="next_review_at")
    def shown_review(self, row: PlayerTier) -> str:
        return f"{row.next_review_at:%Y-%m-%d %H:%M}"

    @display(description="State")
    def shown_state(self, row: PlayerTier) -> SafeString | str:
        if row.frozen:
            return badge(row.get_frozen_display(), "info")
        if row.override_until:
            return badge(f"override to {row.override_until:%Y-%m-%d}", "info", title=row.override_reason)
        if row.waiting_tier:
            return badge(f"waits for {row.waiting_tier.name}", "warn")
        return badge("in grace", "warn") if row.grace_until else DASH

    @action(
        description="Override the tier",
        permissions=[overrides.PERMISSION],
        icon="edit_calendar",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Override the tier",
            "Beats the rules, up or down, to the end of a day, and ends by itself. A VIP tier needs a clearance first.",
            submit="Override",
            form_class=OverrideForm,
        ),
    )
    def override(self, request: HttpRequest, form: OverrideForm, object_id: str) -> HttpResponse:
        data = form.cleaned_data
        run_call(
            request,
            lambda: overrides.override_tier(
                int(object_id), data["tier"].pk, data["last_day"], reason=data["reason"], actor=acting_user(request), at=utc_now()
            ),
            success=f"The player has {data['tier'].name} to the end of {data['last_day']}.",
        )
        return back_to(request, reverse("admin:players_playertier_change", args=[object_id]))

    @action(
        description="Lift the override",
        permissions=[overrides.PERMISSION],
        icon="undo",
        dialog=reason_dialog("Lift the override", "The player has the tier by the rules again, at once.", submit="Lift"),
    )
    def lift(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        run_call(
            request,
            lambda: overrides.lift_override(int(object_id), reason=form.cleaned_data["reason"], actor=acting_user(request), at=utc_now()),
            success="The override is lifted.",
        )
        return back_to(request, reverse("admin:players_playertier_change", args=[object_id]))
