"""`early_refresh` and `jitter`: before everybody has to wait, and not all at once."""

import asyncio

import pytest

from cache_result import _core
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle

SLOW = 2.0  # seconds that the function seems to take


@pytest.fixture(autouse=True)
def seeded():
    _core.seed_random(5)
    yield
    _core.seed_random(None)


@pytest.fixture
def slow(cached, monkeypatch):
    """A function whose runs take a while; counts them."""
    import time

    class Slow:
        runs = 0

        def __init__(self, **options):
            @cached(**options)
            def function(key=1):
                self.runs += 1
                time.sleep(0.02)
                return [self.runs]

            self.call = function

    return Slow


def test_a_reader_refreshes_before_the_end(slow, clock):
    # beta is so large that a draw comes soon: 20 ms * 1000 is more than the ttl.
    function = slow(ttl=TTL, early_refresh=1000)
    assert seen(function.call) == ([1], "MISS")
    clock.advance(TTL - 2)
    for _ in range(10):
        if function.runs > 1:
            break
        assert seen(function.call) == ([1], "HIT")
        settle()
    assert function.runs == 2
    assert function.call.get_cache_only() == [2]


@on("locmem", "memory", "redis", "memcached")
async def test_a_reader_refreshes_before_the_end_async(cached, clock):
    runs = []

    @cached(ttl=TTL, early_refresh=1000)
    async def function():
        runs.append(1)
        await asyncio.sleep(0.02)
        return [len(runs)]

    await function()
    clock.advance(TTL - 2)
    for _ in range(10):
        if len(runs) > 1:
            break
        assert await aseen(function) == ([1], "HIT")
        await asettle()
    assert len(runs) == 2
    assert await function.aget_cache_only() == [2]


def test_without_it_nobody_does(slow, clock):
    function = slow(ttl=TTL)
    function.call()
    clock.advance(TTL - 2)
    for _ in range(20):
        assert seen(function.call) == ([1], "HIT")
    settle()
    assert function.runs == 1


@on("locmem", "memory", "redis")
def test_one_early_run_per_expiry(slow, clock):
    """Readers come all the time; each entry is refreshed about once before its end, and never late."""
    function = slow(ttl=TTL, early_refresh=100.0)
    function.call()
    statuses = []
    for _ in range(400):
        clock.advance(0.25)
        statuses.append(seen(function.call)[1])
        settle()
    # A hundred seconds. Runs (20 ms * 100) come two seconds before the end or so: some fifteen entries.
    assert set(statuses) == {"HIT"}
    assert 11 <= function.runs <= 30


def test_an_invalidation_ends_it(slow, clock):
    function = slow(ttl=TTL, early_refresh=1000)
    function.call()
    clock.advance(TTL - 2)
    function.call.invalidate_all()
    value, status = seen(function.call)
    assert (value, status) == ([2], "MISS")


def lifetimes(function, number):
    for key in range(number):
        function(key)
    ends = []
    for key in range(number):
        found = function.get_cached_metadata(key)
        ends.append(_milliseconds(found["cache_reset_at"]) - _milliseconds(found["cached_at"]))
    return ends


def _milliseconds(text):
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)


@on("locmem", "memory", "redis")
def test_jitter_spreads_ttls_and_never_lengthens_them(scripted):
    # Fails (one end) without it.
    ends = lifetimes(scripted(ttl=100, jitter=0.2), 200)
    assert all(80_000 <= end <= 100_000 for end in ends)
    assert len(set(ends)) > 150
    assert 88_000 <= sum(ends) / len(ends) <= 92_000


@on("locmem", "memory", "redis")
def test_without_jitter_ttls_are_exact(scripted):
    assert set(lifetimes(scripted(ttl=100), 20)) == {100_000}
