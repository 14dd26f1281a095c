"""Every guard of a file: its code and what it tells people to do."""

import gzip
import io
import lzma
import zipfile

import pytest
from openpyxl import Workbook

from players.imports.problems import ImportRefused
from players.imports.readers import Limits, cell_text, open_source

LIMITS = Limits()
SMALL = Limits(megabytes=1, rows=5)


def source(tmp_path, name, content, limits=LIMITS, **options):
    path = tmp_path / name
    path.write_bytes(content)
    return open_source(path, name, limits=limits, **options)


def refused(tmp_path, name, content, limits=LIMITS, **options):
    with pytest.raises(ImportRefused) as caught:
        list(source(tmp_path, name, content, limits, **options).rows())
    assert caught.value.message
    assert caught.value.remedy
    return caught.value.code


def workbook(*sheets):
    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", b"", "empty_file"),
        ("a.csv", b"\n\n", "empty_file"),
        ("a.csv", b"id,x\n", "no_rows"),
        ("a.csv", b"id,id\n1,2\n", "duplicate_header"),
        ("a.csv", b"id,,x\n1,2,3\n", "blank_header"),
        ("a.csv", b"id,x\n" + b"1,2\n" * 6, "too_many_rows"),
        ("a.csv", b"id\n" + b"x" * (1024 * 1024), "file_too_large"),
        ("a.csv", b"PK\x03\x04abc", "wrong_extension"),
        ("a.csv", bytes(range(256)) * 8, "binary_file"),
        ("a.csv", b'id,x\n1,"' + b"y" * 200_000, "broken_csv"),
        ("a.pdf", b"%PDF", "unknown_format"),
        ("noextension", b"a,b\n1,2\n", "unknown_format"),
        ("a.xlsx", b"not a zip", "corrupt_file"),
        ("a.xls", b"not an ole file", "corrupt_file"),
        ("a.xlsx", bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "encrypted_workbook"),
        ("a.xlsx", bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600, "wrong_extension"),
        ("a.xls", bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 600, "corrupt_file"),
        ("a.csv.xz", b"not xz", "corrupt_file"),
        ("a.csv.gz", gzip.compress(b"id,x\n1,2\n" * 500, mtime=0)[:-9], "corrupt_file"),
        ("a.csv.xz", lzma.compress(b"id,x\n" + b"1,2\n" * 3_000_000), "unpacks_too_large"),
    ],
)
def test_file__faulty__is_refused_with_a_remedy(tmp_path, name, content, code):
    assert refused(tmp_path, name, content, SMALL) == code


def test_file__too_many_columns__is_refused(tmp_path):
    assert refused(tmp_path, "a.csv", ",".join(f"c{n}" for n in range(201)).encode() + b"\n1\n") == "too_many_columns"


def test_workbook__bomb__is_refused_before_it_is_opened(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (80 * 1024 * 1024))
    assert refused(tmp_path, "a.xlsx", out.getvalue()) == "unpacks_too_large"


def test_workbook__zip_without_a_workbook__is_refused(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hi")
    assert refused(tmp_path, "a.xlsx", out.getvalue()) == "corrupt_file"


def test_workbook__two_filled_sheets__asks_which(tmp_path):
    content = workbook(("January", [["id"], ["1"]]), ("February", [["id"], ["2"]]), ("Empty", []))
    with pytest.raises(ImportRefused) as caught:
        source(tmp_path, "a.xlsx", content)
    assert caught.value.code == "which_sheet"
    assert caught.value.details["sheets"] == ["January", "February"]
    assert list(source(tmp_path, "a.xlsx", content, sheet="February").rows()) == [(2, ["2"])]
    assert refused(tmp_path, "a.xlsx", content, sheet="March") == "unknown_sheet"
    assert refused(tmp_path, "a.xlsx", content, sheet="Empty") == "empty_file"


def test_workbook__numbers_dates_and_blanks__become_the_text_that_is_shown(tmp_path):
    from datetime import datetime

    moment = datetime(2026, 3, 1, 8, 30)  # noqa: DTZ001 - cells carry no zone
    rows = [["id", "amount", "at", "flag"], [12345, 0.1 + 0.2, moment, True], [None] * 4, ["x", 1e16, None, False]]
    content = workbook(("S", rows))
    assert list(source(tmp_path, "a.xlsx", content).rows()) == [
        (2, ["12345", "0.3", "2026-03-01 08:30:00", "true"]),
        (4, ["x", "10000000000000000", "", "false"]),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123456789012345.0, "123456789012345"),
        (1e15, "1000000000000000"),
        (12345678901234567890.0, "1.23456789012346e+19"),
        (1234567890123456.0, "1.23456789012346e+15"),
        (0.1 + 0.2, "0.3"),
        (0.0000001, "0.0000001"),
    ],
)
def test_workbook__number__is_written_out_only_with_all_its_digits(value, text):
    assert cell_text(value) == text


def test_workbook__decimal_comma__writes_its_numbers_that_way():
    assert cell_text(1200.5, ",") == "1200,5"
    assert cell_text("1.200,50", ",") == "1.200,50"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id;näme\n1;Zoë\n".encode(), "utf-8-sig"),
        ("id;näme\n1;Zoë\n".encode("utf-8-sig"), "utf-8-sig"),
        ("id;näme\n1;Zoë\n".encode("utf-16"), "utf-16"),
        ("id;näme\n1;Zoë\n".encode("utf-16-le"), "utf-16-le"),
        ("id;näme\n1;Zoë\n".encode("cp1252"), "cp1252"),
    ],
)
def test_text__encodings__are_recognised(tmp_path, content, encoding):
    opened = source(tmp_path, "a.csv", content)
    assert opened.encoding == encoding
    assert opened.headers == ("id", "näme")
    assert list(opened.rows()) == [(2, ["1", "Zoë"])]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_text__delimiters__are_recognised(tmp_path, delimiter):
    content = f'a{delimiter}"b, c; d"\n1{delimiter}2\n'.encode()
    opened = source(tmp_path, "a.csv", content)
    assert opened.headers == ("a", "b, c; d")


def test_text__late_byte_outside_utf8__is_still_windows(tmp_path):
    content = b"id,x\n" + b"1,a\n" * 400_000 + "2,Zoë\n".encode("cp1252")
    opened = source(tmp_path, "a.csv", content)
    assert opened.encoding == "cp1252"


def test_text__packed__is_streamed(tmp_path):
    plain = b"id,x\n1,2\n"
    for name, content in (("a.csv.xz", lzma.compress(plain)), ("a.csv.gz", gzip.compress(plain))):
        assert list(source(tmp_path, name, content).rows()) == [(2, ["1", "2"])]


def test_text__blank_rows__are_skipped_and_keep_the_numbering(tmp_path):
    assert [number for number, _cells in source(tmp_path, "a.csv", b"id,x\n1,2\n\n,\n3,4\n").rows()] == [2, 5]


def test_old_workbook__xls__is_read(tmp_path):
    xlwt = pytest.importorskip("xlwt", reason="xlwt writes the .xls file this test reads")
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for position, row in enumerate([["id", "amount"], ["P1", 1200.5], ["P2", "1,200.50"]]):
        for column, value in enumerate(row):
            sheet.write(position, column, value)
    out = io.BytesIO()
    book.save(out)
    assert list(source(tmp_path, "a.xls", out.getvalue()).rows()) == [(2, ["P1", "1200.5"]), (3, ["P2", "1,200.50"])]
