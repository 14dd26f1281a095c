"""Open a file safely and stream its rows as text. Pure: no Django.

Every guard stands before the expensive step it protects: sizes and container totals before opening, the header before the
rows, limits while streaming. Cells arrive as stripped text whatever the format; numbers from a workbook are written as the
workbook would show them (15 significant digits), dates as ISO text.
"""

import codecs
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

from players.imports.problems import ImportRefused

WORKBOOKS = {".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"}
TEXTS = {".csv", ".tsv", ".txt"}
MAX_COLUMNS = 200
MAX_CELL = 32_768
_MEGABYTE = 1024 * 1024
_EXPANSION = 10  # uncompressed megabytes allowed per megabyte of the size limit
_RATIO = 250  # a spreadsheet or CSV compresses 5 to 50 times; a bomb 1,000
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")


@dataclass(frozen=True)
class Limits:
    megabytes: int = 200
    rows: int = 2_000_000

    @property
    def expanded_bytes(self) -> int:
        return self.megabytes * _MEGABYTE * _EXPANSION


@dataclass(frozen=True)
class Source:
    """An opened and guarded file: its header, and a way to stream it. `rows()` yields (row number, cells), the header being row 1."""

    headers: tuple[str, ...]
    format: str
    sheets: tuple[str, ...] = ()
    sheet: str = ""
    encoding: str = ""
    delimiter: str = ""
    sample: tuple[tuple[str, ...], ...] = ()
    stream: Callable[[Callable[[float], None] | None], Iterator[tuple[int, list[str]]]] = field(repr=False, default=lambda _: iter(()))

    def rows(self, on_progress: Callable[[float], None] | None = None) -> Iterator[tuple[int, list[str]]]:
        """(row number, stripped cells) of each row that is not blank; `on_progress` gets the share read, 0 to 1, now and then."""
        return self.stream(on_progress)


def open_source(
    path: Path,
    name: str,
    *,
    limits: Limits,
    sheet: str = "",
    encoding: str = "",
    delimiter: str = "",
    decimal_comma: bool = False,
    sample_rows: int = 20,
) -> Source:
    """Check the file and read its header and a sample. Raises ImportRefused with a reason and a remedy.

    `decimal_comma` writes the numbers of a workbook (which have no decimal sign of their own) the way the text cells are read.
    """
    size = path.stat().st_size
    if size == 0:
        raise ImportRefused("empty_file", "The file is empty.", "Export it again and check that it has rows.")
    if size > limits.megabytes * _MEGABYTE:
        raise ImportRefused(
            "file_too_large",
            f"The file has {size / _MEGABYTE:.1f} MB; the limit is {limits.megabytes} MB.",
            "Split it, or ask an administrator to raise IMPORT_MAX_MEGABYTES.",
        )
    suffixes = [part.lower() for part in Path(name).suffixes]
    packed = suffixes[-1] if suffixes and suffixes[-1] in {".xz", ".gz"} else ""
    suffix = suffixes[-2] if packed and len(suffixes) > 1 else "" if packed else (suffixes[-1] if suffixes else "")
    if suffix in WORKBOOKS and not packed:
        return _open_workbook(path, suffix, limits, sheet, decimal_comma, sample_rows)
    if suffix in TEXTS:
        return _open_text(path, packed, limits, encoding, delimiter, sample_rows)
    raise ImportRefused(
        "unknown_format",
        f"Files of the type {''.join(suffixes[-2:]) or 'without an extension'} are not taken.",
        "Use .xlsx, .xls or .csv (a .csv may be packed as .csv.xz or .csv.gz).",
    )


# --- text -----------------------------------------------------------------------------------------------------------


