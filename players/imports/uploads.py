"""Taking a file in: store it, guard it, find out what it is and how its columns map."""

import hashlib
import logging
import uuid
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from loyalty_site.common import audit
from loyalty_site.common.clock import require_utc, utc_now
from loyalty_site.common.models import ApiClient
from players.imports.checking import limits, open_job_source
from players.imports.mapping import (
    BUILTIN,
    check_options,
    detect_kind,
    headers_of,
    missing_fields,
    nearest_kind,
    resolve,
    suggest,
    with_currency,
)
from players.imports.problems import ImportRefused
from players.imports.readers import Source
from players.models import ImportJob, ImportMapping

logger = logging.getLogger(__name__)
Status = ImportJob.Status
AFTER_IMPORT = ("metrics", "segments", "rewards")


def create_import(
    *,
    file: IO[bytes],
    file_name: str,
    at: datetime,
    kind: str | None = None,
    mapping: str | dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    after_import: dict[str, bool] | None = None,
    actor: User | None = None,
    api_client: ApiClient | None = None,
    ask_sheet: bool = False,
) -> ImportJob:
    """Store the file, guard it, find out its kind and mapping, and return the job in status UPLOADED.

    `mapping` is the name of a saved mapping or {our field: spec} (see `mapping.py`). Without one the headers decide; what they leave open
    stands in `job.result["open"]` (a list of problems) and has to be settled by `set_mapping` before `check_import`.
    Raises ImportRefused for a file that can not be taken; then nothing is kept. A workbook with several sheets
    raises `which_sheet`, or with `ask_sheet` becomes an open point that `choose_sheet` settles.
    """
    require_utc(at, "at")
    checked_options = check_options(dict(options or {}))
    after = _after_import(after_import)
    columns, mapping_name, kind, checked_options = _mapping_of(mapping, kind, checked_options)
    _refuse_future(checked_options, at)
    path, size, digest = _store(file, file_name, at)
    job = ImportJob(
        kind=kind or ImportMapping.FileKind.TOTALS,
        file_name=Path(file_name).name[:255],
        file_path=path,
        file_sha256=digest,
        file_bytes=size,
        mapping=columns,
        mapping_name=mapping_name,
        options=checked_options,
        after_import=after,
        requested_by=actor,
        api_client=api_client,
        created_at=at,
    )
    try:
        source = open_job_source(job)
        _settle_mapping(job, source, stated_kind=kind)
    except ImportRefused as refused:
        if not (ask_sheet and refused.code == "which_sheet"):
            (Path(settings.MEDIA_ROOT) / path).unlink(missing_ok=True)
            raise
        job.result = {"open": [refused.as_dict()], "sheets": refused.details["sheets"], "stated_kind": kind}
    with transaction.atomic():
        job.save()
        audit.record(
            "players.import_uploaded",
            job,
            at=at,
            actor=actor,
            api_client=api_client,
            after={"file": job.file_name, "sha256": digest, "kind": job.kind, "mapping": mapping_name},
        )
    logger.info("players.import_uploaded job=%s kind=%s bytes=%s", job.pk, job.kind, size)
    return job


def _refuse_future(options: dict[str, Any], at: datetime) -> None:
    """Totals of tomorrow would hide the activity of today."""
    if (stated := options.get("as_of")) and datetime.fromisoformat(stated) > at:
        raise ImportRefused(
            "bad_option", f"The totals can not hold as of {stated}: that lies in the future.", "State when they were taken."
        )


def _after_import(wanted: dict[str, bool] | None) -> dict[str, bool]:
    chosen = {"metrics": True, "segments": True, "rewards": False} if wanted is None else dict(wanted)
    unknown = sorted(set(chosen) - set(AFTER_IMPORT))
    if unknown:
        raise ImportRefused("bad_option", f"Unknown follow-up: {', '.join(unknown)}.", f"Use: {', '.join(AFTER_IMPORT)}.")
    chosen = {name: bool(chosen.get(name)) for name in AFTER_IMPORT}
    chosen["segments"] = chosen["segments"] or chosen["rewards"]  # rewards read segments, segments read metrics
    chosen["metrics"] = chosen["metrics"] or chosen["segments"]
    return chosen


