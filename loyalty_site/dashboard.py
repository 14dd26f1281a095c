"""The start page: the day in figures against the week before, what waits for this person, and how the players are spread."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from constance import config
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse

from loyalty_site import figures
from loyalty_site.charts import bar_chart, line_chart
from loyalty_site.common.admin.display import amount, duration
from loyalty_site.common.clock import utc_now
from loyalty_site.common.models import JobRun
from loyalty_site.figures import DayTotals, IssuedTotals, Population, Workload
from loyalty_site.navigation import Item, resolve
from players.models import Segment
from rewards.models import DecisionStatus

_FRESH_SECONDS = 60
_POPULATION_SECONDS = 300
_DAYS = 30
_WEEK = 7
REWARD_TILES = ("Rewards issued today", "Bonus money issued today")

# The stacked chart shows outcomes, not every step of the pipeline.
OUTCOMES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Issued", "teal", (DecisionStatus.ISSUED,)),
    ("Waiting", "amber", (DecisionStatus.PENDING, DecisionStatus.PROPOSED, DecisionStatus.CHECKED)),
    ("Approved", "blue", (DecisionStatus.APPROVED, DecisionStatus.AUTO_APPROVED, DecisionStatus.ISSUING)),
    ("Refused", "slate", (DecisionStatus.REFUSED, DecisionStatus.REJECTED, DecisionStatus.LAPSED)),
    ("Failed or revoked", "red", (DecisionStatus.ISSUE_FAILED, DecisionStatus.REVOKED)),
)


@dataclass(frozen=True)
class Tile:
    """One figure. `tone` colours the comparison: good, bad or nothing."""

    label: str
    figure: str
    unit: str = ""
    compare: str = ""
    tone: str = ""
    link: str = ""


@dataclass(frozen=True)
class Todo:
    """One thing that waits: how many, what, and where to do it."""

    count: int
    text: str
    detail: str
    link: str
    icon: str
    tone: str = ""


def start_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's dashboard callback."""
    now = utc_now()
    codes = _currencies()
    currency = request.GET.get("currency", "")
    if currency not in codes:
        currency = codes[0] if codes else config.BASE_CURRENCY
    context |= {
        "title": "Today",
        "now": now,
        "currency": currency,
        "currencies": codes,
        "sees_players": request.user.has_perm("players.view_player"),
        "sees_rewards": request.user.has_perm("rewards.view_rewarddecision"),
        "links": _links(request),
    }
    day = figures.reference_day(now.date()) if context["sees_players"] else None
    work = _cached(f"workload:{currency}", lambda: figures.workload(currency, now), _FRESH_SECONDS)
    context["todos"] = todos(request, work, currency, now)
    context["night"] = last_night(request, now)
    context["is_empty"] = not codes
    if day is None:
        return context
    context |= {"day": day, "is_today": day == now.date()}
    context |= _cached(f"day:{currency}:{day}:{now.date()}", lambda: _money(currency, day, now.date()), _FRESH_SECONDS)
    context |= _cached(f"population:{currency}:{now.date()}", lambda: _spread(currency, now.date()), _POPULATION_SECONDS)
    if not context["sees_rewards"]:
        context["tiles"] = [tile for tile in context["tiles"] if tile.label not in REWARD_TILES]
    if bonuses := resolve(Item("", "", model="wallet.bonusgrant"), request):
        context["tiles"] = [*context["tiles"], _liability(work, currency, bonuses)]
    return context


def _liability(work: Workload, currency: str, link: str) -> Tile:
    """What players hold in open bonuses now, locked winnings included."""
    figure = amount(work.bonus_liability, currency).removesuffix(f" {currency}")
    return Tile(
        "Bonus liability",
        figure,
        currency,
        f"now, on {work.open_bonuses:,} open bonus{'' if work.open_bonuses == 1 else 'es'}",
        link=f"{link}?state=open",
    )


def _cached(key: str, compute: Any, seconds: int) -> Any:
    return cache.get_or_set(f"dashboard:{key}", compute, seconds)


def _currencies() -> list[str]:
    base = config.BASE_CURRENCY
    return _cached(f"currencies:{base}", lambda: figures.currencies(base), _FRESH_SECONDS)


