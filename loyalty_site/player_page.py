"""Everything about one player on one page, gathered from every app, each part only for those who may see it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.utils.safestring import SafeString

from fraud.admin.parts import signal_card
from fraud.models import AbuseProfile, Band, ReviewFlag, SignalKind
from loyalty_site.charts import line_chart
from loyalty_site.common.admin.display import DASH, amount, badge, signed_amount
from loyalty_site.common.models import AuditEvent
from loyalty_site.common.money import from_minor
from loyalty_site.player_bonuses import Group, bonus_groups, bonus_lines
from loyalty_site.player_timeline import DECISION_TONES, Line, admin_link, merged_timeline
from players.admin.player import SEGMENT_TONES, STATUS_TONES
from players.models import DepositLimit, Exclusion, Player, PlayerDay, PlayerMetrics, Protection, Segment
from players.selectors import pack_in_force
from predictions.admin.player_panel import panel as predictions_panel
from rewards.admin.tiers.panel import tier_panel
from rewards.models import RewardDecision
from wallet.models import Entry
from wallet.services import balances

_CHART_DAYS = 90
_LINES = 40
_REWARDS = 25
_ENTRIES = 15
_EVENTS = 20

BAND_TONES: dict[str, str] = {Band.NONE: "good", Band.REDUCED: "warn", Band.WAGERING: "warn", Band.BLOCKED: "bad"}
_VERDICT_TONES = {"PASS": "good", "REFUSE": "bad", "ADJUST": "warn", "SKIP": ""}

Viewer = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class Banner:
    """Something nobody may overlook about this player."""

    tone: str
    icon: str
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Sight:
    """Which parts of the page a person sees."""

    pii: bool
    activity: bool
    wallet: bool
    rewards: bool
    scores: bool
    signals: bool
    reviews: bool
    protection: bool
    audit: bool
    tier: bool

    @classmethod
    def of(cls, user: Viewer) -> "Sight":
        can = user.has_perm  # type: ignore[union-attr]
        return cls(
            pii=can("players.view_player_pii"),
            activity=can("players.view_playerday"),
            wallet=can("wallet.view_entry"),
            rewards=can("rewards.view_rewarddecision"),
            scores=can("fraud.view_abuseprofile"),
            signals=can("fraud.view_abusesignal"),
            reviews=can("fraud.view_reviewflag"),
            protection=can("players.view_protection"),
            audit=can("common.view_auditevent"),
            tier=can("players.view_playertier"),
        )


@dataclass
class PlayerPage:
    """The page's contents; parts a person may not see stay empty."""

    player: Player
    sight: Sight
    badges: list[SafeString] = field(default_factory=list)
    banners: list[Banner] = field(default_factory=list)
    facts: list[tuple[str, Any]] = field(default_factory=list)
    metric_groups: list[tuple[str, list[tuple[str, Any]]]] = field(default_factory=list)
    metrics: PlayerMetrics | None = None
    chart: dict[str, str] | None = None
    balances: list[tuple[str, str]] = field(default_factory=list)
    bonuses: list[Group] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    rewards: list[dict[str, Any]] = field(default_factory=list)
    abuse: AbuseProfile | None = None
    abuse_badge: SafeString | str = ""
    contributions: list[dict[str, Any]] = field(default_factory=list)
    signals: list[Any] = field(default_factory=list)
    reviews: list[ReviewFlag] = field(default_factory=list)
    protection: list[tuple[str, Any]] = field(default_factory=list)
    exclusions: list[dict[str, Any]] = field(default_factory=list)
    limits: list[DepositLimit] = field(default_factory=list)
    market: list[tuple[str, Any]] = field(default_factory=list)
    timeline: list[Line] = field(default_factory=list)
    audit: list[AuditEvent] = field(default_factory=list)
    tier: dict[str, Any] = field(default_factory=dict)
    predictions: dict[str, Any] = field(default_factory=dict)