def _mapping_of(
    mapping: str | dict[str, Any] | None, kind: str | None, options: dict[str, Any]
) -> tuple[dict[str, Any], str, str | None, dict[str, Any]]:
    if kind is not None and kind not in ImportMapping.FileKind.values:
        raise ImportRefused("unknown_kind", f"There is no kind {kind!r}.", f"Use: {', '.join(ImportMapping.FileKind.values)}.")
    if not isinstance(mapping, str):
        return dict(mapping or {}), "", kind, options
    ensure_builtin_mappings()
    saved = ImportMapping.objects.filter(name=mapping).first()
    if saved is None:
        names = ", ".join(ImportMapping.objects.values_list("name", flat=True))
        raise ImportRefused("unknown_mapping", f"There is no saved mapping {mapping!r}.", f"Use one of: {names}.")
    if kind is not None and kind != saved.kind:
        raise ImportRefused(
            "wrong_kind", f"The mapping {mapping!r} is for {saved.get_kind_display().lower()}.", f"Leave the kind out, or use {saved.kind}."
        )
    return (
        dict(saved.columns),
        saved.name,
        saved.kind,
        check_options({**saved.options, **{k: v for k, v in options.items() if k != "zone" or v != "UTC"}}),
    )


def _settle_mapping(job: ImportJob, source: Source, *, stated_kind: str | None) -> None:
    """Fill kind and mapping from the headers where they were not stated, and note what is still open."""
    job.result = {
        "headers": list(source.headers),
        "sample": [list(row[: len(source.headers)]) for row in source.sample[:5]],
        "sheets": list(source.sheets),
        "sheet": source.sheet,
    }
    if job.mapping:
        job.mapping = with_currency(job.kind, job.mapping, source.headers)
        resolve(job.kind, job.mapping, source.headers)
        job.result["open"] = []
        return
    if stated_kind is None and (saved := _saved_mapping_for(source.headers)) is not None:
        job.kind, job.mapping_name = saved.kind, saved.name
        job.mapping = with_currency(saved.kind, dict(saved.columns), source.headers)
        job.result["open"] = []
        return
    complete = stated_kind or detect_kind(source.headers)
    found = complete or nearest_kind(source.headers)
    job.result["kind_detected"] = found
    job.kind = found or job.kind
    job.mapping = dict(suggest(job.kind, source.headers)) if found else {}
    open_points: list[dict[str, Any]] = []
    if found is None:
        open_points.append(
            {"code": "unknown_kind", "message": "The headers fit no kind of file.", "remedy": "State the kind and map the columns."}
        )
    else:
        missing = [one.name for one in missing_fields(job.kind, job.mapping)]
        if missing:
            nearest = "" if complete else f"The headers come closest to {job.kind}. "
            open_points.append(
                {
                    "code": "missing_columns",
                    "message": f"{nearest}Columns are missing: {', '.join(missing)}.",
                    "remedy": f"Map a header or a constant to each. The file has: {', '.join(source.headers)}.",
                    "columns": missing,
                }
            )
    job.result["open"] = open_points


def _saved_mapping_for(headers: tuple[str, ...]) -> ImportMapping | None:
    """The saved mapping whose headers all stand in the file, if exactly one of those of staff, else of ours, reads the most of it."""
    ensure_builtin_mappings()
    fitting = [
        (len(used), saved)
        for saved in ImportMapping.objects.all()
        if (used := headers_of(saved.columns)) and used <= set(headers) and len(used) >= 3
    ]
    if not fitting:
        return None
    best = max(count for count, _saved in fitting)
    top = [saved for count, saved in fitting if count == best]
    return top[0] if len(top) == 1 else None


def _store(file: IO[bytes], file_name: str, at: datetime) -> tuple[str, int, str]:
    """Copy the upload below MEDIA_ROOT; returns (relative path, bytes, sha256). Stops reading at the size limit."""
    suffixes = "".join(part.lower() for part in Path(file_name).suffixes[-2:] if len(part) <= 6)
    relative = f"imports/{at:%Y/%m}/{uuid.uuid4().hex}{suffixes}"
    target = Path(settings.MEDIA_ROOT) / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    most = limits().megabytes
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("wb") as out:
            target.chmod(0o600)
            while block := file.read(1024 * 1024):
                size += len(block)
                if size > most * 1024 * 1024:
                    raise ImportRefused(
                        "file_too_large",
                        f"The file is larger than the limit of {most} MB.",
                        "Split it, or ask an administrator to raise IMPORT_MAX_MEGABYTES.",
                    )
                digest.update(block)
                out.write(block)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return relative, size, digest.hexdigest()


