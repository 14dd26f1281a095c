"""Rows that were set aside: download them, correct and replay them, or dismiss them with a reason. None is ever lost."""

import csv
import io
import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from players.activity import ActivityKind
from players.imports.export import neutralise
from players.imports.fields import FIELDS
from players.imports.lifecycle import apply_import, check_import
from players.imports.mapping import headers_of
from players.imports.problems import ImportRefused
from players.imports.uploads import create_import
from players.models import ImportJob, QuarantinedRow

Open = QuarantinedRow.Status.OPEN
_COLUMNS = ("row", "column", "value", "reason", "remedy")


def replay_quarantine(row_ids: Iterable[int], corrections: dict[int, dict[str, str]], *, actor: User | None, at: datetime) -> ImportJob:
    """Run open quarantined rows of one import again, each with its corrections {row id: {header: cell}}.

    They go as an import of their own (same kind, mapping and options; it can be undone by itself) that is checked and written at once.
    Rows that are taken become REPLAYED; rows that still have a fault stay OPEN with the new reason. Returns the new import.
    """
    ids = sorted({int(one) for one in row_ids})
    with transaction.atomic():
        rows = list(QuarantinedRow.objects.select_for_update().filter(pk__in=ids, status=Open).order_by("row_number"))
        if len(rows) != len(ids) or not rows:
            raise ImportRefused("rows_gone", "Some of these rows are no longer open.", "Reload the page and choose again.")
        if len({row.job_id for row in rows}) > 1:
            raise ImportRefused("several_imports", "The rows belong to different imports.", "Replay the rows of one import at a time.")
        job = rows[0].job
        if job.status != ImportJob.Status.DONE:
            raise ImportRefused(
                "wrong_status", f"Import #{job.pk} is {job.get_status_display().lower()}.", "Its rows can be replayed once it is written."
            )
        headers = list(job.result["headers"])
        for row in rows:
            change = corrections.get(row.pk, {})
            unknown = sorted(set(change) - set(headers))
            if unknown:
                raise ImportRefused("unknown_column", f"The file has no column {', '.join(unknown)}.", f"It has: {', '.join(headers)}.")
            row.correction = {**row.correction, **{name: str(value).strip() for name, value in change.items()}}
            row.save(update_fields=["correction"])
        audit.record(
            "players.import_replayed",
            job,
            at=at,
            actor=actor,
            after={"rows": [row.row_number for row in rows], "corrected": len(corrections)},
        )
    replay = _replay_job(job, rows, headers, actor, at)
    replay = check_import(replay.pk, at=at)
    if replay.status == ImportJob.Status.PREVIEW:
        replay = apply_import(replay.pk, at=at, actor=actor)
    _settle(rows, replay, actor, at)
    return replay


def _replay_job(job: ImportJob, rows: list[QuarantinedRow], headers: list[str], actor: User | None, at: datetime) -> ImportJob:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(headers)
    for row in rows:
        cells = {**row.raw, **row.correction}
        writer.writerow([cells.get(header, "") for header in headers])
    options = {name: value for name, value in job.options.items() if name not in ("encoding", "delimiter", "sheet")}
    options.update(encoding="utf-8", delimiter=",", replay_of=job.pk)
    if job.kind == ActivityKind.TOTALS:  # without a date in the file, the rows hold as of the upload of the original
        options.setdefault("as_of", job.created_at.isoformat())
    return create_import(
        file=io.BytesIO(buffer.getvalue().encode()),
        file_name=f"rows of import {job.pk}.csv",
        at=at,
        kind=job.kind,
        mapping=job.mapping,
        options=options,
        after_import=job.after_import,
        actor=actor,
    )


def _settle(rows: list[QuarantinedRow], replay: ImportJob, actor: User | None, at: datetime) -> None:
    """Carry the outcome of the replay over to the rows it came from; its own quarantine is only a copy and goes."""
    faults = {fault.row_number: fault for fault in replay.quarantine.all()}
    with transaction.atomic():
        for number, row in enumerate(rows, start=2):
            fault = faults.get(number)
            if replay.status != ImportJob.Status.DONE:
                continue
            if fault is None:
                row.status, row.resolved_at, row.resolved_by, row.replayed_in = QuarantinedRow.Status.REPLAYED, at, actor, replay
            else:
                row.column, row.value, row.code, row.reason, row.remedy = fault.column, fault.value, fault.code, fault.reason, fault.remedy
            row.save(update_fields=["status", "resolved_at", "resolved_by", "replayed_in", "column", "value", "code", "reason", "remedy"])
        replay.quarantine.all().delete()


def dismiss_quarantine(row_ids: Iterable[int], *, actor: User | None, at: datetime, reason: str) -> int:
    """Close open rows without importing them. They stay readable, with the reason. Returns how many."""
    if not reason.strip():
        raise ImportRefused("reason_missing", "Dismissing rows needs a reason.", "Say why they are not imported.")
    with transaction.atomic():
        rows = list(QuarantinedRow.objects.select_for_update().filter(pk__in=list(row_ids), status=Open).select_related("job"))
        if not rows:
            raise ImportRefused("rows_gone", "None of these rows is open.", "Reload the page and choose again.")
        QuarantinedRow.objects.filter(pk__in=[row.pk for row in rows]).update(
            status=QuarantinedRow.Status.DISMISSED, resolved_at=at, resolved_by=actor, note=reason.strip()
        )
        for job in {row.job for row in rows}:
            numbers = sorted(row.row_number for row in rows if row.job_id == job.pk)
            audit.record("players.import_rows_dismissed", job, at=at, actor=actor, after={"rows": numbers[:1000]}, reason=reason)
    return len(rows)


def personal_headers(job: ImportJob) -> set[str]:
    """Headers of the file that hold personal data by the job's mapping."""
    personal = {one.name for one in FIELDS[job.kind] if one.personal}
    return headers_of({name: spec for name, spec in job.mapping.items() if name in personal or name == "attributes"})


def error_file(job: ImportJob, *, file_format: str = "csv", hidden: Collection[str] = ()) -> tuple[str, str, bytes]:
    """(file name, content type, content) of the open rows with reasons, beside the columns of the file. Cells are neutralised.

    Cells of the headers in `hidden` are left out, for readers who may not see personal data.
    """
    headers = [name for name in job.result.get("headers", []) if name not in hidden]
    head: list[Any] = [*_COLUMNS, *headers]
    rows: Iterable[QuarantinedRow] = job.quarantine.filter(status=Open).order_by("row_number").iterator(chunk_size=2_000)
    table = (
        [
            row.row_number,
            row.column,
            "" if row.column in hidden else row.value,
            re.sub(r"'[^']*'", "…", row.reason) if hidden else row.reason,
            row.remedy,
            *(row.raw.get(name, "") for name in headers),
        ]
        for row in rows
    )
    name = f"import-{job.pk}-rows-to-correct.{file_format}"
    if file_format == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow([neutralise(cell) for cell in head])
        writer.writerows([neutralise(cell) for cell in line] for line in table)
        return name, "text/csv; charset=utf-8", buffer.getvalue().encode("utf-8-sig")
    if file_format != "xlsx":
        raise ImportRefused("unknown_format", f"There is no error file as {file_format}.", "Use csv or xlsx.")
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Rows to correct")
    sheet.append([neutralise(cell) for cell in head])
    for line in table:
        sheet.append([neutralise(cell) for cell in line])
    out = io.BytesIO()
    book.save(out)
    return name, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", out.getvalue()
