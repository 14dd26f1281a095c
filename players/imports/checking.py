"""Read a job's file into its stage: validate chunk by chunk, set faulty rows aside, compute what would change.

Nothing a reader of the product can see is written, so a check may be killed at any moment and started again.
"""

import csv
import io
import logging
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from loyalty_site.common.clock import require_utc
from players.activity import ActivityKind
from players.imports import stage
from players.imports.mapping import Column, resolve
from players.imports.problems import ImportRefused, Problem, other_currency
from players.imports.readers import Limits, Source, open_source
from players.imports.validate import Validator
from players.models import ImportJob, QuarantinedRow

logger = logging.getLogger(__name__)
CHUNK_ROWS = 20_000
_MAX_RAW = 2_000


class Cancelled(Exception):
    """Somebody asked to stop."""


def file_path(job: ImportJob) -> Path:
    return Path(settings.MEDIA_ROOT) / job.file_path


def limits() -> Limits:
    from constance import config

    return Limits(megabytes=config.IMPORT_MAX_MEGABYTES, rows=config.IMPORT_MAX_ROWS)


def open_job_source(job: ImportJob) -> Source:
    path = file_path(job)
    if not path.is_file():
        raise ImportRefused("file_gone", "The uploaded file is no longer there.", "Upload it again.")
    options = job.options
    return open_source(
        path,
        job.file_path,
        limits=limits(),
        sheet=options.get("sheet", ""),
        encoding=options.get("encoding", ""),
        delimiter=options.get("delimiter", ""),
        decimal_comma=bool(options.get("decimal_comma")),
    )


def difference_of(job: ImportJob) -> stage.Difference:
    """The difference of a checked job. Totals without a date in the file hold as of the job's `as_of` option or its upload."""
    stated = job.options.get("as_of")
    as_of = require_utc(datetime.fromisoformat(stated), "as_of") if stated else job.created_at
    mapped = tuple(job.result["fields"])
    return stage.Difference(job.kind, job.pk, mapped, as_of, bool(stated) or "as_of" in mapped)


