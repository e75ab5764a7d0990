"""The async methods, and async wrappers: no thread, no waiting, and the same answers."""

import asyncio
import inspect
import threading

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from cache_result import CACHE_MISSING, CacheStatus
from cache_result.backends import MemoryCache
from tests.memory.faces import at_once

TWINS = sorted(
    name for name in vars(BaseCache) if inspect.iscoroutinefunction(getattr(BaseCache, name, None))
)


@pytest.fixture
def cache_alias():
    caches["memory"].clear()
    return "memory"


def test_each_twin_is_one_of_ours_or_needs_no_thread():
    inherited = [name for name in TWINS if getattr(MemoryCache, name) is getattr(BaseCache, name)]
    # That one calls `aget` and `aadd`.
    assert inherited == ["aget_or_set"]


@pytest.mark.parametrize("name", TWINS)
def test_twins_take_what_the_plain_methods_take(name):
    plain, twin = (inspect.signature(getattr(MemoryCache, n)) for n in (name[1:], name))
    assert list(plain.parameters) == list(twin.parameters)
    for parameter in plain.parameters:
        assert plain.parameters[parameter].default == twin.parameters[parameter].default


async def test_other_threads_are_not_asked(memory):
    """With a running loop: were there a hop, Django's thread would have been started."""
    before = threading.active_count()
    await memory.aset("key", 1)
    assert await memory.aget("key") == 1
    assert await memory.aget_or_set("made", lambda: 2) == 2
    assert await memory.aget_many(["key", "made"]) == {"key": 1, "made": 2}
    await memory.aincr_version("key")
    await memory.aclear()
    assert threading.active_count() == before


async def test_tasks_lose_no_increments(memory):
    await memory.aset("number", 0)

    async def count():
        for _ in range(100):
            await memory.aincr("number")
            await asyncio.sleep(0)

    await asyncio.gather(*[count() for _ in range(10)])
    assert await memory.aget("number") == 1000


class TestWrappers:
    async def test_a_hit_waits_for_nothing(self, make_ainc):
        inc = make_ainc()
        assert await inc(1) == 1
        assert at_once(inc(1)) == 1
        assert at_once(inc.aget_cache_only(1)) == 1
        value, metadata = at_once(inc.aget_with_metadata(1))
        assert (value, metadata["cache_status"]) == (1, CacheStatus.HIT)
        assert at_once(inc.aget_cached_metadata(1))["cache_status"] == CacheStatus.HIT
        assert at_once(inc.aget_cache_only(2)) is CACHE_MISSING

    async def test_a_fill_waits_for_the_function_alone(self, cached):
        @cached
        async def function(x):
            return [x]

        assert at_once(function(1)) == [1]
        assert at_once(function.arefresh(1)) == [1]
        assert at_once(function.ainvalidate_all()) is None
        assert at_once(function.aget_cache_only(1)) is CACHE_MISSING

    async def test_what_one_task_wipes_others_miss(self, make_ainc, cache_alias):
        inc, cache = make_ainc(), caches[cache_alias]
        key = inc.get_cache_key(1)
        assert await inc(1) == 1
        assert await cache.aget(key) == 1
        await cache.adelete(key)
        assert await inc(1) == 2
        await inc.adelete_cache(1)
        assert await cache.aget(key) is None
        assert await inc(1) == 3
        await cache.aset(key, "foreign")
        assert await inc(1) == 4
        await cache.aclear()
        assert await inc(1) == 5
        await inc.ainvalidate_all()
        assert await inc(1) == 6

    async def test_a_hit_is_the_callers_own(self, cached):
        @cached
        async def function():
            return {"list": [1]}

        for _ in range(3):
            result = await function()
            assert result == {"list": [1]}
            result["list"].append(2)

    async def test_a_herd_runs_once(self, cached):
        started, go = asyncio.Event(), asyncio.Event()
        runs = []

        @cached
        async def function():
            runs.append(1)
            started.set()
            await go.wait()
            return [1]

        calls = [asyncio.create_task(function()) for _ in range(20)]
        await started.wait()
        go.set()
        results = await asyncio.gather(*calls)
        assert len(runs) == 1
        assert len({id(result) for result in results}) == 20
