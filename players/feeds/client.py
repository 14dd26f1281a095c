"""A careful reader of the operator's API: pages, time windows, retries. No Django, no database.

A request is GET {base}/{path}?{since}=...&{until}=...&{page}=1&{page_size}=500 with the configured names. An answer is a JSON list of
objects, or an object with the list under one of `data`, `results`, `items`, `records`. Further pages are found by, in this order, a link
(`next`, `next_page_url`, `links.next`), a number (`next_page`), a count (`last_page`, `total_pages`, at the top or under `meta`), or,
when the answer says nothing about pages, until a page is shorter than asked.

Whole pages are taken or none: what cannot be read, or not within the time of a request, is asked for again. Pages that lead back to one
that was read are an error, not an endless reading. A source that says how long to wait (`Retry-After`, seconds or a date) is never asked
earlier: a short wait is waited for, a long one ends the reading with FeedDeferred.
"""

import email.utils
import hashlib
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from loyalty_site.common.clock import utc_now
from players.feeds.deadline import deadline_opener

MOST_PAGES = 100_000
# a source may filter after it has cut its pages, but pages that hold nothing and always name a next one have no end
_MOST_EMPTY_PAGES = 100
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_PAUSE = 60.0
# a longer wait than a year is a mistake of the source, and beyond what dates can hold
_LONGEST_ASKED = 366 * 86_400.0
_LONGEST_WHOLE_NUMBER = 18
_LISTS = ("data", "results", "items", "records")
# of a link only what no address may hold is escaped: spaces, control characters, letters beyond ASCII
_OF_ADDRESSES = "%:/?#[]@!$&'()*+,;=~"
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class FeedError(Exception):
    """The source did not give what was asked for; the message names the address, what came instead, and what to do."""


class WindowTooLarge(FeedError):
    """The window holds more than can be taken at once; a shorter one may do."""


class FeedDeferred(FeedError):
    """The source asked to be left alone until `until` (aware); it must not be asked before."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


@dataclass(frozen=True)
class FeedSource:
    """Where the operator's API is and how it is asked. `timeout` in seconds, from connecting to the last byte of an answer; `pause` in
    seconds before the second attempt, doubling."""

    url: str
    authorization: str = field(default="", repr=False)
    page_size: int = 500
    timeout: float = 20.0
    attempts: int = 5
    pause: float = 1.0
    parameters: dict[str, str] = field(default_factory=lambda: {"since": "from", "until": "to", "page": "page", "page_size": "per_page"})


class _Retry(Exception):
    """Worth another attempt, not before `not_before` if the source said so."""

    def __init__(self, why: str, not_before: datetime | None = None) -> None:
        super().__init__(why)
        self.not_before = not_before


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect to another host would carry the credentials there."""

    def redirect_request(self, *_: Any) -> None:
        return None


