"""Budgets: how much is given, held and left. Staff set the limits of budgets without a rule; a rule's own limit is in the rule."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextareaWidget

from loyalty_site.common import audit
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import amount
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import MoneyError, from_minor, to_minor
from rewards.models import BudgetAccount, Unit
from wallet.admin.parts import link, page_url, right


class BudgetForm(forms.ModelForm):
    limit = forms.DecimalField(
        min_value=0, max_digits=15, decimal_places=3, widget=UnfoldAdminDecimalFieldWidget, help_text="In the unit or currency above."
    )
    reason = forms.CharField(
        min_length=3, max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}), help_text="Kept in the audit trail."
    )

    class Meta:
        model = BudgetAccount
        fields = ("name", "unit", "currency", "period")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["limit"].initial = self.instance.limit

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        unit = data.get("unit", self.instance.unit)
        currency = (data.get("currency", self.instance.currency) or "").upper()
        if unit == Unit.BONUS and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            self.add_error("currency", "A budget of bonus money needs an ISO 4217 currency such as EUR.")
            return data
        if unit != Unit.BONUS and currency:
            self.add_error("currency", "Points and tickets have no currency; leave it empty.")
            return data
        if "currency" in data:
            data["currency"] = currency
        try:
            self.instance.limit_minor = to_minor(data["limit"], currency or unit)
        except MoneyError as error:
            self.add_error("limit", str(error))
            return data
        used = self.instance.reserved_minor + self.instance.spent_minor
        if self.instance.limit_minor < used:
            self.add_error("limit", f"{amount(from_minor(used, currency or unit), currency or unit)} of it is given or held already.")
        return data


@admin.register(BudgetAccount)
class BudgetAccountAdmin(BackOfficeAdmin):
    form = BudgetForm
    list_display = ("title", "scope", "shown_period", "use", "shown_limit", "shown_spent", "shown_reserved", "shown_left")
    list_filter = (("rule", RelatedDropdownFilter), ("unit", ChoicesDropdownFilter))
    list_select_related = ("rule",)
    search_fields = ("name", "rule__name", "period")
    ordering = ("rule__name", "-period", "id")

    def get_fields(self, request: HttpRequest, obj: BudgetAccount | None = None) -> Any:
        return ("name", "unit", "currency", "period", "limit", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: BudgetAccount | None = None) -> Any:
        return ("unit", "currency", "period") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: BudgetAccount | None = None) -> bool:
        if obj is not None and obj.rule_id is not None:
            return False  # its limit follows the rule
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: BudgetAccount | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: BudgetAccount, form: BudgetForm, change: bool) -> None:
        now = utc_now()
        before = BudgetAccount.objects.filter(pk=obj.pk).first() if change else None
        if change:
            # only what staff set: reserved and spent belong to the pipeline
            obj.updated_at = now
            obj.save(update_fields=["name", "limit_minor", "updated_at"])
        else:
            obj.created_at = obj.updated_at = now
            obj.save()
        assert isinstance(request.user, User)
        audit.record(
            "rewards.budget_changed" if change else "rewards.budget_created",
            obj,
            at=now,
            actor=request.user,
            before={"name": before.name, "limit": str(before.limit)} if before else {},
            after={"name": obj.name, "limit": str(obj.limit), "unit": obj.money_unit, "period": obj.period},
            reason=form.cleaned_data["reason"],
        )

    @display(description="Budget", ordering="name")
    def title(self, budget: BudgetAccount) -> str:
        return budget.name or ("Total budget of a rule" if budget.rule else f"All rewards in {budget.money_unit}")

    @display(description="For")
    def scope(self, budget: BudgetAccount) -> SafeString | str:
        return link(budget.rule.name, page_url("rewards_rewardrule", budget.rule_id)) if budget.rule else "all rewards"

    @display(description="Period", ordering="period")
    def shown_period(self, budget: BudgetAccount) -> str:
        return "without end" if budget.period == BudgetAccount.ALL_TIME else budget.period

    @display(description="Used")
    def use(self, budget: BudgetAccount) -> SafeString:
        return usage_bar(budget)

    @display(description="Limit", ordering="limit_minor")
    def shown_limit(self, budget: BudgetAccount) -> SafeString:
        return right(amount(budget.limit, budget.money_unit))

    @display(description="Given")
    def shown_spent(self, budget: BudgetAccount) -> SafeString:
        return right(amount(budget.spent, budget.money_unit))

    @display(description="Held")
    def shown_reserved(self, budget: BudgetAccount) -> SafeString:
        return right(amount(budget.reserved, budget.money_unit))

    @display(description="Left")
    def shown_left(self, budget: BudgetAccount) -> SafeString:
        return right(amount(budget.left, budget.money_unit))


def usage_bar(budget: BudgetAccount) -> SafeString:
    """Given and held as two parts of one bar."""
    limit = max(budget.limit_minor, 1)
    spent, held = 100 * budget.spent_minor // limit, 100 * budget.reserved_minor // limit
    percent = 100 * (budget.spent_minor + budget.reserved_minor) // limit
    tone = "bad" if percent >= 100 else "warn" if percent >= 80 else "good"
    return format_html(
        '<span class="lb-progress" title="{} % given, {} % held"><span class="lb-bar" style="display:flex">'
        '<span class="lb-fill-{}" style="width:{}%"></span><span style="width:{}%;opacity:.45"></span></span><small>{} %</small></span>',
        spent,
        held,
        tone,
        spent,
        held,
        percent,
    )
