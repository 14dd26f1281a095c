"""What an address asks of a list and nobody can answer: values that a filter does not know, bounds that are no numbers or exclude others.

Such a list is empty and says why. It must never show everybody, nor be exported, under a filter that looks as if it worked.
"""

import math
from typing import Any

from django.http import HttpRequest

_SHOWN = 40
_SHARES = frozenset({"probability", "score"})  # figures from 0 to 1


def problems(request: HttpRequest, changelist: Any) -> list[str]:
    """One sentence a filter whose value cannot be; [] when all can."""
    found = []
    for one in changelist.list_filter:
        if isinstance(one, tuple | list):
            found += _of_range(str(one[0]), request)
            continue
        value = request.GET.get(one.parameter_name, "")
        if len(set(request.GET.getlist(one.parameter_name))) > 1:
            found.append(f"The filter \u201c{one.title}\u201d is asked for more than once. Choose one of its values.")
        spec = next((spec for spec in changelist.filter_specs if isinstance(spec, one)), None)
        known = {str(choice): str(label) for choice, label in spec.lookup_choices} if spec else {}
        if value and value not in known:
            there_are = f"There are: {', '.join(known)}." if 0 < len(known) <= 12 else "Choose one in the filters."
            found.append(f"The filter \u201c{one.title}\u201d knows no \u201c{value[:_SHOWN]}\u201d. {there_are}")
    return found


def _of_range(field: str, request: HttpRequest) -> list[str]:
    found, bounds = [], []
    for end in ("from", "to"):
        text = request.GET.get(f"{field}_{end}", "").strip()
        if not text:
            continue
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            bounds.append(number)
        else:
            found.append(f"\u201c{text[:_SHOWN]}\u201d is no number: {field.replace('_', ' ')} {end}.")
    if field in _SHARES and (beyond := [number for number in bounds if not 0 <= number <= 1]):
        found.append(f"{field.capitalize()} lies between 0 and 1: {', '.join(f'{number:g}' for number in beyond)} is outside.")
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        found.append(f"No {field.replace('_', ' ')} lies from {bounds[0]:g} to {bounds[1]:g}: the first bound is above the second.")
    return found