def build_page(player: Player, user: Viewer, now: datetime) -> PlayerPage:
    """Gather the page of `player` for `user` as of `now`. About twenty small queries, all by player."""
    sight = Sight.of(user)
    page = PlayerPage(player, sight, metrics=PlayerMetrics.objects.filter(player=player).first())
    page.badges = _badges(player)
    page.facts = _facts(player, sight, now)
    if sight.activity:
        page.metric_groups = _metric_groups(player, page.metrics)
        page.chart = _chart(player, now)
    if sight.protection:
        _add_protection(page, now)
    if sight.wallet:
        _add_wallet(page, user, now)
    if sight.tier:
        page.tier = tier_panel(player.pk, now)
    page.predictions = predictions_panel(player, user)
    if sight.rewards:
        page.rewards = [_reward(decision) for decision in _decisions(player)]
    if sight.scores:
        _add_scores(page)
    if sight.signals:
        page.signals = _signals(player)
    if sight.reviews:
        page.reviews = list(player.review_flags.select_related("flagged_by", "closed_by").order_by("-id")[:10])
        if any(one.status == ReviewFlag.Status.OPEN for one in page.reviews):
            page.banners.append(Banner("info", "flag", "Waits for a review", page.reviews[0].reason))
    if sight.audit:
        events = AuditEvent.objects.filter(subject_type="players.player", subject_id=str(player.pk))
        page.audit = list(events.select_related("actor").order_by("-id")[:_EVENTS])
    page.timeline = merged_timeline(
        player,
        limit=_LINES,
        activity=sight.activity,
        exclusions=sight.protection,
        rewards=page.rewards,
        reviews=page.reviews,
        audit=page.audit,
        bonuses=bonus_lines(player, _LINES) if sight.wallet else [],
    )
    return page


def _badges(player: Player) -> list[SafeString]:
    found = [
        badge(player.get_status_display(), STATUS_TONES.get(Player.Status(player.status), "")),
        badge(player.get_segment_display(), SEGMENT_TONES.get(Segment(player.segment), "")),
    ]
    if player.tier:
        found.append(badge(player.tier.name, color=player.tier.color))
    found.append(badge(f"Risk {player.risk_score}", "bad" if player.risk_score > 80 else "warn" if player.risk_score > 30 else ""))
    return found


def _facts(player: Player, sight: Sight, now: datetime) -> list[tuple[str, Any]]:
    hidden = badge("hidden", title="Your role does not show names, e-mail addresses and birth dates.")

    def person(value: Any) -> Any:
        return (value or DASH) if sight.pii else hidden

    facts = [
        ("Player id", player.external_id),
        ("Username", person(player.username)),
        ("Name", person(f"{player.first_name} {player.last_name}".strip())),
        ("E-mail", person(player.email)),
        ("Birth date", person(player.birth_date and f"{player.birth_date:%Y-%m-%d}")),
        ("Country", player.country or DASH),
        ("Market", str(player.jurisdiction) if player.jurisdiction else "none: only the rules of the market * apply, if there are any"),
        ("Currency", player.currency),
        ("Language", player.language or DASH),
        (
            "Registered",
            f"{player.registered_at:%Y-%m-%d}, {(now - player.registered_at).days:,} days ago" if player.registered_at else DASH,
        ),
        ("Came by", player.acquisition_channel or DASH),
        ("Last change", f"{player.updated_at:%Y-%m-%d %H:%M}"),
    ]
    if sight.pii:
        facts += [(str(name), str(value)) for name, value in sorted(player.attributes.items())]
    return facts


