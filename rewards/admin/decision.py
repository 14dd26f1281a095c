"""Decisions: the list, one decision with every verdict and event, and what staff may do about it."""

from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from loyalty_site.common.admin.actions import (
    REFUSALS,
    ConfirmForm,
    ReasonForm,
    back_to,
    reason_action,
    reason_dialog,
    refusal_text,
    run_call,
)
from loyalty_site.common.admin.base import ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, amount
from loyalty_site.common.admin.filters import UtcDateRangeFilter
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import MoneyError, to_minor
from players.models import Player
from rewards import services
from rewards.granting.by_hand import GRANT_PERMISSION
from rewards.granting.pipeline import APPROVE_PERMISSION
from rewards.granting.revocation import REVOKE_PERMISSION
from rewards.models import RewardDecision, Unit
from rewards.services import Answer
from wallet.admin.parts import PlayerSearchMixin, player_link, right
from wallet.models import BonusTemplate

from .approvals import ApprovalsPage
from .decision_page import decision_page, origin_text, status_badge

GATES = ("eligibility", "protection", "jurisdiction", "abuse", "profit", "approval", "duplicates", "stacking", "caps", "budget")
LIST_URL = "admin:rewards_rewarddecision_changelist"


def staff_user(request: HttpRequest) -> User:
    """The person at the keyboard; the admin admits nobody else."""
    assert isinstance(request.user, User)
    return request.user


class RefusedByFilter(DropdownFilter):
    title = "refused by"
    parameter_name = "refused_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(gate, gate.title()) for gate in GATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(refused_by=self.value()) if self.value() else queryset


class GrantForm(ReasonForm):
    """A reward by hand. The key makes a double click one reward."""

    player = forms.CharField(
        label="Player id", max_length=64, widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "autocomplete": "off"})
    )
    unit = forms.ChoiceField(label="What", choices=Unit.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        min_value=Decimal("0.001"),
        max_digits=15,
        decimal_places=3,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Bonus money is in the player's own currency.",
    )
    wagering_multiple = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=6,
        decimal_places=2,
        label="Times to wager",
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Bonus money only: how many times the amount must be staked. Empty or 0 pays it out at once.",
    )
    expiry_hours = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=24 * 366,
        label="Hours to use it",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
        help_text="Bonus money only, and needed there.",
    )
    bonus_template = forms.ChoiceField(
        required=False,
        label="Bonus template",
        widget=UnfoldAdminSelectWidget,
        help_text="Bonus money only. It has the terms: then leave times to wager and hours empty.",
    )
    key = forms.CharField(widget=forms.HiddenInput, max_length=80)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].initial = uuid4().hex
        templates = BonusTemplate.objects.filter(is_active=True, current__isnull=False).values_list("code", "name")
        self.fields["bonus_template"].choices = [("", "None: terms as above"), *templates]

    def clean_player(self) -> Player:
        player = Player.objects.filter(external_id=self.cleaned_data["player"].strip()).first()
        if player is None:
            raise forms.ValidationError("No player has this id. Copy it from the player's page.")
        return player

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        is_bonus = data["unit"] == Unit.BONUS
        if data["bonus_template"]:
            if not is_bonus:
                self.add_error("bonus_template", "Only bonus money has a template; leave it empty.")
            for name in ("wagering_multiple", "expiry_hours"):
                if data[name]:
                    self.add_error(name, "The template says this; leave it empty.")
        elif is_bonus and not data["expiry_hours"]:
            self.add_error("expiry_hours", "Bonus money needs an end: say how many hours the player has.")
        if not is_bonus and data["wagering_multiple"]:
            self.add_error("wagering_multiple", "Only bonus money can be wagered; leave it empty.")
        try:
            to_minor(data["amount"], data["player"].currency if is_bonus else data["unit"])
        except MoneyError as error:
            self.add_error("amount", str(error))
        return data


