"""Imports over HTTP: the same engine as the admin's pages. Upload, look at the result of the checks, confirm."""

import json
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from loyalty_site.common.api.authentication import actor_of, client_of
from loyalty_site.common.api.fields import CleanCharField
from loyalty_site.common.api.idempotency import IdempotentWriteMixin
from loyalty_site.common.api.problems import Problem
from loyalty_site.common.clock import utc_now
from players.imports import services
from players.imports.problems import ImportRefused
from players.imports.tasks import apply_import_file, check_import_file
from players.models import ImportJob, ImportMapping

_CONFLICTS = {"wrong_status", "undo_refused"}


class UploadSerializer(serializers.Serializer):
    file = serializers.FileField(help_text=".xlsx, .xls, .csv, .csv.gz or .csv.xz")
    kind = serializers.ChoiceField(ImportMapping.FileKind.choices, required=False, help_text="Left out: the headers decide.")
    mapping = CleanCharField(max_length=80, required=False, help_text="Name of a saved mapping. Left out: the headers decide.")
    sheet = CleanCharField(max_length=80, required=False, help_text="Sheet of a workbook that has several.")
    zone = CleanCharField(max_length=64, required=False, help_text="Zone of dates that carry none, e.g. Europe/Malta; default UTC.")
    decimal_comma = serializers.BooleanField(required=False, default=False)
    metrics = serializers.BooleanField(required=False, default=True, help_text="Afterwards measure the touched players.")
    segments = serializers.BooleanField(required=False, default=True, help_text="Afterwards segment the touched players.")
    rewards = serializers.BooleanField(required=False, default=False, help_text="Afterwards evaluate rewards for the touched players.")


class ReasonSerializer(serializers.Serializer):
    reason = CleanCharField(min_length=3, max_length=500)


class ImportErrorSerializer(serializers.Serializer):
    row = serializers.IntegerField(required=False)
    column = serializers.CharField(required=False, allow_blank=True)
    value = serializers.CharField(required=False, allow_blank=True)
    code = serializers.CharField()
    reason = serializers.CharField(required=False)
    message = serializers.CharField(required=False)
    remedy = serializers.CharField(required=False)


class ImportSummarySerializer(serializers.Serializer):
    """An import: where it is, what it did, what it set aside and why (the first hundred rows)."""

    job = serializers.IntegerField()
    status = serializers.ChoiceField(ImportJob.Status.choices)
    kind = serializers.ChoiceField(ImportMapping.FileKind.choices)
    mapping = serializers.CharField(allow_blank=True)
    total_rows = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    players_created = serializers.IntegerField()
    players_updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    rewards_issued = serializers.IntegerField()
    rewards = serializers.CharField(allow_null=True, help_text="What the reward rules made of the players, in words; null: not asked for.")
    same_file_as = serializers.IntegerField(allow_null=True, help_text="An earlier import of the very same file.")
    errors = ImportErrorSerializer(many=True)  # type: ignore[assignment] # the name that the command prints, too


def import_problem(refused: ImportRefused) -> Problem:
    status = 409 if refused.code in _CONFLICTS else 422
    slug = f"import-{refused.code.replace('_', '-')}"
    field = "file" if status == 422 else ""
    errors = [{"field": field, "detail": refused.message, "remedy": refused.remedy}]
    return Problem(status, slug, "The import was refused", str(refused), errors=errors)


class ImportUploadView(IdempotentWriteMixin, APIView):
    access = {"write": ("imports:write", "players.import_player")}
    parser_classes = [MultiPartParser]

    @extend_schema(request=UploadSerializer, responses={202: ImportSummarySerializer})
    def post(self, request: Request) -> Response:
        """Upload a file. It is checked in the background; then it waits for confirmation, see `GET /imports/{id}`."""
        body = UploadSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        options = {name: values[name] for name in ("sheet", "zone", "decimal_comma") if values.get(name)}
        try:
            job = services.create_import(
                file=values["file"],
                file_name=values["file"].name,
                at=utc_now(),
                kind=values.get("kind"),
                mapping=values.get("mapping"),
                options=options,
                after_import={name: values[name] for name in ("metrics", "segments", "rewards")},
                actor=actor_of(request),
                api_client=client_of(request),
            )
        except ImportRefused as refused:
            raise import_problem(refused) from refused
        if job.result.get("open"):
            raise Problem(
                422,
                "import-mapping-open",
                "The columns of the file could not be matched",
                "Name a saved mapping, or correct the headers.",
                errors=[{"field": "mapping", "detail": one["message"], "remedy": one["remedy"]} for one in job.result["open"]],
            )
        services.enqueue(check_import_file, job)
        return Response(_summary(job), status=202)


class ImportViewSet(IdempotentWriteMixin, mixins.ListModelMixin, viewsets.GenericViewSet):
    queryset = ImportJob.objects.all()
    serializer_class = ImportSummarySerializer
    lookup_value_regex = "[^/]+"
    ordering_fields = ["id"]
    access = {
        "read": ("imports:write", "players.view_importjob"),
        "write": ("imports:write", "players.import_player"),
        "undo": ("imports:write", "players.undo_importjob"),
    }

    @extend_schema(responses=ImportSummarySerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Imports, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([_summary(job) for job in page or []])

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """Where an import is, and what its checks found."""
        return Response(_summary(self.get_object()))

    @extend_schema(request=None, responses={202: ImportSummarySerializer})
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, **kwargs: Any) -> Response:
        """Write what the checks accepted; it happens in the background."""
        try:
            job = services.confirm_import(self.get_object().pk, at=utc_now(), actor=actor_of(request), api_client=client_of(request))
        except ImportRefused as refused:
            raise import_problem(refused) from refused
        services.enqueue(apply_import_file, job)
        return Response(_summary(job), status=202)

    @extend_schema(request=None, responses=ImportSummarySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Cancel an import that is not written yet."""
        try:
            return Response(_summary(services.cancel_import(self.get_object().pk, at=utc_now(), actor=actor_of(request))))
        except ImportRefused as refused:
            raise import_problem(refused) from refused

    @extend_schema(request=ReasonSerializer, responses=ImportSummarySerializer)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, **kwargs: Any) -> Response:
        """Take back everything an import wrote, while nothing built on it was paid."""
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            job = services.undo_import(self.get_object().pk, actor=actor_of(request), at=utc_now(), reason=body.validated_data["reason"])
        except ImportRefused as refused:
            raise import_problem(refused) from refused
        return Response(_summary(job))


def _summary(job: ImportJob) -> dict[str, Any]:
    return json.loads(json.dumps(services.summary(job), default=str))