def _metric_groups(player: Player, metrics: PlayerMetrics | None) -> list[tuple[str, list[tuple[str, Any]]]]:
    if metrics is None:
        return []
    code = player.currency

    def money(value: Decimal) -> str:
        return amount(value, code)

    return [
        (
            "Money, all time",
            [
                ("Total deposited", money(metrics.total_deposited)),
                ("Total wagered", money(metrics.total_wagered)),
                ("Total won", money(metrics.total_won)),
                ("Net result of the player", signed_amount(metrics.net_pnl, code)),
                ("House edge contribution", money(metrics.house_edge_contribution)),
                ("Wagered with bonus money", money(metrics.bonus_wagered)),
            ],
        ),
        (
            "Behaviour",
            [
                ("Sessions", f"{metrics.sessions:,}"),
                ("Playtime", f"{metrics.playtime_hours:,.1f} h"),
                ("Average session", f"{metrics.avg_session_duration:,.1f} min"),
                ("Bets", f"{metrics.total_bets:,}"),
                ("Average bet", money(metrics.avg_bet_size)),
                ("Active days", f"{metrics.active_days:,}"),
            ],
        ),
        (
            "Risk",
            [
                ("Won per unit wagered", f"{metrics.win_loss_ratio:.3f}"),
                ("Volatility", f"{metrics.volatility_score:,.2f}"),
                ("Abuse score", f"{metrics.bonus_abuse_score:.1f}"),
            ],
        ),
        (
            "Lately",
            [
                ("Deposited, 30 days", money(metrics.deposited_30d)),
                ("Wagered, 30 days", money(metrics.wagered_30d)),
                ("Wagered, 7 days", money(metrics.wagered_7d)),
                ("Last play", metrics.last_play_on or "never"),
                ("Last deposit", metrics.last_deposit_on or "never"),
            ],
        ),
    ]


def _chart(player: Player, now: datetime) -> dict[str, str] | None:
    last = now.date()
    days = [last - timedelta(days=back) for back in range(_CHART_DAYS - 1, -1, -1)]
    rows = {row.day: row for row in PlayerDay.objects.filter(player=player, day__gte=days[0], day__lte=last)}
    if not rows:
        return None
    zero = Decimal(0)
    return line_chart(
        days,
        [
            ("Stakes", "slate", [rows[day].stake if day in rows else zero for day in days]),
            ("Deposits", "blue", [rows[day].deposits if day in rows else zero for day in days]),
            ("Net result of the player", "teal", [rows[day].payout - rows[day].stake if day in rows else zero for day in days]),
        ],
    )


def _add_protection(page: PlayerPage, now: datetime) -> None:
    player = page.player
    page.exclusions = [
        {"row": one, "holds": one.starts_at <= now and (one.ends_at is None or one.ends_at > now)}
        for one in player.exclusions.select_related("recorded_by").order_by("-starts_at")[:10]
    ]
    for entry in page.exclusions:
        if entry["holds"]:
            one: Exclusion = entry["row"]
            until = f"until {one.ends_at:%Y-%m-%d %H:%M} UTC" if one.ends_at else "without end"
            page.banners.append(
                Banner("bad", "block", f"{one.get_kind_display()} {until}", "No rewards, no offers, no contact about play.")
            )
    state = Protection.objects.filter(player=player).first() or Protection(player=player)
    if state.harm_flag:
        page.banners.append(
            Banner("bad", "health_and_safety", "Harm flag", state.harm_note or "No bonus and no marketing while it stands.")
        )
    if player.status != Player.Status.ACTIVE:
        page.banners.append(Banner("warn", "person_off", f"The account is {player.get_status_display().lower()}"))
    page.protection = [
        ("Marketing consent", _yes(state.marketing_consent, state.marketing_consent_at)),
        ("Profiling consent", _yes(state.profiling_consent, state.profiling_consent_at)),
        ("Harm flag", badge("Set", "bad") if state.harm_flag else badge("Not set", "good")),
    ]
    page.limits = list(player.deposit_limits.order_by("-starts_at")[:10])
    pack = pack_in_force(player.jurisdiction_id, now.date())
    if pack:
        page.market = [
            ("Bonuses allowed", "yes" if pack.bonuses_allowed else badge("no", "bad")),
            ("Offers need marketing consent", "yes" if pack.offers_need_marketing_consent else "no"),
            ("Scores need profiling consent", "yes" if pack.scores_need_profiling_consent else "no"),
            ("Most wagering", f"{pack.max_wagering_multiple.normalize():f} x" if pack.max_wagering_multiple is not None else "no limit"),
            ("Largest bonus", amount(pack.max_bonus_amount, player.currency) if pack.max_bonus_amount is not None else "no limit"),
            ("Youngest age for a bonus", pack.min_bonus_age),
        ]


