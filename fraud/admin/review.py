"""Reviews: who asked for one and why; another person closes it with an outcome."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from fraud import services
from fraud.evidence import describe_flag
from fraud.models import AbuseProfile, ReviewFlag
from loyalty_site.common.admin.actions import ReasonForm, back_to, reason_dialog, run_call
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from players.models import Player
from wallet.admin.parts import PlayerSearchMixin, page_url, player_link

from .parts import band_badge, reasons, staff, status_badge

_SHORT = 80
_FLAGS_SHOWN = 100


class AskForm(ReasonForm):
    player = forms.CharField(
        label="Player id", max_length=64, widget=UnfoldAdminTextInputWidget(), help_text="As it stands on the player's page."
    )

    def clean_player(self) -> Player:
        player = Player.objects.filter(external_id=self.cleaned_data["player"].strip()).first()
        if player is None:
            raise forms.ValidationError("No player has this id. Copy it from the player's page.")
        return player


class CloseForm(ReasonForm):
    outcome = forms.ChoiceField(
        choices=[("", "Choose what was found"), *((str(one), str(one.label)) for one in services.OUTCOMES)],
        widget=UnfoldAdminSelectWidget(),
        help_text="After a false positive, what is known until now no longer counts in the score.",
    )
    reason = forms.CharField(
        label="What was found",
        min_length=3,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="Kept with the review and in the audit trail: what you checked, and why you came to this outcome.",
        error_messages={"required": "Write what was found: the outcome is judged by it later."},
    )


@admin.register(ReviewFlag)
class ReviewFlagAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = (
        "shown_number",
        "shown_status",
        "shown_player",
        "shown_reason",
        "shown_score",
        "shown_asked_by",
        "shown_asked",
        "shown_closed_by",
    )
    list_display_links = ("shown_number",)
    list_filter = (("status", ChoicesDropdownFilter), ("flagged_at", UtcDateRangeFilter))
    list_select_related = ("player", "flagged_by", "closed_by")
    search_help_text = "Player id, or #number of the review"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/fraud/reviewflag/change_form.html"
    actions_list = ("ask",)
    actions_detail = ("close_review",)

    class Media:
        css = {"all": ["fraud/admin.css"]}

    @display(description="Review", ordering="id")
    def shown_number(self, flag: ReviewFlag) -> str:
        return f"#{flag.pk}"

    @display(description="Status", ordering="status")
    def shown_status(self, flag: ReviewFlag) -> SafeString:
        return status_badge(flag)

    @display(description="Player")
    def shown_player(self, flag: ReviewFlag) -> SafeString:
        return player_link(flag.player)

    @display(description="Why")
    def shown_reason(self, flag: ReviewFlag) -> str:
        return flag.reason if len(flag.reason) <= _SHORT else f"{flag.reason[: _SHORT - 1]}…"

    @display(description="Score then", ordering="score_at_flag")
    def shown_score(self, flag: ReviewFlag) -> str:
        return f"{flag.score_at_flag:.1f}"

    @display(description="Asked by")
    def shown_asked_by(self, flag: ReviewFlag) -> str:
        return flag.flagged_by.get_username() if flag.flagged_by else "the system"

    @display(description="Asked (UTC)", ordering="flagged_at")
    def shown_asked(self, flag: ReviewFlag) -> str:
        return f"{flag.flagged_at:%Y-%m-%d %H:%M}"

    @display(description="Closed by")
    def shown_closed_by(self, flag: ReviewFlag) -> str:
        return flag.closed_by.get_username() if flag.closed_by else DASH

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        flag = self.get_object(request, object_id) if object_id else None
        page = review_page(flag, viewer_id=request.user.pk) if flag else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """The closing button only while the review is open, and never for the person who asked."""
        flag = ReviewFlag.objects.filter(pk=object_id).first()
        theirs = flag is not None and flag.status == ReviewFlag.Status.OPEN and flag.flagged_by_id != request.user.pk
        return super().get_actions_detail(request, object_id) if theirs else []

    @action(
        description="Ask for a review",
        permissions=["fraud.add_reviewflag"],
        icon="flag",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Ask for a review of a player",
            "Another person looks at the evidence and closes the review with an outcome. Nothing is blocked by asking.",
            submit="Ask for the review",
            form_class=AskForm,
        ),
    )
    def ask(self, request: HttpRequest, form: AskForm) -> HttpResponse:
        ok, flag = run_call(
            request,
            lambda: services.flag_for_review(form.cleaned_data["player"].pk, form.cleaned_data["reason"], staff(request), utc_now()),
            success="The review is open; somebody else will close it.",
        )
        if not ok:
            return back_to(request, reverse("admin:fraud_reviewflag_changelist"))
        return back_to(request, reverse("admin:fraud_reviewflag_change", args=[flag.pk]))

    @action(
        description="Close the review",
        permissions=["fraud.close_reviewflag"],
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Close the review", "The outcome is final and stays with the player.", submit="Close the review", form_class=CloseForm
        ),
    )
    def close_review(self, request: HttpRequest, form: CloseForm, object_id: str) -> HttpResponse:
        flag = ReviewFlag.objects.get(pk=object_id)
        run_call(
            request,
            lambda: services.close_review(flag, form.cleaned_data["outcome"], form.cleaned_data["reason"], staff(request), utc_now()),
            success="The review is closed.",
        )
        return back_to(request, reverse("admin:fraud_reviewflag_change", args=[object_id]))


def review_page(flag: ReviewFlag, *, viewer_id: int | None) -> dict[str, Any]:
    profile = AbuseProfile.objects.filter(player=flag.player).first()
    return {
        "flag": flag,
        "status_badge": status_badge(flag),
        "player_link": player_link(flag.player),
        "profile": profile,
        "profile_url": page_url("fraud_abuseprofile", flag.player_id) if profile else "",
        "band_badge": band_badge(profile.band) if profile else "",
        "reasons": reasons(profile, most=5) if profile else "",
        "wallet_flags": wallet_rows(flag),
        "is_own": flag.status == ReviewFlag.Status.OPEN and flag.flagged_by_id == viewer_id,
    }


def wallet_rows(review: ReviewFlag) -> list[dict[str, Any]]:
    """What the wallet flagged, newest first: when, what, and which bonus."""
    taken = review.wallet_evidence.select_related("flag__grant").order_by("-flag__occurred_at", "-id")[:_FLAGS_SHOWN]
    return [
        {
            "flag": one.flag,
            "words": describe_flag(one.flag),
            "grant_url": page_url(one.flag.grant, one.flag.grant_id) if one.flag.grant else "",
        }
        for one in taken
    ]
