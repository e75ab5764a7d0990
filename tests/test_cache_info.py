"""`cache_info()`: every call is counted once, by how it resolved, on every backend."""

import asyncio
import time

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import transaction

from cache_result import CACHE_MISSING, CacheInfo, InvalidationRule, _core, cache_result
from tests.app.models import Author
from tests.backends import on
from tests.memory.forking import in_a_child, joined
from tests.waiting import AsyncGate, Gate, all_of

ZERO = CacheInfo(0, 0, 0, 0, 0, 0, 0, 0, 0.0)


def counted(wrapper):
    """What was counted, without zeros; the time saved is looked at where it matters."""
    return {name: n for name, n in wrapper.cache_info()._asdict().items() if n and name != "time_saved"}


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def face(request, cached):
    """A function that can be told to raise, and its methods, called from plain code."""
    return Face(cached, request.param)


class Face:
    def __init__(self, cached, asynchronous):
        self._cached = cached
        self._asynchronous = asynchronous
        self.error = None

    def make(self, **options):
        def function(x):
            if self.error:
                raise self.error
            return [x]

        async def afunction(x):
            return function(x)

        self.wrapper = self._cached(**options)(afunction if self._asynchronous else function)
        return self

    def __call__(self, method, *args):
        if not self._asynchronous:
            return getattr(self.wrapper, method)(*args)
        return async_to_sync(getattr(self.wrapper, method if method == "__call__" else f"a{method}"))(*args)


def test_nothing_has_been_counted_before_the_first_call(make_inc):
    assert make_inc().cache_info() == ZERO


def test_every_way_to_call_is_counted_once(face):
    call = face.make()
    assert call("__call__", 1) == [1]
    assert counted(call.wrapper) == {"misses": 1, "fills": 1}
    assert call("__call__", 1) == [1]
    assert call("get_with_metadata", 1)[0] == [1]
    assert call("get_cache_only", 1) == [1]
    assert call("get_cached_metadata", 1) is not None
    assert counted(call.wrapper) == {"hits": 4, "misses": 1, "fills": 1}
    assert call("get_cache_only", 2) is CACHE_MISSING
    assert call("get_cached_metadata", 2) is None
    assert counted(call.wrapper) == {"hits": 4, "misses": 3, "fills": 1}
    assert call("refresh", 1) == [1]
    assert call("bypass_cache", 1) == [1]
    assert call("get_with_metadata", 2)[0] == [2]
    assert counted(call.wrapper) == {"hits": 4, "misses": 4, "refreshes": 1, "bypassed": 1, "fills": 3}


def test_what_does_no_call_is_not_counted(face):
    call = face.make()
    call("__call__", 1)
    call("get_cache_key", 1)
    call("explain_key", 1)
    call("delete_cache", 1)
    call("delete_by_prefix")
    call("invalidate_all")
    assert counted(call.wrapper) == {"misses": 1, "fills": 1}


def test_a_refused_call_is_not_counted(face):
    call = face.make()
    for arguments in ((), (1, 2), (object(),)):
        with pytest.raises(TypeError):
            call("__call__", *arguments)
    assert call.wrapper.cache_info() == ZERO


def test_an_exception_of_the_function(face):
    call = face.make()
    call("__call__", 1)
    call.error = LookupError("broken")
    for method in ("__call__", "get_with_metadata", "refresh", "bypass_cache"):
        with pytest.raises(LookupError):
            call(method, 2)
    assert counted(call.wrapper) == {"misses": 3, "refreshes": 1, "bypassed": 1, "fills": 1, "errors": 4}


@on("locmem", "memory", "redis")
def test_an_interruption_is_no_call(face):
    call = face.make()
    call.error = KeyboardInterrupt()
    for method in ("__call__", "bypass_cache"):
        with pytest.raises(KeyboardInterrupt):
            call(method, 1)
    assert call.wrapper.cache_info() == ZERO