def _links(request: HttpRequest) -> dict[str, str | None]:
    pages = {
        "players": Item("", "", model="players.player"),
        "imports": Item("", "", model="players.importjob"),
        "runs": Item("", "", model="common.jobrun"),
    }
    return {name: resolve(item, request) for name, item in pages.items()}


def _money(currency: str, day: date, today: date) -> dict[str, Any]:
    """Tiles and day charts of one currency: activity up to `day`, the latest with any; rewards up to `today`."""
    days = [day - timedelta(days=back) for back in range(_DAYS - 1, -1, -1)]
    totals = figures.day_totals(currency, days[0], day)
    reward_days = [today - timedelta(days=back) for back in range(_DAYS - 1, -1, -1)]
    issued = figures.issued_totals(currency, today - timedelta(days=_WEEK), today)
    outcomes = figures.rewards_by_status(currency, reward_days[0], today)
    return {
        "tiles": tiles(currency, day, totals, today, issued),
        "money_chart": line_chart(
            days,
            [
                ("GGR", "teal", [totals.get(one, DayTotals()).ggr for one in days]),
                ("Deposits", "blue", [totals.get(one, DayTotals()).deposits for one in days]),
            ],
        ),
        "reward_chart": bar_chart(
            [f"{one:%d %b}" for one in reward_days],
            [
                (label, color, [sum(outcomes.get(one, {}).get(state, 0) for state in states) for one in reward_days])
                for label, color, states in OUTCOMES
            ],
            stacked=True,
        )
        if outcomes
        else None,
    }


def tiles(currency: str, day: date, totals: dict[date, DayTotals], today: date, issued: dict[date, IssuedTotals]) -> list[Tile]:
    """Activity of `day` and rewards of `today`, each against the mean of the seven days before (days without any count as zero).

    A day that is still running is below the mean of whole days for most of its hours; that is no bad news, so it is not coloured.
    """
    back = range(1, _WEEK + 1)
    now, week = totals.get(day, DayTotals()), [totals.get(day - timedelta(days=one), DayTotals()) for one in back]
    given, given_week = issued.get(today, IssuedTotals()), [issued.get(today - timedelta(days=one), IssuedTotals()) for one in back]

    running = day == today

    def money(label: str, value: Decimal, past: list[Decimal], *, more_is_good: bool | None) -> Tile:
        compare, tone = comparison(value, past, currency, more_is_good=more_is_good, running=running)
        return Tile(label, amount(value, currency).removesuffix(f" {currency}"), currency, compare, tone)

    def number(label: str, value: int, past: list[int], *, more_is_good: bool | None) -> Tile:
        compare, tone = comparison(Decimal(value), [Decimal(one) for one in past], "", more_is_good=more_is_good, running=running)
        return Tile(label, f"{value:,}", "", compare, tone)

    return [
        number("Active players", now.active_players, [one.active_players for one in week], more_is_good=True),
        money("Deposits", now.deposits, [one.deposits for one in week], more_is_good=True),
        money("Stakes", now.stake, [one.stake for one in week], more_is_good=True),
        money("GGR", now.ggr, [one.ggr for one in week], more_is_good=True),
        number(REWARD_TILES[0], given.count, [one.count for one in given_week], more_is_good=None),
        money(REWARD_TILES[1], given.bonus_money, [one.bonus_money for one in given_week], more_is_good=None),
    ]


def comparison(value: Decimal, past: list[Decimal], unit: str, *, more_is_good: bool | None, running: bool = False) -> tuple[str, str]:
    """("+12 % on the 7-day mean of 340.00", tone). Without a meaningful base, or below it on a `running` day, the mean alone is named."""
    mean = sum(past, Decimal(0)) / len(past)
    shown = amount(mean, unit).removesuffix(f" {unit}") if unit else f"{mean:,.1f}"
    if running and value < mean:
        return f"7-day mean {shown}", ""
    if mean <= 0 or value < 0:  # a percentage would mislead
        return f"7-day mean {shown}", "bad" if more_is_good and value < mean else ""
    change = (value - mean) / mean * 100
    tone = "" if more_is_good is None or abs(change) < 1 else "good" if (change > 0) == more_is_good else "bad"
    return f"{change:+.0f} % on 7-day mean {shown}", tone


