"""The operator's API with a week of rows, and a client for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from players.feeds.client import FeedClient, FeedSource

from .source import Asked, Operator, Reply, running

AT = datetime(2026, 3, 8, 12, tzinfo=UTC)
PATHS = {
    "players": "/api/players_details",
    "deposits": "/api/players_deposit_details",
    "logs": "/api/players_log_details",
    "bonuses": "/api/players_bonus_details",
}
_TIMES = ("updated_at", "timestamp", "created_at", "login_time")


def page_of(rows: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
    """The page that is asked for, of the rows whose time lies in the window that is asked for."""
    found = [row for row in rows if asked.query["from"] <= next(row[name] for name in _TIMES if name in row) < asked.query["to"]]
    page, size = int(asked.query["page"]), int(asked.query["per_page"])
    return found[(page - 1) * size : page * size]


def serving(data: dict[str, list[dict[str, Any]]]) -> Callable[[Asked, int], Reply]:
    """An answer that gives `data` (resource -> rows, which may change between requests) by window and page."""
    by_path = {path: resource for resource, path in PATHS.items()}
    return lambda asked, number: Reply({"data": page_of(data.get(by_path[asked.path], []), asked)})


def player(name: str, updated_at: str = "2026-03-02T09:00:00Z") -> dict[str, Any]:
    return {"user_id": name, "country": "FI", "currency": "EUR", "registration_date": "2026-01-02T10:00:00Z", "updated_at": updated_at}


def deposit(number: int, created_at: str, user: str = "P-1") -> dict[str, Any]:
    return {"id": number, "user_id": user, "amount": "10.00", "status": "success", "created_at": created_at}


def bonus(name: str, user: str = "P-1", *, status: str = "Created", at: str = "2026-03-05T10:00:00Z") -> dict[str, Any]:
    return {
        "user_bonus_id": name,
        "user_id": user,
        "amount": "10.00",
        "required_wagering_amount": "200",
        "status": status,
        "type": "ReloadBonus",
        "product": "Casino",
        "timestamp": at,
    }


@pytest.fixture
def start(settings: Any) -> Iterator[Callable[..., tuple[Operator, FeedClient]]]:
    """Start the operator's API and point the settings at it; `options` go to the client."""
    with ExitStack() as stack:

        def begin(answer: Callable[[Asked, int], Reply], **options: Any) -> tuple[Operator, FeedClient]:
            operator = stack.enter_context(running(answer))
            settings.FEED_URL = operator.url
            options = {"sleep": lambda seconds: None, "seed": 1, **options}
            return operator, FeedClient(FeedSource(url=operator.url, page_size=2, attempts=2), **options)

        yield begin