def choose_sheet(job_id: int, sheet: str) -> ImportJob:
    """Settle which sheet of an uploaded workbook is meant, and read its headers."""
    job = ImportJob.objects.get(pk=job_id)
    if job.status != Status.UPLOADED:
        raise ImportRefused("wrong_status", f"The import is {job.get_status_display().lower()}.", "Upload the file again.")
    job.options = {**job.options, "sheet": sheet}
    source = open_job_source(job)
    stated = job.result.get("stated_kind")
    if job.mapping and not job.mapping_name:
        job.mapping = {}
    _settle_mapping(job, source, stated_kind=stated)
    job.save(update_fields=["options", "result", "kind", "mapping", "mapping_name"])
    return job


def set_mapping(
    job_id: int,
    *,
    kind: str,
    columns: dict[str, Any],
    at: datetime,
    options: dict[str, Any] | None = None,
    after_import: dict[str, bool] | None = None,
    save_as: str = "",
    actor: User | None = None,
) -> ImportJob:
    """Settle the mapping of an uploaded job (again). Raises ImportRefused naming what is missing; then nothing changes."""
    job = ImportJob.objects.get(pk=job_id)
    if job.status not in (Status.UPLOADED, Status.PREVIEW, Status.FAILED):
        raise ImportRefused("wrong_status", f"The import is {job.get_status_display().lower()}.", "Its mapping can no longer be changed.")
    job.kind, job.mapping_name = kind, save_as
    job.options = check_options({**job.options, **(options or {})})
    _refuse_future(job.options, at)
    source = open_job_source(job)
    if with_currency(kind, columns, source.headers) != columns:
        columns = {**columns, "currency": ""}  # the file has such a column, and whoever mapped by hand left it out
    job.mapping = columns
    resolve(kind, columns, source.headers)
    if after_import is not None:
        job.after_import = _after_import(after_import)
    job.result = {**job.result, "open": [], "headers": list(source.headers), "sheet": source.sheet}
    with transaction.atomic():
        updated = ImportJob.objects.filter(pk=job_id, status__in=[Status.UPLOADED, Status.PREVIEW, Status.FAILED]).update(
            kind=kind, mapping=columns, mapping_name=save_as, options=job.options, after_import=job.after_import,
            result=job.result, status=Status.UPLOADED, error="",
        )  # fmt: skip
        if not updated:
            raise ImportRefused("wrong_status", "The import has moved on meanwhile.", "Reload the page.")
        if save_as:
            save_mapping(save_as, kind=kind, columns=columns, options=_portable(job.options), at=at, actor=actor)
    job.refresh_from_db()
    return job


def _portable(options: dict[str, Any]) -> dict[str, Any]:
    """Options worth keeping with a mapping: those of the format, not of the one file."""
    return {name: value for name, value in options.items() if name not in ("sheet", "as_of", "replay_of")}


def save_mapping(
    name: str, *, kind: str, columns: dict[str, Any], options: dict[str, Any], at: datetime, actor: User | None = None
) -> ImportMapping:
    """Create or replace the saved mapping `name`. Built-in mappings are not replaced."""
    name = name.strip()
    if not name or len(name) > 80:
        raise ImportRefused("bad_name", "A mapping's name has 1 to 80 characters.", "Choose another name.")
    if name in BUILTIN:
        raise ImportRefused("builtin_mapping", f"{name!r} is a built-in mapping.", "Choose another name.")
    with transaction.atomic():
        before = ImportMapping.objects.select_for_update().filter(name=name).first()
        old = {"kind": before.kind, "columns": before.columns, "options": before.options} if before else {}
        saved, _created = ImportMapping.objects.update_or_create(
            name=name,
            defaults={"kind": kind, "columns": columns, "options": options},
            create_defaults={"kind": kind, "columns": columns, "options": options, "created_by": actor, "created_at": at},
        )
        audit.record(
            "players.import_mapping_saved",
            saved,
            at=at,
            actor=actor,
            before=old,
            after={"kind": kind, "columns": columns, "options": options},
        )
    return saved


def ensure_builtin_mappings() -> None:
    """Create the built-in mappings that are missing and bring changed ones up to date."""
    stored = {one.name: one for one in ImportMapping.objects.filter(name__in=BUILTIN)}
    for name, content in BUILTIN.items():
        saved = stored.get(name)
        if saved is None:
            ImportMapping.objects.get_or_create(name=name, defaults={**content, "created_at": utc_now()})
        elif (saved.kind, saved.columns, saved.options) != (content["kind"], content["columns"], content["options"]):
            ImportMapping.objects.filter(pk=saved.pk).update(**content)
