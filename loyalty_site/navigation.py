"""The menu as staff think of their work, and the command palette. An item shows when its page exists and the person may open it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from unfold.dataclasses import SearchResult

from loyalty_site.common.clock import utc_now

_BADGE_SECONDS = 30
_BADGE_LIMIT = 999
_PALETTE_PLAYERS = 8
_FAILURES_SHOWN = timedelta(days=7)


@dataclass(frozen=True)
class Item:
    """One menu line: a model's list (`model`, "app.model") or a named page (`url_name` with `permissions`)."""

    title: str
    icon: str
    model: str = ""
    url_name: str = ""
    permissions: tuple[str, ...] = ()
    query: str = ""
    badge: str = ""


WHAT_IF_PERMISSIONS = ("predictions.score_profile", "predictions.view_churnscore", "predictions.view_valuescore")

MENU: tuple[tuple[str, tuple[Item, ...]], ...] = (
    ("", (Item("Today", "today", url_name="admin:index"),)),
    (
        "Players",
        (
            Item("Players", "group", model="players.player"),
            Item("Tier board", "leaderboard", model="players.playertier"),
            Item("VIP clearances", "verified_user", model="players.vipclearance", badge="clearances"),
            Item("Tiers", "military_tech", model="players.tier"),
            Item("Tier programme", "event_repeat", model="players.tierprogramme"),
            Item("Segment moves", "swap_vert", model="players.segmentmove"),
            Item("Tier moves", "moving", model="players.tiermove"),
            Item("Games", "casino", model="players.game"),
        ),
    ),
    (
        "Predictions",
        (
            Item("Churn", "logout", model="predictions.churnscore"),
            Item("Lifetime value", "trending_up", model="predictions.valuescore"),
            Item("Fraud scores", "policy", model="predictions.fraudscore"),
            Item("Segments", "bubble_chart", model="predictions.segmentscore"),
            Item("Engagement", "bolt", model="predictions.engagementscore"),
            Item("Distribution", "bar_chart", url_name="admin:predictions_distribution", permissions=("predictions.view_scoringrun",)),
            Item("What if", "psychology_alt", url_name="admin:predictions_what_if", permissions=WHAT_IF_PERMISSIONS),
            Item("Models", "deployed_code", model="predictions.modelversion"),
            Item("Promotions", "upgrade", model="predictions.promotionrequest", badge="promotions"),
        ),
    ),
    (
        "Rewards",
        (
            Item("Approvals", "inbox", url_name="admin:rewards_approvals", permissions=("rewards.approve_decision",), badge="approvals"),
            Item("Rules", "rule", model="rewards.rewardrule"),
            Item("Earning rules", "stars", model="rewards.earningrule"),
            Item("Decisions", "redeem", model="rewards.rewarddecision"),
            Item("Budgets", "savings", model="rewards.budgetaccount"),
        ),
    ),
    (
        "Wallet",
        (
            Item("Ledger", "receipt_long", model="wallet.entry"),
            Item("Balances", "account_balance_wallet", model="wallet.account"),
            Item("Bonuses", "featured_seasonal_and_gifts", model="wallet.bonusgrant"),
            Item("Bonus templates", "library_books", model="wallet.bonustemplate"),
            Item("Contribution tables", "balance", model="wallet.contributiontable"),
            Item("Bonus funnel", "filter_alt", url_name="admin:wallet_bonus_funnel", permissions=("wallet.view_bonusgrant",)),
            Item("Bonus voids", "block", model="wallet.voidrequest", badge="voids"),
            Item("Pay-outs", "send_money", model="wallet.payoutinstruction", badge="failed_payouts"),
            Item("Points in lots", "layers", model="wallet.lot"),
            Item("Points policies", "event_repeat", model="wallet.pointspolicy"),
            Item("Catalogue", "storefront", model="wallet.catalogueitem"),
            Item("Redemptions", "shopping_bag", model="wallet.redemption", badge="redemptions"),
            Item("Liability", "account_balance", url_name="admin:wallet_liability", permissions=("wallet.view_liability",)),
            Item("Adjustments", "tune", model="wallet.adjustmentrequest", badge="adjustments"),
        ),
    ),
    (
        "Risk",
        (
            Item("Reviews", "flag", model="fraud.reviewflag", badge="reviews"),
            Item("Abuse scores", "gpp_maybe", model="fraud.abuseprofile"),
            Item("Signals", "sensors", model="fraud.abusesignal"),
            Item("Wallet flags", "report_problem", model="wallet.walletflag"),
        ),
    ),
    (
        "Protection",
        (
            Item("Consent and harm", "health_and_safety", model="players.protection"),
            Item("Exclusions", "block", model="players.exclusion"),
            Item("Deposit limits", "speed", model="players.depositlimit"),
            Item("Markets", "public", model="players.jurisdiction"),
        ),
    ),
    (
        "Imports",
        (
            Item("Imports", "upload_file", model="players.importjob"),
            Item("Quarantine", "report", model="players.quarantinedrow", badge="quarantine"),
            Item("Operator feeds", "cloud_sync", model="players.feedstate"),
            Item("Column mappings", "table_convert", model="players.importmapping"),
        ),
    ),
    (
        "Jobs",
        (
            Item("Runs", "play_circle", model="common.jobrun", badge="failed_jobs"),
            Item("Schedule", "schedule", model="django_celery_beat.periodictask"),
        ),
    ),
    (
        "Settings",
        (
            Item("Thresholds", "settings", model="constance.config"),
            Item("Audit trail", "history", model="common.auditevent"),
            Item("API clients", "key", model="common.apiclient"),
            Item("Staff", "badge", model="auth.user"),
            Item("Roles", "admin_panel_settings", model="auth.group"),
        ),
    ),
)

