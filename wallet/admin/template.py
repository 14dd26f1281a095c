"""Bonus templates: the list, the page on which terms are written and read in plain English, and the versions with what each changed."""

from collections import Counter
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.decorators import display

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import acting_user
from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, badge
from loyalty_site.common.clock import utc_now
from wallet.bonus.market_rules import times
from wallet.grants.contributions import table_of
from wallet.grants.template_versions import CHANGE_PERMISSION, FIELDS, Draft, draft_version, save_version
from wallet.models import OPEN_STATUSES, BonusGrant, BonusTemplate, BonusTemplateVersion, ContributionTable

from .grant_words import PRODUCT_WORDS, plain
from .parts import right
from .template_form import TemplateForm
from .template_words import difference, version_sentences

_VERSIONS = 20
_COUNTED_SECONDS = 120
_HEADER = (None, {"fields": (("code", "name"), "is_active")})
_SECTIONS = (
    _HEADER,
    ("What the player gets", {"fields": (("kind", "amount"), ("match_percent", "max_amount"), ("spins", "spin_value"), "spin_game")}),
    ("Who gets it, and how", {"fields": ("products", "markets", ("needs_claim", "min_deposit"), "claim_hours")}),
    (
        "Wagering",
        {
            "fields": (
                ("base", "multiple"), ("count_mode", "contribution"), ("wagering_hours", "settle_grace_hours"), "eligible_games",
                "acknowledged_multiple",
            )
        },
    ),
    (
        "Bets",
        {"fields": (("max_bet", "over_max_bet"), ("penalty_factor", "min_bet"), "coverage_limit")},
    ),
    (
        "Money",
        {"fields": (("fund_order", "winnings"), ("cash_out_cap", "sticky"), "forfeit_on_withdrawal")},
    ),
    ("Saving", {"fields": ("reason",)}),
)  # fmt: skip


def open_grants() -> dict[int, int]:
    """Open grants by version, remembered for two minutes: one pass over the open grants, never over all."""
    found = cache.get("wallet:open-grants-by-version")
    if found is None:
        rows = BonusGrant.objects.filter(status__in=OPEN_STATUSES, template_version__isnull=False).order_by()
        found = dict(rows.values_list("template_version_id").annotate(Count("pk")))
        cache.set("wallet:open-grants-by-version", found, _COUNTED_SECONDS)
    return found


