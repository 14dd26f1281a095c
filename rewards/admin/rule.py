"""Rules in the admin: the list, the page on which a rule is written, tried and read, and its versions."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from loyalty_site.common.admin.base import BackOfficeAdmin
from loyalty_site.common.admin.display import DASH, amount, badge, progress_bar
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from players.models import Player
from rewards import rule_services
from rewards.admin.rule_form import RuleForm
from rewards.models import BudgetAccount, RewardDecision, RewardRule
from rewards.rule_services import Caller, RuleRefused
from rewards.rule_testing import UnknownPlayer, try_on_all, try_on_player
from rewards.rules.facts import ALIASES, CATALOGUE
from rewards.rules.problems import RuleError
from rewards.rules.reward import TYPE_WORDS
from rewards.rules.words import condition_words, reward_words
from rewards.services import preview_gates

_RECENT_DAYS = 30
_SUGGESTIONS = 12


def fact_list() -> list[dict[str, Any]]:
    """The catalogue as the pages show it: name, type, unit, horizon, text and other names."""
    others: dict[str, list[str]] = {}
    for alias, name in ALIASES.items():
        others.setdefault(name, []).append(alias)
    return [
        {
            "name": spec.name,
            "kind": spec.kind.value,
            "unit": "" if spec.unit.value == "none" else spec.unit.value,
            "horizon": f"last {spec.window_days} d" if spec.window_days else spec.horizon.value,
            "description": spec.description,
            "values": ", ".join(spec.values),
            "others": ", ".join(others.get(spec.name, [])),
        }
        for spec in CATALOGUE.values()
    ]


@admin.register(RewardRule)
class RewardRuleAdmin(BackOfficeAdmin):
    """A rule is never deleted: rewards keep the version they came from. It is switched off instead."""

    list_display = ("rule_name", "priority", "state", "reward_type", "in_words", "budget_use", "issued_recently")
    list_display_links = ("rule_name",)
    list_filter = ("is_active",)
    search_fields = ("rule_id", "name", "description")
    search_help_text = "Rule id, name or description"
    ordering = ("-priority", "rule_id")

    # the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[RewardRule]:
        return super().get_queryset(request).select_related("current_version")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The rows shown, each with its budgets and what it issued lately: two queries for the page."""
        changelist = super().get_changelist_instance(request)
        rules = {rule.pk: rule for rule in changelist.result_list}
        for rule in rules.values():
            rule.issued_lines, rule.budget_accounts = [], []
        recent = (
            RewardDecision.objects.filter(status="ISSUED", issued_at__gte=utc_now() - timedelta(days=_RECENT_DAYS), rule_id__in=list(rules))
            .order_by()
            .values_list("rule_id", "unit", "currency")
            .annotate(Count("pk"), Sum("amount_minor"))
        )
        for rule_id, unit, currency, rewards, minor in recent:
            money_unit = currency or unit
            rules[rule_id or 0].issued_lines.append((f"{rewards:,}", amount(from_minor(minor or 0, money_unit), money_unit)))
        for budget in BudgetAccount.objects.filter(rule_id__in=list(rules), period=BudgetAccount.ALL_TIME):
            rules[budget.rule_id or 0].budget_accounts.append(budget)
        return changelist

    @display(description="rule", ordering="rule_id")
    def rule_name(self, rule: RewardRule) -> SafeString:
        return format_html('<span class="ru-name">{}</span><span class="lb-note" style="display:block">{}</span>', rule.name, rule.rule_id)

    @display(description="active", ordering="is_active")
    def state(self, rule: RewardRule) -> SafeString:
        now = utc_now()
        if not rule.is_active:
            return badge("off")
        if rule.valid_from and rule.valid_from > now:
            return badge("from " + f"{rule.valid_from:%Y-%m-%d}", "info")
        if rule.valid_to and rule.valid_to <= now:
            return badge("ended", "warn", title=f"Valid to {rule.valid_to:%Y-%m-%d %H:%M} UTC")
        return badge("on", "good")

    @display(description="gives")
    def reward_type(self, rule: RewardRule) -> str:
        config = rule.current_version.reward_config if rule.current_version else {}
        return TYPE_WORDS.get(str(config.get("type")), str(config.get("type", DASH)))

    @display(description="when")
    def in_words(self, rule: RewardRule) -> SafeString | str:
        if rule.current_version is None:
            return badge("no content", "warn")
        try:
            compiled = rule_services.compile_version(rule.current_version)
        except RuleError as error:
            return badge("cannot be used", "bad", title=str(error))
        words = condition_words(compiled.conditions)
        return format_html('{}<span class="lb-note" style="display:block">{}</span>', words, reward_words(compiled.reward))

    @display(description="budget")
    def budget_use(self, rule: RewardRule) -> SafeString | str:
        budgets: list[BudgetAccount] = getattr(rule, "budget_accounts", [])
        if budgets:
            return format_html_join("", "{}", ((self._budget_bar(budget),) for budget in budgets))
        total = rule.current_version.total_budget if rule.current_version else None
        return f"0 of {amount(total)}" if total else "no limit"

    @staticmethod
    def _budget_bar(budget: BudgetAccount) -> SafeString:
        used = budget.reserved_minor + budget.spent_minor
        tone = "bad" if used >= budget.limit_minor else "warn" if used * 10 >= budget.limit_minor * 8 else ""
        label = f"{amount(from_minor(used, budget.money_unit), budget.money_unit)} of {amount(budget.limit)}"
        return progress_bar(used, budget.limit_minor, tone=tone, label=label)

    @display(description="issued, 30 days")
    def issued_recently(self, rule: RewardRule) -> SafeString | str:
        lines: list[tuple[str, str]] = getattr(rule, "issued_lines", [])
        return format_html_join("", '<span style="display:block">{} · {}</span>', lines) if lines else DASH

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # pages

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("check/", site(self.check_view), name="rewards_rule_check"),
            path("try/", site(self.try_view), name="rewards_rule_try"),
            path("players/", site(self.players_view), name="rewards_rule_players"),
            path("<int:pk>/versions/", site(self.versions_view), name="rewards_rule_versions"),
            path("<int:pk>/roll-back/", site(self.roll_back_view), name="rewards_rule_roll_back"),
            path("<int:pk>/switch/", site(self.switch_view), name="rewards_rule_switch"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._rule_page(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        rule = self._rule(object_id)
        if not self.has_view_or_change_permission(request, rule):
            raise PermissionDenied
        return self._rule_page(request, rule)

    def _rule(self, pk: Any) -> RewardRule:
        rule = RewardRule.objects.select_related("current_version__created_by").filter(pk=pk).first() if str(pk).isdigit() else None
        if rule is None:
            raise Http404("no such rule")
        return rule

    def _rule_page(self, request: HttpRequest, rule: RewardRule | None) -> HttpResponse:
        can_change = self.has_change_permission(request, rule) if rule else self.has_add_permission(request)
        problems: list[dict[str, Any]] = []
        if request.method == "POST":
            if not can_change:
                raise PermissionDenied
            form = RuleForm(request.POST, rule=rule)
            if form.is_valid():
                saved = self._save(request, form, rule, problems)
                if saved is not None:
                    return saved
        else:
            form = RuleForm(rule=rule)
        if not can_change:
            form.make_read_only()
        user = request.user
        context = {
            **self.admin_site.each_context(request),
            "title": rule.name if rule else "New rule",
            "opts": self.opts,
            "form": form,
            "rule": rule,
            "version": rule.current_version if rule else None,
            "problems": problems,
            "facts": fact_list(),
            "can_change": can_change,
            "can_test": user.has_perm("rewards.test_rule"),
            "history": rule.history.select_related("history_user")[:8] if rule else [],
            "versions": rule.versions.select_related("created_by")[:5] if rule else [],
        }
        return TemplateResponse(request, "rewards/rule_page.html", context)

    def _save(self, request: HttpRequest, form: RuleForm, rule: RewardRule | None, problems: list[dict[str, Any]]) -> HttpResponse | None:
        rule_id = rule.rule_id if rule else form.cleaned_data["rule_id"]
        if rule is None and RewardRule.objects.filter(rule_id=rule_id).exists():
            form.add_error("rule_id", "Another rule has this id. Choose a different one, or change that rule.")
            return None
        try:
            saved = rule_services.save_rule(
                rule_id, form.header(), form.content(), at=utc_now(), caller=self._caller(request, form.cleaned_data["reason"])
            )
        except RuleError as error:
            problems.extend(problem.to_json() for problem in error.problems)
            return None
        except RuleRefused as error:
            form.add_error(None, str(error))
            return None
        what = (
            f"Version {saved.version.number} saved."
            if saved.new_version
            else "Saved; the content is unchanged, so no new version was made."
        )
        messages.success(request, what if saved.rule.is_active else f"{what} The rule is off: switch it on when it is ready.")
        for warning in saved.warnings:
            messages.warning(request, str(warning))
        return HttpResponseRedirect(reverse("admin:rewards_rewardrule_change", args=[saved.rule.pk]))

    def _caller(self, request: HttpRequest, reason: str) -> Caller:
        assert isinstance(request.user, User)  # admin_view let only staff in
        return Caller(actor=request.user, reason=reason)

    # small endpoints of the page

    def check_view(self, request: HttpRequest) -> JsonResponse:
        """Findings about what is in the form now, and the rule in words."""
        if request.method != "POST" or not self.has_view_or_change_permission(request):
            raise PermissionDenied
        form = RuleForm(request.POST, rule=None, draft=True)
        if not form.is_valid():
            return JsonResponse({"problems": form.field_problems(), "words": "", "reward": ""})
        found = rule_services.check_content(form.content())
        compiled = found.rule
        return JsonResponse(
            {
                "problems": [problem.to_json() for problem in found.problems],
                "words": condition_words(compiled.conditions) if compiled else "",
                "reward": reward_words(compiled.reward) if compiled else "",
            }
        )

    def players_view(self, request: HttpRequest) -> JsonResponse:
        """Player ids that begin with what was typed."""
        self._need_test(request)
        typed = request.GET.get("q", "").strip()
        found = Player.objects.filter(external_id__gte=typed, external_id__startswith=typed).order_by("external_id")
        ids = list(found.values_list("external_id", "segment", "country")[:_SUGGESTIONS]) if typed else []
        return JsonResponse({"players": [{"id": one, "hint": f"{segment} {country}".strip()} for one, segment, country in ids]})

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """What the form's content would do to one player, or to all. Writes nothing."""
        self._need_test(request)
        form = RuleForm(request.POST, rule=None, draft=True)
        context: dict[str, Any] = {"problems": form.field_problems()} if not form.is_valid() else {}
        if not context:
            found = rule_services.check_content(form.content())
            context = {"problems": [problem.to_json() for problem in found.errors]}
            if found.rule is not None:
                self._add_trial(request, form, found.rule, context)
        return TemplateResponse(request, "rewards/rule_trial.html", context)

    def _add_trial(self, request: HttpRequest, form: RuleForm, compiled: Any, context: dict[str, Any]) -> None:
        now = utc_now()
        if request.POST.get("scope") == "all":
            context["population"] = population = try_on_all(compiled, as_of=now)
            context["rate"] = Decimal(100 * population.matched) / population.players if population.players else None
            context["largest_share"] = max((share.rewards for share in population.segments), default=0)
            return
        try:
            trial = try_on_player(compiled, request.POST.get("player", ""), as_of=now)
        except UnknownPlayer as error:
            context["unknown_player"] = str(error)
            return
        context["trial"] = trial
        rule = RewardRule.objects.filter(pk=_number(request.POST.get("rule"), 0)).select_related("current_version").first()
        version = rule.current_version if rule else None
        if version is None:
            context["gates_note"] = "The safety gates are shown once the rule is saved."
        elif not form.same_as(version):
            context["gates_note"] = "The content differs from what is saved. Save it to see what the safety gates say."
        elif trial.trace.amount is not None:
            context["gates"] = preview_gates(version, trial.trace.player_id, now)

    def _need_test(self, request: HttpRequest) -> None:
        if not request.user.has_perm("rewards.test_rule"):
            raise PermissionDenied

    # versions

    def versions_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule = self._rule(pk)
        if not self.has_view_or_change_permission(request, rule):
            raise PermissionDenied
        versions = list(rule.versions.select_related("created_by"))
        by_number = {version.number: version for version in versions}
        newest = versions[0].number if versions else 0
        after = by_number.get(_number(request.GET.get("to"), newest))
        before = by_number.get(_number(request.GET.get("from"), newest - 1))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Versions of {rule.name}",
            "opts": self.opts,
            "rule": rule,
            "versions": versions,
            "before": before,
            "after": after,
            "changes": rule_services.diff_versions(before, after) if before and after else [],
            "can_change": self.has_change_permission(request, rule),
        }
        return TemplateResponse(request, "rewards/rule_versions.html", context)

    def roll_back_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule = self._changeable(request, pk)
        try:
            version = rule_services.roll_back(
                rule, _number(request.POST.get("number"), 0), at=utc_now(), caller=self._caller(request, request.POST.get("reason", ""))
            )
        except (RuleRefused, RuleError) as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"The old content is current again, as version {version.number}.")
        return HttpResponseRedirect(reverse("admin:rewards_rule_versions", args=[rule.pk]))

    def switch_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        rule = self._changeable(request, pk)
        active = request.POST.get("active") == "1"
        try:
            rule_services.set_active(rule, active, at=utc_now(), caller=self._caller(request, request.POST.get("reason", "")))
        except (RuleRefused, RuleError) as error:
            messages.error(request, str(error))
        else:
            messages.success(request, "The rule is on." if active else "The rule is off.")
        return HttpResponseRedirect(reverse("admin:rewards_rewardrule_change", args=[rule.pk]))

    def _changeable(self, request: HttpRequest, pk: int) -> RewardRule:
        rule = self._rule(pk)
        if request.method != "POST" or not self.has_change_permission(request, rule):
            raise PermissionDenied
        return rule


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else default
