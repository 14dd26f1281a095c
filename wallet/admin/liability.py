"""The finance page of points: what they will cost by cohort, when they end, the roll-forward of a period, and the exports."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import urlencode

from loyalty_site.charts import bar_chart
from loyalty_site.common import audit
from loyalty_site.common.admin.actions import StaffPage, acting_user
from loyalty_site.common.admin.display import amount
from loyalty_site.common.clock import day_start, utc_now
from wallet.models import Unit
from wallet.points.liability import OWN, UNITS, Cohort, LiabilityReport, liability_report
from wallet.points.roll_forward import RollForward, roll_forward

from .grant_export import csv_download, csv_lines, xlsx_file

VIEW_PERMISSION = "wallet.view_liability"
EXPORT_PERMISSION = "wallet.export_liability"
_CHART_MONTHS = 24
_EARLIEST = date(2000, 1, 1)

COHORT_COLUMNS = (
    "month",
    "earned",
    "other",
    "spent",
    "expired",
    "taken_back",
    "remaining",
    "matured",
    "breakage",
    "breakage_from",
    "liability",
)


@dataclass(frozen=True)
class Asked:
    """What the address asks for: a unit, the day at whose end the liability stands, the first day of the period; and what was wrong."""

    unit: str
    day: date
    since: date
    errors: list[str]

    def at(self, now: datetime) -> datetime:
        """The last instant of the day, or now on the day that is not over."""
        return min(day_start(self.day + timedelta(days=1)) - timedelta(microseconds=1), now)

    def url(self, **change: Any) -> str:
        return "?" + urlencode({"unit": self.unit, "day": self.day, "since": self.since, **change})


def asked_from(query: Mapping[str, str], today: date) -> Asked:
    """The question of an address. What cannot be understood is replaced by the usual, with a message that says so."""
    errors: list[str] = []
    unit = query.get("unit", UNITS[0])
    if unit not in UNITS:
        errors.append(f"There are no points of the unit {unit}. Shown are reward points.")
        unit = UNITS[0]
    day = _day(query, "day", today, errors)
    if day > today:
        errors.append(f"{day} lies in the future. Shown is today.")
        day = today
    since = _day(query, "since", day.replace(day=1), errors)
    if since > day:
        errors.append("The period began after its end. Shown is the month of the day.")
        since = day.replace(day=1)
    return Asked(unit, day, since, errors)


def _day(query: Mapping[str, str], name: str, usual: date, errors: list[str]) -> date:
    text = query.get(name, "")
    if not text:
        return usual
    try:
        found = date.fromisoformat(text)
    except ValueError:
        errors.append(f"{text!r} is no day; write it as 2026-03-31. Shown is {usual}.")
        return usual
    if found < _EARLIEST:
        errors.append(f"There are no books before {_EARLIEST}. Shown is {usual}.")
        return usual
    return found


def reports(asked: Asked, now: datetime) -> tuple[LiabilityReport, RollForward]:
    """Both reports as they stand at the end of the day that is asked for."""
    until = asked.at(now) + timedelta(microseconds=1)
    return liability_report(asked.at(now), asked.unit), roll_forward(asked.unit, day_start(asked.since), until)


class LiabilityPage(StaffPage):
    title = "Liability"
    template_name = "wallet/liability.html"
    permissions = (VIEW_PERMISSION,)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = utc_now()
        asked = asked_from(self.request.GET.dict(), now.date())
        report, movement = reports(asked, now)
        return super().get_context_data(
            **kwargs,
            **page(report, movement),
            asked=asked,
            errors=asked.errors,
            is_today=asked.day == now.date(),
            today=now.date(),
            units=[{"label": Unit(unit).label, "url": asked.url(unit=unit), "is_chosen": unit == asked.unit} for unit in UNITS],
            may_export=self.request.user.has_perm(EXPORT_PERMISSION),
            query=asked.url(),
        )


class LiabilityExport(StaffPage):
    """The cohorts as CSV; as Excel with the ends, the bonus money and the roll-forward on sheets of their own."""

    permissions = (VIEW_PERMISSION, EXPORT_PERMISSION)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kind = kwargs["kind"]
        if kind not in {"csv", "xlsx"}:
            raise Http404("The report comes as csv or xlsx.")
        now = utc_now()
        asked = asked_from(request.GET.dict(), now.date())
        report, movement = reports(asked, now)
        audit.record(
            "wallet.liability_exported",
            ("wallet.pointspolicy", asked.unit),
            at=now,
            actor=acting_user(request),
            after={"format": kind, "unit": asked.unit, "at": report.at.isoformat(), "since": str(asked.since)},
        )
        name = f"liability-{asked.unit.lower()}-{asked.day}.{kind}"
        if kind == "csv":
            return csv_download(name, csv_lines(COHORT_COLUMNS, cohort_rows(report)))  # type: ignore[return-value] # a sibling class
        sheets: list[tuple[str, Any, Any]] = [
            ("Cohorts", COHORT_COLUMNS, cohort_rows(report)),
            ("Ends", ("ends", "remaining", f"liability {report.currency}"), ((b.label, b.remaining, b.liability) for b in report.buckets)),
            ("Bonus money", ("currency", "players", "amount"), ((one.currency, one.holders, one.amount) for one in report.money)),
            ("Roll-forward", ("line", "amount", "entries"), movement_rows(movement)),
        ]
        return xlsx_file(name, sheets)  # type: ignore[return-value] # a sibling class


def cohort_rows(report: LiabilityReport) -> Iterator[list[Any]]:
    for one in report.cohorts:
        yield [
            f"{one.month:%Y-%m}",
            one.earned,
            one.other,
            one.spent,
            one.expired,
            one.reversed,
            one.remaining,
            one.matured,
            one.breakage,
            "own history" if one.source == OWN else "policy",
            one.liability,
        ]


def movement_rows(movement: RollForward) -> Iterator[list[Any]]:
    yield [f"Held before {movement.since:%Y-%m-%d %H:%M} UTC", movement.opening, ""]
    for line in movement.lines:
        yield [line.label, line.amount, line.entries]
    yield [f"Held before {movement.until:%Y-%m-%d %H:%M} UTC", movement.closing, ""]


def page(report: LiabilityReport, movement: RollForward) -> dict[str, Any]:
    """The figures of the page as texts, and its picture."""
    unit, code = report.unit, report.currency
    expected = Decimal(0) if not report.face_value else (1 - report.liability / report.face_value)
    first = next((number for number, one in enumerate(report.cohorts) if one.remaining), len(report.cohorts))
    shown = report.cohorts[first:][-_CHART_MONTHS:]
    return {
        "report": report,
        "at_text": f"{report.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "is_empty": not report.cohorts and not report.money and not movement.closing and not any(line.entries for line in movement.lines),
        "unit_label": Unit(unit).label,
        "tiles": [
            {"label": "Liability", "figure": amount(report.liability, code), "note": "remaining points less breakage"},
            {"label": "Remaining", "figure": amount(report.remaining, unit), "note": f"at {_plain(report.cost_per_point)} {code} a point"},
            {"label": "If all were used", "figure": amount(report.face_value, code), "note": "without breakage"},
            {"label": "Breakage", "figure": _percent(expected), "note": f"the policy says {_percent(report.prior)} without history"},
        ],
        "bars": _bars(shown),
        "undrawn": len(report.cohorts) - first - len(shown),
        "cohorts": [_cohort(one, unit, code) for one in reversed(report.cohorts)],
        "buckets": [
            {
                "label": one.label,
                "remaining": _bare(one.remaining, unit),
                "liability": _bare(one.liability, code),
                "is_ended": one.code == "ended",
            }
            for one in report.buckets
            if one.code != "ended" or one.remaining
        ],
        "money": [{"currency": one.currency, "holders": one.holders, "amount": amount(one.amount, one.currency)} for one in report.money],
        "opening": amount(movement.opening, unit),
        "closing": amount(movement.closing, unit),
        "movements": [
            {"label": line.label, "amount": amount(line.amount, unit, sign=True), "entries": line.entries}
            for line in movement.lines
            if line.entries or line.code in ("earned", "spent", "expired", "reversed")
        ],
        "since_text": f"{movement.since:%Y-%m-%d}",
        "on_accounts": amount(report.on_accounts, unit),
    }


def _cohort(one: Cohort, unit: str, code: str) -> dict[str, Any]:
    names = ("earned", "other", "spent", "expired", "reversed", "remaining")
    return {
        "month": f"{one.month:%b %Y}",
        **{name: _bare(getattr(one, name), unit) for name in names},
        "breakage": _percent(one.breakage),
        "is_own": one.source == OWN,
        "matured": _percent(one.matured),
        "liability": _bare(one.liability, code),
    }


def _bars(cohorts: tuple[Cohort, ...]) -> dict[str, str] | None:
    """What remains of each month, expected to be used and not, stacked; None when there is nothing to draw."""
    if not any(one.remaining for one in cohorts):
        return None
    kept = [one.remaining * (1 - one.breakage) for one in cohorts]
    lost = [one.remaining * one.breakage for one in cohorts]
    series = [("Expected to be used", "teal", kept), ("Expected never to be used", "slate", lost)]
    return bar_chart([f"{one.month:%b %y}" for one in cohorts], series, stacked=True)


def _percent(share: Decimal) -> str:
    return f"{(share * 100).quantize(Decimal('0.1'))} %"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _bare(value: Decimal, unit: str) -> str:
    """A figure of a column whose heading names the unit."""
    return amount(value, unit).removesuffix(f" {unit}")
