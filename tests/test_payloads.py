"""What is found under a key and is none of ours is a miss: corrupt, foreign, or of another key plan."""

import logging
import pickle
import struct
from pathlib import Path

import pytest
from django.core.cache import caches
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.test import override_settings

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, cache_result
from tests.backends import BACKENDS, on

FOREIGN = {
    "none": None,
    "number": 7,
    "text": "text",
    "empty text": "",
    "dict of a peer": {"value": 1, "cached_at": "2024-01-01T00:00:00"},
    "list": [1, 2],
    "bool": True,
    "pair": ("header", "value"),
    "empty tuple": (),
    "long text": "A" * 1000,
}


@pytest.fixture
def inc(make_inc):
    inc = make_inc()
    assert inc(1) == 1
    return inc


def assert_miss_then_hit(inc):
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc.get_cached_metadata(1) is None
    value, metadata = inc.get_with_metadata(1)
    assert (value, metadata["cache_status"]) == (2, CacheStatus.MISS)
    assert inc.get_with_metadata(1)[1]["cache_status"] == CacheStatus.HIT


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_value_is_a_miss(inc, cache_alias, value):
    caches[cache_alias].set(inc.get_cache_key(1), value)
    assert_miss_then_hit(inc)


@on("locmem", "memory", "file", "db", "redis", "django_redis", "memcached")
@pytest.mark.parametrize("value", [b"", b"garbage", b"\x80\x05.", bytes(1000)])
def test_foreign_bytes_are_a_miss(inc, cache_alias, value):
    caches[cache_alias].set(inc.get_cache_key(1), value)
    assert_miss_then_hit(inc)


def damaged(stored):
    """Versions of an entry with one byte changed, cut off, or more at the end."""
    for position in range(0, len(stored), max(1, len(stored) // 20)):
        if isinstance(stored, bytes):
            flipped = bytes([stored[position] ^ 0x10])
        else:
            flipped = "A" if stored[position] != "A" else "B"
        yield stored[:position] + flipped + stored[position + 1 :]
        yield stored[:position]
    yield stored + stored[:1]


# In our own store there are no bytes that could be damaged.
@on(*[alias for alias in BACKENDS if alias != "memory"])
def test_a_corrupt_entry_is_a_miss(inc, cache_alias):
    cache, key = caches[cache_alias], inc.get_cache_key(1)
    stored = cache.get(key)
    # LocMem copies by itself, so there header and value lie side by side.
    beside = isinstance(stored, tuple)
    sealed = stored[0] if beside else stored
    assert isinstance(sealed, bytes | str)
    for number, bad in enumerate(damaged(sealed), start=2):
        cache.set(key, (bad, stored[1]) if beside else bad)
        assert inc.get_cache_only(1) is CACHE_MISSING, number
    cache.set(key, stored)
    assert inc.get_cache_only(1) == 1


@on("locmem")
@pytest.mark.parametrize(
    "change",
    [
        lambda pair: pair[:1],
        lambda pair: (*pair, 1),
        lambda pair: pair[::-1],
        lambda pair: (b"header", pair[1]),
    ],
)
def test_a_pair_of_another_shape_is_a_miss(inc, cache_alias, change):
    cache, key = caches[cache_alias], inc.get_cache_key(1)
    cache.set(key, change(cache.get(key)))
    assert_miss_then_hit(inc)


@on("locmem", "redis")
def test_an_entry_copied_to_another_key_is_a_miss(inc, cache_alias):
    """An entry carries what it belongs to: somebody who mixes up keys gets no wrong answer."""
    assert inc(2) == 2
    cache = caches[cache_alias]
    cache.set(inc.get_cache_key(2), cache.get(inc.get_cache_key(1)))
    assert inc(2) == 3


class Vanished:
    """A class that a deployment removes: entries that hold one can no longer be loaded."""


def test_a_payload_that_no_longer_loads_is_a_miss(cached, monkeypatch):
    runs = []

    @cached
    def function():
        runs.append(1)
        return Vanished() if len(runs) == 1 else "a string now"

    function()
    monkeypatch.delattr(f"{__name__}.Vanished")
    assert function.get_cache_only() is CACHE_MISSING
    assert function() == function() == "a string now"
    assert len(runs) == 2


def unloadable(cache, key):
    """Replace the bytes below Django's own pickle, so that the backend's get raises."""
    bad = b"\x80\x05garbage"
    made = cache.make_key(key)
    match cache:
        case LocMemCache():
            cache._cache[made] = bad
        case FileBasedCache():
            Path(cache._key_to_file(key)).write_bytes(pickle.dumps(4e9) + bad)
        case _ if type(cache).__name__ == "DatabaseCache":
            with connection.cursor() as cursor:
                cursor.execute("UPDATE cache_table SET value = %s WHERE cache_key = %s", ["gAVnYXI=", made])
        case _ if type(cache).__name__ == "PyMemcacheCache":
            client = next(iter(cache._cache.clients.values()))
            client.serde, serde = _RawSerde(), client.serde
            client.set(made, bad)
            client.serde = serde
        case _:
            raw = cache._cache.get_client() if hasattr(cache, "_cache") else cache.client.get_client()
            raw.set(made, bad)


class _RawSerde:
    """Pickle's flag on bytes that are no pickle."""

    def serialize(self, key, value):
        return value, 1

    def deserialize(self, key, value, flags):
        return value


@on("locmem", "file", "db", "redis", "django_redis", "django_redis_json", "memcached")
def test_bytes_that_the_backend_cannot_load_are_a_miss(inc, cache_alias, caplog):
    with caplog.at_level(logging.WARNING, logger="cache_result"):
        unloadable(caches[cache_alias], inc.get_cache_key(1))
        assert inc(1) == 2
        assert inc(1) == 2


def release(parent, cache_alias, name, argument):
    """One release of a project: keys the function by one of its arguments, and returns which."""

    @cache_result({"fields": {"x": ArgsKeyField(argument)}}, name=name, cache=cache_alias)
    def function(a, b):
        return argument

    return function(1, 1)


@on("redis", "file")
def test_another_key_plan_is_a_miss(unique_name, cache_alias, processes):
    """A new release keys the same function by other arguments: the old entries mean something else."""
    name = unique_name()
    for argument in ("a", "b", "a"):
        assert processes(release, cache_alias, name, argument).result() == argument


@on("redis", "memcached", "file")
def test_entries_survive_a_new_process(make_inc, cache_alias, settings):
    """Nothing that a hit needs is kept in the process: a configuration from scratch reads them."""
    inc = make_inc()
    assert inc(1) == 1
    with override_settings(CACHES=dict(settings.CACHES)):
        assert inc(1) == 1


@on("redis")
def test_numbers_of_the_header_are_not_trusted(inc, cache_alias):
    """A header that claims more than there is does not make the reader allocate or read past the end."""
    cache, key = caches[cache_alias], inc.get_cache_key(1)
    stored = bytearray(cache.get(key))
    for position in range(4, min(len(stored) - 4, 40)):
        bad = bytearray(stored)
        bad[position : position + 4] = struct.pack("<I", 0xFFFFFFFF)
        cache.set(key, bytes(bad))
        assert inc.get_cache_only(1) is CACHE_MISSING
