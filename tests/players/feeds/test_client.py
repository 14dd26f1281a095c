"""The reader of the operator's API against a real server: pages, windows, credentials, faults, retries."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from players.feeds import client
from players.feeds.client import FeedClient, FeedDeferred, FeedError, FeedSource

from .source import Asked, Reply, running

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 8, tzinfo=UTC)
ROWS = [{"id": number} for number in range(1, 6)]


def _client(url: str, pauses: list[float] | None = None, **values: Any) -> FeedClient:
    waited = pauses if pauses is not None else []
    return FeedClient(FeedSource(url=url, page_size=2, **values), sleep=waited.append, seed=1)


def _rows(client: FeedClient, path: str = "players_details") -> list[dict[str, Any]]:
    return [row for page in client.pages(path, SINCE, UNTIL) for row in page]


def _slice(asked: Asked) -> list[dict[str, int]]:
    page, size = int(asked.query["page"]), int(asked.query["per_page"])
    return ROWS[(page - 1) * size : page * size]


@pytest.mark.parametrize(
    "shape",
    [
        lambda asked: _slice(asked),
        lambda asked: {"data": _slice(asked)},
        lambda asked: {"results": _slice(asked), "next": f"?page={int(asked.query['page']) + 1}&per_page=2" if _slice(asked)[1:] else None},
        lambda asked: {"items": _slice(asked), "next_page": int(asked.query["page"]) + 1 if int(asked.query["page"]) < 3 else None},
        lambda asked: {"data": _slice(asked), "meta": {"last_page": 3}},
        lambda asked: {"records": _slice(asked), "total_pages": 3},
        lambda asked: (
            {"data": _slice(asked), "links": {"next": f"/api/players_details?page={int(asked.query['page']) + 1}&per_page=2"}}
            if int(asked.query["page"]) < 3
            else {"data": _slice(asked), "links": {"next": None}}
        ),
    ],
    ids=["list", "data", "next-link", "next-page", "last-page", "total-pages", "links-next"],
)
def test_pages__every_shape_of_paging__gives_all_rows_once(shape: Callable[[Asked], Any]) -> None:
    with running(lambda asked, _: Reply(shape(asked))) as operator:
        assert _rows(_client(operator.url)) == ROWS
        assert len(operator.asked) == 3


def test_pages__request__carries_window_in_utc_size_and_credentials() -> None:
    with running(lambda asked, _: Reply([])) as operator:
        client = _client(operator.url, authorization="Basic secret")
        since = datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        assert list(client.pages("/players_details", since, UNTIL)) == []
    (asked,) = operator.asked
    assert asked.path == "/api/players_details"
    assert asked.query == {"from": "2026-03-01T00:00:00Z", "to": "2026-03-08T00:00:00Z", "page": "1", "per_page": "2"}
    assert asked.authorization == "Basic secret"


def test_pages__other_parameter_names__are_used() -> None:
    names = {"since": "start_date", "until": "end_date", "page": "p", "page_size": "limit"}
    with running(lambda asked, _: Reply([])) as operator:
        _rows(_client(operator.url, parameters=names))
    assert operator.asked[0].query.keys() == set(names.values())


@pytest.mark.parametrize(
    "fault",
    [
        Reply({"error": "down"}, status=500),
        Reply({}, status=503),
        Reply(raw=b"<html>bad gateway</html>"),
        Reply(raw=b'{"data": [{"id": 1}'),
        Reply({"message": "ok"}),
        Reply({"data": [{"id": 1}, "x"]}),
        Reply(ROWS[:2], cut=5),
        Reply(raw=b"\xff\xfe\x00"),
    ],
    ids=["500", "503", "html", "half-json", "no-list", "row-no-object", "cut-off", "not-text"],
)
def test_pages__a_fault_that_heals__is_asked_again_and_nothing_is_lost_or_doubled(fault: Reply) -> None:
    pauses: list[float] = []
    with running(lambda asked, number: fault if number in (2, 3) else Reply(_slice(asked))) as operator:
        assert _rows(_client(operator.url, pauses)) == ROWS
        assert [asked.query["page"] for asked in operator.asked] == ["1", "2", "2", "2", "3"]
    assert len(pauses) == 2
    assert 0.75 <= pauses[0] <= 1.25
    assert 1.5 <= pauses[1] <= 2.5


def test_pages__slow_answers__time_out_and_are_asked_again() -> None:
    with running(lambda asked, number: Reply(_slice(asked), delay=1.0 if number == 1 else 0.0)) as operator:
        assert _rows(_client(operator.url, timeout=0.2)) == ROWS
        assert len(operator.asked) == 4


@pytest.mark.parametrize("where", [{"drip": 0.05}, {"head_drip": 0.05}], ids=["body", "headers"])
def test_pages__answer_that_drips__ends_with_its_time_and_is_asked_again(where: dict[str, float]) -> None:
    # no pause between two bytes is as long as the time-out, so that only a limit on the whole request ends it
    dripping = Reply(raw=b" " * 2_000, length=100_000, **where)
    began = time.monotonic()
    with running(lambda asked, number: dripping if number == 1 else Reply(_slice(asked))) as operator:
        assert _rows(_client(operator.url, timeout=0.8)) == ROWS
        assert [asked.query["page"] for asked in operator.asked] == ["1", "1", "2", "3"]
    assert 0.8 <= time.monotonic() - began < 20  # all of it would take 100


def test_pages__source_that_always_drips__fails_with_a_clear_error_after_its_attempts() -> None:
    began = time.monotonic()
    with running(lambda asked, number: Reply(raw=b" " * 2_000, length=100_000, drip=0.05)) as operator:
        with pytest.raises(FeedError) as caught:
            _rows(_client(operator.url, timeout=0.3, attempts=3))
        assert len(operator.asked) == 3
    assert "failed 3 times, last: no complete answer within 0.3 seconds (LOYALTY_FEED_TIMEOUT_SECONDS)" in str(caught.value)
    assert 0.9 <= time.monotonic() - began < 20


def test_pages__answer_that_drips_and_is_complete_in_time__comes_in() -> None:
    body = json.dumps(ROWS[:1]).encode()
    began = time.monotonic()
    with running(lambda asked, number: Reply(raw=body, drip=0.03, head_drip=0.001)) as operator:
        assert _rows(_client(operator.url, timeout=10.0)) == ROWS[:1]
        assert len(operator.asked) == 1
    assert time.monotonic() - began >= 0.03 * len(body)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_pages__https__has_the_same_limit_and_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    dripping = Reply(raw=b" " * 2_000, length=100_000, drip=0.05)
    with running(lambda asked, number: dripping if number == 1 else Reply(_slice(asked)), tls) as operator:
        with pytest.raises(FeedError, match="CERTIFICATE_VERIFY_FAILED"):
            _rows(_client(operator.url, attempts=1))
        assert operator.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        began = time.monotonic()
        assert _rows(_client(operator.url, timeout=0.8)) == ROWS
        assert [asked.query["page"] for asked in operator.asked] == ["1", "1", "2", "3"]
        assert 0.8 <= time.monotonic() - began < 20


def test_pages__host_with_an_address_that_does_not_answer__is_reached_at_its_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(lambda asked, number: Reply(_slice(asked))) as operator, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):  # its queue is full: whoever connects now waits
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            waiting.append(one)
        real = socket.getaddrinfo

        def two(host: str, port: int, *rest: Any, **named: Any) -> Any:
            found = real(host, port, *rest, **named)
            return [(*found[0][:4], full.getsockname()), *found] if port == urlsplit(operator.url).port and named else found

        monkeypatch.setattr(socket, "getaddrinfo", two)
        began = time.monotonic()
        assert _rows(_client(operator.url, timeout=0.8)) == ROWS
        assert len(operator.asked) == 3
        assert 1.2 <= time.monotonic() - began < 20  # half of the time of each request went to the first address
        for one in waiting:
            one.close()


def test_pages__answer_above_the_largest_size__is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MOST_BYTES", 2**20)
    with running(lambda asked, number: Reply(raw=b" " * 2**20 + b"[]" if number == 1 else b"[]")) as operator:
        with pytest.raises(FeedError, match="answered more than 1 MB in one page; set a smaller LOYALTY_FEED_PAGE_SIZE"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 1
        assert _rows(_client(operator.url)) == []  # the control


def test_pages__source_that_stays_down__is_an_error_that_says_what_and_how_often() -> None:
    with running(lambda asked, number: Reply({}, status=502)) as operator:
        with pytest.raises(FeedError, match=r"/api/players_details failed 5 times, last: HTTP 502; nothing of it was taken"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 5


def test_pages__nobody_listening__is_an_error() -> None:
    with running(lambda asked, number: Reply([])) as operator:
        url = operator.url
    with pytest.raises(FeedError, match="failed 2 times, last: URLError"):
        _rows(_client(url, attempts=2))


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 8, 12, 0, 0, 250_000, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def _asking(header: dict[str, str], *, busy: int = 1, attempts: int = 3, status: int = 429) -> tuple[list[float], str, datetime | None]:
    """(seconds after the first request at which each came, error, until when it is left alone) at a source busy `busy` times."""
    clock = Clock()
    begin = clock.now()
    came: list[float] = []

    def answer(asked: Asked, number: int) -> Reply:
        came.append((clock.now() - begin).total_seconds())
        return Reply({}, status=status, headers=header) if number <= busy else Reply([])

    with running(answer) as operator:
        for seed in range(5):  # whatever the random part of a pause
            came.clear()
            operator.asked.clear()
            begin = clock.now()
            client = FeedClient(FeedSource(url=operator.url, attempts=attempts), sleep=clock.sleep, now=clock.now, seed=seed)
            try:
                list(client.pages("players_details", SINCE, UNTIL))
            except FeedDeferred as error:
                return came, str(error), error.until
            if "Date" in header or not header["Retry-After"].isdigit():
                break  # dates are for one beginning
    return came, "", None


@pytest.mark.parametrize("status", [429, 503])
def test_pages__retry_after_in_seconds__is_never_undercut(status: int) -> None:
    came, error, _ = _asking({"Retry-After": "7"}, status=status)
    assert error == ""
    assert len(came) == 2
    assert 7 <= came[1] <= 7.7


def test_pages__retry_after_as_a_date__is_never_undercut() -> None:
    # the header knows whole seconds, the clock stands at 12:00:00.25
    came, error, _ = _asking({"Retry-After": "Sun, 08 Mar 2026 12:00:30 GMT", "Date": "Sun, 08 Mar 2026 12:00:00 GMT"})
    assert error == ""
    assert len(came) == 2
    assert 29.75 <= came[1] <= 33


def test_pages__retry_after_as_a_date_of_a_slow_clock__keeps_its_distance() -> None:
    came, error, _ = _asking({"Retry-After": "Sun, 08 Mar 2026 11:00:40 GMT", "Date": "Sun, 08 Mar 2026 11:00:00 GMT"})
    assert error == ""
    assert len(came) == 2
    assert 40 <= came[1] <= 44


@pytest.mark.parametrize(
    ("asked", "until"),
    [
        ("61", datetime(2026, 3, 8, 12, 1, 1, 250_000, tzinfo=UTC)),
        ("86400", datetime(2026, 3, 9, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("Sun, 08 Mar 2026 14:00:00 GMT", datetime(2026, 3, 8, 14, 0, 0, tzinfo=UTC)),
    ],
)
def test_pages__retry_after_longer_than_a_pause__gives_up_and_says_until_when(asked: str, until: datetime) -> None:
    came, error, left_alone = _asking({"Retry-After": asked, "Date": "Sun, 08 Mar 2026 12:00:01 GMT"})
    assert came == [0.0]
    assert left_alone == until
    assert f"answered HTTP 429 and asks to be left alone until {until:%Y-%m-%d %H:%M:%S} UTC" in error


def test_pages__retry_after_at_the_last_attempt__is_kept_for_the_next_pull() -> None:
    came, _, left_alone = _asking({"Retry-After": "30"}, busy=9, attempts=1)
    assert (came, left_alone) == ([0.0], datetime(2026, 3, 8, 12, 0, 30, 250_000, tzinfo=UTC))


@pytest.mark.parametrize("nonsense", ["soon", "-5", "9" * 30, "\u00b2"])
def test_pages__retry_after_that_says_nothing__is_paused_for_as_usual(nonsense: str) -> None:
    came, error, _ = _asking({"Retry-After": nonsense})
    assert error == ""
    assert 0.75 <= came[1] <= 1.25


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "check LOYALTY_FEED_AUTH"), (404, "check LOYALTY_FEED_URL"), (422, "ask the operator"), (302, "ask the operator")],
)
def test_pages__refusals__are_not_repeated_and_say_what_to_do(status: int, advice: str) -> None:
    with running(lambda asked, number: Reply({}, status=status, headers={"Location": "http://example.test/"})) as operator:
        with pytest.raises(FeedError, match=f"HTTP {status}; {advice}"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 1


def test_pages__page_parameter_ignored__is_noticed_instead_of_read_for_ever() -> None:
    with running(lambda asked, number: Reply(ROWS[:2])) as operator:
        with pytest.raises(FeedError, match="with the rows of a page before; check the name of the page parameter"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 2


def test_pages__page_parameter_ignored_while_the_answer_tells_the_time__is_noticed() -> None:
    with running(lambda asked, number: Reply({"data": ROWS[:2], "served_at": number})) as operator:
        with pytest.raises(FeedError, match="with the rows of a page before"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 2


@pytest.mark.parametrize("rows", [ROWS[:2], []], ids=["rows", "empty"])
@pytest.mark.parametrize(
    "further",
    [
        lambda asked: {"next": f"/api/players_details?{urlencode(asked.query)}"},
        lambda asked: {"links": {"next": f"?{urlencode(asked.query)}"}},
        lambda asked: {"next_page": 1},
    ],
    ids=["link", "links", "number"],
)
def test_pages__next_page_is_the_page_itself__is_noticed_at_once(rows: list[Any], further: Callable[[Asked], dict[str, Any]]) -> None:
    with running(lambda asked, number: Reply({"data": rows, **further(asked)})) as operator:
        with pytest.raises(FeedError, match="names as next page of page 1 one that was read before"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 1


def test_pages__pages_that_go_round_in_a_circle__are_noticed() -> None:
    def round_and_round(asked: Asked, number: int) -> Reply:
        return Reply({"data": [ROWS[number]], "next": f"?step={number % 2}"})

    def ever_new_links(asked: Asked, number: int) -> Reply:
        return Reply({"data": [ROWS[number % 3]], "next": f"?step={number}"})

    with running(round_and_round) as operator:
        with pytest.raises(FeedError, match="names as next page of page 3 one that was read before"):
            _rows(_client(operator.url))
    with running(ever_new_links) as operator:
        with pytest.raises(FeedError, match="answers page 4 with the rows of a page before"):
            _rows(_client(operator.url))


def test_pages__empty_pages_without_end__are_noticed_and_a_few_are_not() -> None:
    with running(lambda asked, number: Reply({"data": [], "next": f"?step={number}"})) as operator:
        with pytest.raises(FeedError, match="gives 101 pages without a row and names a next one"):
            _rows(_client(operator.url))
        assert len(operator.asked) == 101
    few = {1: [], 2: ROWS[:2], 3: [], 4: ROWS[2:]}
    with running(lambda asked, number: Reply({"data": few[number], "next": f"?step={number}" if number < 4 else None})) as operator:
        assert _rows(_client(operator.url)) == ROWS


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"<html>maintenance</html>", "the answer is no JSON"),
        (b"", "the answer is no JSON"),
        (b"null", "the answer holds no list of rows (looked for data, results, items, records)"),
        (b"7", "the answer holds no list of rows"),
        (b'"rows"', "the answer holds no list of rows"),
        (b'{"data": {"1": {"id": 1}}}', "the answer holds no list of rows"),
        (b'{"data": [{"id": 1}, [2]]}', "row 2 of the page is no object"),
        (b"[" * 100_000, "the answer is no JSON"),
    ],
)
def test_pages__page_that_stays_of_another_shape__is_an_error_that_says_what_came(raw: bytes, why: str) -> None:
    with running(lambda asked, number: Reply(raw=raw)) as operator:
        with pytest.raises(FeedError, match=re.escape(f"failed 2 times, last: {why}")):
            _rows(_client(operator.url, attempts=2))
        assert len(operator.asked) == 2


@pytest.mark.parametrize(
    ("further", "why"),
    [
        ({"next": {"href": "?page=2"}}, "says next is of type dict, which is no address"),
        ({"next_page_url": 2}, "says next_page_url is of type int, which is no address"),
        ({"next": "http://[::1"}, "says next is of type str, which is no address"),
        ({"next_page": [2]}, "says next_page is of type list, which is no number"),
        ({"next_page": True}, "says next_page is of type bool, which is no number"),
        ({"total_pages": "many"}, "says total_pages is of type str, which is no whole number"),
    ],
)
def test_pages__next_page_of_another_shape__is_an_error_that_says_so(further: dict[str, Any], why: str) -> None:
    with running(lambda asked, number: Reply({"data": ROWS[:2], **further})) as operator:
        with pytest.raises(FeedError, match=why):
            _rows(_client(operator.url))
        assert len(operator.asked) == 1


def test_pages__next_link_with_letters_and_spaces__is_followed() -> None:
    with running(lambda asked, number: Reply({"data": [ROWS[number]], "next": "?after=Игрок 2%20b" if number == 1 else None})) as operator:
        assert _rows(_client(operator.url)) == ROWS[1:3]
        assert operator.asked[1].query == {"after": "Игрок 2 b"}


def test_pages__next_link_to_another_host__keeps_the_credentials_here() -> None:
    with running(lambda asked, number: Reply({"data": ROWS[:2], "next": "http://example.test/steal"})) as operator:
        with pytest.raises(FeedError, match="another host"):
            _rows(_client(operator.url, authorization="Basic secret"))


def test_pages__amounts__stay_the_text_that_was_sent() -> None:
    with running(lambda asked, number: Reply(raw=b'[{"amount": 10.10, "glued": "200.00200.00", "odd": NaN}]')) as operator:
        assert _rows(_client(operator.url)) == [{"amount": "10.10", "glued": "200.00200.00", "odd": "NaN"}]


def test_pages__text_and_numbers_that_no_database_holds__do_not_stop_the_page() -> None:
    raw = b'[{"name": "a\\u0000b \\ud83d \\uD83D\\uDE00", "n": ' + b"9" * 5000 + b', "more": {"x": ["\\u0000"]}}]'
    with running(lambda asked, number: Reply(raw=raw)) as operator:
        (row,) = _rows(_client(operator.url))
    assert row == {"name": "a\ufffdb \ufffd \U0001f600", "n": "9" * 5000, "more": {"x": ["\ufffd"]}}


def test_error__names_no_query__which_could_name_players() -> None:
    with running(lambda asked, number: Reply({}, status=404)) as operator, pytest.raises(FeedError) as caught:
        _rows(_client(operator.url), "players_details?email=a@b.example")
    assert "a@b.example" not in str(caught.value)
