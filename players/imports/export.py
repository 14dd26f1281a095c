"""Exports that a spreadsheet can not be tricked with, for people who may export, leaving a trace each time.

A cell that begins with = + - @ or a control character can run as a formula when the file is opened; such text gets a leading
apostrophe, which spreadsheets show as plain text. Numbers, dates and booleans are no text and stay what they are; text that merely
is a number ('-12.50') stays too, because a number is all a spreadsheet can make of it.
"""

import re
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from import_export import fields, resources
from import_export.admin import ExportActionMixin
from import_export.formats import base_formats
from unfold.contrib.import_export.forms import ExportForm

from loyalty_site.common import audit
from loyalty_site.common.clock import utc_now
from players.models import Player

_DANGEROUS_START = ("=", "+", "-", "@")
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_ILLEGAL_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# spaces and marks that a spreadsheet may skip before it looks for a formula
_INVISIBLE = " \u00a0\u200b\u200c\u200d\u2060\ufeff"


def neutralise(value: Any) -> Any:
    """`value` safe for a spreadsheet cell. Only text is ever changed."""
    if not isinstance(value, str) or not value:
        return value
    first = value[0]
    text = _ILLEGAL_IN_XML.sub("\ufffd", value)
    if ord(first) < 32 or 127 <= ord(first) < 160:
        return "'" + text
    bare = text.lstrip(_INVISIBLE)
    if bare.startswith(_DANGEROUS_START) and not _PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    # full-width forms of the same signs are taken for formulas by some spreadsheets
    if bare[:1] in "\uff1d\uff0b\uff0d\uff20" and bare:
        return "'" + text
    return text


class SafeResource(resources.ModelResource):
    """An export-only resource whose cells are neutralised. Importing through it is refused: files go through the import pages."""

    def export_resource(self, instance: Any, selected_fields: Any = None, **kwargs: Any) -> list[Any]:
        return [neutralise(cell) for cell in super().export_resource(instance, selected_fields, **kwargs)]

    def import_data(self, *args: Any, **kwargs: Any) -> Any:
        raise PermissionDenied("Files are imported through the import pages, which check and can undo them.")


class PlayerResource(SafeResource):
    """The player list. Names, e-mail and birth date are left out unless the reader may see them (see SafeExportAdminMixin)."""

    tier = fields.Field(attribute="tier__name", column_name="tier")
    PERSONAL = ("username", "first_name", "last_name", "email", "birth_date")

    def __init__(self, *, with_personal_data: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not with_personal_data:
            for name in self.PERSONAL:
                self.fields.pop(name, None)

    def get_export_order(self) -> list[str]:
        return [name for name in super().get_export_order() if name in self.fields]

    class Meta:
        model = Player
        fields = (
            "external_id", "username", "first_name", "last_name", "email", "birth_date", "country", "currency", "language",
            "registered_at", "acquisition_channel", "status", "segment", "tier", "risk_score",
        )  # fmt: skip
        export_order = fields


class SafeExportAdminMixin(ExportActionMixin):
    """For an admin list: export as CSV or Excel of the filtered or selected rows, behind `<app>.export_<model>`, with an audit event.

    Set `resource_classes`; a resource that takes `with_personal_data` gets it from the permission `players.view_player_pii`.
    Put the mixin before the admin class.
    """

    formats = [base_formats.CSV, base_formats.XLSX]
    export_form_class = ExportForm
    max_export_rows = 200_000

    def has_export_permission(self, request: HttpRequest) -> bool:
        meta = self.model._meta
        return bool(request.user.has_perm(f"{meta.app_label}.export_{meta.model_name}"))

    def get_export_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        arguments = dict(super().get_export_resource_kwargs(request, **kwargs))
        if any(issubclass(one, PlayerResource) for one in self.get_export_resource_classes(request)):
            arguments["with_personal_data"] = request.user.has_perm("players.view_player_pii")
        return arguments

    def export_action(self, request: HttpRequest) -> HttpResponse:
        try:
            response: HttpResponse = super().export_action(request)
        except IncorrectLookupParameters:
            messages.warning(request, "The address asked for a filter that this list does not have; the whole list is offered instead.")
            return redirect(request.path)
        return response

    def get_export_data(self, file_format: Any, request: HttpRequest, queryset: Any, **kwargs: Any) -> Any:
        if not self.has_export_permission(request):
            raise PermissionDenied
        rows = queryset.order_by().values("pk")[: self.max_export_rows + 1].count()
        if rows > self.max_export_rows:
            raise PermissionDenied(f"More than {self.max_export_rows:,} rows: narrow the list with filters first.")
        data = super().get_export_data(file_format, request, queryset, **kwargs)
        meta = self.model._meta
        audit.record(
            f"{meta.app_label}.{meta.model_name}_exported",
            (meta.label_lower, "list"),
            at=utc_now(),
            actor=request.user if isinstance(request.user, User) else None,
            after={"rows": rows, "format": file_format.get_extension(), "filters": request.GET.urlencode()[:500]},
        )
        return data


__all__ = ["PlayerResource", "SafeExportAdminMixin", "SafeResource", "neutralise"]