def _spread(currency: str, today: date) -> dict[str, Any]:
    people: Population = figures.population(currency, today)
    widest = max((count for _, _, count in people.tiers), default=0)
    order = [Segment.VIP, Segment.WINNING, Segment.BREAKEVEN, Segment.LOSING, Segment.NEW]
    return {
        "population": people,
        "segment_rows": [
            {
                "name": one.label,
                "value": one.value,
                "count": people.segments.get(one, 0),
                "share": _share(people.segments.get(one, 0), people.players),
            }
            for one in order
        ],
        "tier_rows": [
            {"name": name, "color": color, "count": count, "share": _share(count, people.players), "width": _share(count, widest)}
            for name, color, count in people.tiers
        ],
        "idle_chart": bar_chart(
            [name for name, _ in people.inactivity], [("Players", "violet", [count for _, count in people.inactivity])], horizontal=True
        ),
    }


def _share(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


def todos(request: HttpRequest, work: Workload, currency: str, now: datetime) -> list[Todo]:
    """What waits for this person: only what the permissions let them act on or follow up, most urgent first."""
    decisions = Item("", "", model="rewards.rewarddecision")
    waited = f"oldest since {duration(now - work.oldest_pending_at)}" if work.oldest_pending_at else ""
    approvals = Item("", "", url_name="admin:rewards_approvals", permissions=("rewards.approve_decision",))
    candidates = [
        (
            work.failed_issues,
            "rewards could not be paid",
            "tried again by the next run",
            decisions,
            "?status__exact=ISSUE_FAILED",
            "error",
            "bad",
        ),
        (
            work.failed_payouts,
            "pay-outs were given up",
            "the platform did not take them; send them again",
            Item("", "", model="wallet.payoutinstruction"),
            "?status__exact=FAILED",
            "money_off",
            "bad",
        ),
        (
            work.failed_runs,
            "failed job runs",
            "in the last 7 days",
            Item("", "", model="common.jobrun"),
            "?status__exact=FAILED",
            "error",
            "bad",
        ),
        (
            work.pending_rewards,
            "rewards wait for approval",
            ", ".join(filter(None, [amount(work.pending_reward_sum, currency), waited])),
            approvals,
            "",
            "inbox",
            "warn",
        ),
        (
            work.pending_adjustments,
            "wallet adjustments wait for a second person",
            "",
            Item("", "", model="wallet.adjustmentrequest", permissions=("wallet.approve_adjustment",)),
            "?status__exact=PENDING",
            "tune",
            "warn",
        ),
        (
            work.pending_voids,
            "bonuses wait to be voided or kept",
            "asked for by a colleague",
            Item("", "", model="wallet.voidrequest", permissions=("wallet.approve_void",)),
            "?status__exact=PENDING",
            "block",
            "warn",
        ),
        (work.open_reviews, "players wait for a review", "", Item("", "", model="fraud.reviewflag"), "?status__exact=OPEN", "flag", "warn"),
        (
            work.quarantined_rows,
            "imported rows are in quarantine",
            "correct and replay them",
            Item("", "", model="players.quarantinedrow"),
            "?status__exact=OPEN",
            "report",
            "warn",
        ),
        (
            work.expiring_bonuses,
            "bonuses end within 24 hours",
            amount(work.expiring_bonus_sum, currency),
            Item("", "", model="wallet.bonusgrant"),
            "",
            "hourglass_bottom",
            "",
        ),
    ]
    found = []
    for count, text, detail, item, query, icon, tone in candidates:
        if not count or not request.user.has_perms(item.permissions):
            continue
        link = resolve(item, request) or (resolve(decisions, request) if item is approvals else None)
        if link:
            found.append(Todo(count, text, detail, link + query, icon, tone))
    return found


def last_night(request: HttpRequest, now: datetime) -> dict[str, Any] | None:
    """The last nightly run and its stages, for those who may see runs."""
    if not request.user.has_perm("common.view_jobrun"):
        return None
    run = JobRun.objects.filter(name="nightly", parent__isnull=True).order_by("-id").first()
    if run is None:
        return {"run": None}
    end = run.finished_at or now
    return {
        "run": run,
        "link": reverse("admin:common_jobrun_change", args=[run.pk]),
        "took": duration(end - run.started_at) if run.started_at else "",
        "ago": duration(now - end),
        "late": run.status == JobRun.Status.SUCCEEDED and now - end > timedelta(hours=26),
        "stages": list(run.stages.order_by("id")),
    }
