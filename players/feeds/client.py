"""A careful reader of the operator's API: pages, time windows, retries. No Django, no database.

A request is GET {base}/{path}?{since}=...&{until}=...&{page}=1&{page_size}=500 with the configured names. An answer is a JSON list of
objects, or an object with the list under one of `data`, `results`, `items`, `records`. Further pages are found by, in this order, a link
(`next`, `next_page_url`, `links.next`), a number (`next_page`), a count (`last_page`, `total_pages`, at the top or under `meta`), or,
when the answer says nothing about pages, until a page is shorter than asked.

Whole pages are taken or none: what cannot be read is asked for again.
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
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

MOST_PAGES = 100_000
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_PAUSE = 60.0
_LISTS = ("data", "results", "items", "records")
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class FeedError(Exception):
    """The source did not give what was asked for; the message names the address, what came instead, and what to do."""


@dataclass(frozen=True)
class FeedSource:
    """Where the operator's API is and how it is asked. `timeout` in seconds per request, `pause` before the second attempt, doubling."""

    url: str
    authorization: str = field(default="", repr=False)
    page_size: int = 500
    timeout: float = 20.0
    attempts: int = 5
    pause: float = 1.0
    parameters: dict[str, str] = field(default_factory=lambda: {"since": "from", "until": "to", "page": "page", "page_size": "per_page"})


class _Retry(Exception):
    """Worth another attempt, after `pause` seconds if the source said so."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect to another host would carry the credentials there."""

    def redirect_request(self, *_: Any) -> None:
        return None


class FeedClient:
    """Reads one source. `sleep` and `seed` are there so that tests need not wait and pauses are repeatable."""

    def __init__(self, source: FeedSource, *, sleep: Callable[[float], None] = time.sleep, seed: int | None = None) -> None:
        self.source = source
        self._sleep = sleep
        self._random = random.Random(seed)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def pages(self, path: str, since: datetime, until: datetime) -> Iterator[list[dict[str, Any]]]:
        """Pages of rows that changed in `since <= t < until` (aware), in the source's order. Raises FeedError."""
        names = self.source.parameters
        query = {
            names["since"]: since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            names["until"]: until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            names["page_size"]: self.source.page_size,
        }
        first = urljoin(self.source.url.rstrip("/") + "/", path.lstrip("/"))
        url: str | None = f"{first}?{urlencode({**query, names['page']: 1})}"
        last_digest = b""
        for number in range(1, MOST_PAGES + 1):
            assert url is not None
            rows, answer, digest = self._page(url)
            if rows and digest == last_digest:
                raise FeedError(
                    f"{_shown(url)} answers page {number} with the rows of the page before; check the name of the page parameter "
                    f"(now {names['page']!r})"
                )
            if rows:
                yield rows
            url = self._next(answer, url, first, query, number, len(rows))
            if url is None:
                return
            last_digest = digest
        raise FeedError(f"{_shown(first)} has more than {MOST_PAGES:,} pages; ask for a shorter window or larger pages")

    def _page(self, url: str) -> tuple[list[dict[str, Any]], Any, bytes]:
        why = ""
        for attempt in range(1, self.source.attempts + 1):
            try:
                return self._read(url)
            except _Retry as reason:
                why = str(reason)
                if attempt < self.source.attempts:
                    pause = reason.pause if reason.pause is not None else self.source.pause * 2 ** (attempt - 1)
                    # a little apart from others that wait for the same source
                    self._sleep(min(pause, _LONGEST_PAUSE) * (0.75 + 0.5 * self._random.random()))
        raise FeedError(
            f"{_shown(url)} failed {self.source.attempts} times, last: {why}; nothing of it was taken, the next pull asks again"
        )

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
                raise _Retry(f"HTTP {error.code}", _asked_pause(error.headers.get("Retry-After"))) from error
            advice = {
                401: "check LOYALTY_FEED_AUTH",
                403: "check LOYALTY_FEED_AUTH and what it may read",
                404: "check LOYALTY_FEED_URL and LOYALTY_FEED_PATHS",
            }.get(error.code, "ask the operator of the source")
            raise FeedError(f"{_shown(url)} answered HTTP {error.code}; {advice}") from error
        except (OSError, http.client.HTTPException) as error:  # no connection, reset, timeout, cut off
            raise _Retry(f"{type(error).__name__}: {error}") from error
        if len(body) > _MOST_BYTES:
            raise FeedError(f"{_shown(url)} answered more than {_MOST_BYTES // 2**20} MB in one page; set a smaller LOYALTY_FEED_PAGE_SIZE")
        try:
            # amounts stay the text that was sent: 10.10 must not become 10.1 or a float
            answer = json.loads(body, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise _Retry(f"the answer is no JSON ({error})") from error
        rows = next((answer[name] for name in _LISTS if name in answer), None) if isinstance(answer, dict) else answer
        if not isinstance(rows, list):
            raise _Retry(f"the answer holds no list of rows (looked for {', '.join(_LISTS)})")
        for position, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise _Retry(f"row {position} of the page is no object")
        return rows, answer, hashlib.sha256(body).digest()

    def _next(self, answer: Any, url: str, first: str, query: dict[str, Any], number: int, rows: int) -> str | None:
        name = self.source.parameters["page"]
        if isinstance(answer, dict):
            meta, links = (part if isinstance(part := answer.get(key), dict) else {} for key in ("meta", "links"))
            for holder, key in ((answer, "next"), (answer, "next_page_url"), (links, "next"), (meta, "next_page_url")):
                if key in holder:
                    return self._followed(holder[key], url) if holder[key] else None
            for holder in (answer, meta):
                if "next_page" in holder:
                    return f"{first}?{urlencode({**query, name: holder['next_page']})}" if holder["next_page"] else None
                for key in ("last_page", "total_pages"):
                    if key in holder:
                        last = holder[key]
                        if not isinstance(last, int):
                            raise FeedError(
                                f"{_shown(url)} says {key} is {last!r}, which is no whole number; ask the operator of the source"
                            )
                        return f"{first}?{urlencode({**query, name: number + 1})}" if number < last else None
        if rows < self.source.page_size:
            return None
        return f"{first}?{urlencode({**query, name: number + 1})}"

    def _followed(self, link: Any, url: str) -> str:
        target = urljoin(url, str(link))
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            raise FeedError(f"{_shown(url)} links to another host for its next page; credentials are not sent there")
        return target


def _shown(url: str) -> str:
    """The address without its query, which can name players."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _asked_pause(header: str | None) -> float | None:
    """Retry-After as seconds: a number, or an HTTP date."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header.strip())
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