@contextmanager
def _byte_stream(path: Path, packed: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """(stream of plain bytes, the raw file whose position shows progress)."""
    with path.open("rb") as raw:
        try:
            if packed == ".xz":
                with lzma.open(raw) as plain:
                    yield plain, raw
            elif packed == ".gz":
                with gzip.open(raw) as unzipped:
                    yield cast(IO[bytes], unzipped), raw
            else:
                yield raw, raw
        except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
            raise ImportRefused("corrupt_file", "The packed file is damaged or cut off.", "Pack or transfer it again.") from error


def _detect_encoding(path: Path, packed: str, limits: Limits, stated: str) -> str:
    """Read the whole file once: its encoding (BOM, UTF-8, UTF-16, else Windows-1252) and that it does not blow up."""
    utf8 = codecs.getincrementaldecoder("utf-8")()
    is_utf8, total, first = True, 0, b""
    size = path.stat().st_size
    with _byte_stream(path, packed) as (stream, _raw):
        while block := stream.read(_MEGABYTE):
            first = first or block
            total += len(block)
            if total > limits.expanded_bytes or (total > 64 * _MEGABYTE and total > size * _RATIO):
                raise ImportRefused(
                    "unpacks_too_large", "The packed file unpacks to far more than is allowed.", "Send the plain file, or split it."
                )
            if is_utf8:
                try:
                    utf8.decode(block)
                except UnicodeDecodeError:
                    is_utf8 = False
        if is_utf8:
            try:
                utf8.decode(b"", final=True)
            except UnicodeDecodeError:
                is_utf8 = False
    if first.startswith((b"PK\x03\x04", _OLE)):
        raise ImportRefused(
            "wrong_extension", "The file is a workbook, not a text file.", "Rename it to .xlsx (or .xls) and send it again."
        )
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if stated:
        try:
            codecs.lookup(stated)
        except LookupError as error:
            raise ImportRefused("unknown_encoding", f"There is no encoding {stated!r}.", "Use utf-8, utf-16 or cp1252.") from error
        return stated
    if b"\x00" in first[:4096]:
        head = first[:4096]
        zeros_even, zeros_odd = head[0::2].count(0), head[1::2].count(0)
        if max(zeros_even, zeros_odd) > len(head) // 4 and min(zeros_even, zeros_odd) == 0:
            return "utf-16-be" if zeros_even else "utf-16-le"
        raise ImportRefused("binary_file", "The file is binary, not text.", "Export it as CSV (UTF-8) or as a workbook.")
    return "utf-8-sig" if is_utf8 else "cp1252"


def _sniff_delimiter(line: str) -> str:
    counts = dict.fromkeys(",;\t|", 0)
    quoted = False
    for character in line:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in counts:
            counts[character] += 1
    best = max(counts, key=lambda one: counts[one])
    return best if counts[best] else ","


def _open_text(path: Path, packed: str, limits: Limits, encoding: str, delimiter: str, sample_rows: int) -> Source:
    encoding = _detect_encoding(path, packed, limits, encoding)
    if not delimiter:
        with _byte_stream(path, packed) as (stream, _raw), _text(stream, encoding) as text:
            delimiter = _sniff_delimiter(next((line for line in _decoded(text, encoding) if line.strip()), ""))

    def stream_rows(on_progress: Callable[[float], None] | None) -> Iterator[tuple[int, list[str]]]:
        size = path.stat().st_size
        with _byte_stream(path, packed) as (stream, raw), _text(stream, encoding) as text:
            seen = 0
            for number, cells in enumerate(_csv_rows(text, delimiter, encoding), start=1):
                if on_progress is not None and number % 20_000 == 0:
                    on_progress(min(1.0, raw.tell() / size))
                if not any(cells):
                    continue
                seen += 1
                _check_row_count(seen - 1, limits)
                yield number, cells

    headers, sample = _head(stream_rows, sample_rows)
    return Source(headers, "csv", encoding=encoding, delimiter=delimiter, sample=sample, stream=_without_header(stream_rows))


def _text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding=encoding, newline="")


def _decoded(text: io.TextIOWrapper, encoding: str) -> Iterator[str]:
    try:
        yield from text
    except UnicodeDecodeError as error:
        raise ImportRefused(
            "wrong_encoding", f"The file is not valid {encoding}.", "Save it as 'CSV UTF-8', or state its encoding in the import."
        ) from error


def _csv_rows(text: io.TextIOWrapper, delimiter: str, encoding: str) -> Iterator[list[str]]:
    reader = csv.reader(_decoded(text, encoding), delimiter=delimiter, strict=False)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ImportRefused(
                "broken_csv",
                f"Row {reader.line_num} cannot be read as CSV ({error}).",
                "Look for a quotation mark that is opened and never closed, then send the file again.",
            ) from error
        yield [cell.strip() for cell in row]


# --- workbooks ------------------------------------------------------------------------------------------------------


def _open_workbook(path: Path, suffix: str, limits: Limits, sheet: str, decimal_comma: bool, sample_rows: int) -> Source:
    _guard_container(path, suffix, limits)
    book = _load(path)
    names = tuple(book.sheet_names)
    filled = [name for name in names if _height(book, name) > 0]
    if not filled:
        raise ImportRefused("empty_file", "The workbook has no rows.", "Check that the right workbook was saved.")
    if sheet and sheet not in names:
        raise ImportRefused("unknown_sheet", f"There is no sheet {sheet!r}.", f"Choose one of: {', '.join(names)}.", sheets=list(names))
    if not sheet and len(filled) > 1:
        raise ImportRefused(
            "which_sheet", f"The workbook has {len(filled)} sheets with rows.", f"Choose one of: {', '.join(filled)}.", sheets=filled
        )
    chosen = sheet or filled[0]
    rows_in_sheet = _height(book, chosen)
    if rows_in_sheet == 0:
        raise ImportRefused("empty_file", f"The sheet {chosen!r} is empty.", "Choose another sheet.", sheets=filled)
    _check_row_count(rows_in_sheet - 1, limits)

    def stream_rows(on_progress: Callable[[float], None] | None) -> Iterator[tuple[int, list[str]]]:
        opened = _load(path).get_sheet_by_name(chosen)
        offset = (opened.start or (0, 0))[0]
        for index, values in enumerate(opened.iter_rows()):
            if on_progress is not None and index % 20_000 == 0:
                on_progress(min(1.0, index / max(1, rows_in_sheet)))
            cells = [cell_text(value, "," if decimal_comma else ".") for value in values]
            if any(cells):
                yield offset + index + 1, cells

    headers, sample = _head(stream_rows, sample_rows)
    return Source(headers, suffix[1:], names, chosen, sample=sample, stream=_without_header(stream_rows))


