"""Imports in the admin: the list, and one page per import that follows it from upload to undo."""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Value
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from loyalty_site.common.admin.base import BackOfficeAdmin, ViewOnlyAdmin
from loyalty_site.common.admin.display import DASH, badge, progress_bar
from players.admin import import_pages, import_row_pages
from players.imports.mapping import BUILTIN
from players.models import ImportJob, ImportMapping, QuarantinedRow

STATUS_TONES = {
    ImportJob.Status.UPLOADED: "info",
    ImportJob.Status.CHECKING: "info",
    ImportJob.Status.PREVIEW: "warn",
    ImportJob.Status.APPLYING: "info",
    ImportJob.Status.DONE: "good",
    ImportJob.Status.FAILED: "bad",
}


@admin.register(ImportJob)
class ImportJobAdmin(ViewOnlyAdmin):
    list_display = ("number", "file", "kind", "status_badge", "rows", "new", "changed", "set_aside", "by", "created_at")
    list_display_links = ("number", "file")
    list_filter = ("status", "kind")
    search_fields = ("file_name", "file_sha256")
    search_help_text = "File name or SHA-256"
    list_select_related = ("requested_by", "api_client")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(import_pages.IMPORT)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or request.user.has_perm(import_pages.IMPORT)

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("<int:job_id>/mapping/", import_pages.mapping_page, "mapping"),
            ("<int:job_id>/sheet/", import_pages.choose_sheet, "sheet"),
            ("<int:job_id>/status/", import_pages.status_json, "status"),
            ("<int:job_id>/confirm/", import_pages.confirm, "confirm"),
            ("<int:job_id>/cancel/", import_pages.cancel, "cancel"),
            ("<int:job_id>/resume/", import_pages.resume, "resume"),
            ("<int:job_id>/undo/", import_pages.undo, "undo"),
            ("<int:job_id>/rows/", import_row_pages.rows_page, "rows"),
            ("<int:job_id>/errors/<str:file_format>/", import_row_pages.errors, "errors"),
        ]
        own = [path(route, self.admin_site.admin_view(view), name=f"players_import_{name}") for route, view, name in pages]
        return [*own, *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return import_pages.upload_page(request)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return import_pages.job_page(request, object_id)

    @display(description="No.", ordering="id")
    def number(self, job: ImportJob) -> str:
        return f"#{job.pk}"

    @display(description="File", ordering="file_name")
    def file(self, job: ImportJob) -> str:
        return job.file_name

    @display(description="Status", ordering="status")
    def status_badge(self, job: ImportJob) -> SafeString:
        label = badge(job.get_status_display(), STATUS_TONES.get(ImportJob.Status(job.status), ""))
        if job.status in (ImportJob.Status.CHECKING, ImportJob.Status.APPLYING):
            return format_html("{} {}", label, progress_bar(job.progress, 100))
        return label

    @display(description="Rows", ordering="total_rows")
    def rows(self, job: ImportJob) -> str:
        return f"{job.total_rows:,}"

    @display(description="New", ordering="created_count")
    def new(self, job: ImportJob) -> str:
        return f"{job.created_count:,}"

    @display(description="Changed", ordering="updated_count")
    def changed(self, job: ImportJob) -> str:
        return f"{job.updated_count:,}"

    @display(description="Set aside", ordering="quarantined_count")
    def set_aside(self, job: ImportJob) -> SafeString | str:
        return badge(f"{job.quarantined_count:,}", "warn") if job.quarantined_count else "0"

    @display(description="By")
    def by(self, job: ImportJob) -> str:
        return str(job.requested_by or job.api_client or "command line")


@admin.register(ImportMapping)
class ImportMappingAdmin(BackOfficeAdmin):
    list_display = ("name", "kind", "fields_mapped", "built_in", "created_by", "created_at")
    list_filter = ("kind",)
    search_fields = ("name",)
    list_select_related = ("created_by",)
    fields = ("name", "kind", "columns", "options", "created_by", "created_at")
    readonly_fields = ("created_by", "created_at", "kind", "columns", "options")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a mapping is saved from the mapping page of an import, where it is checked against a file

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.name in BUILTIN:
            return False
        return super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or request.user.has_perm(import_pages.IMPORT)

    @display(description="Fields")
    def fields_mapped(self, mapping: ImportMapping) -> int:
        return len(mapping.columns)

    @display(description="Built in", boolean=True)
    def built_in(self, mapping: ImportMapping) -> bool:
        return mapping.name in BUILTIN


@admin.register(QuarantinedRow)
class QuarantinedRowAdmin(ViewOnlyAdmin):
    list_display = ("place", "column", "shown_value", "why", "status_badge", "correct")
    list_filter = ("status", "code")
    search_fields = ("=job__id", "code", "column")
    search_help_text = "Import number, column or code"
    list_select_related = ("job",)
    ordering = ("-job_id", "row_number")
    list_display_links = None

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or request.user.has_perm(import_pages.IMPORT)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return import_row_pages.row_redirect(request, object_id)

    def get_queryset(self, request: HttpRequest) -> Any:
        # on the rows: this object serves all threads, and the permission is this request's alone
        may_see = Value(request.user.has_perm("players.view_player_pii"), output_field=BooleanField())
        return super().get_queryset(request).annotate(may_see_personal=may_see)

    @display(description="Import and row", ordering="row_number")
    def place(self, row: QuarantinedRow) -> str:
        return f"#{row.job_id}, row {row.row_number:,}"

    @display(description="Value")
    def shown_value(self, row: QuarantinedRow) -> str:
        return import_pages.shown(row.value, row.column, row.job, row.may_see_personal)[:60] or DASH  # type: ignore[attr-defined]

    @display(description="Reason", ordering="code")
    def why(self, row: QuarantinedRow) -> str:
        return import_pages.shown_reason(row, row.job, row.may_see_personal)  # type: ignore[attr-defined]

    @display(description="Status", ordering="status")
    def status_badge(self, row: QuarantinedRow) -> SafeString:
        tones = {QuarantinedRow.Status.OPEN: "warn", QuarantinedRow.Status.REPLAYED: "good"}
        return badge(row.get_status_display(), tones.get(QuarantinedRow.Status(row.status), ""))

    @display(description="")
    def correct(self, row: QuarantinedRow) -> SafeString | str:
        if row.status != QuarantinedRow.Status.OPEN or row.job.status != ImportJob.Status.DONE:
            return DASH
        return format_html('<a class="lb-link" href="{}">Correct</a>', import_pages.rows_url(row.job_id, row.row_number))
