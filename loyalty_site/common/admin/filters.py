"""List filters that several pages share."""

from datetime import date, timedelta

from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter
from unfold.utils import parse_date_str

from loyalty_site.common.clock import day_start

_CHOICES_SECONDS = 300


class UtcDateRangeFilter(RangeDateFilter):
    """From day to day, both included, on an instant: days are UTC days."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        first = self._day("from")
        last = self._day("to")
        if first:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": day_start(first)})
        if last:
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": day_start(last + timedelta(days=1))})
        return queryset

    def _day(self, end: str) -> date | None:
        value = self.used_parameters.get(f"{self.parameter_name}_{end}")
        return parse_date_str(value) if isinstance(value, str) and value else None


def distinct_values(table: str, column: str) -> list[str]:
    """Different non-empty values of an indexed column by hopping through the index, whatever the size of the table.

    Remembered for five minutes. `table` and `column` are trusted names.
    """
    key = f"distinct:{table}:{column}"
    values = cache.get(key)
    if values is None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH RECURSIVE hop AS ((SELECT {column} AS v FROM {table} WHERE {column} > '' ORDER BY {column} LIMIT 1) UNION ALL "
                f"SELECT (SELECT {column} FROM {table} WHERE {column} > hop.v ORDER BY {column} LIMIT 1) FROM hop WHERE hop.v IS NOT NULL) "
                "SELECT v FROM hop WHERE v IS NOT NULL"
            )
            values = [row[0] for row in cursor.fetchall()]
        cache.set(key, values, _CHOICES_SECONDS)
    return values


class ValuesFilter(DropdownFilter):
    """A dropdown of the values an indexed column really has. Subclasses set `title`, `parameter_name`, `table`."""

    table = ""

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(value, value) for value in distinct_values(self.table, self.parameter_name)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset
