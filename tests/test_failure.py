"""Promise 7: the cache may die, the site does not."""

import itertools
import logging
import time

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches

from cache_result import CACHE_MISSING, CacheStatus
from cache_result.storage import get_storage
from tests import settings as test_settings
from tests.flaky import FlakyCache
from tests.servers import Memcached, Redis
from tests.waiting import DEADLINE

NOTHING_STORED = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.MISS}


@pytest.fixture
def cache_alias(request):
    """Unlike everywhere else: a cache whose server may be down cannot be cleared."""
    alias = getattr(request, "param", "flaky")
    yield alias
    if alias in caches.settings:
        pending = get_storage(alias).pending
        pending.delivered(pending.snapshot())


down = pytest.mark.parametrize(
    "cache_alias", ["redis_down", "django_redis_down", "memcached_down"], indirect=True
)
down_and_silent = pytest.mark.parametrize(
    "cache_alias",
    ["redis_down", "django_redis_down", "memcached_down", "django_redis_silent"],
    indirect=True,
)


@pytest.fixture
def server(cache_alias, run_directory):
    """The server of an alias that is down: start and stop it as you like."""
    kind, name = (Memcached, "mortal-memcached") if "memcached" in cache_alias else (Redis, "mortal-redis")
    server = kind(test_settings.RUN_DIR, name)
    yield server
    server.stop()


@pytest.fixture
def impatient(settings):
    """A breaker that opens at the first failure and tries again very soon."""
    settings.CACHE_RESULT = {"BREAKER": (1, 0.01)}


@pytest.fixture
def flaky(settings, tmp_path):
    """A cache of which each test decides when it works."""
    settings.CACHES = {
        **settings.CACHES,
        "flaky": {"BACKEND": "tests.flaky.FlakyCache", "LOCATION": str(tmp_path)},
    }
    yield FlakyCache
    FlakyCache.broken = False


def records(caplog, level):
    return [
        record
        for record in caplog.records
        if record.name.split(".")[0] == "cache_result" and record.levelno == level
    ]


def until(condition):
    """Ask again and again: for what becomes true by real time alone."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline


@down_and_silent
def test_no_call_notices_a_dead_server(make_inc):
    inc = make_inc()
    assert inc(1) == 1
    assert inc(1) == 2
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc.get_cached_metadata(1) is None
    assert inc.refresh(1) == 3
    assert inc.bypass_cache(1) == 4
    inc.delete_cache(1)
    inc.delete_by_prefix()
    inc.invalidate_all()


@down
def test_metadata_says_that_nothing_was_stored(make_inc):
    assert make_inc().get_with_metadata(1) == (1, NOTHING_STORED)


@down_and_silent
async def test_no_task_notices_a_dead_server(make_ainc):
    inc = make_ainc()
    assert await inc(1) == 1
    assert await inc(1) == 2
    assert await inc.aget_cache_only(1) is CACHE_MISSING
    assert await inc.aget_cached_metadata(1) is None
    assert await inc.arefresh(1) == 3
    await inc.adelete_cache(1)
    await inc.adelete_by_prefix()
    await inc.ainvalidate_all()


@down
def test_exceptions_of_the_function_still_pass(cached):
    @cached
    def function():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        function()


@down
def test_an_outage_is_one_line_and_so_is_its_end(make_inc, server, caplog, impatient, cache_alias):
    inc = make_inc()
    with caplog.at_level(logging.INFO, logger="cache_result"):
        for _ in range(5):
            inc(1)
            inc.get_cache_only(1)
            inc.delete_cache(1)
        (outage,) = records(caplog, logging.WARNING)
        assert cache_alias in outage.getMessage()
        assert not records(caplog, logging.INFO)

        server.start()
        until(lambda: inc(1) == inc(1))
        (recovery,) = records(caplog, logging.INFO)
        assert cache_alias in recovery.getMessage()
        assert len(records(caplog, logging.WARNING)) == 1

        caplog.clear()
        server.stop()
        for _ in range(5):
            inc(1)
        assert len(records(caplog, logging.WARNING)) == 1, "the next outage is news again"


@down
def test_a_server_that_dies_and_comes_back_empty(make_inc, server, impatient):
    server.start()
    inc = make_inc()
    until(lambda: inc(1) == inc(1))
    last = inc(1)
    server.stop()
    assert inc(1) == last + 1
    server.start()
    until(lambda: inc(1) == inc(1))
    inc.invalidate_all()
    assert inc.get_cache_only(1) is CACHE_MISSING


def test_the_breaker_stops_asking(make_inc, flaky, settings):
    # Fails when every call of an outage pays for a round trip (or a time-out) of its own.
    settings.CACHE_RESULT = {"BREAKER": (3, 3600)}
    inc = make_inc()
    assert [inc(1), inc(1)] == [1, 1]
    flaky.broken = True
    for _ in range(5):
        inc(1)
    asked = flaky.operations
    for _ in range(5):
        inc(1)
        inc.get_cache_only(1)
        inc.refresh(2)
    assert flaky.operations == asked


def test_the_breaker_tries_again(make_inc, flaky, impatient):
    inc = make_inc()
    flaky.broken = True
    assert [inc(1), inc(1), inc(1)] == [1, 2, 3]
    flaky.broken = False
    until(lambda: inc(1) == inc(1))


def test_a_failure_now_and_then_does_not_open_the_breaker(make_inc, flaky, settings):
    settings.CACHE_RESULT = {"BREAKER": (3, 3600)}
    inc = make_inc()
    for key in range(10):
        flaky.broken = True
        inc(key)
        flaky.broken = False
        assert inc(key) == inc(key)


def test_a_store_that_fails_never_loses_the_value(cached, flaky, impatient):
    runs = itertools.count(1)

    @cached
    def function():
        flaky.broken = True  # it dies while the function runs
        return next(runs)

    assert function() == 1
    assert function() == 2
    flaky.broken = False


@pytest.mark.parametrize(
    "invalidate",
    [
        lambda inc: inc.delete_cache(1),
        lambda inc: inc.delete_by_prefix(),
        lambda inc: inc.invalidate_all(),
        lambda inc: async_to_sync(inc.adelete_cache)(1),
        lambda inc: async_to_sync(inc.ainvalidate_all)(),
    ],
    ids=["delete_cache", "delete_by_prefix", "invalidate_all", "adelete_cache", "ainvalidate_all"],
)
def test_an_invalidation_that_fails_is_not_lost(make_inc, flaky, impatient, invalidate):
    """The entry survived the outage; this process must not serve it again."""
    # Fails when scopes that could not be invalidated are not kept for later.
    inc = make_inc()
    assert [inc(1), inc(1)] == [1, 1]
    flaky.broken = True
    invalidate(inc)
    flaky.broken = False
    until(lambda: inc(1) == inc(1))
    assert inc(1) > 1


def test_waiters_of_an_outage_get_an_answer(cached, flaky, threads, impatient):
    runs = itertools.count(1)

    @cached
    def function(key):
        return next(runs)

    flaky.broken = True
    outcomes = [threads(function, 1) for _ in range(10)]
    assert all(outcome.result() >= 1 for outcome in outcomes)
