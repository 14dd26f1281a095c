"""Filters that refuse what they document as wrong."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from rest_framework import serializers
from rest_framework.request import Request


class IntegerFilter(filters.NumberFilter):
    """A whole number within bounds; anything else is a 400 that names the parameter."""

    field_class = forms.IntegerField

    def get_max_validator(self) -> Any:
        return None  # the form field's own bounds say it better


class InstantField(IsoDateTimeField):
    def clean(self, value: Any) -> datetime | None:
        moment = super().clean(value)
        if moment is None:
            return None
        try:
            # PostgreSQL takes offsets below 16 hours only; UTC has none
            return moment.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError("The time is out of range.") from None


class InstantFilter(filters.IsoDateTimeFilter):
    """An ISO 8601 instant, compared in UTC."""

    field_class = InstantField


class StrictBooleanField(forms.Field):
    def clean(self, value: Any) -> bool | None:
        if value in ("", None):
            return None
        if str(value).lower() not in {"true", "false"}:
            raise forms.ValidationError("Send true or false.")
        return str(value).lower() == "true"


class StrictBooleanFilter(filters.BooleanFilter):
    """`true` or `false`; anything else is a 400."""

    field_class = StrictBooleanField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra.pop("widget", None)


class StrictFilterBackend(filters.DjangoFilterBackend):
    """Refuses a filter it does not know: a misspelt one would otherwise quietly return everything."""

    others = frozenset({"cursor", "page_size", "ordering", "format"})

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        filterset = self.get_filterset_class(view, queryset)
        known = set(filterset.base_filters) if filterset else set()
        if unknown := sorted(request.query_params.keys() - known - self.others):
            raise serializers.ValidationError(
                {name: f"There is no such filter. Known: {', '.join(sorted(known)) or 'none'}." for name in unknown}
            )
        return super().filter_queryset(request, queryset, view)