@on("locmem", "memory", "redis")
@pytest.mark.parametrize(
    "options",
    [{"cache_if": lambda result: False}, {"ttl": 0}, {"ttl": lambda _: 0}],
    ids=["refused", "ttl=0", "callable ttl"],
)
def test_a_result_that_is_not_stored_is_no_fill(face, options):
    call = face.make(**options)
    assert [call("__call__", 1), call("__call__", 1), call("refresh", 1)] == [[1]] * 3
    assert counted(call.wrapper) == {"misses": 2, "refreshes": 1}


@on("locmem", "memory", "redis")
def test_with_the_cache_off_every_call_is_bypassed(face, settings):
    call = face.make()
    settings.CACHE_RESULT = {"ENABLED": False}
    for method in ("__call__", "get_with_metadata", "refresh", "bypass_cache"):
        call(method, 1)
    call.error = LookupError("broken")
    with pytest.raises(LookupError):
        call("__call__", 1)
    assert counted(call.wrapper) == {"bypassed": 5, "errors": 1}
    assert call("get_cache_only", 1) is CACHE_MISSING
    assert counted(call.wrapper) == {"bypassed": 5, "errors": 1, "misses": 1}


@on("locmem", "memory", "redis")
def test_calls_that_see_uncommitted_data_are_bypassed(face, transactional_db):
    call = face.make()
    with transaction.atomic():
        Author.objects.create(name="uncommitted")
        call("__call__", 1)
        assert call("get_cache_only", 1) is CACHE_MISSING
    assert counted(call.wrapper) == {"bypassed": 1, "misses": 1}


@on("locmem", "memory", "redis")
def test_hits_inside_a_transaction(cached, transactional_db):
    rule = InvalidationRule(Author, field_mapping={"x": "pk"})
    function = cached(invalidates_on=[rule])(lambda x: [x])
    author = Author.objects.create(name="one")
    function(author.pk)
    function(author.pk + 1)
    with transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="two")
        function(author.pk)
        function(author.pk + 1)
    assert counted(function) == {"misses": 2, "fills": 2, "bypassed": 1, "hits": 1}


@on("file", "redis", "django_redis")
def test_an_entry_that_does_not_load_is_a_miss(cached, monkeypatch):
    function = cached(lambda: Loads())
    function()
    monkeypatch.setattr(Loads, "broken", True)
    function()
    monkeypatch.setattr(Loads, "broken", False)
    function()
    assert counted(function) == {"misses": 2, "fills": 2, "hits": 1}


class Loads:
    broken = False

    def __setstate__(self, state):
        if self.broken:
            raise ValueError("does not load")

    def __getstate__(self):
        return {"x": 1}


def test_a_rewarm_is_a_refresh(cached, transactional_db):
    rule = InvalidationRule(Author, field_mapping={"pk": "pk"}, rewarm=True)
    author = Author.objects.create(name="one")
    function = cached(invalidates_on=[rule])(lambda pk: Author.objects.get(pk=pk).name)
    author.name = "two"
    author.save()
    assert function(author.pk) == "two"
    assert counted(function) == {"refreshes": 1, "fills": 1, "hits": 1}


def test_threads_that_wait(cached, threads):
    """The leader fills; those who got his result waited, and whoever came too late for that has a hit."""
    gate = Gate()

    @cached
    def function():
        gate.stop_here()
        return ["value"]

    leader = threads(function)
    gate.wait_until_reached()
    others = [threads(function) for _ in range(10)]
    gate.open()
    assert [each.result() for each in (leader, *others)] == [["value"]] * 11
    info = function.cache_info()
    assert (info.fills, info.hits + info.misses, info.errors) == (1, 11, 0)
    assert info.waited == info.misses - 1


