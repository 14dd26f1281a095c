"""Forms that ask for an adjustment: of one player (on the player's page), or of a player named in the form."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from loyalty_site.common.admin.actions import ReasonForm, acting_user
from loyalty_site.common.clock import day_start, utc_now
from players.models import Player
from wallet.adjustments import check_adjustment
from wallet.errors import WalletError
from wallet.models import Unit


class AdjustmentForm(ReasonForm):
    """Adjusts the player whose id the dialog was opened for."""

    unit = forms.ChoiceField(choices=Unit.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        max_digits=18, decimal_places=3, widget=UnfoldAdminDecimalFieldWidget, help_text="Positive gives, negative takes away."
    )
    wagering_required = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=18,
        decimal_places=2,
        label="Amount to wager",
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Only when giving bonus money: what must be staked before it is released. 0 releases it at once.",
    )
    expires_on = forms.DateField(
        required=False,
        label="Last day of the bonus",
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="Only when giving bonus money. The bonus ends with this day, UTC.",
    )

    def player_to_adjust(self) -> Player:
        return Player.objects.get(pk=self.object_id)

    def clean(self) -> dict[str, Any]:
        """Ask the service whether it would accept, so that a refusal stands in the form and no input is lost."""
        data = super().clean() or {}
        if not self.errors:
            try:
                check_adjustment(**self.asked(), maker=acting_user(self.request), at=utc_now())
            except WalletError as error:
                self.add_error("amount", str(error))
        return data

    def asked(self) -> dict[str, Any]:
        """Arguments of the service that follow from the form."""
        data, player = self.cleaned_data, self.player_to_adjust()
        last: date | None = data["expires_on"]
        return {
            "player_id": player.pk,
            "unit": data["unit"],
            "currency": player.currency if data["unit"] == Unit.BONUS else "",
            "amount": data["amount"],
            "wagering_required": data["wagering_required"],
            "expires_at": day_start(last + timedelta(days=1)) if last else None,
            "reason": data["reason"],
        }


class NewAdjustmentForm(AdjustmentForm):
    """Asks for the player, too."""

    player = forms.CharField(
        label="Player id", max_length=64, widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "autocomplete": "off"})
    )
    field_order = ["player", "unit", "amount", "wagering_required", "expires_on", "reason"]

    def clean_player(self) -> Player:
        player = Player.objects.filter(external_id=self.cleaned_data["player"].strip()).first()
        if player is None:
            raise forms.ValidationError("No player has this id. Copy it from the player's page.")
        return player

    def player_to_adjust(self) -> Player:
        return self.cleaned_data["player"]