@admin.register(BonusTemplate)
class BonusTemplateAdmin(SimpleHistoryAdmin, BackOfficeAdmin):
    """A template is never deleted: grants keep the version they were made from. It is switched off instead."""

    form = TemplateForm
    list_display = ("shown_name", "shown_state", "shown_kind", "shown_products", "shown_wagering", "shown_cap", "shown_bet", "shown_open")
    list_display_links = ("shown_name",)
    list_filter = ("is_active",)
    list_select_related = ("current",)
    search_fields = ("code", "name")
    search_help_text = "Code or name"
    ordering = ("code",)
    history_list_display = ("name", "is_active", "current")
    change_form_template = "admin/wallet/bonustemplate/change_form.html"

    class Media:
        css = {"all": ["wallet/admin.css"]}
        js = ["wallet/template.js"]

    # the list

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        counts = Counter[int]()
        by_version = open_grants()
        for version, template in BonusTemplateVersion.objects.filter(pk__in=list(by_version)).values_list("pk", "template_id"):
            counts[template] += by_version[version]
        for row in changelist.result_list:
            row.open_count = counts[row.pk]
        return changelist

    @display(description="Template", ordering="code")
    def shown_name(self, template: BonusTemplate) -> SafeString:
        return format_html('{}<span class="lb-note wallet-below">{}</span>', template.name, template.code)

    @display(description="State", ordering="is_active")
    def shown_state(self, template: BonusTemplate) -> SafeString:
        if template.current is None:
            return badge("no terms", "warn")
        return badge("active", "good") if template.is_active else badge("off")

    @display(description="Gives")
    def shown_kind(self, template: BonusTemplate) -> str:
        version = template.current
        if version is None:
            return DASH
        if version.kind == BonusTemplateVersion.Kind.FREE_SPINS:
            return f"{version.spins} free spins of {plain(version.spin_value or version.min_bet)}"
        if version.match_percent is not None:
            return f"{plain(version.match_percent)} % of the deposit"
        return plain(version.amount) if version.amount is not None else "as offered"

    @display(description="For")
    def shown_products(self, template: BonusTemplate) -> str:
        return ", ".join(PRODUCT_WORDS.get(one, one) for one in template.current.products) if template.current else DASH

    @display(description="Wagering")
    def shown_wagering(self, template: BonusTemplate) -> SafeString | str:
        version = template.current
        if version is None:
            return DASH
        if version.acknowledged_multiple is not None:
            effective = times(version.acknowledged_multiple)
            return format_html(
                "{} {}", times(version.multiple), badge(f"effective {effective}", "warn", title="Accepted when it was saved")
            )
        return times(version.multiple)

    @display(description="Paid out at most")
    def shown_cap(self, template: BonusTemplate) -> str:
        version = template.current
        return f"{plain(version.cash_out_cap)} × bonus" if version and version.cash_out_cap is not None else "no cap"

    @display(description="Largest bet")
    def shown_bet(self, template: BonusTemplate) -> SafeString:
        version = template.current
        return right(plain(version.max_bet) if version and version.max_bet is not None else "any")

    @display(description="Open now")
    def shown_open(self, template: BonusTemplate) -> SafeString:
        return right(f"{getattr(template, 'open_count', 0):,}")

    # one template

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("code",) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may_write = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return _SECTIONS if may_write else (_HEADER,)

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("summary/", site(self.summary_view), name="wallet_bonustemplate_summary"),
            path("<int:pk>/summary/", site(self.summary_view), name="wallet_bonustemplate_summary_of"),
            *super().get_urls(),
        ]

    def summary_view(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        """The terms in the form as they stand now, in words, with what would keep them from being saved."""
        if request.method != "POST" or not self.has_view_or_change_permission(request):
            raise PermissionDenied
        template = (BonusTemplate.objects.filter(pk=pk).first() if pk is not None else None) or BonusTemplate()
        form = TemplateForm(request.POST, instance=template)
        form.is_valid()
        return TemplateResponse(request, "admin/wallet/bonustemplate/summary.html", summary(form.draft))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        template = self.get_object(request, object_id) if object_id else None
        page: dict[str, Any] = {"summary_url": reverse("admin:wallet_bonustemplate_summary")}
        if template is not None:
            page = template_page(template)
            page["summary_url"] = reverse("admin:wallet_bonustemplate_summary_of", args=[template.pk])
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **page})

    def save_model(self, request: HttpRequest, obj: BonusTemplate, form: Any, change: bool) -> None:
        """The template and its next version, in one transaction with the audit of both."""
        author, at, reason = acting_user(request), utc_now(), form.cleaned_data["reason"]
        if not author.has_perm(CHANGE_PERMISSION):
            raise PermissionDenied
        header = [name for name in ("code", "name", "is_active") if name in form.changed_data]
        before = {name: form.initial.get(name) for name in header} if change else None
        super().save_model(request, obj, form, change)
        if header:
            action = "wallet.template_changed" if change else "wallet.template_made"
            after = {name: getattr(obj, name) for name in header}
            audit.record(action, obj, at=at, actor=author, before=before, after=after, reason=reason)
        save_version(obj, form.terms(), author, at, reason=reason)


def summary(draft: Draft | None) -> dict[str, Any]:
    """Context of the summary: sentences, objections, and the effective multiple when it says more than the multiple."""
    if draft is None:
        return {"sentences": [], "problems": []}
    version = draft.version
    comparable = all(isinstance(getattr(version, name), int) for name in ("claim_hours", "wagering_hours", "settle_grace_hours"))
    if not comparable or "multiple" in draft.problems and not draft.effective:
        return {"sentences": [], "problems": _worded(draft)}
    at = utc_now()
    table = version.contribution or ContributionTable.objects.filter(is_default=True).first()
    return {
        "sentences": version_sentences(version, table_of(table) if table else None, at),
        "problems": _worded(draft),
        "effective": times(draft.effective) if draft.effective > version.multiple else "",
        "is_high": draft.needs_acknowledgement,
        "multiple": times(version.multiple),
    }


def _worded(draft: Draft) -> list[str]:
    return [text[:1].upper() + text[1:] for text in draft.problems.values()]


def template_page(template: BonusTemplate) -> dict[str, Any]:
    """Context of a template's page: the current terms in words, checked against the rules of today, and the versions."""
    versions = list(template.versions.select_related("author").prefetch_related("markets").order_by("-number")[: _VERSIONS + 1])
    counts = open_grants()
    rows = [
        {
            "version": version,
            "is_current": version.pk == template.current_id,
            "changes": difference(older, version) if older else [],
            "open": counts.get(version.pk, 0),
        }
        for version, older in zip(versions, [*versions[1:], None], strict=False)
    ][:_VERSIONS]
    page: dict[str, Any] = {"template": template, "versions": rows, "open_total": sum(counts.get(one.pk, 0) for one in versions)}
    if template.current:
        page |= {"now": summary(_as_of_today(template.current))}
        page["grants_url"] = f"{reverse('admin:wallet_bonusgrant_changelist')}?template={template.pk}"
    return page


def _as_of_today(version: BonusTemplateVersion) -> Draft:
    terms = {name: getattr(version, name) for name in (*FIELDS, "acknowledged_multiple")}
    return draft_version(version.template, terms | {"markets": version.markets.all()}, utc_now())
