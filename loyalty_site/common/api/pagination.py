"""Keyset pages: as fast on page one thousand as on page one, and stable while rows arrive."""

from typing import Any

from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class KeysetPagination(CursorPagination):
    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"
    ordering = "-id"

    def get_page_size(self, request: Request) -> int:
        """The asked size; one that is not a whole number from 1 to 500 is refused instead of quietly replaced."""
        values = request.query_params.getlist(self.page_size_query_param)
        if not values:
            return self.page_size
        size = values[-1]
        if len(values) > 1 or not size.isascii() or not size.isdigit() or not 1 <= int(size[:6]) <= self.max_page_size or len(size) > 3:
            raise serializers.ValidationError({self.page_size_query_param: f"Send one whole number from 1 to {self.max_page_size}."})
        return int(size)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`next` and `previous` may be null, said as OpenAPI 3.1 says it."""
        page = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            page["properties"][name].pop("nullable", None)
            page["properties"][name]["type"] = ["string", "null"]
        return page

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return parameters
