"""Serializer fields that are stricter than DRF's own."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import serializers

from loyalty_site.common.clock import utc_now

_EARLIEST_EVENT = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCKS_APART = timedelta(days=1)


class AwareDateTimeField(serializers.DateTimeField):
    """An instant with a stated zone (`2026-03-15T12:00:00Z`); one without is refused instead of guessed. Answers are UTC."""

    default_error_messages = {"no_zone": "The time has no zone; add Z or an offset such as +01:00."}

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str):
            try:
                parsed = parse_datetime(value)
            except ValueError:
                parsed = None
            if parsed is not None and parsed.tzinfo is None:
                self.fail("no_zone")
        return super().to_internal_value(value)


class EventTimeField(AwareDateTimeField):
    """When something happened: not before 1970, and not in the future (a day is allowed for clocks that differ), as for imported files."""

    default_error_messages = {
        "future": "The time lies in the future; check the year and the zone.",
        "too_early": "The time lies before 1970; check the year.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        if moment < _EARLIEST_EVENT:
            self.fail("too_early")
        if moment > utc_now() + _CLOCKS_APART:
            self.fail("future")
        return moment


class AmountField(serializers.DecimalField):
    """A money amount that is not negative, with at most four decimal places, sent as a string or a number."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 20)
        kwargs.setdefault("decimal_places", 4)
        kwargs.setdefault("min_value", Decimal(0))
        super().__init__(**kwargs)


class CleanCharField(serializers.CharField):
    """Text without NUL and other control characters, which PostgreSQL or a spreadsheet would choke on."""

    default_error_messages = {"control": "Control characters are not allowed."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) <= 0xDFFF for letter in text):
            self.fail("control")
        return text


class FreeObjectField(serializers.DictField):
    """A free JSON object of at most 16 kB, without characters that the database cannot keep (NUL, lone surrogates)."""

    max_bytes = 16_384
    default_error_messages = {
        "unstorable": "The object holds NUL or unpaired surrogate characters.",
        "too_large": "The object is larger than {limit} bytes.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            self.fail("unstorable")
        if b"\\u0000" in text:
            self.fail("unstorable")
        if len(text) > self.max_bytes:
            self.fail("too_large", limit=self.max_bytes)
        return value
