"""The bonus funnel: what became of the bonuses that were offered in a period, and what they cost.

Bonuses are followed by the day on which they were offered (UTC), whatever happened to them since: a line therefore always adds up, and
a young period has more that is still open. Money is of one currency. One statement reads the grants of the period through the index on
`offered_at` and sums by group and status; a second one reads the play of the same period for GGR.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import TextChoices

from loyalty_site.common.clock import day_start
from loyalty_site.common.money import from_minor
from players.models import Segment

from .models import Product

MOST_DAYS = 1_100
EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)


class Group(TextChoices):
    TEMPLATE = "template", "Template"
    PERIOD = "period", "Period"
    MARKET = "market", "Market"
    SEGMENT = "segment", "Segment"
    PRODUCT = "product", "Product"


# counts and sums (minor units) that a line has, by the condition on the grant
_MEASURES: dict[str, tuple[str, str]] = {
    "offered": ("true", "grants.principal"),
    "waiting": ("grants.status = 'OFFERED'", "grants.principal"),
    "queued": ("grants.status = 'QUEUED'", "grants.principal"),
    "activated": ("grants.activated_at IS NOT NULL", "grants.principal"),
    "wagering_begun": ("grants.wagered > 0", "grants.principal"),
    "active": ("grants.status IN ('ACTIVE', 'WAGERING', 'PAUSED')", "grants.balance + grants.locked"),
    "completed": ("grants.status = 'COMPLETED'", "grants.principal"),
    "expired_unclaimed": ("grants.status = 'EXPIRED_UNCLAIMED'", "grants.principal"),
    "expired": ("grants.status = 'EXPIRED'", "grants.principal"),
    "forfeited": ("grants.status = 'FORFEITED'", "grants.principal"),
    "lost": ("grants.status = 'LOST'", "grants.principal"),
    "voided": ("grants.status = 'VOIDED'", "grants.principal"),
    "reversed": ("grants.status = 'REVERSED'", "grants.principal"),
    "turned_real": ("grants.released > 0 AND grants.wagering_required > 0", "grants.released"),
    "free": ("grants.released > 0 AND grants.wagering_required = 0", "grants.released"),
    "kept": ("grants.kept > 0", "grants.kept"),
}
_GROUP_SQL = {
    Group.TEMPLATE: "grants.template_version_id::text",
    Group.PERIOD: "to_char(date_trunc(%(step)s, grants.offered_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD')",
    Group.MARKET: "market.code",
    Group.SEGMENT: "player.segment",
    Group.PRODUCT: "grants.product",
}


class FunnelError(ValueError):
    """A question that the report cannot answer; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many bonuses, and how much money (units of the currency)."""

    bonuses: int = 0
    amount: Decimal = Decimal(0)


_NONE = Count()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the funnel. `offered` counts every bonus of the line; the states from `waiting` to `reversed` (without `activated` and
    `wagering_begun`, which say how far it ever came) are where it stands now and add up to `offered`.

    Amounts are face values, but: `active` is what is left on open bonuses, `turned_real` what became cash by wagering, `free` what became
    cash with nothing to wager, `kept` what the house kept of completed ones by cap and sticky terms.
    """

    key: str
    label: str
    offered: Count = _NONE
    waiting: Count = _NONE
    queued: Count = _NONE
    activated: Count = _NONE
    wagering_begun: Count = _NONE
    active: Count = _NONE
    completed: Count = _NONE
    expired_unclaimed: Count = _NONE
    expired: Count = _NONE
    forfeited: Count = _NONE
    lost: Count = _NONE
    voided: Count = _NONE
    reversed: Count = _NONE
    turned_real: Count = _NONE
    free: Count = _NONE
    kept: Count = _NONE

    @property
    def cost(self) -> Decimal:
        """What the bonuses have cost so far: all of them that became cash."""
        return self.turned_real.amount + self.free.amount

    @property
    def cost_share(self) -> Decimal | None:
        """Cost in terms of the face value that was activated; None when nothing was."""
        return self.cost / self.activated.amount if self.activated.amount else None

    @property
    def completion_rate(self) -> Decimal | None:
        """Completed ones among the activated that have ended; None while none has."""
        ended = self.activated.bonuses - self.active.bonuses
        return Decimal(self.completed.bonuses) / ended if ended > 0 else None


MEASURES = tuple(_MEASURES)
STATES = tuple(name for name in MEASURES if name not in {"offered", "activated", "wagering_begun", "turned_real", "free", "kept"})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: days `first` to `last` (both included, UTC), one currency, how to group, and which bonuses."""

    first: date
    last: date
    currency: str
    group: Group = Group.TEMPLATE
    template: str = ""
    market: str = ""
    segment: str = ""

    def check(self) -> None:
        """Raises FunnelError for a period that is turned round, longer than three years or out of all sense."""
        for day in (self.first, self.last):
            if not EARLIEST <= day <= LATEST:
                raise FunnelError(f"the period has the day {day}; use days from {EARLIEST} to {LATEST}")
        if self.last < self.first:
            raise FunnelError(f"the period ends on {self.last} before it begins on {self.first}; swap the two")
        if (self.last - self.first).days >= MOST_DAYS:
            raise FunnelError(f"the period has more than {MOST_DAYS:,} days; ask for a shorter one")

    @property
    def step(self) -> str:
        """Length of a line when grouped by period: day, week or month, so that there are at most some forty lines."""
        days = (self.last - self.first).days + 1
        return "day" if days <= 31 else "week" if days <= 200 else "month"


@dataclass(frozen=True, slots=True)
class Funnel:
    """The answer. `ggr` is stake minus payout of the asked players in the same days, None when no play was measured."""

    question: Question
    total: Line
    lines: list[Line] = field(default_factory=list)
    ggr: Decimal | None = None

    @property
    def ngr(self) -> Decimal | None:
        """Net gaming revenue: GGR less what these bonuses cost."""
        return None if self.ggr is None else self.ggr - self.total.cost

    @property
    def cost_of_ngr(self) -> Decimal | None:
        """Cost as a share of NGR; None when NGR is unknown or not positive, where a share would mislead."""
        return self.total.cost / self.ngr if self.ngr is not None and self.ngr > 0 else None


def bonus_funnel(question: Question) -> Funnel:
    """Follow the bonuses offered in the period. Raises FunnelError."""
    question.check()
    rows = _sums(question)
    labels = _labels(question, [key for key, _ in rows])
    by_label: dict[tuple[str, str], Line] = {}
    for key, sums in rows:
        name = labels.get(key, (key or "", key or "none"))
        line = Line(key=name[0], label=name[1], **sums)
        by_label[name] = line if name not in by_label else added(by_label[name], line)
    lines = (
        sorted(by_label.values(), key=lambda line: line.key)
        if question.group == Group.PERIOD
        else sorted(by_label.values(), key=lambda line: (-line.offered.bonuses, line.label))
    )
    total = Line("", "All")
    for line in lines:
        total = added(total, line)
    return Funnel(question, total, lines, _ggr(question))


def added(one: Line, other: Line) -> Line:
    """Two lines as one, with the name of the first."""
    sums = {name: _add(getattr(one, name), getattr(other, name)) for name in MEASURES}
    return Line(one.key, one.label, **sums)


def _add(one: Count, other: Count) -> Count:
    return Count(one.bonuses + other.bonuses, one.amount + other.amount)


def _parameters(question: Question) -> dict[str, Any]:
    return {
        "from": day_start(question.first),
        "to": day_start(question.last + timedelta(days=1)),
        "first": question.first,
        "last": question.last,
        "currency": question.currency,
        "step": question.step,
        "template": question.template,
        "market": question.market,
        "segment": question.segment,
    }


def _who(question: Question) -> str:
    """Conditions on the player, for a statement that has `player` and `market`."""
    found = ""
    if question.market:
        found += " AND market.code = %(market)s"
    if question.segment:
        found += " AND player.segment = %(segment)s"
    return found


def _sums(question: Question) -> list[tuple[str | None, dict[str, Count]]]:
    """Counts and sums per group, by one scan of the period."""
    columns = ", ".join(
        f"count(*) FILTER (WHERE {condition}), coalesce(sum({amount}) FILTER (WHERE {condition}), 0)"
        for condition, amount in _MEASURES.values()
    )
    joins = ""
    if question.market or question.segment or question.group in (Group.MARKET, Group.SEGMENT):
        joins += " JOIN players_player AS player ON player.id = grants.player_id"
    if question.market or question.group == Group.MARKET:
        joins += " LEFT JOIN players_jurisdiction AS market ON market.id = player.jurisdiction_id"
    where = _who(question)
    if question.template:
        where += (
            " AND grants.template_version_id IN (SELECT version.id FROM wallet_bonustemplateversion AS version "
            "JOIN wallet_bonustemplate AS template ON template.id = version.template_id WHERE template.code = %(template)s)"
        )
    sql = (
        f"SELECT {_GROUP_SQL[question.group]} AS line, {columns} FROM wallet_bonusgrant AS grants{joins} "
        f"WHERE grants.offered_at >= %(from)s AND grants.offered_at < %(to)s AND grants.currency = %(currency)s{where} GROUP BY 1"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, _parameters(question))
        rows = cursor.fetchall()
    return [
        (
            row[0],
            {
                name: Count(row[2 * number + 1], from_minor(int(row[2 * number + 2]), question.currency))
                for number, name in enumerate(MEASURES)
            },
        )
        for row in rows
    ]


def _labels(question: Question, keys: Iterable[str | None]) -> dict[str | None, tuple[str, str]]:
    """(key, label) of each group; without one the key is the label. Versions of a template become one line."""
    group = question.group
    if group == Group.TEMPLATE:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT version.id::text, template.code, template.name FROM wallet_bonustemplateversion AS version "
                "JOIN wallet_bonustemplate AS template ON template.id = version.template_id WHERE version.id = ANY(%s)",
                [[int(key) for key in keys if key is not None]],
            )
            found: dict[str | None, tuple[str, str]] = {version: (code, name) for version, code, name in cursor.fetchall()}
        return {**found, None: ("", "No template")}
    if group == Group.MARKET:
        return {None: ("", "No market")}
    if group in (Group.SEGMENT, Group.PRODUCT):
        names = dict(Segment.choices if group == Group.SEGMENT else Product.choices)
        return {key: (key or "", str(names.get(key or "", key or "none"))) for key in keys}
    shapes = {"week": "Week of {:%Y-%m-%d}", "month": "{:%b %Y}"}
    return {key: (key, shapes[question.step].format(date.fromisoformat(key))) for key in keys if key and question.step in shapes}


def _ggr(question: Question) -> Decimal | None:
    """Stake minus payout of the players asked for, in the days asked for; None without any day of play."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(day.stake - day.payout) FROM players_playerday AS day JOIN players_player AS player ON player.id = day.player_id "
            "LEFT JOIN players_jurisdiction AS market ON market.id = player.jurisdiction_id "
            f"WHERE day.day BETWEEN %(first)s AND %(last)s AND player.currency = %(currency)s{_who(question)}",
            _parameters(question),
        )
        found = cursor.fetchone()[0]
    return None if found is None else Decimal(found)
