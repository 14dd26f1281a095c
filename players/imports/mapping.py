"""Which header of a file fills which of our fields: suggestions, checks and the small set of transforms. Pure.

A mapping's `columns` is {our field: spec}; a spec is a header, or an object:
    {"header": "Bet"}                                     the cell as it stands
    {"header": "Type", "values": {"D": "DEPOSIT"}}        the cell translated; a value that is not listed stays as it is
    {"constant": "crash"}                                 the same text in each row
    {"transform": "sum", "headers": ["Bet", "Profit"]}    sum, difference or product of the amounts (exact)
    {"transform": "first", "headers": ["a", "b"]}         the first cell that is not blank
    {"transform": "join", "headers": ["a", "b"], "with": "-"}
    {"transform": "object", "headers": ["vip", "club"]}   a JSON object of the cells that are not blank
and any of them may add {"when": "CashedOut", "else": "0"}: where the cell under `when` is blank, `else` is used instead.
"""

import dataclasses
import difflib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from players.imports.fields import FIELDS, Field, money_field
from players.imports.problems import ImportRefused

TRANSFORMS = ("sum", "difference", "product", "first", "join", "object")
_FUZZY = 0.84
OPTION_NAMES = {
    "zone", "decimal_comma", "decimals", "day_first", "unix", "encoding", "delimiter", "sheet", "as_of", "replay_of",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One resolved spec: where the values of our field come from, as positions in the file's rows."""

    field: Field
    positions: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    constant: str | None = None
    transform: str = ""
    joiner: str = ""
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    when: int | None = None
    otherwise: str = ""

    @property
    def label(self) -> str:
        """What to call the column in a message."""
        return " + ".join(self.headers) if self.headers else self.field.name


def normalise(header: str) -> str:
    """'Player ID ' -> 'player_id'; 'totalWagered (EUR)' -> 'total_wagered'. Letters of every script are kept."""
    text = unicodedata.normalize("NFKC", header)
    text = re.sub(r"[\(\[].*?[\)\]]", " ", text)
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).casefold()
    return re.sub(r"[\W_]+", "_", text).strip("_")


def suggest(kind: str, headers: tuple[str, ...] | list[str]) -> dict[str, str]:
    """{our field: header} for the headers that are recognised: the same name first, then known names, then near misses."""
    free = {header: normalise(header) for header in headers}
    found: dict[str, str] = {}
    for matches in (_same, _known, _near):
        for one in FIELDS[kind]:
            if one.name in found or one.type == "object":
                continue
            header = matches(one, free)
            if header is not None:
                found[one.name] = header
                del free[header]
    return found


def _same(one: Field, free: dict[str, str]) -> str | None:
    return next((header for header, name in free.items() if name == one.name), None)


def _known(one: Field, free: dict[str, str]) -> str | None:
    for known in one.names:
        for header, name in free.items():
            if name in (known, known.replace("_", "")) or name.replace("_", "") == known.replace("_", ""):
                return header
    return None


def _near(one: Field, free: dict[str, str]) -> str | None:
    best, best_score = None, _FUZZY
    for header, name in free.items():
        for target in (one.name, *one.names):
            if len(target) < 6:
                continue  # short names resemble too much
            score = difflib.SequenceMatcher(None, name, target).ratio()
            if score > best_score:
                best, best_score = header, score
    return best