@on("locmem")
@pytest.mark.parametrize("broken", [False, True], ids=["value", "exception"])
async def test_tasks_that_wait(cached, broken):
    """On LocMem every task has joined the flight before the first one goes on."""
    gate = AsyncGate()

    @cached
    async def function():
        await gate.stop_here()
        if broken:
            raise LookupError("broken")
        return ["value"]

    tasks = [asyncio.create_task(function()) for _ in range(10)]
    await gate.wait_until_reached()
    for _ in range(20):
        await asyncio.sleep(0)
    cancelled = tasks.pop()
    cancelled.cancel()
    gate.open()
    if broken:
        for task in tasks:
            with pytest.raises(LookupError):
                await task
        assert counted(function) == {"misses": 9, "waited": 8, "errors": 1}
    else:
        await all_of(*tasks)
        assert counted(function) == {"misses": 9, "waited": 8, "fills": 1}
    with pytest.raises(asyncio.CancelledError):
        await cancelled


@on("locmem", "memory")
def test_no_call_of_many_threads_is_lost(make_inc, threads):
    inc = make_inc()
    inc(1)

    def calls():
        for _ in range(5000):
            inc(1)

    for each in [threads(calls) for _ in range(8)]:
        each.result()
    assert counted(inc) == {"hits": 40_000, "misses": 1, "fills": 1}


def test_time_saved_is_what_the_fill_had_taken(face, clock):
    ran = []
    call = face.make(ttl=lambda result: ran.append(time.perf_counter()) or 60)
    began = time.perf_counter()
    call("__call__", 1)
    took = time.perf_counter() - began
    assert call.wrapper.cache_info().time_saved == 0
    call("__call__", 1)
    once = call.wrapper.cache_info().time_saved
    assert 0 < once < took
    call("get_cache_only", 1)
    call("get_with_metadata", 1)
    assert call.wrapper.cache_info().time_saved == pytest.approx(3 * once)
    clock.advance(61)
    call("__call__", 1)
    assert call.wrapper.cache_info().time_saved == pytest.approx(3 * once)


@on("locmem", "memory", "file")
def test_time_saved_covers_the_run(cached):
    ran = []

    @cached
    def function():
        began = time.perf_counter()
        sum(range(50_000))
        ran.append(time.perf_counter() - began)

    function()
    function()
    assert function.cache_info().time_saved >= ran[0] - 1e-6


def test_functions_are_counted_apart(make_inc):
    one, two = make_inc(), make_inc()
    one(1), two(1), two(1)
    assert counted(one) == {"misses": 1, "fills": 1}
    assert counted(two) == {"misses": 1, "fills": 1, "hits": 1}


def test_all_counters_begin_again(make_inc):
    one, two = make_inc(), make_inc()
    one(1), one(1), two(1), two(1)
    _core.reset_counters()
    assert one.cache_info() == two.cache_info() == ZERO
    _core.reset_counters()
    one(1), two(2)
    assert one.cache_info().hits == two.cache_info().misses == 1
    assert sum(one.cache_info()[:8]) == 1


@on("locmem", "memory")
def test_a_forked_child_begins_at_zero(make_inc):
    inc = make_inc()
    inc(1), inc(1)

    def work():
        assert inc.cache_info() == ZERO
        inc(1)
        assert counted(inc) == {"hits": 1}

    joined(in_a_child(work))
    assert counted(inc) == {"misses": 1, "hits": 1, "fills": 1}


class Shop:
    @cache_result(cache="locmem", name="tests.test_cache_info.Shop.price")
    def price(self, x):
        return x

    @cache_result(cache="locmem", name="tests.test_cache_info.Shop.aprice")
    async def aprice(self, x):
        return x

    def __cache_key__(self):
        return "shop"


async def test_a_bound_method_has_the_counters_of_its_function():
    caches["locmem"].clear()
    _core.reset_counters()
    shop, other = Shop(), Shop()
    shop.price(1), other.price(1)
    assert shop.price.cache_info() == other.price.cache_info() == Shop.price.cache_info()
    assert counted(shop.price) == {"misses": 1, "hits": 1, "fills": 1}
    await shop.aprice(1)
    await other.aprice(1)
    assert counted(shop.aprice) == {"misses": 1, "hits": 1, "fills": 1}