class FeedClient:
    """Reads one source. `sleep`, `now` and `seed` are there so that tests need not wait and pauses are repeatable."""

    def __init__(
        self,
        source: FeedSource,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
        seed: int | None = None,
    ) -> None:
        self.source = source
        self.now = now
        self._sleep = sleep
        self._random = random.Random(seed)
        self._opener = deadline_opener(_NoRedirects)

    def pages(self, path: str, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Pages of rows that changed in `since <= t < until` (aware), in the source's order.

        Raises FeedError; of its kinds FeedDeferred when the source wants to be left alone, and WindowTooLarge for endless pages.
        """
        names = self.source.parameters
        query = {
            names["since"]: since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            names["until"]: until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            names["page_size"]: self.source.page_size,
        }
        first = urljoin(self.source.url.rstrip("/") + "/", path.lstrip("/"))
        url = f"{first}?{urlencode({**query, names['page']: 1})}"
        asked: set[str] = set()
        digests: set[bytes] = set()
        empty = 0
        for number in range(1, MOST_PAGES + 1):
            asked.add(url)
            rows, answer, digest = self._page(url)
            if rows and digest in digests:
                raise FeedError(
                    f"{_shown(url)} answers page {number} with the rows of a page before; check the name of the page parameter "
                    f"(now {names['page']!r})"
                )
            digests.add(digest)
            empty = 0 if rows else empty + 1
            if empty > _MOST_EMPTY_PAGES:
                raise FeedError(f"{_shown(url)} gives {empty} pages without a row and names a next one; ask the operator of the source")
            if rows:
                yield rows
            following = self._next(answer, url, first, query, number, len(rows))
            if following is None:
                return
            if following in asked:
                raise FeedError(
                    f"{_shown(url)} names as next page of page {number} one that was read before; ask the operator of the source"
                )
            url = following
        raise WindowTooLarge(f"{_shown(first)} has more than {MOST_PAGES:,} pages")

    def _page(self, url: str) -> tuple[list[dict[str, Any]], Any, bytes]:
        why = ""
        for attempt in range(1, self.source.attempts + 1):
            try:
                return self._read(url)
            except _Retry as reason:
                why = str(reason)
                last = attempt == self.source.attempts
                if reason.not_before is not None:
                    self._wait_as_asked(url, why, reason.not_before, last)
                elif not last:
                    # a little apart from others that wait for the same source
                    pause = min(self.source.pause * 2 ** (attempt - 1), _LONGEST_PAUSE)
                    self._sleep(pause * (0.75 + 0.5 * self._random.random()))
        raise FeedError(
            f"{_shown(url)} failed {self.source.attempts} times, last: {why}; nothing of it was taken, the next fetch asks again"
        )

    def _wait_as_asked(self, url: str, why: str, not_before: datetime, last: bool) -> None:
        """Wait until then and a little longer, never shorter; FeedDeferred when that is far away or no attempt is left."""
        seconds = (not_before - self.now()).total_seconds()
        if last or seconds > _LONGEST_PAUSE:
            raise FeedDeferred(
                f"{_shown(url)} answered {why} and asks to be left alone until {not_before:%Y-%m-%d %H:%M:%S} UTC; the first fetch after "
                "that asks again",
                not_before,
            )
        self._sleep(max(seconds, 0.0) * (1.0 + 0.1 * self._random.random()))

    def _read(self, url: str) -> tuple[list[dict[str, Any]], Any, bytes]:
        request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "loyalty-backoffice"})
        if self.source.authorization:
            request.add_header("Authorization", self.source.authorization)
        try:
            with self._opener.open(request, timeout=self.source.timeout) as response:
                body = response.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _RETRIED:
                raise _Retry(f"HTTP {error.code}", _not_before(error.headers, self.now())) from error
            advice = {
                401: "check LOYALTY_FEED_AUTH",
                403: "check LOYALTY_FEED_AUTH and what it may read",
                404: "check LOYALTY_FEED_URL and LOYALTY_FEED_PATHS",
            }.get(error.code, "ask the operator of the source")
            raise FeedError(f"{_shown(url)} answered HTTP {error.code}; {advice}") from error
        except (OSError, http.client.HTTPException) as error:  # no connection, reset, too late, cut off
            if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
                raise _Retry(f"no complete answer within {self.source.timeout:g} seconds (LOYALTY_FEED_TIMEOUT_SECONDS)") from error
            raise _Retry(f"{type(error).__name__}: {error}") from error
        if len(body) > _MOST_BYTES:
            raise FeedError(f"{_shown(url)} answered more than {_MOST_BYTES // 2**20} MB in one page; set a smaller LOYALTY_FEED_PAGE_SIZE")
        try:
            # amounts stay the text that was sent: 10.10 must not become 10.1 or a float
            answer = json.loads(body, parse_float=str, parse_constant=str, parse_int=_whole_number)
            rows = _rows(answer)
            # of the rows alone: what stands around them, such as the time of the answer, may differ where the rows are the same
            digest = hashlib.sha256(json.dumps(rows).encode()).digest()
            if b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body:
                rows = _storable(rows)
        except (ValueError, RecursionError) as error:
            raise _Retry(f"the answer is no JSON ({error})") from error
        return rows, answer, digest

    def _next(self, answer: Any, url: str, first: str, query: dict[str, Any], number: int, rows: int) -> str | None:
        name = self.source.parameters["page"]
        if isinstance(answer, dict):
            meta, links = (part if isinstance(part := answer.get(key), dict) else {} for key in ("meta", "links"))
            for holder, key in ((answer, "next"), (answer, "next_page_url"), (links, "next"), (meta, "next_page_url")):
                if key in holder:
                    return self._followed(holder[key], url, key) if holder[key] else None
            for holder in (answer, meta):
                if "next_page" in holder:
                    if holder["next_page"] is True or not isinstance(holder["next_page"], int | str | None):
                        raise _misnamed(url, "next_page", holder["next_page"], "number")
                    return f"{first}?{urlencode({**query, name: holder['next_page']})}" if holder["next_page"] else None
                for key in ("last_page", "total_pages"):
                    if key in holder:
                        last = holder[key]
                        if isinstance(last, bool) or not isinstance(last, int):
                            raise _misnamed(url, key, last, "whole number")
                        return f"{first}?{urlencode({**query, name: number + 1})}" if number < last else None
        if rows < self.source.page_size:
            return None
        return f"{first}?{urlencode({**query, name: number + 1})}"

    def _followed(self, link: Any, url: str, key: str) -> str:
        if not isinstance(link, str):
            raise _misnamed(url, key, link, "address")
        try:
            target = urljoin(url, quote(link, safe=_OF_ADDRESSES))
            same_host = urlsplit(target)[:2] == urlsplit(url)[:2]
        except ValueError as error:
            raise _misnamed(url, key, link, "address") from error
        if not same_host:
            raise FeedError(f"{_shown(url)} links to another host for its next page; credentials are not sent there")
        return target


def _rows(answer: Any) -> list[dict[str, Any]]:
    """The rows of a page. Raises _Retry for an answer of another shape."""
    rows = next((answer[name] for name in _LISTS if name in answer), None) if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        raise _Retry(f"the answer holds no list of rows (looked for {', '.join(_LISTS)})")
    for position, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise _Retry(f"row {position} of the page is no object")
    return rows


def _misnamed(url: str, key: str, value: Any, wanted: str) -> FeedError:
    """The value itself is not shown: links can name players."""
    return FeedError(f"{_shown(url)} says {key} is of type {type(value).__name__}, which is no {wanted}; ask the operator of the source")


def _shown(url: str) -> str:
    """The address without its query, which can name players."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _not_before(headers: Message, now: datetime) -> datetime | None:
    """The instant that Retry-After names, as seconds from now or as an HTTP date; None without one that can be read.

    A date is the source's time: where its clock (the Date header) is behind ours, its distance counts, not its digits.
    """
    asked = (headers.get("Retry-After") or "").strip()
    if asked.isascii() and asked.isdigit():
        seconds = float(asked) if len(asked) <= _LONGEST_WHOLE_NUMBER else float("inf")
    elif (moment := _http_date(asked)) is not None:
        sent = _http_date(headers.get("Date") or "") or now
        seconds = max((moment - now).total_seconds(), (moment - sent).total_seconds(), 0.0)
    else:
        return None
    return now + timedelta(seconds=seconds) if seconds <= _LONGEST_ASKED else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _whole_number(text: str) -> int | str:
    """Numbers too long to be an id or a count stay text: Python refuses to read thousands of digits, and one cell must not stop a page."""
    return int(text) if len(text) <= _LONGEST_WHOLE_NUMBER else text


def _storable(value: Any) -> Any:
    """`value` without what JSON can say and no database text can hold: NUL and halves of characters, replaced by the mark for that."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    return value
