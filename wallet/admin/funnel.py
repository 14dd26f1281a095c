"""The page of the bonus funnel: picker, picture, table and export. The figures are those of `wallet.funnel`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from constance import config
from django.core.cache import cache
from django.db.models import Count as RowCount
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.http import urlencode

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import StaffPage, acting_user
from loyalty_site.common.admin.display import DASH, amount
from loyalty_site.common.clock import utc_now
from players.models import Jurisdiction, Player, Segment
from wallet.funnel import EARLIEST, LATEST, MEASURES, Funnel, FunnelError, Group, Line, Question, bonus_funnel
from wallet.models import BonusTemplate

from .grant_export import EXPORT_PERMISSION, csv_download, csv_lines, xlsx_file
from .parts import page_url

VIEW_PERMISSION = "wallet.view_bonusgrant"
_CURRENCY_SECONDS = 300
_DEFAULT_DAYS = 30
_PRESETS = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "1 year"))
_DRAWN_LINES = 12
# what became of the bonuses, in the order and colours of the picture
OUTCOMES: tuple[tuple[str, str], ...] = (
    ("completed", "Completed"),
    ("active", "Open"),
    ("queued", "Queued"),
    ("waiting", "Offered"),
    ("expired_unclaimed", "Expired unclaimed"),
    ("expired", "Expired"),
    ("lost", "Lost"),
    ("forfeited", "Forfeited"),
    ("voided", "Voided"),
    ("reversed", "Reversed"),
)
_STAGES = (
    ("offered", "Offered"),
    ("activated", "Became active"),
    ("wagering_begun", "Wagering begun"),
    ("completed", "Completed"),
)


@dataclass(frozen=True)
class Asked:
    """The question of an address, and what of the address could not be taken."""

    question: Question
    errors: list[str]


def asked_from(query: Mapping[str, str], today: date, currencies: list[str]) -> Asked:
    """Read the picker. What cannot be read falls back to the default and is named, so that nobody takes one period for another."""
    errors: list[str] = []
    last = _day(query.get("last", ""), today, "To", errors)
    first = _day(query.get("first", ""), last - timedelta(days=_DEFAULT_DAYS - 1), "From", errors)
    group = query.get("group", Group.TEMPLATE)
    if group not in Group.values:
        errors.append(f"There is no grouping {group!r}; grouped by template instead.")
        group = Group.TEMPLATE
    currency = query.get("currency", "")
    if currency not in currencies:
        if currency:
            errors.append(f"No player has the currency {currency!r}; {currencies[0]} is shown instead.")
        currency = currencies[0]
    question = Question(
        first=first,
        last=last,
        currency=currency,
        group=Group(group),
        template=query.get("template", "")[:60].replace("\0", ""),
        market=query.get("market", "")[:10].replace("\0", ""),
        segment=query.get("segment", "")[:20].replace("\0", ""),
    )
    try:
        question.check()
    except FunnelError as error:
        errors.append(f"The {error}. The last {_DEFAULT_DAYS} days are shown instead.")
        question = replace(question, first=today - timedelta(days=_DEFAULT_DAYS - 1), last=today)
    return Asked(question, errors)


def _day(text: str, default: date, name: str, errors: list[str]) -> date:
    if not text:
        return default
    try:
        day = date.fromisoformat(text)
        if EARLIEST <= day <= LATEST:
            return day
        errors.append(f"{name}: use days from {EARLIEST} to {LATEST}, not {text}. {default} is used instead.")
        return default
    except ValueError:
        errors.append(f"{name}: {text!r} is no date; write it as 2026-03-31. {default} is used instead.")
        return default


def player_currencies() -> list[str]:
    """Currencies that players have, the base currency first, then by number of players."""
    found = cache.get("wallet:currencies")
    if found is None:
        counts = list(Player.objects.order_by().values_list("currency").annotate(players=RowCount("pk")))
        found = [code for code, _ in sorted(counts, key=lambda row: (row[0] != config.BASE_CURRENCY, -row[1], row[0]))]
        cache.set("wallet:currencies", found, _CURRENCY_SECONDS)
    return found or [config.BASE_CURRENCY]


class FunnelPage(StaffPage):
    title = "Bonus funnel"
    template_name = "wallet/funnel.html"
    permissions = (VIEW_PERMISSION,)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        today, currencies = utc_now().date(), player_currencies()
        asked = asked_from(self.request.GET.dict(), today, currencies)
        question = asked.question
        report = bonus_funnel(question)
        return super().get_context_data(
            **kwargs,
            **funnel_page(report),
            errors=asked.errors,
            currencies=[{"code": code, "url": _url(question, currency=code)} for code in currencies],
            presets=[
                {
                    "label": label,
                    "url": _url(question, first=today - timedelta(days=days - 1), last=today),
                    "is_chosen": question.last == today and question.first == today - timedelta(days=days - 1),
                }
                for days, label in _PRESETS
            ],
            groups=[{"label": one.label, "url": _url(question, group=one), "is_chosen": one == question.group} for one in Group],
            templates=BonusTemplate.objects.order_by("name").values_list("code", "name"),
            markets=Jurisdiction.objects.order_by("code").values_list("code", "name"),
            segments=Segment.choices,
            may_export=self.request.user.has_perm(EXPORT_PERMISSION),
            query=_url(question),
            is_filtered=bool(question.template or question.market or question.segment),
            list_url=page_url("wallet_bonusgrant"),
        )


class FunnelExport(StaffPage):
    """The table as a file. `kind` is csv or xlsx."""

    permissions = (VIEW_PERMISSION, EXPORT_PERMISSION)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kind = kwargs["kind"]
        if kind not in {"csv", "xlsx"}:
            raise Http404("The funnel comes as csv or xlsx.")
        question = asked_from(request.GET.dict(), utc_now().date(), player_currencies()).question
        report = bonus_funnel(question)
        audit.record(
            "wallet.bonus_funnel_exported",
            ("wallet.bonusgrant", "funnel"),
            at=utc_now(),
            actor=acting_user(request),
            after={"format": kind, "query": _url(question)},
        )
        name = f"bonus-funnel-{question.currency}-{question.first}-{question.last}.{kind}"
        columns, rows = export_columns(question), export_rows(report)
        if kind == "csv":
            return csv_download(name, csv_lines(columns, rows))  # type: ignore[return-value] # a sibling class
        return xlsx_file(name, [("Bonus funnel", columns, rows)])  # type: ignore[return-value] # a sibling class


def _url(question: Question, **change: Any) -> str:
    """The query of the page for a changed question."""
    asked = replace(question, **change)
    pairs: list[tuple[str, str]] = [
        ("first", f"{asked.first}"),
        ("last", f"{asked.last}"),
        ("currency", asked.currency),
        ("group", str(asked.group)),
        ("template", asked.template),
        ("market", asked.market),
        ("segment", asked.segment),
    ]
    return "?" + urlencode([pair for pair in pairs if pair[1]])


def export_columns(question: Question) -> list[str]:
    counts = [column for name in MEASURES for column in (name, f"{name}_{question.currency}")]
    return [str(question.group), *counts, f"cost_{question.currency}", "cost_share_of_activated", "completion_rate"]


def export_rows(report: Funnel) -> Iterator[list[Any]]:
    for line in [*report.lines, report.total]:
        cells: list[Any] = [line.label]
        for name in MEASURES:
            count = getattr(line, name)
            cells += [count.bonuses, count.amount]
        yield [*cells, line.cost, _rounded(line.cost_share), _rounded(line.completion_rate)]


def _rounded(share: Decimal | None) -> Decimal | str:
    return "" if share is None else share.quantize(Decimal("0.0001"))


def funnel_page(report: Funnel) -> dict[str, Any]:
    """What the page shows of a report."""
    question, total = report.question, report.total
    code = question.currency
    largest = max((line.offered.bonuses for line in report.lines), default=0)
    drawn = report.lines if question.group == Group.PERIOD else report.lines[:_DRAWN_LINES]
    return {
        "question": question,
        "total": total,
        "is_empty": not total.offered.bonuses,
        "tiles": _tiles(report),
        "stages": [_stage(total, name, label, code) for name, label in _STAGES],
        "outcomes": [
            {"name": name, "label": label, **_counted(total, name, code)} for name, label in OUTCOMES if getattr(total, name).bonuses
        ],
        "drawn": [{"label": line.label, "count": line.offered.bonuses, "parts": _parts(line, largest)} for line in drawn],
        "undrawn": len(report.lines) - len(drawn),
        "rows": [_row(line, code) for line in report.lines],
        "total_row": _row(total, code),
        "group_label": question.group.label,
        "columns": [label for _, label in OUTCOMES],
    }


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else DASH


def _per_cent(share: Decimal | None) -> str:
    return DASH if share is None else f"{100 * share:.1f} %"


def _counted(line: Line, name: str, code: str) -> dict[str, Any]:
    count = getattr(line, name)
    return {"count": count.bonuses, "amount": amount(count.amount, code), "share": _share(count.bonuses, line.offered.bonuses)}


def _stage(total: Line, name: str, label: str, code: str) -> dict[str, Any]:
    count, whole = getattr(total, name), total.offered.bonuses
    return {"label": label, **_counted(total, name, code), "width": f"{100 * count.bonuses / whole if whole else 0:.2f}"}


def _parts(line: Line, largest: int) -> list[dict[str, Any]]:
    """Pieces of a drawn bar: the longest line fills the width."""
    return [
        {"name": name, "label": label, "count": count, "width": f"{100 * count / largest:.3f}"}
        for name, label in OUTCOMES
        if (count := getattr(line, name).bonuses)
    ]


def _tiles(report: Funnel) -> list[dict[str, str]]:
    total, code = report.total, report.question.currency

    def money(label: str, value: Decimal, note: str) -> dict[str, str]:
        return {"label": label, "figure": amount(value, code).removesuffix(f" {code}"), "unit": code, "note": note}

    def number(label: str, value: int, note: str) -> dict[str, str]:
        return {"label": label, "figure": f"{value:,}", "unit": "", "note": note}

    tiles = [
        number("Offered", total.offered.bonuses, amount(total.offered.amount, code)),
        number("Completed", total.completed.bonuses, f"{_per_cent(total.completion_rate)} of those that ended"),
        money("Turned real", total.turned_real.amount, f"by wagering, {total.turned_real.bonuses:,} bonuses"),
        money("Free", total.free.amount, f"nothing to wager, {total.free.bonuses:,} bonuses"),
        money("Cost", total.cost, f"{_per_cent(total.cost_share)} of what was activated"),
        money("Still open", total.active.amount, f"on {total.active.bonuses:,} bonuses"),
    ]
    if report.ngr is not None:
        share = f"cost is {_per_cent(report.cost_of_ngr)} of it" if report.cost_of_ngr is not None else "not positive: no share of cost"
        tiles.append(money("NGR", report.ngr, share))
    return tiles


def _row(line: Line, code: str) -> dict[str, Any]:
    return {
        "key": line.key,
        "label": line.label,
        "offered": _counted(line, "offered", code),
        "activated": _counted(line, "activated", code),
        "states": [_counted(line, name, code) for name, _ in OUTCOMES],
        "turned_real": amount(line.turned_real.amount, code),
        "free": amount(line.free.amount, code),
        "kept": amount(line.kept.amount, code),
        "cost": amount(line.cost, code),
        "cost_share": _per_cent(line.cost_share),
        "completion": _per_cent(line.completion_rate),
    }
