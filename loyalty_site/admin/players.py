"""The page of one player in the admin: the list's admin, with its change page replaced by the composed page and its actions."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from fraud import services as fraud_services
from loyalty_site.admin.player_actions import (
    ConsentForm,
    ExcludeForm,
    HarmForm,
    LiftExclusionForm,
    LimitForm,
    RewardForm,
)
from loyalty_site.common.admin.actions import REFUSALS, ReasonForm, acting_user, back_to, reason_dialog, run_call
from loyalty_site.common.admin.display import DASH
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from loyalty_site.player_page import build_page
from players import services as player_services
from players.admin.player import PlayerAdmin
from players.models import Exclusion, Player
from rewards import services as reward_services
from rewards.models import DecisionStatus, RewardDecision
from wallet import services as wallet_services
from wallet.admin.forms import AdjustmentForm
from wallet.models import Account

_REFUSALS = (*REFUSALS, wallet_services.WalletError, reward_services.KeyConflict, reward_services.TransitionRefused)

admin.site.unregister(Player)


@admin.register(Player)
class PlayerPageAdmin(PlayerAdmin):
    change_form_template = "admin/players/player/change_form.html"
    fields = ()
    actions_detail = [
        "give_reward",
        "adjust_wallet",
        "flag",
        {
            "title": "Protection",
            "icon": "health_and_safety",
            "items": ["record_exclusion", "lift_exclusion", "harm", "consent", "deposit_limit"],
        },
    ]

    class Media:
        css = {"all": ["fraud/admin.css", "predictions/admin.css"]}  # the page shows signal cards and predictions

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        columns = tuple(super().get_list_display(request))
        return (*columns, "lp_balance") if request.user.has_perm("wallet.view_account") else columns

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context and "cl" in context:  # one query for the balances of the shown page
            shown = list(context["cl"].result_list)
            points = dict(
                Account.objects.filter(player_id__in=[player.pk for player in shown], unit="LP").values_list("player_id", "balance")
            )
            for player in shown:
                player.lp_minor = points.get(player.pk, 0)
            context["cl"].result_list = shown
        return response

    @display(description="LP")
    def lp_balance(self, player: Player) -> str:
        minor = getattr(player, "lp_minor", None)
        return DASH if minor is None else f"{from_minor(minor, 'LP'):,.0f}"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        player = self.get_object(request, object_id) if object_id else None
        page = {}
        if player is not None and self.has_view_permission(request, player):
            page = {"page": build_page(player, request.user, utc_now()), "title": f"Player {player.external_id}"}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    @action(
        description="Give a reward",
        permissions=["rewards.grant_manual"],
        icon="redeem",
        dialog=reason_dialog(
            "Give a reward",
            "It passes the same checks as any reward: limits, protection, abuse, budget. A large one waits for a second person.",
            submit="Propose",
            form_class=RewardForm,
        ),
    )
    def give_reward(self, request: HttpRequest, form: RewardForm, object_id: str) -> HttpResponse:
        player = Player.objects.get(pk=object_id)

        def propose() -> RewardDecision:
            decision = reward_services.grant_by_hand(player_id=player.pk, at=utc_now(), actor=acting_user(request), **form.terms())
            if decision.status == DecisionStatus.REFUSED:
                verdict: dict[str, Any] = next((one for one in decision.verdicts if one.get("name") == decision.refused_by), {})
                messages.warning(request, f"Refused by {decision.refused_by.replace('_', ' ')}: {verdict.get('reason', '')}")
            return decision

        return self._do(
            request,
            player,
            propose,
            success=lambda made: f"Reward {made.pk}: {made.get_status_display().lower()}.",
        )

    @action(
        description="Flag for review",
        permissions=["fraud.add_reviewflag"],
        icon="flag",
        dialog=reason_dialog("Flag for review", "A risk analyst looks into it and closes it with an outcome.", submit="Flag"),
    )
    def flag(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        player, reason = Player.objects.get(pk=object_id), form.cleaned_data["reason"]
        return self._do(
            request,
            player,
            lambda: fraud_services.flag_for_review(player.pk, reason, acting_user(request), utc_now()),
            success="The player waits for a review.",
        )

    @action(
        description="Adjust wallet",
        permissions=["wallet.adjust_wallet"],
        icon="tune",
        dialog=reason_dialog(
            "Adjust the wallet",
            "Posted at once below the limit of the thresholds page; from there on a second person approves it first.",
            submit="Ask for the adjustment",
            form_class=AdjustmentForm,
        ),
    )
    def adjust_wallet(self, request: HttpRequest, form: AdjustmentForm, object_id: str) -> HttpResponse:
        return self._do(
            request,
            form.player_to_adjust(),
            lambda: wallet_services.request_adjustment(**form.asked(), maker=acting_user(request), at=utc_now()),
            success=lambda made: f"Adjustment {made.pk}: {made.get_status_display().lower()}.",
        )

    @action(
        description="Exclude",
        permissions=["players.add_exclusion"],
        icon="block",
        variant=ActionVariant.DANGER,
        dialog=reason_dialog(
            "Exclude the player", "Takes effect at once: no rewards and no offers.", submit="Exclude", form_class=ExcludeForm
        ),
    )
    def record_exclusion(self, request: HttpRequest, form: ExcludeForm, object_id: str) -> HttpResponse:
        player, now, data = Player.objects.get(pk=object_id), utc_now(), form.cleaned_data
        return self._do(
            request,
            player,
            lambda: player_services.exclude_player(
                player.pk,
                data["kind"],
                now,
                form.ends_at(),
                data["reason"],
                acting_user(request),
                now,
            ),
            success=f"{Exclusion.Kind(data['kind']).label} is recorded.",
        )

    @action(
        description="Lift exclusion",
        permissions=["players.change_exclusion"],
        icon="lock_open",
        dialog=reason_dialog(
            "Lift an exclusion", "Self-exclusions and cool-offs end only on their end date.", submit="Lift it", form_class=LiftExclusionForm
        ),
    )
    def lift_exclusion(self, request: HttpRequest, form: LiftExclusionForm, object_id: str) -> HttpResponse:
        player, data = Player.objects.get(pk=object_id), form.cleaned_data
        return self._do(
            request,
            player,
            lambda: player_services.lift_exclusion(int(data["exclusion"]), data["reason"], acting_user(request), utc_now()),
            success="The exclusion is lifted.",
        )

    @action(
        description="Harm flag",
        permissions=["players.change_protection"],
        icon="health_and_safety",
        dialog=reason_dialog(
            "Harm flag",
            "Strong indicators of gambling harm stop every bonus and all marketing.",
            submit="Save",
            form_class=HarmForm,
        ),
    )
    def harm(self, request: HttpRequest, form: HarmForm, object_id: str) -> HttpResponse:
        player, data = Player.objects.get(pk=object_id), form.cleaned_data
        flagged = data["harm_flag"] == "1"
        return self._do(
            request,
            player,
            lambda: player_services.set_harm_flag(player.pk, flagged, data["reason"], acting_user(request), utc_now()),
            success=f"The harm flag is {'set' if flagged else 'cleared'}.",
        )

    @action(
        description="Consents",
        permissions=["players.change_protection"],
        icon="mark_email_read",
        dialog=reason_dialog("Consents", "As the player told us; name the source in the reason.", submit="Save", form_class=ConsentForm),
    )
    def consent(self, request: HttpRequest, form: ConsentForm, object_id: str) -> HttpResponse:
        player, data = Player.objects.get(pk=object_id), form.cleaned_data
        return self._do(
            request,
            player,
            lambda: player_services.set_consent(
                player.pk,
                at=utc_now(),
                marketing=data["marketing"],
                profiling=data["profiling"],
                actor=acting_user(request),
                reason=data["reason"],
            ),
            success="Consents are saved.",
        )

    @action(
        description="Deposit limit",
        permissions=["players.change_depositlimit"],
        icon="speed",
        dialog=reason_dialog("Deposit limit", "A lower limit holds at once.", submit="Save", form_class=LimitForm),
    )
    def deposit_limit(self, request: HttpRequest, form: LimitForm, object_id: str) -> HttpResponse:
        player, data = Player.objects.get(pk=object_id), form.cleaned_data
        return self._do(
            request,
            player,
            lambda: player_services.set_deposit_limit(
                player.pk,
                data["period"],
                data["amount"],
                acting_user(request),
                utc_now(),
                data["reason"],
            ),
            success=lambda limit: f"Limit recorded, holds from {limit.starts_at:%Y-%m-%d %H:%M} UTC." if limit else "The limit ends.",
        )

    def _do(self, request: HttpRequest, player: Player, call: Callable[[], Any], *, success: str | Callable[[Any], str]) -> HttpResponse:
        run_call(request, call, success=success, refusals=_REFUSALS)
        return back_to(request, reverse("admin:players_player_change", args=[player.pk]))
