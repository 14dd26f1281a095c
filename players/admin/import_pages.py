"""The pages of an import. Each translates a request into one call of `players.imports.services` and shows what came of it."""

import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from zoneinfo import available_timezones

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from loyalty_site.common.admin.actions import run_call
from loyalty_site.common.clock import utc_now
from players.imports import services, tasks
from players.imports.fields import FIELDS
from players.imports.mapping import suggest
from players.imports.problems import ImportRefused
from players.imports.quarantine import personal_headers
from players.imports.uploads import AFTER_IMPORT
from players.models import ImportJob, ImportMapping, QuarantinedRow

IMPORT = "players.import_player"
UNDO = "players.undo_importjob"
_HIDDEN = "•••"
Status = ImportJob.Status


def needs(permission: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate


def actor(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _may_read(request: HttpRequest) -> None:
    if not (request.user.has_perm("players.view_importjob") or request.user.has_perm(IMPORT)):
        raise PermissionDenied


def page(request: HttpRequest, template: str, title: str, status: int = 200, **context: Any) -> HttpResponse:
    request.current_app = admin.site.name
    base = {**admin.site.each_context(request), "title": title, "opts": ImportJob._meta, "has_view_permission": True}
    return TemplateResponse(request, f"players/imports/{template}.html", {**base, **context}, status=status)


def job_url(job_id: int) -> str:
    return reverse("admin:players_importjob_change", args=[job_id])


def rows_url(job_id: int, row_number: int | None = None) -> str:
    url = reverse("admin:players_import_rows", args=[job_id])
    return f"{url}?from={row_number}" if row_number else url


def shown(value: str, column: str, job: ImportJob, may_see_personal: bool) -> str:
    return value if may_see_personal or not set(column.split(" + ")) & personal_headers(job) else _HIDDEN


def shown_reason(row: QuarantinedRow, job: ImportJob, may_see_personal: bool) -> str:
    """The reason, without the values it quotes when the file holds personal data that the reader may not see.

    Hidden from the first quote to the last: a value may hold quotes itself (O'Brien).
    """
    if may_see_personal or not personal_headers(job):
        return row.reason
    return re.sub(r"""['"].*['"]""", _HIDDEN, row.reason, flags=re.DOTALL)


# --- upload and mapping ---------------------------------------------------------------------------------------------


def _choices() -> dict[str, Any]:
    return {
        "kinds": ImportMapping.FileKind.choices,
        "mappings": ImportMapping.objects.all(),
        "zones": sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC"),
    }


def _options(request: HttpRequest) -> dict[str, Any]:
    """Format options from a posted form; blank ones are left out."""
    posted = request.POST
    options: dict[str, Any] = {"zone": posted.get("zone", "").strip() or "UTC", "decimal_comma": "decimal_comma" in posted}
    if posted.get("decimals", "").strip():
        try:
            options["decimals"] = int(posted["decimals"])
        except ValueError:
            raise ImportRefused("bad_option", "The number of decimals is from 0 to 4.", "Correct it, or leave it empty.") from None
    if posted.get("day_first") in ("yes", "no"):
        options["day_first"] = posted["day_first"] == "yes"
    if posted.get("unix"):
        options["unix"] = posted["unix"]
    return options


def _after(request: HttpRequest) -> dict[str, bool]:
    return {name: f"after_{name}" in request.POST for name in services.AFTER_IMPORT}


@needs(IMPORT)
def upload_page(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        try:
            return _upload(request)
        except ImportRefused as refused:
            services.ensure_builtin_mappings()
            return page(request, "upload", "New import", 400, refused=refused, posted=request.POST, **_choices())
    services.ensure_builtin_mappings()
    return page(request, "upload", "New import", posted={"zone": "UTC", "after_metrics": "on", "after_segments": "on"}, **_choices())


def _upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None:
        raise ImportRefused("no_file", "No file was chosen.", "Choose a file, or drop one on the box.")
    job = services.create_import(
        file=file,
        file_name=file.name or "file",
        at=utc_now(),
        kind=request.POST.get("kind") or None,
        mapping=request.POST.get("mapping") or None,
        options=_options(request),
        after_import=_after(request),
        actor=actor(request),
        ask_sheet=True,
    )
    if job.result.get("open"):
        return HttpResponseRedirect(reverse("admin:players_import_mapping", args=[job.pk]))
    services.enqueue(tasks.check_import_file, job)
    return HttpResponseRedirect(job_url(job.pk))


@needs(IMPORT)
def mapping_page(request: HttpRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(ImportJob, pk=job_id)
    if job.status not in (Status.UPLOADED, Status.PREVIEW, Status.FAILED):
        return HttpResponseRedirect(job_url(job_id))
    kind = request.POST.get("kind") or request.GET.get("kind") or job.kind
    if kind not in FIELDS:
        raise Http404
    headers = job.result.get("headers", [])
    columns = job.mapping if kind == job.kind and job.mapping else suggest(kind, headers)
    refused = None
    if request.method == "POST":
        try:
            columns = _posted_columns(request, kind)
            services.set_mapping(
                job_id,
                kind=kind,
                columns=columns,
                options=_options(request),
                after_import=_after(request),
                save_as=request.POST.get("save_as", "").strip(),
                at=utc_now(),
                actor=actor(request),
            )
            services.enqueue(tasks.check_import_file, job)
            return HttpResponseRedirect(job_url(job_id))
        except ImportRefused as error:
            refused = error
    return page(
        request, "mapping", f"Columns of {job.file_name}", 400 if refused else 200, job=job, kind=kind, refused=refused, headers=headers,
        lines=_mapping_lines(job, kind, columns, headers), unused=[h for h in headers if h not in used_headers(columns)],
        posted=request.POST or _form_values(job), needs_sheet=not headers, **_choices(),
    )  # fmt: skip


def used_headers(columns: dict[str, Any]) -> set[str]:
    from players.imports.mapping import headers_of

    return headers_of(columns)


def _form_values(job: ImportJob) -> dict[str, Any]:
    values = {name: job.options.get(name, "") for name in ("zone", "decimals", "unix")}
    if job.options.get("decimal_comma"):
        values["decimal_comma"] = "on"
    if "day_first" in job.options:
        values["day_first"] = "yes" if job.options["day_first"] else "no"
    values.update({f"after_{name}": "on" for name, wanted in job.after_import.items() if wanted})
    return values


def _posted_columns(request: HttpRequest, kind: str) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for one in FIELDS[kind]:
        header = request.POST.get(f"header_{one.name}", "")
        constant = request.POST.get(f"constant_{one.name}", "").strip()
        rule = request.POST.get(f"rule_{one.name}", "").strip()
        if header == "__rule__" and rule:
            try:
                columns[one.name] = json.loads(rule)
            except ValueError:
                raise ImportRefused(
                    "bad_mapping", f"The rule of {one.label} is not valid JSON.", "Correct it, or choose a column."
                ) from None
        elif header == "__constant__":
            if not constant:
                raise ImportRefused("bad_mapping", f"{one.label} has no constant.", "Enter the value that all rows get.")
            columns[one.name] = {"constant": constant}
        elif header:
            columns[one.name] = header
    return columns


def _mapping_lines(job: ImportJob, kind: str, columns: dict[str, Any], headers: list[str]) -> list[dict[str, Any]]:
    sample = job.result.get("sample", [])
    lines = []
    for one in FIELDS[kind]:
        spec = columns.get(one.name, "")
        simple = spec if isinstance(spec, str) else ""
        constant = spec.get("constant", "") if isinstance(spec, dict) else ""
        position = headers.index(simple) if simple in headers else None
        lines.append(
            {
                "field": one,
                "header": simple,
                "constant": constant,
                "rule": json.dumps(spec, ensure_ascii=False) if isinstance(spec, dict) and not constant else "",
                "sample": [row[position] for row in sample if position < len(row)][:3] if position is not None else [],
            }
        )
    return lines


@needs(IMPORT)
@require_POST
def choose_sheet(request: HttpRequest, job_id: int) -> HttpResponse:
    try:
        job = services.choose_sheet(job_id, request.POST.get("sheet", ""))
    except ImportRefused as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect(reverse("admin:players_import_mapping", args=[job_id]))
    if job.result.get("open"):
        return HttpResponseRedirect(reverse("admin:players_import_mapping", args=[job_id]))
    services.enqueue(tasks.check_import_file, job)
    return HttpResponseRedirect(job_url(job_id))


# --- one import -----------------------------------------------------------------------------------------------------


def job_page(request: HttpRequest, object_id: str) -> HttpResponse:
    _may_read(request)
    if not str(object_id).isdigit():
        raise Http404
    job = get_object_or_404(ImportJob.objects.select_related("requested_by", "api_client"), pk=int(object_id))
    may_see_personal = request.user.has_perm("players.view_player_pii")
    may_undo = request.user.has_perm(UNDO)
    open_rows = job.quarantine.filter(status=QuarantinedRow.Status.OPEN)
    quarantine = [
        {"row": row, "value": shown(row.value, row.column, job, may_see_personal), "reason": shown_reason(row, job, may_see_personal)}
        for row in job.quarantine.order_by("row_number")[:50]
    ]
    return page(
        request, "job", f"Import #{job.pk}", job=job, tiles=_tiles(job), changes=_changes(job, may_see_personal), quarantine=quarantine,
        open_rows=open_rows.count(), may_import=request.user.has_perm(IMPORT), may_undo=may_undo,
        is_running=job.status in (Status.CHECKING, Status.APPLYING) or (job.status == Status.UPLOADED and not job.result.get("open"))
        or bool(job.status == Status.DONE and job.result.get("after_pending")),
        undo_refusals=services.undo_refusals(job) if may_undo and job.status == Status.DONE else [],
        nothing_to_do=job.status == Status.PREVIEW and not job.created_count and not job.updated_count,
        after=[(name, services.after_text(job, name)) for name in AFTER_IMPORT if job.after_import.get(name)],
        replays=ImportJob.objects.filter(options__replay_of=job.pk),
    )  # fmt: skip


def _tiles(job: ImportJob) -> list[tuple[str, int, str]]:
    return [
        ("Rows in the file", job.total_rows, ""),
        ("New", job.created_count, "lb-good" if job.created_count else ""),
        ("Changed", job.updated_count, ""),
        ("Unchanged", job.unchanged_count, ""),
        ("Set aside", job.quarantined_count, "lb-warn" if job.quarantined_count else ""),
        ("New players", job.players_created, ""),
        ("Players touched", job.players_updated, ""),
    ]


def _changes(job: ImportJob, may_see_personal: bool) -> list[dict[str, Any]]:
    labels = {one.name: one.label for one in FIELDS[job.kind]}
    personal = {one.name for one in FIELDS[job.kind] if one.personal}
    changes = []
    for sample in job.result.get("samples", []):
        fields = [
            {
                "label": labels.get(name, name),
                "old": _HIDDEN if name in personal and not may_see_personal and pair[0] else pair[0],
                "new": _HIDDEN if name in personal and not may_see_personal and pair[1] else pair[1],
            }
            for name, pair in sorted(sample["fields"].items(), key=lambda item: list(labels).index(item[0]) if item[0] in labels else 99)
        ]
        changes.append({**sample, "fields": fields})
    return changes


def status_json(request: HttpRequest, job_id: int) -> JsonResponse:
    _may_read(request)
    job = get_object_or_404(ImportJob, pk=job_id)
    return JsonResponse(
        {
            "status": job.status,
            "label": job.get_status_display(),
            "progress": job.progress,
            "total_rows": job.total_rows,
            "quarantined": job.quarantined_count,
            "follow_up": job.result.get("after_pending", []),
        }
    )


@needs(IMPORT)
@require_POST
def confirm(request: HttpRequest, job_id: int) -> HttpResponse:
    done, job = run_call(
        request,
        lambda: services.confirm_import(job_id, at=utc_now(), actor=actor(request)),
        success="Confirmed: the import is being written.",
    )
    if done:
        services.enqueue(tasks.apply_import_file, job)
    return HttpResponseRedirect(job_url(job_id))


@needs(IMPORT)
@require_POST
def cancel(request: HttpRequest, job_id: int) -> HttpResponse:
    run_call(
        request,
        lambda: services.cancel_import(job_id, at=utc_now(), actor=actor(request)),
        success=lambda job: "Cancelled: nothing was written." if job.status == Status.CANCELLED else "The import stops at its next step.",
    )
    return HttpResponseRedirect(job_url(job_id))


@needs(IMPORT)
@require_POST
def resume(request: HttpRequest, job_id: int) -> HttpResponse:
    """Hand a job whose message or worker was lost to the workers again; harmless when it is being worked."""
    job = get_object_or_404(ImportJob, pk=job_id)
    is_check = job.status in (Status.UPLOADED, Status.CHECKING)
    services.enqueue(tasks.check_import_file if is_check else tasks.apply_import_file, job)
    messages.success(request, "Handed to the workers again.")
    return HttpResponseRedirect(job_url(job_id))


@needs(UNDO)
@require_POST
def undo(request: HttpRequest, job_id: int) -> HttpResponse:
    def describe(job: ImportJob) -> str:
        figures = job.result["undo"]
        kept = f" {figures['players_kept']:,} players stay, because other records refer to them." if figures["players_kept"] else ""
        rows = f"{figures['removed']:,} rows removed, {figures['restored']:,} restored"
        return f"Undone: {rows}, {figures['players_removed']:,} players removed.{kept}"

    run_call(
        request,
        lambda: services.undo_import(job_id, actor=actor(request), at=utc_now(), reason=request.POST.get("reason", "")),
        success=describe,
    )
    return HttpResponseRedirect(job_url(job_id))