# What the small numbers in the menu count: (table, condition). All conditions have an index or a small table behind them.
BADGES: dict[str, tuple[str, str, str]] = {
    "approvals": ("rewards.RewardDecision", "status", "PENDING"),
    "clearances": ("players.VipClearance", "status", "REQUESTED"),
    "redemptions": ("wallet.Redemption", "status", "ORDERED"),
    "adjustments": ("wallet.AdjustmentRequest", "status", "PENDING"),
    "voids": ("wallet.VoidRequest", "status", "PENDING"),
    "promotions": ("predictions.PromotionRequest", "status", "PENDING"),
    "reviews": ("fraud.ReviewFlag", "status", "OPEN"),
    "quarantine": ("players.QuarantinedRow", "status", "OPEN"),
    "failed_payouts": ("wallet.PayoutInstruction", "status", "FAILED"),
    "failed_jobs": ("common.JobRun", "status", "FAILED"),
}


def registered_admin(label: str) -> admin.ModelAdmin | None:
    """The admin of "app.model" if that model exists and is registered."""
    for model, model_admin in admin.site._registry.items():
        if model._meta.label_lower == label:
            return model_admin
    return None


def resolve(item: Item, request: HttpRequest) -> str | None:
    """The address of an item for this person, or None when the page is not there or not theirs to see."""
    if item.model:
        model_admin = registered_admin(item.model)
        if model_admin is None or not model_admin.has_view_or_change_permission(request):
            return None
        name = f"admin:{item.model.replace('.', '_')}_changelist"
    else:
        if not request.user.has_perms(item.permissions):
            return None
        name = item.url_name
    try:
        return reverse(name) + item.query
    except NoReverseMatch:
        return None


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's navigation structure, already filtered by what the person may open."""
    counts = badge_counts()
    groups: list[dict[str, Any]] = []
    for title, items in MENU:
        shown = []
        for item in items:
            link = resolve(item, request)
            if link is None:
                continue
            entry: dict[str, Any] = {"title": item.title, "icon": item.icon, "link": link, "active": False}
            if item.badge and counts.get(item.badge):
                count = counts[item.badge]
                entry["badge"] = f"{count}" if count <= _BADGE_LIMIT else f"{_BADGE_LIMIT}+"
                entry["badge_variant"] = "danger" if item.badge in ("failed_jobs", "failed_payouts") else "warning"
            shown.append(entry)
        if shown:
            groups.append({"title": title, "items": shown, "separator": False})
    _mark_active(request.path, [entry for group in groups for entry in group["items"]])
    return groups


def _mark_active(path: str, entries: list[dict[str, Any]]) -> None:
    """The entry whose address covers most of `path` is where the person is; the start page only when it is the address itself."""
    start = reverse("admin:index")
    around = [entry for entry in entries if path.startswith(entry["link"].partition("?")[0]) and (entry["link"] != start or path == start)]
    if around:
        max(around, key=lambda entry: len(entry["link"]))["active"] = True


def badge_counts() -> dict[str, int]:
    """Open work per badge, counted no further than 1,000 and remembered for half a minute."""
    counts = cache.get("navigation:badges")
    if counts is None:
        counts = {name: _bounded_count(*spec) for name, spec in BADGES.items()}
        cache.set("navigation:badges", counts, _BADGE_SECONDS)
    return counts


def _bounded_count(label: str, field: str, value: str) -> int:
    try:
        model = apps.get_model(label)
    except LookupError:
        return 0
    rows = model._default_manager.filter(**{field: value})
    if label == "common.JobRun":  # as on the start page: whole runs, and not for ever
        rows = rows.filter(parent__isnull=True, created_at__gte=utc_now() - _FAILURES_SHOWN)
    return rows.order_by()[: _BADGE_LIMIT + 1].count()


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Command palette: menu pages by name, players by id or username (and by e-mail for those who may see it)."""
    typed = request.GET.get("s", term).strip()  # unfold hands the term in lower case, player ids are case-sensitive
    return [*_matching_pages(request, typed.lower()), *_matching_players(request, typed)]


def _matching_pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    for title, items in MENU:
        for item in items:
            if term in f"{title} {item.title}".lower() and not _found_by_theme(item, term) and (link := resolve(item, request)):
                yield SearchResult(title=item.title, description=title or "Start page", link=link, icon=item.icon)


def _found_by_theme(item: Item, term: str) -> bool:
    """Whether unfold's own search (by model and app names) lists the page already."""
    model_admin = registered_admin(item.model)
    if model_admin is None:
        return False
    options = model_admin.model._meta
    return term in str(options.verbose_name_plural).lower() or term in str(options.app_config.verbose_name).lower()


def _matching_players(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    model_admin = registered_admin("players.player")
    if model_admin is None or not model_admin.has_view_permission(request):
        return
    found, _ = model_admin.get_search_results(request, model_admin.model._default_manager.all(), term)
    for player in found.order_by("external_id").only("id", "external_id", "country", "segment")[:_PALETTE_PLAYERS]:
        yield SearchResult(
            title=player.external_id,
            description=f"Player · {player.get_segment_display()} · {player.country or 'no country'}",
            link=reverse("admin:players_player_change", args=[player.pk]),
            icon="person",
        )