def _yes(given: bool, at: datetime | None) -> str:
    when = f", {at:%Y-%m-%d}" if at else ""
    return f"{'given' if given else 'not given'}{when}"


def _add_wallet(page: PlayerPage, user: Viewer, now: datetime) -> None:
    page.balances = [
        (_unit_name(one.unit), amount(one.amount, one.currency) if one.currency else f"{one.amount:,}") for one in balances(page.player.pk)
    ]
    page.bonuses = bonus_groups(page.player, user, now)
    entries = Entry.objects.filter(account__player=page.player).select_related("account", "actor").order_by("-id")[:_ENTRIES]
    page.entries = [_entry(one) for one in entries]


def _unit_name(unit: str) -> str:
    return {"LP": "Loyalty points", "RP": "Reward points", "BONUS": "Bonus money", "TICKET": "Tickets"}.get(unit, unit)


def _entry(entry: Entry) -> dict[str, Any]:
    unit = entry.account.currency or entry.account.unit
    return {
        "row": entry,
        "amount": signed_amount(from_minor(entry.amount, unit), unit),
        "after": amount(from_minor(entry.balance_after, unit), unit),
        "what": entry.reason or entry.get_house_display(),
    }


def _decisions(player: Player) -> QuerySet[RewardDecision]:
    return (
        RewardDecision.objects.filter(player=player)
        .select_related("rule", "rule_version", "maker", "first_approver")
        .order_by("-proposed_at", "-id")[:_REWARDS]
    )


def _reward(decision: RewardDecision) -> dict[str, Any]:
    verdicts = [
        {
            "name": str(verdict.get("name", "")).replace("_", " "),
            "result": badge(str(verdict.get("result", "")).lower(), _VERDICT_TONES.get(str(verdict.get("result", "")), "")),
            "reason": verdict.get("reason", ""),
        }
        for verdict in decision.verdicts
    ]
    refusal = next((one.get("reason", "") for one in decision.verdicts if one.get("name") == decision.refused_by), "")
    return {
        "row": decision,
        "title": decision.rule.name if decision.rule else f"{decision.get_source_display()} grant",
        "version": decision.rule_version.number if decision.rule_version else None,
        "amount": amount(decision.amount if decision.amount_minor else decision.proposed_amount, decision.money_unit),
        "status": badge(decision.get_status_display(), DECISION_TONES.get(decision.status, "")),
        "why": refusal or decision.error or decision.reason,
        "verdicts": verdicts,
        "link": admin_link("rewards_rewarddecision", decision.pk),
    }


def _add_scores(page: PlayerPage) -> None:
    page.abuse = AbuseProfile.objects.filter(player=page.player).first()
    if page.abuse is None:
        return
    page.abuse_badge = badge(page.abuse.get_band_display(), BAND_TONES.get(page.abuse.band, ""))
    page.contributions = [
        {"name": SignalKind(one["kind"]).label if one.get("kind") in SignalKind.values else one.get("kind", ""), **one}
        for one in page.abuse.contributions
    ]
    if page.abuse.band == Band.BLOCKED:
        page.banners.append(Banner("bad", "gpp_bad", "Bonuses are blocked", f"Abuse score {page.abuse.score:.0f} of 100."))


def _signals(player: Player) -> list[dict[str, Any]]:
    """Signals as the risk pages show them: one sentence, facts, and the table behind it."""
    return [signal_card(signal, player.currency) for signal in player.abuse_signals.order_by("-seen_at")[:_LINES]]