def read_into_stage(job: ImportJob) -> None:
    """Fill the stage and the quarantine of `job` from its file and set its counts. Raises ImportRefused or Cancelled."""
    source = open_job_source(job)
    columns = resolve(job.kind, job.mapping, source.headers)
    validator = Validator(job.kind, columns, len(source.headers), job.options, job.created_at)
    QuarantinedRow.objects.filter(job=job).delete()
    with connection.cursor() as cursor:
        stage.create(cursor, job.pk, job.kind)
    total, quarantined = _stream(job, source, validator)
    job.result = {
        **job.result,
        "fields": validator.fields,
        "encoding": source.encoding,
        "sheet": source.sheet,
        "headers": list(source.headers),
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {stage.table_of(job.pk)}")
        repeats, contradicting = stage.take_out_repeats(cursor, job.pk, job.kind, tuple(validator.fields))
        problems = _contradictions(job, columns, contradicting)
        if job.kind == ActivityKind.PLAYERS and "currency" in validator.fields:
            problems |= _changed_currencies(columns, stage.take_out_changed_currencies(cursor, job.pk))
        difference = difference_of(job)
        if difference.names_currency:
            problems |= _other_currencies(columns, *stage.take_out_other_currencies(cursor, job.pk, job.kind))
        quarantined += _quarantine_rows(job, source, problems)
        counts = difference.summarise(cursor)
        job.result["samples"] = difference.samples(cursor)
    job.result["repeated_rows"] = repeats
    job.total_rows = total
    job.created_count, job.updated_count = counts["created"], counts["changed"]
    job.unchanged_count = counts["unchanged"] + repeats
    job.quarantined_count = quarantined
    job.players_created, job.players_updated = counts["players_created"], counts["players_updated"]


def _stream(job: ImportJob, source: Source, validator: Validator) -> tuple[int, int]:
    share = 0.0

    def on_progress(read: float) -> None:
        nonlocal share
        share = read

    rows = source.rows(on_progress)
    total = quarantined = 0
    while chunk := list(islice(rows, CHUNK_ROWS)):
        total += len(chunk)
        raw = dict(chunk)
        checked = validator.check(chunk)
        if checked.rows:
            _copy(job.pk, validator.fields, checked.rows)
        if checked.faults:
            quarantined += _quarantine(job, source.headers, {number: raw[number] for number in checked.faults}, checked.faults)
        _report(job, int(share * 85))
    return total, quarantined


def _copy(job_id: int, fields: list[str], rows: list[tuple[Any, ...]]) -> None:
    """COPY text rows. The CSV form of COPY reads a blank, unquoted cell as NULL, which is what a blank cell means here."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {stage.table_of(job_id)} (row_number, {', '.join(fields)}) FROM STDIN (FORMAT csv)") as copy,
    ):
        copy.write(buffer.getvalue())


def _report(job: ImportJob, progress: int) -> None:
    ImportJob.objects.filter(pk=job.pk).update(progress=progress)
    if ImportJob.objects.filter(pk=job.pk, cancel_requested=True).exists():
        raise Cancelled


def raw_row(headers: tuple[str, ...], cells: list[str]) -> dict[str, str]:
    """{header: cell} with whatever stands beyond the headers under '+1', '+2', ..."""
    names = [*headers, *(f"+{extra}" for extra in range(1, len(cells) - len(headers) + 1))]
    padded = [*cells, *[""] * (len(headers) - len(cells))]
    return {name: cell.replace("\x00", "\ufffd")[:32_768] for name, cell in zip(names, padded, strict=True)}


def _quarantine(job: ImportJob, headers: tuple[str, ...], raw: dict[int, list[str]], faults: dict[int, list[Problem]]) -> int:
    rows = []
    for number, problems in sorted(faults.items()):
        first = problems[0]
        more = "".join(f" Also {other.column}: {other.reason}" for other in problems[1:])
        rows.append(
            QuarantinedRow(
                job=job,
                row_number=number,
                column=first.column[:120],
                value=first.value.replace("\x00", "\ufffd")[:_MAX_RAW],
                code=first.code,
                reason=(first.reason + more).replace("\x00", "\ufffd"),
                remedy=first.remedy,
                raw=raw_row(headers, raw[number]),
            )
        )
    QuarantinedRow.objects.bulk_create(rows, batch_size=2_000)
    return len(rows)


def _contradictions(job: ImportJob, columns: list[Column], contradicting: list[tuple[int, int, str]]) -> dict[int, Problem]:
    """Row number -> what is wrong, for rows that share an id but differ."""
    label = _label_of(columns, stage.key_columns(job.kind, ())[-1])
    others: dict[str, int] = {}
    for number, _first, key in contradicting:
        others[key] = max(others.get(key, 0), number)
    return {
        number: Problem(
            "duplicate_id",
            f"{key!r} stands more than once in the file, with different values (see row {first if number != first else others[key]}).",
            "Correct the id, or dismiss the rows that are wrong and replay the right one.",
            label,
            key,
        )
        for number, first, key in contradicting
    }


def _changed_currencies(columns: list[Column], changed: list[tuple[int, str, str]]) -> dict[int, Problem]:
    """Row number -> what is wrong, for rows that would change the currency of a player with activity."""
    return {
        number: Problem(
            "currency_fixed",
            f"The player has activity in {stored}; the currency cannot become {wanted}.",
            "Correct the currency, or leave it empty to keep the stored one.",
            _label_of(columns, "currency"),
            wanted,
        )
        for number, stored, wanted in changed
    }


def _other_currencies(columns: list[Column], other: list[tuple[int, str, str]], several: list[tuple[int, str, str]]) -> dict[int, Problem]:
    """Row number -> what is wrong, for rows whose amounts are not in the player's currency."""
    label = _label_of(columns, "currency")
    found = {number: other_currency(said, own).at(label, said) for number, said, own in other}
    for number, said, named in several:
        found[number] = Problem(
            "several_currencies",
            f"The rows name several currencies ({named}) for a player who is not known yet, so none is known to be right.",
            "Import the profile of the player with its currency, then replay these rows.",
            label,
            said,
        )
    return found


def _label_of(columns: list[Column], field: str) -> str:
    return next((one.label for one in columns if one.field.name == field), "")


def _quarantine_rows(job: ImportJob, source: Source, problems: dict[int, Problem]) -> int:
    """Set rows aside that were staged already. Their text is read from the file once more: it is not kept for all rows."""
    if not problems:
        return 0
    raw: dict[int, list[str]] = {}
    faults: dict[int, list[Problem]] = {}
    count = 0
    for number, cells in source.rows():
        if number not in problems:
            continue
        raw[number], faults[number] = cells, [problems[number]]
        if len(raw) >= CHUNK_ROWS:
            count += _quarantine(job, source.headers, raw, faults)
            raw, faults = {}, {}
    return count + (_quarantine(job, source.headers, raw, faults) if raw else 0)