def with_currency(kind: str, columns: dict[str, Any], headers: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """The mapping with the column that names the currency of the amounts, where it does not speak of it: amounts of another currency must
    not pass for the player's own. `"currency": ""` in a mapping says that no column is meant; near misses are not taken here."""
    one = money_field(kind)
    if one is None or one.name in columns:
        return columns
    named = {header: normalise(header) for header in headers}
    header = _same(one, named) or _known(one, named)
    return columns if header is None else {**columns, one.name: header}


def detect_kind(headers: tuple[str, ...] | list[str]) -> str | None:
    """The kind whose required fields the headers cover best, or None when no kind or more than one is covered in full."""
    scores = {kind: suggest(kind, headers) for kind in FIELDS}
    complete = [kind for kind in FIELDS if all(one.name in scores[kind] for one in FIELDS[kind] if one.required)]
    if not complete:
        return None
    # more required fields covered is the more specific reading; profiles need only an id, so they come last
    complete.sort(key=lambda kind: (sum(one.required for one in FIELDS[kind]), len(scores[kind])), reverse=True)
    best = complete[0]
    if best == "PLAYERS" and len(scores[best]) < 2:
        return None
    return best


def nearest_kind(headers: tuple[str, ...] | list[str]) -> str | None:
    """Of headers that fit no kind in full: the one kind of which they cover the most required fields, two at least, else None."""
    covered = {kind: sum(one.required and one.name in suggest(kind, headers) for one in fields) for kind, fields in FIELDS.items()}
    most = max(covered.values())
    nearest = [kind for kind, count in covered.items() if count == most]
    return nearest[0] if most >= 2 and len(nearest) == 1 else None


def missing_fields(kind: str, columns: dict[str, Any]) -> list[Field]:
    return [one for one in FIELDS[kind] if one.required and not columns.get(one.name)]


def headers_of(columns: dict[str, Any]) -> set[str]:
    """All headers that a mapping's columns read."""
    used: set[str] = set()
    for spec in columns.values():
        if isinstance(spec, str):
            used.add(spec)
        elif isinstance(spec, dict):
            used.update(spec.get("headers", []))
            used.update(value for key in ("header", "when") if (value := spec.get(key)))
    return used - {""}


def resolve(kind: str, columns: dict[str, Any], headers: tuple[str, ...] | list[str]) -> list[Column]:
    """The mapping against the headers of one file. Raises ImportRefused naming every missing column or faulty spec."""
    known = {one.name: one for one in FIELDS[kind]}
    unknown = sorted(set(columns) - set(known))
    if unknown:
        raise ImportRefused("unknown_field", f"The mapping names fields we do not have: {', '.join(unknown)}.", f"Use: {', '.join(known)}.")
    positions = {header: index for index, header in enumerate(headers)}
    absent = sorted(headers_of(columns) - set(positions))
    if absent:
        raise ImportRefused(
            "missing_columns",
            f"The mapping needs columns that the file does not have: {', '.join(absent)}.",
            f"The file has: {', '.join(headers)}. Change the mapping or the file.",
            columns=absent,
        )
    missing = missing_fields(kind, columns)
    if missing:
        names = ", ".join(one.name for one in missing)
        raise ImportRefused(
            "missing_columns",
            f"Columns are missing: {names}.",
            "Add them to the file, map another header to them, or give them a constant.",
            columns=[one.name for one in missing],
        )
    return [_column(known[name], spec, positions) for name, spec in columns.items() if spec]


def _column(one: Field, spec: Any, positions: dict[str, int]) -> Column:
    if isinstance(spec, str):
        spec = {"header": spec}
    if not isinstance(spec, dict):
        raise ImportRefused("bad_mapping", f"The mapping of {one.name} is neither a header nor an object.", "Correct the mapping.")
    when = positions[spec["when"]] if spec.get("when") else None
    otherwise = str(spec.get("else", ""))
    common: dict[str, Any] = {
        "when": when,
        "otherwise": otherwise,
        "values": {str(k).casefold(): str(v) for k, v in spec.get("values", {}).items()},
    }
    if "constant" in spec:
        return Column(one, constant=str(spec["constant"]), **common)
    if transform := spec.get("transform"):
        listed = tuple(spec.get("headers", ()))
        if transform not in TRANSFORMS or not listed:
            raise ImportRefused(
                "bad_mapping",
                f"{one.name}: the transform {transform!r} is not known or names no headers.",
                f"Use one of {', '.join(TRANSFORMS)}.",
            )
        return Column(one, tuple(positions[h] for h in listed), listed, transform=transform, joiner=str(spec.get("with", "")), **common)
    if not spec.get("header"):
        raise ImportRefused("bad_mapping", f"The mapping of {one.name} names no header.", "Name a header or a constant.")
    return Column(one, (positions[spec["header"]],), (spec["header"],), **common)


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Known options with sensible values. Raises ImportRefused."""
    unknown = sorted(set(options) - OPTION_NAMES)
    if unknown:
        raise ImportRefused("bad_option", f"Unknown options: {', '.join(unknown)}.", f"Use: {', '.join(sorted(OPTION_NAMES))}.")
    zone = options.get("zone") or "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImportRefused("bad_zone", f"There is no time zone {zone!r}.", "Use a name such as Europe/Malta or UTC.") from error
    decimals = options.get("decimals")
    if decimals is not None and (not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= 4):
        raise ImportRefused("bad_option", "The number of decimals is from 0 to 4.", "Correct it, or leave it empty for no rounding.")
    if options.get("unix") not in (None, "", "seconds", "milliseconds"):
        raise ImportRefused("bad_option", "Unix times are in 'seconds' or 'milliseconds'.", "Choose one of them, or leave it empty.")
    if as_of := options.get("as_of"):
        options = {**options, "as_of": _instant(str(as_of), zone)}
    return {**options, "zone": zone}


def _instant(text: str, zone: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ImportRefused(
            "bad_option",
            f"{text!r} is no instant at which totals can hold.",
            "Write a date or a date with a time, such as 2026-03-01 or 2026-03-01T06:00:00+01:00.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC).isoformat()


BUILTIN: dict[str, dict[str, Any]] = {
    "reference totals": {
        "kind": "TOTALS",
        "columns": {
            "player_external_id": "player_id", "total_deposited": "total_deposited", "total_wagered": "total_wagered",
            "total_won": "total_won", "sessions": "sessions", "playtime_hours": "playtime_hours",
        },
        "options": {"zone": "UTC"},
    },
    # Crash game bets. Profit already contains the bonus share of the stake, rounded to cents by the house; a blank CashedOut is a lost bet.
    "bustabit": {
        "kind": "PLAYS",
        "columns": {
            "player_external_id": "Username", "external_id": "Id",
            "game_code": {"constant": "bustabit"}, "game_category": {"constant": "crash"}, "played_at": "PlayDate", "stake": "Bet",
            "payout": {"transform": "sum", "headers": ["Bet", "Profit"], "when": "CashedOut", "else": "0"},
        },
        "options": {"zone": "UTC"},
    },
}  # fmt: skip
