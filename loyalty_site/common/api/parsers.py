"""JSON bodies, read so that nothing of them is lost."""

import codecs
import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework import exceptions
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer

from .problems import field_problem


class UniqueKeysParser(JSONParser):
    """JSON in which a name stands once in its object; of two, `json` alone would silently keep the last.

    Raises a 400 that names the key, and ParseError for what is no JSON (NaN and infinity are none).
    """

    renderer_class = JSONRenderer

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            text = codecs.getreader(encoding)(stream)
            return json.load(text, object_pairs_hook=_object, parse_constant=_refuse)
        except ValueError as error:
            raise exceptions.ParseError(f"JSON parse error - {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise field_problem(name, f"The name {name!r} stands twice in one object.", "Send it once.")
        found[name] = value
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")