def answers_message(request: HttpRequest, answers: list[Answer], issued: int = 0) -> None:
    """Tell a person what became of a bulk decision: how many, and why not."""
    words = {
        "APPROVED": "approved",
        "FIRST_APPROVAL": "approved once, waiting for a second person",
        "REJECTED": "rejected",
        "REVOKED": "revoked",
        "UNCHANGED": "checked again, nothing changed",
    }
    for outcome, text in words.items():
        count = sum(answer.outcome == outcome for answer in answers)
        if count:
            paid = f", {issued} paid" if outcome == "APPROVED" and issued else ""
            messages.success(request, f"{count} {text}{paid}.")
    levels = {"CHANGED": messages.warning, "REFUSED": messages.warning, "NOT_ALLOWED": messages.error}
    for outcome, level in levels.items():
        reasons: dict[str, list[int]] = {}
        for answer in answers:
            if answer.outcome == outcome:
                reasons.setdefault(answer.message, []).append(answer.decision_id)
        for reason, ids in reasons.items():
            named = ", ".join(f"#{one}" for one in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
            level(request, f"{'Refused now' if outcome == 'REFUSED' else 'Not done'}: {named}: {reason}.")


def told(request: HttpRequest, call: Callable[[], None]) -> None:
    """Make one call that tells its own outcome; a refusal, or a lock that somebody else holds, becomes a message."""
    try:
        call()
    except REFUSALS as error:
        messages.error(request, refusal_text(error))
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        messages.error(request, "Somebody else is deciding on the same rewards. Nothing was changed; try again in a moment.")


def approve_and_pay(request: HttpRequest, ids: list[int], note: str) -> None:
    """Approve, then pay what is fully approved; the messages say what happened."""
    now = utc_now()
    answers = services.approve(ids, staff_user(request), now, note)
    approved = [answer.decision_id for answer in answers if answer.outcome == "APPROVED"]
    answers_message(request, answers, services.issue(approved, now).issued if approved else 0)


@admin.register(RewardDecision)
class RewardDecisionAdmin(PlayerSearchMixin, ViewOnlyAdmin):
    list_display = ("number", "state", "shown_player", "origin", "shown_amount", "why", "proposed")
    list_display_links = ("number",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("rule", RelatedDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("unit", ChoicesDropdownFilter),
        RefusedByFilter,
        ("proposed_at", UtcDateRangeFilter),
    )
    list_select_related = ("player", "rule", "maker", "maker_client")
    search_help_text = "Player id, or #number of the decision"
    ordering = ("-id",)
    fields = ()
    change_form_template = "admin/rewards/rewarddecision/change_form.html"
    actions = ("approve_selected", "reject_selected", "revoke_selected")
    actions_list = ("grant_by_hand",)
    actions_detail = ("approve_one", "reject_one", "recheck_one", "retry_one", "revoke_one")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("verdicts", "facts", "diff")

    def get_urls(self) -> list[Any]:
        return [
            path("approvals/", self.admin_site.admin_view(ApprovalsPage.as_view()), name="rewards_approvals"),
            *super().get_urls(),
        ]

    # the list

    @display(description="Reward", ordering="id")
    def number(self, decision: RewardDecision) -> str:
        return f"#{decision.pk}"

    @display(description="Status", ordering="status")
    def state(self, decision: RewardDecision) -> SafeString:
        return status_badge(decision)

    @display(description="Player")
    def shown_player(self, decision: RewardDecision) -> SafeString:
        return player_link(decision.player)

    @display(description="From")
    def origin(self, decision: RewardDecision) -> SafeString:
        return origin_text(decision)

    @display(description="Amount")
    def shown_amount(self, decision: RewardDecision) -> SafeString:
        text = amount(decision.amount, decision.money_unit)
        if decision.amount_minor != decision.proposed_minor:
            was = amount(decision.proposed_amount, decision.money_unit)
            return right(format_html('{}<br><small class="lb-note">of {}</small>', text, was))
        return right(text)

    @display(description="Why")
    def why(self, decision: RewardDecision) -> str:
        if decision.status == "REFUSED":
            return f"refused by {decision.refused_by}"
        if decision.status == "ISSUE_FAILED":
            return decision.error[:80]
        if decision.status == "PENDING":
            done = 1 if decision.first_approver_id else 0
            return f"{done} of {max(1, decision.approvals_needed)} approvals"
        return decision.reason[:60] or DASH

    @display(description="Proposed (UTC)", ordering="proposed_at")
    def proposed(self, decision: RewardDecision) -> str:
        return f"{decision.proposed_at.astimezone(UTC):%Y-%m-%d %H:%M}"

    # one decision

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        decision = self.get_object(request, object_id) if object_id else None
        page = decision_page(decision, staff_user(request), utc_now()) if decision else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Only the buttons that make sense for the decision as it is, and never a decision on one's own proposal."""
        decision = RewardDecision.objects.filter(pk=object_id).only("status", "maker_id", "first_approver_id").first()
        wanted: set[str] = set()
        if decision is not None:
            own = decision.maker_id == request.user.pk
            if decision.status == "PENDING":
                wanted |= {"recheck_one"} if own else {"reject_one", "recheck_one"}
                if not own and decision.first_approver_id != request.user.pk:
                    wanted.add("approve_one")
            elif decision.status == "ISSUE_FAILED":
                wanted |= {"retry_one"} if own else {"retry_one", "reject_one"}
            elif decision.status == "ISSUED":
                wanted.add("revoke_one")
        return [
            one for one in super().get_actions_detail(request, object_id) if one.action_name.rpartition("_rewarddecision_")[2] in wanted
        ]

    @action(
        description="Grant by hand",
        permissions=[GRANT_PERMISSION],
        icon="add",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog(
            "Grant a reward by hand",
            "It goes through the same gates as any other. A small one is paid at once; a large one waits for another person.",
            submit="Propose the reward",
            form_class=GrantForm,
        ),
    )
    def grant_by_hand(self, request: HttpRequest, form: GrantForm) -> HttpResponse:
        data = form.cleaned_data
        ok, decision = run_call(
            request,
            lambda: services.grant_by_hand(
                player_id=data["player"].pk,
                unit=data["unit"],
                amount=data["amount"],
                reason=data["reason"],
                key=data["key"],
                at=utc_now(),
                actor=staff_user(request),
                wagering_multiple=data["wagering_multiple"] or Decimal(0),
                bonus_template=data["bonus_template"],
                expiry_hours=data["expiry_hours"] if data["unit"] == Unit.BONUS else None,
            ),
            success=lambda made: f"Reward #{made.pk}: {made.get_status_display().lower()}.",
        )
        return back_to(request, reverse("admin:rewards_rewarddecision_change", args=[decision.pk]) if ok else reverse(LIST_URL))

    @action(
        description="Approve",
        permissions=[APPROVE_PERMISSION],
        icon="check",
        variant=ActionVariant.PRIMARY,
        dialog=reason_dialog("Approve the reward", "All gates run again first; then it is paid at once.", submit="Approve"),
    )
    def approve_one(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._on_one(request, object_id, lambda: approve_and_pay(request, [int(object_id)], form.cleaned_data["reason"]))

    @action(
        description="Reject",
        permissions=[APPROVE_PERMISSION],
        icon="close",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog("Reject the reward", "Nothing is paid; what it holds of budgets is free again.", submit="Reject"),
    )
    def reject_one(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._on_one(
            request, object_id, lambda: answers_message(request, services.reject([int(object_id)], staff_user(request), utc_now(), reason))
        )

    @action(
        description="Check again",
        permissions=[APPROVE_PERMISSION],
        icon="refresh",
        dialog=reason_dialog(
            "Check again", "All gates run on current data; nothing is decided.", submit="Check again", form_class=ConfirmForm
        ),
    )
    def recheck_one(self, request: HttpRequest, form: ConfirmForm, object_id: str) -> HttpResponse:
        return self._on_one(
            request, object_id, lambda: answers_message(request, services.recheck([int(object_id)], utc_now(), actor=staff_user(request)))
        )

    @action(
        description="Try to pay again",
        permissions=[APPROVE_PERMISSION],
        icon="replay",
        dialog=reason_dialog("Try to pay again", "The reward is approved; only the payment failed.", submit="Pay", form_class=ConfirmForm),
    )
    def retry_one(self, request: HttpRequest, form: ConfirmForm, object_id: str) -> HttpResponse:
        def retry() -> None:
            result = services.retry_issue([int(object_id)], staff_user(request), utc_now())
            if result.issued:
                messages.success(request, "The reward is paid.")
            else:
                messages.error(request, "The payment failed again; the error is on the page.")

        return self._on_one(request, object_id, retry)

    @action(
        description="Revoke",
        permissions=[REVOKE_PERMISSION],
        icon="undo",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Revoke the reward", "The wallet takes it back by a reversal. What the player has used cannot be taken back.", submit="Revoke"
        ),
    )
    def revoke_one(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._on_one(
            request, object_id, lambda: answers_message(request, services.revoke([int(object_id)], staff_user(request), utc_now(), reason))
        )

    def _on_one(self, request: HttpRequest, object_id: str, call: Callable[[], None]) -> HttpResponse:
        told(request, call)
        return back_to(request, reverse("admin:rewards_rewarddecision_change", args=[object_id]))

    # many decisions

    @reason_action(
        description="Approve selected rewards",
        permissions=[APPROVE_PERMISSION],
        question="All gates run again first. What passes unchanged is paid at once; what changed comes back to you.",
        submit="Approve",
    )
    def approve_selected(self, request: HttpRequest, queryset: QuerySet, form: ReasonForm) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        told(request, lambda: approve_and_pay(request, ids, form.cleaned_data["reason"]))

    @reason_action(
        description="Reject selected rewards",
        permissions=[APPROVE_PERMISSION],
        question="Nothing is paid; what they hold of budgets is free again.",
        submit="Reject",
    )
    def reject_selected(self, request: HttpRequest, queryset: QuerySet, form: ReasonForm) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        reason = form.cleaned_data["reason"]
        told(request, lambda: answers_message(request, services.reject(ids, staff_user(request), utc_now(), reason)))

    @reason_action(
        description="Revoke selected rewards",
        permissions=[REVOKE_PERMISSION],
        question="The wallet takes them back by reversals. What a player has used cannot be taken back.",
        submit="Revoke",
    )
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet, form: ReasonForm) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        reason = form.cleaned_data["reason"]
        told(request, lambda: answers_message(request, services.revoke(ids, staff_user(request), utc_now(), reason)))
