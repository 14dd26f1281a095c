"""Abuse scores: who, how high, why, and who else is in it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from fraud import services
from fraud.cluster import Cluster, cluster_of
from fraud.models import AbuseProfile, AbuseSignal, ReviewFlag, SignalKind
from loyalty_site.common.admin.actions import ReasonForm, back_to, reason_action, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import amount
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from wallet.admin.parts import PlayerSearchMixin, player_link

from .parts import BAND_EFFECTS, band_badge, bar, kind_label, reasons, score_bar, signal_card, staff, status_badge


class KindFilter(DropdownFilter):
    title = "kind of signal"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in SignalKind.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbuseProfile]) -> QuerySet[AbuseProfile]:
        if self.value() not in SignalKind.values:
            return queryset
        return queryset.filter(player_id__in=AbuseSignal.objects.filter(kind=self.value()).order_by().values("player_id"))


@admin.register(AbuseProfile)
class AbuseProfileAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("shown_player", "shown_score", "shown_band", "shown_reasons", "shown_country", "shown_segment", "shown_time")
    list_display_links = ("shown_score",)
    list_filter = (("band", ChoicesDropdownFilter), KindFilter, ("scored_at", UtcDateRangeFilter))
    list_select_related = ("player",)
    search_help_text = "Player id"
    ordering = ("-score", "player_id")
    fields = ()
    change_form_template = "admin/fraud/abuseprofile/change_form.html"
    actions = ("ask_for_reviews",)
    actions_detail = ("ask_for_review",)

    class Media:
        css = {"all": ["fraud/admin.css"]}

    @display(description="Player")
    def shown_player(self, profile: AbuseProfile) -> SafeString:
        return player_link(profile.player)

    @display(description="Score", ordering="score")
    def shown_score(self, profile: AbuseProfile) -> SafeString:
        return score_bar(profile)

    @display(description="Band", ordering="band")
    def shown_band(self, profile: AbuseProfile) -> SafeString:
        return band_badge(profile.band)

    @display(description="Why (points)")
    def shown_reasons(self, profile: AbuseProfile) -> SafeString:
        return reasons(profile)

    @display(description="Country")
    def shown_country(self, profile: AbuseProfile) -> str:
        return profile.player.country

    @display(description="Segment")
    def shown_segment(self, profile: AbuseProfile) -> str:
        return profile.player.get_segment_display()

    @display(description="Scored (UTC)", ordering="scored_at")
    def shown_time(self, profile: AbuseProfile) -> str:
        return f"{profile.scored_at:%Y-%m-%d %H:%M}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        profile = self.get_object(request, object_id) if object_id else None
        page = profile_page(profile, sees_signals=staff(request).has_perm("fraud.view_abusesignal")) if profile else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    @action(
        description="Ask for a review",
        permissions=["fraud.add_reviewflag"],
        icon="flag",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Ask for a review of this player",
            "Another person looks at the evidence and closes the review with an outcome. Nothing is blocked by asking.",
            submit="Ask for the review",
        ),
    )
    def ask_for_review(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        ok, flag = run_call(
            request,
            lambda: services.flag_for_review(int(object_id), form.cleaned_data["reason"], staff(request), utc_now()),
            success="The review is open; somebody else will close it.",
        )
        if not ok:
            return back_to(request, reverse("admin:fraud_abuseprofile_change", args=[object_id]))
        return back_to(request, reverse("admin:fraud_reviewflag_change", args=[flag.pk]))

    @reason_action(
        description="Ask for reviews",
        permissions=["fraud.add_reviewflag"],
        question="One review is opened for each selected player with this reason. Players whose review is open already are named and left.",
        submit="Ask for the reviews",
    )
    def ask_for_reviews(self, request: HttpRequest, queryset: QuerySet[AbuseProfile], form: ReasonForm) -> None:
        for profile in queryset.select_related("player"):
            run_call(
                request,
                lambda profile=profile: services.flag_for_review(  # type: ignore[misc]
                    profile.player_id, form.cleaned_data["reason"], staff(request), utc_now()
                ),
                success=f"The review of player {profile.player.external_id} is open.",
            )


def profile_page(profile: AbuseProfile, *, sees_signals: bool) -> dict[str, Any]:
    """Context of a profile's page. Evidence and cluster are for people who may see signals."""
    player = profile.player
    flags = list(ReviewFlag.objects.filter(player=player).select_related("flagged_by", "closed_by")[:10])
    cluster = cluster_of(player.pk) if sees_signals else None
    return {
        "profile": profile,
        "player_link": player_link(player),
        "band_badge": band_badge(profile.band),
        "effect": BAND_EFFECTS[profile.band],
        "contributions": [
            {
                "kind": kind_label(one["kind"]),
                "bar": bar(one["points"], f"{one['points']:.1f}"),
                "strength": f"{100 * one['strength']:.0f} %",
                "weight": f"{one['weight']:.2f}",
                "decay": f"{100 * one['decay']:.0f} %",
            }
            for one in profile.contributions
        ],
        "sees_signals": sees_signals,
        "signals": [signal_card(one, player.currency) for one in player.abuse_signals.order_by("-seen_at")] if sees_signals else [],
        "cluster": cluster,
        "cluster_rows": cluster_rows(cluster) if cluster else [],
        "flags": [{"flag": flag, "badge": status_badge(flag)} for flag in flags],
    }


def cluster_rows(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        {
            "member": member,
            "link": player_link(member.player),
            "band": band_badge(member.band),
            "score": f"{member.score:.1f}",
            "deposits": amount(member.deposits, member.player.currency),
            "withdrawals": amount(member.withdrawals, member.player.currency),
        }
        for member in cluster.members
    ]
