"""The complete explanation of a bonus as a file, for a complaint: its terms, what happened, and what every bet counted and why.

CSV holds the bets, one line each; Excel has the terms, the status changes and the money on sheets of their own. Cells are neutralised,
so that no spreadsheet takes a game's name for a formula. Both are written as they are read: a long history needs no memory.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from tempfile import TemporaryFile
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from openpyxl import Workbook

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import StaffPage, acting_user
from loyalty_site.common.clock import utc_now
from loyalty_site.common.money import from_minor
from players.imports.export import neutralise
from wallet.activity.explain import COLUMNS as BET_COLUMNS
from wallet.activity.explain import explain, explained, explanation_csv
from wallet.bonus.terms import Terms
from wallet.models import BonusGrant, ContributionTable, Entry, WagerCount

from .entry import source_text
from .grant_words import sentences, terms_table

EXPORT_PERMISSION = "wallet.export_bonusgrant"
_CHUNK = 2_000
_MOST_SHEET_ROWS = 1_000_000  # what a sheet of Excel holds, rounded down
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

EVENT_COLUMNS = ("time_utc", "from", "to", "cause", "by", "entry")
MONEY_COLUMNS = ("entry", "time_utc", "pocket", "amount", "other_side", "source", "reason")

Row = Iterable[Any]


class ExplanationExport(StaffPage):
    """Answers with the file. `kind` is csv or xlsx."""

    permissions = ("wallet.view_bonusgrant", EXPORT_PERMISSION)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        writers: dict[str, Callable[[BonusGrant], HttpResponse]] = {"csv": _csv_file, "xlsx": _xlsx_file}
        if kwargs["kind"] not in writers:
            raise Http404("An explanation comes as csv or xlsx.")
        grant = get_object_or_404(BonusGrant.objects.select_related("player", "template_version__template"), pk=kwargs["pk"])
        rows = WagerCount.objects.filter(grant=grant).order_by()[: _MOST_SHEET_ROWS + 1].count()
        if kwargs["kind"] == "xlsx" and rows > _MOST_SHEET_ROWS:
            raise PermissionDenied(
                f"This bonus has more than {_MOST_SHEET_ROWS:,} bets, more than a sheet of Excel holds: take the CSV file."
            )
        audit.record(
            "wallet.grant_explanation_exported",
            grant,
            at=utc_now(),
            actor=acting_user(request),
            after={"format": kwargs["kind"], "bets": rows},
        )
        return writers[kwargs["kind"]](grant)


def file_name(grant: BonusGrant, kind: str) -> str:
    return f"bonus-{grant.pk}-explanation.{kind}"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""


def bet_rows(grant: BonusGrant) -> Iterator[list[Any]]:
    """What every bet did, in the order in which it counted."""
    for step in explain(grant.pk).iterator(chunk_size=_CHUNK):
        row = explained(step)
        cells = [getattr(row, name) for name in BET_COLUMNS]
        yield [_time(cell) if isinstance(cell, datetime) else cell for cell in cells]


def fact_rows(grant: BonusGrant) -> Iterator[list[Any]]:
    """The bonus, its terms in words and as a table."""
    terms, code, version = Terms.from_json(grant.terms), grant.currency, grant.template_version
    table = terms.contribution_table
    table_name = "every game counts in full" if table is None else ContributionTable.objects.values_list("name", flat=True).get(pk=table)
    yield ["Bonus", grant.pk]
    yield ["Player", grant.player.external_id]
    yield ["Template", f"{version.template.name}, version {version.number}" if version else "none"]
    yield ["Status", grant.get_status_display()]
    yield ["Amount", f"{from_minor(grant.principal, code)} {code}"]
    yield ["Left: bonus", f"{from_minor(grant.balance, code)} {code}"]
    yield ["Left: locked winnings", f"{from_minor(grant.locked, code)} {code}"]
    yield ["Released to cash", f"{from_minor(grant.released, code)} {code}"]
    yield ["Wagered", f"{grant.wagered} {code}"]
    yield ["Required, penalties included", f"{grant.wagering_required} {code}"]
    yield ["Offered (UTC)", _time(grant.offered_at)]
    yield ["Active from (UTC)", _time(grant.activated_at)]
    yield ["Ends (UTC)", _time(grant.expires_at)]
    yield ["Closed (UTC)", _time(grant.closed_at)]
    yield ["Source", " ".join(filter(None, [grant.source_type, grant.source_ref, grant.source_sub]))]
    yield []
    yield ["Terms in words"]
    yield from (["", line] for line in sentences(grant, terms))
    yield []
    yield ["Terms"]
    yield from ([label, value] for label, value in terms_table(grant, terms, table_name))


def event_rows(grant: BonusGrant) -> Iterator[list[Any]]:
    for event in grant.events.select_related("actor").order_by("id"):
        before = event.get_from_status_display() if event.from_status else "new"
        yield [
            _time(event.occurred_at),
            before,
            event.get_to_status_display(),
            event.cause,
            str(event.actor or "the system"),
            event.entry_id,
        ]


def money_rows(grant: BonusGrant) -> Iterator[list[Any]]:
    movements = grant.movements.select_related("entry").order_by("id")
    for movement in movements.iterator(chunk_size=_CHUNK):
        entry: Entry = movement.entry
        amount = str(from_minor(movement.amount, grant.currency))
        yield [
            entry.pk, _time(entry.occurred_at), movement.get_pocket_display(), amount, entry.get_house_display(), source_text(entry),
            entry.reason,
        ]  # fmt: skip


class _Echo:
    """A file whose writes come back, so that a csv.writer can feed a stream."""

    def write(self, text: str) -> str:
        return text


def csv_lines(columns: Row, rows: Iterable[Row]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([neutralise(cell) for cell in row])


def csv_download(name: str, lines: Iterable[str]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def xlsx_file(name: str, sheets: Iterable[tuple[str, Row, Iterable[Row]]]) -> FileResponse:
    """A workbook of (title, columns, rows), written through a file on disk."""
    book = Workbook(write_only=True)
    for title, columns, rows in sheets:
        sheet = book.create_sheet(title)
        if header := list(columns):
            sheet.append(header)
        for row in rows:
            sheet.append([neutralise(cell) for cell in row])
    file = TemporaryFile()  # noqa: SIM115 - the response closes it
    book.save(file)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=_XLSX)


def _csv_file(grant: BonusGrant) -> HttpResponse:
    return csv_download(file_name(grant, "csv"), explanation_csv(grant))  # type: ignore[return-value] # a sibling class


def _xlsx_file(grant: BonusGrant) -> HttpResponse:
    return xlsx_file(  # type: ignore[return-value] # a sibling class
        file_name(grant, "xlsx"),
        [
            ("Bonus", (), fact_rows(grant)),
            ("Bets", BET_COLUMNS, bet_rows(grant)),
            ("Status", EVENT_COLUMNS, event_rows(grant)),
            ("Money", MONEY_COLUMNS, money_rows(grant)),
        ],
    )