def _guard_container(path: Path, suffix: str, limits: Limits) -> None:
    with path.open("rb") as raw:
        start = raw.read(8)
        if start == _OLE:
            raw.seek(0)
            block = raw.read(4 * _MEGABYTE)
            if "EncryptedPackage".encode("utf-16-le") in block:
                raise _encrypted()
            if suffix != ".xls":
                raise ImportRefused("wrong_extension", "The file is an old .xls workbook.", "Rename it to .xls, or save it as .xlsx.")
            return
    if suffix == ".xls":
        raise ImportRefused("corrupt_file", "The file is not an .xls workbook.", "Open it in Excel and save it as .xlsx or CSV.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ImportRefused("corrupt_file", "The workbook is damaged.", "Open it in Excel and save it again, or send a CSV.") from error
    packed = sum(one.compress_size for one in members) or 1
    total = sum(one.file_size for one in members)
    if any(one.flag_bits & 1 for one in members):
        raise _encrypted()
    if len(members) > 10_000 or total > limits.expanded_bytes or (total > 64 * _MEGABYTE and total / packed > _RATIO):
        raise ImportRefused(
            "unpacks_too_large",
            f"The workbook would unpack to {total / _MEGABYTE:,.0f} MB ({total / packed:,.0f} times its size).",
            "Save the needed sheet as CSV and send that.",
        )


def _encrypted() -> ImportRefused:
    return ImportRefused(
        "encrypted_workbook", "The workbook is protected by a password.", "Remove the password in Excel and send it again."
    )


def _load(path: Path) -> Any:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        return CalamineWorkbook.from_path(str(path))
    except PasswordError as error:
        raise _encrypted() from error
    except (CalamineError, OSError, ValueError) as error:
        raise ImportRefused("corrupt_file", "The workbook is damaged.", "Open it in Excel and save it again, or send a CSV.") from error


def _height(book: Any, name: str) -> int:
    from python_calamine import CalamineError

    try:
        return int(book.get_sheet_by_name(name).total_height)
    except CalamineError as error:
        raise ImportRefused("corrupt_file", f"The sheet {name!r} is damaged.", "Open the workbook in Excel and save it again.") from error


def cell_text(value: Any, decimal_sign: str = ".") -> str:
    """Text of a workbook cell. Numbers lose the noise beyond 15 digits that binary arithmetic adds; whole numbers that are longer stay
    in scientific notation, which no id and no amount is read from."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = format(value, ".15g")
        if abs(value) >= 1e15 and float(text) != value:
            return text  # digits are lost; written out, the zeros in their place would pass for true ones
        return (format(Decimal(text), "f") if "e" in text else text).replace(".", decimal_sign)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return format(value.total_seconds() / 3600, ".15g")
    return str(value).strip()


# --- both -----------------------------------------------------------------------------------------------------------


def _check_row_count(rows: int, limits: Limits) -> None:
    if rows > limits.rows:
        raise ImportRefused(
            "too_many_rows",
            f"The file has more than {limits.rows:,} rows.",
            "Split it, or ask an administrator to raise IMPORT_MAX_ROWS.",
        )


def _without_header(
    stream_rows: Callable[[Callable[[float], None] | None], Iterator[tuple[int, list[str]]]],
) -> Callable[[Callable[[float], None] | None], Iterator[tuple[int, list[str]]]]:
    def data_rows(on_progress: Callable[[float], None] | None) -> Iterator[tuple[int, list[str]]]:
        rows = stream_rows(on_progress)
        next(rows, None)
        yield from rows

    return data_rows


def _head(
    stream_rows: Callable[[Callable[[float], None] | None], Iterator[tuple[int, list[str]]]], sample_rows: int
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = stream_rows(None)
    first = next(rows, None)
    if first is None:
        raise ImportRefused("empty_file", "The file has no rows.", "Export it again and check that it has a header and rows.")
    headers = [cell.strip("\ufeff ") for cell in first[1]]
    while headers and not headers[-1]:
        headers.pop()
    if len(headers) > MAX_COLUMNS:
        raise ImportRefused("too_many_columns", f"The file has more than {MAX_COLUMNS} columns.", "Remove the columns you do not need.")
    seen: dict[str, int] = {}
    for position, header in enumerate(headers, start=1):
        if not header:
            raise ImportRefused("blank_header", f"Column {position} has no header.", "Give it a name in the first row, or remove it.")
        if header in seen:
            raise ImportRefused(
                "duplicate_header",
                f"The header {header!r} stands in columns {seen[header]} and {position}.",
                "Rename or remove one of them.",
            )
        seen[header] = position
    sample = []
    for _number, cells in rows:
        sample.append(tuple(cells))
        if len(sample) >= sample_rows:
            break
    if not sample:
        raise ImportRefused("no_rows", "The file has a header but no rows.", "Export it again and check that it has rows.")
    return tuple(headers), tuple(sample)
