"""Data are stale when attempts fail, and just as well when nothing is attempted at all."""

import json
from datetime import timedelta
from typing import Any

import pytest

from loyalty_site.common.clock import utc_now
from players.feeds.freshness import stale_since
from players.models import FeedState
from predictions import hooks
from tests.api_client import KeyedClient
from tests.cache import forget_cached
from tests.factories import PlayerFactory
from tests.predictions.api.factories import churn, make_run

from .conftest import AT

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def configured(settings: Any) -> None:
    settings.FEED_URL = "http://127.0.0.1:9/api"
    settings.FEED_PATHS = {"players": "p", "deposits": "d", "logs": "", "bonuses": "b"}


def _feed(resource: str, **values: Any) -> FeedState:
    return FeedState.objects.create(resource=resource, **values)


def test_stale_since__schedule_stands_still__counts_from_the_last_success() -> None:
    _feed("players", last_success_at=AT)
    _feed("deposits", last_success_at=AT + MINUTE)
    assert stale_since(AT + 60 * MINUTE) is None
    assert stale_since(AT + 61 * MINUTE) == AT
    assert stale_since(AT + timedelta(days=9)) == AT


def test_stale_since__longer_time_allowed__is_the_setting(settings: Any) -> None:
    settings.FEED_STALE_AFTER_MINUTES = 1_500
    _feed("players", last_success_at=AT)
    assert (stale_since(AT + 1_500 * MINUTE), stale_since(AT + 1_501 * MINUTE)) == (None, AT)


def test_stale_since__never_succeeded__counts_from_the_first_attempt() -> None:
    _feed("players", first_asked_at=AT)
    assert (stale_since(AT + 60 * MINUTE), stale_since(AT + 61 * MINUTE)) == (None, AT)


def test_stale_since__first_failure__counts_at_once_from_the_last_success() -> None:
    _feed("players", first_asked_at=AT - 15 * MINUTE, last_success_at=AT, failing_since=AT + 15 * MINUTE)
    assert stale_since(AT + 15 * MINUTE) == AT


def test_stale_since__several_are_stale__is_the_earliest() -> None:
    _feed("players", last_success_at=AT + MINUTE, failing_since=AT + 15 * MINUTE)
    _feed("deposits", last_success_at=AT)
    _feed("bonuses", first_asked_at=AT - MINUTE, failing_since=AT + 15 * MINUTE)
    assert stale_since(AT + 15 * MINUTE) == AT - MINUTE
    assert stale_since(AT + 61 * MINUTE) == AT - MINUTE


def test_stale_since__resource_left_out_or_no_address__does_not_count(settings: Any) -> None:
    _feed("logs", last_success_at=AT)
    assert stale_since(AT + timedelta(days=9)) is None
    settings.FEED_PATHS = {"logs": "l"}
    assert stale_since(AT + timedelta(days=9)) == AT
    settings.FEED_URL = ""
    assert stale_since(AT + timedelta(days=9)) is None


def _metadata(path: str) -> Any:
    return json.loads(KeyedClient().get(path).content)["data"]["metadata"]


def test_predictions__schedule_stands_still__answers_carry_it_until_it_is_mended() -> None:
    forget_cached()
    player: Any = PlayerFactory(external_id="P1")
    churn(make_run(as_of=AT), player, 0.75)
    feed = _feed("players", last_success_at=AT)  # long ago by today's clock
    assert hooks.stale_since() == AT
    for path in ("/predictions/churn/predict", "/predictions/churn/players/P1"):
        assert _metadata(path)["stale_since"] == "2026-03-08T12:00:00Z"
    feed.last_success_at = utc_now()
    feed.save()
    assert _metadata("/predictions/churn/predict")["stale_since"] is None
