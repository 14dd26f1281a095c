"""The rows that an import set aside: download, correct and replay, dismiss."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from loyalty_site.common import audit
from loyalty_site.common.admin.actions import run_call
from loyalty_site.common.clock import utc_now
from players.admin.import_pages import IMPORT, Status, actor, needs, page, rows_url, shown_reason, used_headers
from players.imports import services
from players.imports.problems import ImportRefused
from players.imports.quarantine import personal_headers
from players.models import ImportJob, QuarantinedRow

_ROWS_A_PAGE = 20


@needs(IMPORT)
def errors(request: HttpRequest, job_id: int, file_format: str) -> HttpResponse:
    job = get_object_or_404(ImportJob, pk=job_id)
    hidden = set() if request.user.has_perm("players.view_player_pii") else personal_headers(job)
    try:
        name, content_type, content = services.error_file(job, file_format=file_format, hidden=hidden)
    except ImportRefused as refused:
        raise Http404(str(refused)) from refused
    audit.record("players.import_errors_exported", job, at=utc_now(), actor=actor(request), after={"format": file_format})
    return HttpResponse(content, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@needs(IMPORT)
def rows_page(request: HttpRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(ImportJob, pk=job_id)
    if request.method == "POST":
        return _settle_rows(request, job)
    rows = job.quarantine.filter(status=QuarantinedRow.Status.OPEN).order_by("row_number")
    if request.GET.get("from", "").isdigit():
        rows = rows.filter(row_number__gte=int(request.GET["from"]))
    rows_shown = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    hidden = set() if request.user.has_perm("players.view_player_pii") else personal_headers(job)
    mapped = used_headers(job.mapping)
    lines = []
    for row in rows_shown:
        cells = [
            {"header": header, "value": {**row.raw, **row.correction}.get(header, ""), "faulty": header in row.column.split(" + ")}
            for header in job.result.get("headers", [])
            if header in mapped and header not in hidden
        ]
        extra = {name: cell for name, cell in row.raw.items() if name.startswith("+") and cell}
        lines.append({"row": row, "cells": cells, "extra": {} if hidden else extra, "reason": shown_reason(row, job, not hidden)})
    return page(
        request, "rows", f"Rows set aside by import #{job.pk}", job=job, page=rows_shown, lines=lines, can_replay=job.status == Status.DONE
    )


def _settle_rows(request: HttpRequest, job: ImportJob) -> HttpResponse:
    chosen = [int(one) for one in request.POST.getlist("row") if one.isdigit()]
    ids = list(job.quarantine.filter(pk__in=chosen).values_list("pk", flat=True))
    if "dismiss" in request.POST:
        run_call(
            request,
            lambda: services.dismiss_quarantine(ids, actor=actor(request), at=utc_now(), reason=request.POST.get("reason", "")),
            success=lambda count: f"{count:,} rows dismissed.",
        )
        return HttpResponseRedirect(rows_url(job.pk))
    rows = {row.pk: row for row in job.quarantine.filter(pk__in=ids)}
    corrections: dict[int, dict[str, str]] = {}
    for pk, row in rows.items():
        current = {**row.raw, **row.correction}
        changed = {
            header: value
            for header in job.result.get("headers", [])
            if (value := request.POST.get(f"cell_{pk}_{header}")) is not None and value != current.get(header, "")
        }
        if changed:
            corrections[pk] = changed
    run_call(
        request,
        lambda: services.replay_quarantine(ids, corrections, actor=actor(request), at=utc_now()),
        success=lambda replay: (
            f"{replay.total_rows - replay.quarantined_count:,} rows taken as import #{replay.pk}; "
            f"{replay.quarantined_count:,} still have a fault."
        ),
    )
    return HttpResponseRedirect(rows_url(job.pk))


@needs(IMPORT)
def row_redirect(request: HttpRequest, object_id: str) -> HttpResponse:
    row = get_object_or_404(QuarantinedRow, pk=int(object_id) if str(object_id).isdigit() else 0)
    return HttpResponseRedirect(rows_url(row.job_id, row.row_number))
