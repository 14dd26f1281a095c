"""Forget what this test process remembered, and nothing of a process beside it."""

from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache


def forget_cached() -> None:
    """Empty the cache of this process.

    `clear()` on Redis empties the whole database: the entries of the test process beside this one and the messages of
    the broker. Only the keys with this process's prefix go here.
    """
    cache = caches["default"]
    if not isinstance(cache, RedisCache):
        cache.clear()
        return
    client = cache._cache.get_client(None, write=True)
    for key in client.scan_iter(match=cache.make_key("*"), count=1000):
        client.delete(key)
