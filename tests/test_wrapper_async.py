"""The async twins: the same promises when the function, the caller or both are coroutines."""

import asyncio
import threading

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus
from tests.backends import on
from tests.test_wrapper import PARTITIONED

IO_METHODS = {
    "get_with_metadata": (1,),
    "get_cache_only": (1,),
    "get_cached_metadata": (1,),
    "refresh": (1,),
    "bypass_cache": (1,),
    "delete_cache": (1,),
    "delete_by_prefix": (),
    "invalidate_all": (),
}


@pytest.fixture
def apages(cached):
    runs = iter(range(1, 1000))

    @cached(key_constructor=PARTITIONED)
    async def apages(country, language, page=1):
        return next(runs)

    return apages


async def test_hits_and_misses(make_ainc):
    inc = make_ainc()
    assert [await inc(1), await inc(key=1), await inc(2), await inc(1)] == [1, 1, 2, 1]


async def test_a_call_is_a_coroutine(make_ainc):
    call = make_ainc()(1)
    assert asyncio.iscoroutine(call)
    assert await call == 1


async def test_metadata(make_ainc):
    inc = make_ainc(ttl=60)
    assert await inc.aget_cached_metadata(1) is None
    value, missed = await inc.aget_with_metadata(1)
    assert (value, missed["cache_status"]) == (1, CacheStatus.MISS)
    hit = {**missed, "cache_status": CacheStatus.HIT}
    assert await inc.aget_with_metadata(1) == (1, hit)
    assert await inc.aget_cached_metadata(1) == hit
    assert hit["cached_at"] < hit["cache_reset_at"]


async def test_cache_only(make_ainc):
    inc = make_ainc()
    assert await inc.aget_cache_only(1) is CACHE_MISSING
    await inc(1)
    assert await inc.aget_cache_only(1) == 1


async def test_refresh_and_bypass(make_ainc):
    inc = make_ainc()
    assert [await inc.arefresh(1), await inc(1), await inc.arefresh(1), await inc(1)] == [1, 1, 2, 2]
    assert [await inc.abypass_cache(1), await inc(1)] == [3, 2]


async def test_deletions(make_ainc, apages):
    inc = make_ainc()
    assert [await inc(1), await inc(2)] == [1, 2]
    assert await inc.adelete_cache(1) is None
    assert [await inc(2), await inc(1), await inc(1)] == [2, 3, 3]
    await inc.ainvalidate_all()
    assert [await inc(1), await inc(2)] == [4, 5]

    assert [await apages("de", "en"), await apages("de", "fr"), await apages("at", "en")] == [1, 2, 3]
    await apages.adelete_by_prefix("de")
    assert [await apages("at", "en"), await apages("de", "en"), await apages("de", "fr")] == [3, 4, 5]
    await apages.adelete_by_prefix("de", "en")
    assert [await apages("de", "fr"), await apages("de", "en")] == [5, 6]


async def test_a_hit_cannot_be_spoiled(cached):
    @cached
    async def function():
        return {"list": [1, [2]]}

    for _ in range(3):
        result = await function()
        assert result == {"list": [1, [2]]}
        result["list"][1].append("spoiled")


async def test_exceptions_pass_through(cached):
    error = LookupError("gone")
    runs = []

    @cached
    async def function():
        runs.append(1)
        raise error

    for attempt in (function, function.arefresh, function):
        with pytest.raises(LookupError) as caught:
            await attempt()
        assert caught.value is error
    assert len(runs) == 3


async def test_async_predicates(make_ainc):
    async def even(result):
        await asyncio.sleep(0)
        return result % 2 == 0

    async def ttl(result, *args):
        return 50

    inc = make_ainc(cache_if=even, ttl=ttl)
    assert [await inc(1), await inc(1), await inc(1)] == [1, 2, 2]
    metadata = await inc.aget_cached_metadata(1)
    assert metadata["cache_reset_at"] is not None


async def test_disabled_means_bypass(make_ainc, settings):
    inc = make_ainc()
    assert await inc(1) == 1
    settings.CACHE_RESULT = {"ENABLED": False}
    assert (await inc.aget_with_metadata(1))[1]["cache_status"] == CacheStatus.BYPASS
    assert await inc(1) == 3
    assert await inc.aget_cache_only(1) is CACHE_MISSING


@on("locmem")
@pytest.mark.parametrize("name", IO_METHODS)
def test_sync_methods_of_async_functions_name_the_right_one(make_ainc, name):
    inc = make_ainc()
    with pytest.raises(TypeError, match=rf"a{name}\b"):
        getattr(inc, name)(*IO_METHODS[name])


@on("locmem")
def test_keys_need_no_loop(make_ainc):
    inc = make_ainc()
    assert inc.get_cache_key(1) != inc.get_cache_key(2)


async def test_async_methods_of_sync_functions(cached):
    """The function runs in Django's thread for sync code, not on the loop."""
    runs = []

    @cached
    def function(key):
        runs.append(threading.current_thread())
        return len(runs)

    assert (await function.aget_with_metadata(1))[0] == 1
    assert (await function.aget_with_metadata(1))[1]["cache_status"] == CacheStatus.HIT
    assert await function.aget_cache_only(1) == 1
    assert await function.arefresh(1) == 2
    assert await function.abypass_cache(1) == 3
    assert (await function.aget_cached_metadata(1))["cache_status"] == CacheStatus.HIT
    await function.adelete_cache(1)
    assert await function.aget_cache_only(1) is CACHE_MISSING
    await function.adelete_by_prefix()
    await function.ainvalidate_all()
    assert threading.main_thread() not in runs


@on("locmem", "redis")
def test_loops_come_and_go(make_ainc):
    """Nothing is tied to the loop that saw the function first."""
    inc = make_ainc()
    assert [asyncio.run(inc(1)) for _ in range(3)] == [1, 1, 1]


class NativeAsyncCache(LocMemCache):
    """A backend with async methods of its own, which must be the ones that an async call uses."""

    calls: list[str]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        type(self).calls = []

    async def aget_many(self, keys, version=None):
        self.calls.append("aget_many")
        return LocMemCache.get_many(self, keys, version=version)

    async def aset(self, key, value, timeout=None, version=None):  # noqa: ASYNC109 (Django's name)
        self.calls.append("aset")
        LocMemCache.set(self, key, value, timeout, version=version)

    async def aget(self, key, default=None, version=None):
        self.calls.append("aget")
        return LocMemCache.get(self, key, default, version=version)


@on("locmem")
async def test_native_async_methods_are_used(make_ainc, settings):
    settings.CACHES = {
        **settings.CACHES,
        "locmem": {"BACKEND": f"{__name__}.{NativeAsyncCache.__name__}", "LOCATION": "native"},
    }
    inc = make_ainc()
    assert [await inc(1), await inc(1)] == [1, 1]
    assert type(caches["locmem"]) is NativeAsyncCache
    assert "aset" in NativeAsyncCache.calls
    assert {"aget_many", "aget"} & set(NativeAsyncCache.calls)


@on("locmem", "redis")
async def test_partition_fields_of_async_functions(cached):
    @cached(key_constructor={"fields": {"a": ArgsKeyField("a", partition=True)}})
    async def function(a, b):
        return a, b

    assert await function(1, 2) == await function(1, 3) == (1, 2)
