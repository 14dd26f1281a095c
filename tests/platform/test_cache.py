"""Test processes share one Redis; what one forgets, another must keep."""

import pytest
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache

from tests.cache import forget_cached


def test_forget_cached__own_key__gone() -> None:
    caches["default"].set("own", 1)
    forget_cached()
    assert caches["default"].get("own") is None


def test_forget_cached__key_of_the_process_beside__kept() -> None:
    own = caches["default"]
    if not isinstance(own, RedisCache):
        pytest.skip("no Redis: each process has a cache of its own")
    beside = RedisCache(own._servers, {"KEY_PREFIX": f"{own.key_prefix}-beside"})
    beside.set("theirs", 1, timeout=60)
    try:
        forget_cached()
        assert beside.get("theirs") == 1
    finally:
        beside.delete("theirs")
