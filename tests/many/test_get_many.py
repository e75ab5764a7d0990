"""`get_many` and `aget_many`: each call as if it were alone, and those that are cached in one round trip."""

import asyncio
from collections import namedtuple

import pytest
from asgiref.sync import async_to_sync
from django.core.cache.backends.redis import RedisCache
from django.db import transaction
from django.test import override_settings

from cache_result import Call, InvalidationRule, UnkeyableArgument, add_tags, cache_response, invalidate_tags
from cache_result.many import CHUNK
from cache_result.storage import Storage
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import settle
from tests.invalidation.rows import rename
from tests.waiting import DEADLINE, Gate

SHARED = on("file", "db", "redis", "django_redis", "django_redis_json", "memcached")

Point = namedtuple("Point", "x y")


@pytest.fixture(params=["sync", "async", "sync function"])
def get_many(request, double, adouble):
    """Reads many calls of a function that doubles."""
    if request.param == "sync":
        return double.get_many
    return async_to_sync(adouble.aget_many if request.param == "async" else double.aget_many)


@pytest.fixture
def reads(monkeypatch):
    """The numbers of keys that were read at once."""
    reads, original = [], Storage.read

    def read(self, keys):
        reads.append(len(keys))
        return original(self, keys)

    monkeypatch.setattr(Storage, "read", read)
    return reads


def run(method, *args, **kwargs):
    """What an async method returns."""

    async def call():
        return await method(*args, **kwargs)

    return async_to_sync(call)()


def test_results_come_in_order(get_many, doubling):
    assert get_many([2, 3]) == [[2, 2], [3, 3]]
    assert get_many([4, 3, 1, 2]) == [[4, 4], [3, 3], [1, 1], [2, 2]]
    assert sorted(doubling.runs) == [1, 2, 3, 4]
    assert get_many([]) == []


def test_a_generator_will_do(get_many, doubling):
    assert get_many(number for number in range(3)) == [[0, 0], [1, 1], [2, 2]]


def test_the_same_call_twice(get_many, doubling):
    """Nobody shares a value that can be changed, and the function runs once."""
    for _ in range(2):
        first, _, second = get_many([1, 2, 1])
        assert (first, second) == ([1, 1], [1, 1])
        first.append("changed")
        assert second == [1, 1]
    assert get_many([1]) == [[1, 1]]
    assert sorted(doubling.runs) == [1, 2]


@pytest.mark.parametrize("single_flight", ["cluster", "process", None])
def test_a_missing_call_twice(cached, doubling, single_flight):
    """Fails when the second one goes by what was read before the first one ran."""
    double = cached(single_flight=single_flight)(doubling.run)
    assert double.get_many([1, 1, 2, 1]) == [[1, 1], [1, 1], [2, 2], [1, 1]]
    assert doubling.runs == [1, 2]


@SHARED
def test_hits_are_one_round_trip(double, reads):
    double.get_many(range(20))
    reads.clear()
    assert double.get_many(range(20)) == [[number, number] for number in range(20)]
    # Entry and own generation of each, and the generation of the function once.
    assert reads == [41]


@SHARED
def test_missing_ones_are_not_read_again_before_they_are_filled(cached, doubling, reads):
    double = cached(single_flight=None)(doubling.run)
    double.get_many([1])  # makes the generation of the function
    reads.clear()
    assert double.get_many([2, 1]) == [[2, 2], [1, 1]]
    assert reads == [5]


@on("redis")
def test_so_many_at_once(double, reads):
    assert len(double.get_many(range(CHUNK + 1))) == CHUNK + 1
    reads.clear()
    double.get_many(range(CHUNK + 1))
    assert reads == [2 * CHUNK + 1, 3]


@on("locmem", "redis")
@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (1, ((1,), {})),
        ("text", (("text",), {})),
        ((1, 2), ((1, 2), {})),
        (((1, 2),), (((1, 2),), {})),
        ([1, 2], (([1, 2],), {})),
        (Point(1, 2), ((Point(1, 2),), {})),
        ({"key": 1, "part": 2}, ((1, 2), {})),
        (Call(1, part=2), ((1, 2), {})),
        (Call({"a": 1}), (({"a": 1},), {})),
        (None, ((None,), {})),
        ((), ((), {})),
    ],
    ids=repr,
)
def test_what_a_call_may_be(cached, call, arguments):
    @cached
    def function(key=0, part=0):
        return [key, part]

    args, kwargs = arguments
    assert function.get_many([call]) == [function.bypass_cache(*args, **kwargs)]
    assert function.get_cache_only(*args, **kwargs) == function.bypass_cache(*args, **kwargs)


def test_a_call_shows_its_arguments():
    assert repr(Call(1, "a", part=[2])) == "Call(1, 'a', part=[2])"


@on("locmem", "redis")
@pytest.mark.parametrize("calls", ["text", b"bytes", {"key": 1}, 5, None], ids=repr)
def test_what_calls_may_not_be(get_many, calls, doubling):
    with pytest.raises(TypeError, match="give an iterable of arguments"):
        get_many(calls)
    assert doubling.runs == []


@on("locmem", "memory", "redis")
def test_calls_that_do_not_fit(get_many, doubling):
    with pytest.raises(TypeError, match="nonsense"):
        get_many([{"key": 1, "nonsense": 1}])
    with pytest.raises(UnkeyableArgument):
        get_many([object()])


@on("locmem")
@pytest.mark.parametrize(("concurrency", "error"), [(0, ValueError), (True, TypeError), ("2", TypeError)])
def test_concurrency_is_a_number(adouble, concurrency, error):
    with pytest.raises(error, match="concurrency="):
        async_to_sync(adouble.aget_many)([1], concurrency=concurrency)


def test_an_exception_passes_through(get_many, doubling):
    """What was filled before stays."""
    doubling.fails_for = {3}
    with pytest.raises(LookupError, match="3"):
        get_many([1, 2, 3])
    doubling.fails_for = set()
    assert get_many([1, 2, 3]) == [[1, 1], [2, 2], [3, 3]]
    assert sorted(doubling.runs) == [1, 2, 3, 3]


@on("locmem", "memory", "redis")
def test_bound_to_an_instance(cached):
    class Basket:
        def __init__(self, factor):
            self.factor = factor

        def __cache_key__(self):
            return self.factor

        @cached
        def times(self, number, plus=0):
            return [self.factor * number + plus]

        @cached
        async def atimes(self, number):
            return [self.factor * number]

    assert Basket(3).times.get_many([1, (2, 5), {"number": 3}]) == [[3], [11], [9]]
    assert Basket(4).times.get_many(number for number in (1, 2)) == [[4], [8]]
    assert run(Basket(3).times.aget_many, [1]) == [[3]]
    assert run(Basket(5).atimes.aget_many, [1, 2]) == [[5], [10]]
    assert Basket(3).times.warm([1, 7], progress=False) == (1, 1, 0)
    with pytest.raises(TypeError, match="use aget_many"):
        Basket(5).atimes.get_many([1])


@on("locmem", "redis")
def test_of_async_functions_only_the_twin(adouble):
    with pytest.raises(TypeError, match="use aget_many"):
        adouble.get_many([1])


@on("locmem")
def test_not_of_views(cache_alias):
    @cache_response(cache=cache_alias)
    def view(request):
        raise AssertionError

    for name in ("get_many", "aget_many", "warm", "awarm"):
        with pytest.raises(TypeError, match="is a view"):
            getattr(view, name)([1])


# --- flights, fences, windows


def test_one_flight_with_single_callers(double, doubling, threads, monkeypatch):
    """Fails when a missing call is run without joining those who run it already."""
    gate, original = Gate(), doubling.run

    def run(key):
        if key == 2:
            gate.stop_here()
        return original(key)

    monkeypatch.setattr(doubling, "run", run)
    single = threads(double, 2)
    gate.wait_until_reached()
    many = threads(double.get_many, [1, 2, 3])
    while 1 not in doubling.runs:  # until it has come to the second call
        assert not many.done()
    gate.open()
    assert many.result() == [[1, 1], [2, 2], [3, 3]]
    assert single.result() == [2, 2]
    assert sorted(doubling.runs) == [1, 2, 3]


@SHARED
def test_an_invalidation_meanwhile(cached, doubling):
    """What was read before it is not the fence of what is made after it; nor is it made in vain."""

    @cached
    def f(key):
        if key == 1:
            f.invalidate_all()
        return doubling.run(key)

    assert f.get_many([1, 2]) == [[1, 1], [2, 2]]
    assert f.get_cache_only(1) != [1, 1]  # it was begun before
    assert f.get_many([1, 2])[1] == [2, 2]
    assert f.get_cache_only(2) in ([2, 2], f.get_cache_only(3))


def test_a_generator_that_goes_on_changing_what_it_yields(cached):
    @cached
    def f(numbers, **more):
        return [*numbers, *more.values()]

    def calls():
        numbers, named = [0], {"numbers": [], "a": 0}
        for number in range(3):
            numbers[0] = number
            yield numbers
            named["a"] = number
            yield named

    assert f.get_many(calls()) == [[0], [0], [1], [1], [2], [2]]
    assert f.get_cache_only([1]) == [1]


class Basket:
    """Something that a function may change."""

    def __init__(self):
        self.items = 0

    def __cache_key__(self):
        return self.items


def test_arguments_that_a_function_changes(cached):
    """Fails when the second call is stored under the key that its argument had before the first one ran."""

    @cached
    def f(basket, part):
        found = [basket.items, part]
        basket.items += 1
        return found

    basket = Basket()
    assert f.get_many([(basket, "a"), (basket, "b")]) == [[0, "a"], [1, "b"]]
    basket.items = 0
    assert f.get_cache_only(basket, "b") != [1, "b"]
    basket.items = 1
    assert f.get_cache_only(basket, "b") == [1, "b"]


@pytest.mark.parametrize("single_flight", ["cluster", "process", None])
def test_what_another_has_filled_meanwhile_is_taken(cached, threads, doubling, single_flight):
    """Fails when a call goes by what was read before another one ran, which may have taken long."""

    @cached(single_flight=single_flight)
    def f(key):
        if key == 1:
            threads(f, 2).result()
        return doubling.run(key)

    assert f.get_many([1, 2]) == [[1, 1], [2, 2]]
    assert sorted(doubling.runs) == [1, 2]


@SHARED
def test_stale_ones_are_served_and_made_anew_once(cached, doubling, clock):
    f = cached(ttl=10, stale_while_revalidate=60)(doubling.run)
    f.get_many([1, 2])
    clock.advance(20)
    f(2)
    settle()
    assert sorted(doubling.runs) == [1, 2, 2]
    assert f.cache_info().stale == 1
    assert f.get_many([1, 2]) == [[1, 1], [2, 2]]
    assert f.cache_info().stale == 2
    settle()
    assert sorted(doubling.runs) == [1, 1, 2, 2]


@SHARED
def test_added_tags_are_compared(cached, doubling, reads, cache_alias):
    @cached
    def f(key):
        add_tags(f"n:{key}")
        return doubling.run(key)

    f.get_many([1, 2, 3])
    f.get_many([1, 2, 3])
    doubling.runs.clear()
    reads.clear()
    assert f.get_many([1, 2, 3]) == [[1, 1], [2, 2], [3, 3]]
    assert (doubling.runs, len(reads)) == ([], 2)
    invalidate_tags("n:2", cache=cache_alias)
    assert f.get_many([1, 2, 3]) == [[1, 1], [2, 2], [3, 3]]
    assert doubling.runs == [2]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@on("locmem", "memory", "redis", "memcached")
def test_own_writes_are_seen(cached, threads):
    author = Author.objects.create(name="old")

    @cached(invalidates_on=[InvalidationRule(Author, field_mapping={"author_id": "pk"})])
    def name(author_id):
        return [Author.objects.get(pk=author_id).name]

    assert name.get_many([author.pk]) == [["old"]]
    with transaction.atomic():
        rename(author)
        assert name.get_many([author.pk]) == [["new"]]
        assert threads(name.get_many, [author.pk]).result() == [["old"]]
    assert name.get_many([author.pk]) == [["new"]]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@on("redis", "memcached")
def test_a_write_of_an_earlier_call_is_seen(cached):
    """Fails when it is asked only before the first call whether a transaction has changed its scopes."""
    author = Author.objects.create(name="old")

    # Any reader may refresh it, so a hit takes further thought, when its turn comes.
    rules = [InvalidationRule(Author, field_mapping={"author_id": "pk"})]

    @cached(ttl=5, invalidates_on=rules, early_refresh=1000)
    def name(author_id, renames):
        if renames:
            rename(author)
        [Author.objects.count() for _ in range(5)]  # takes a while: the longer, the earlier
        return [Author.objects.get(pk=author_id).name]

    name(author.pk, False)
    with transaction.atomic():
        assert name.get_many([(author.pk, True), (author.pk, False)]) == [["new"], ["new"]]
        transaction.set_rollback(True)
    assert name(author.pk, False) == ["old"]


def test_disabled(get_many, doubling):
    with override_settings(CACHE_RESULT={"ENABLED": False}):
        assert get_many([1, 2]) == get_many([1, 2]) == [[1, 1], [2, 2]]
    assert len(doubling.runs) == 4


@on("locmem", "redis")
def test_nothing_is_stored_without_a_ttl(cached, doubling):
    f = cached(ttl=0)(doubling.run)
    assert f.get_many([1, 1]) == [[1, 1], [1, 1]]
    assert doubling.runs == [1, 1]


@on("redis")
def test_a_cache_that_is_down(get_many, doubling, monkeypatch, caplog):
    """Promise 7."""
    get_many([1])

    def down(*args, **kwargs):
        raise ConnectionError("down")

    monkeypatch.setattr(RedisCache, "get_many", down)
    monkeypatch.setattr(RedisCache, "get", down)
    monkeypatch.setattr(RedisCache, "add", down)
    monkeypatch.setattr(RedisCache, "set", down)
    doubling.runs.clear()
    assert get_many([1, 2]) == [[1, 1], [2, 2]]
    assert sorted(doubling.runs) == [1, 2]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_counted(double):
    double.get_many([1, 2])
    double.get_many([1, 2, 3])
    info = double.cache_info()
    assert (info.hits, info.misses, info.fills) == (2, 3, 3)


# --- asyncio


@pytest.mark.parametrize("concurrency", [1, 3])
@on("locmem", "memory", "redis")
def test_so_many_runs_at_once(cached, concurrency):
    under_way, most, full = 0, 0, asyncio.Event()

    @cached
    async def f(key):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == concurrency:
            full.set()
        await asyncio.wait_for(full.wait(), DEADLINE)
        await asyncio.sleep(0)
        under_way -= 1
        return [key]

    assert async_to_sync(f.aget_many)(range(8), concurrency=concurrency) == [[n] for n in range(8)]
    assert most == concurrency


@on("locmem", "memory", "redis")
async def test_the_first_exception_ends_the_others(cached):
    began, ended = asyncio.Event(), []

    @cached
    async def f(key):
        if key == 1:
            await began.wait()
            raise LookupError(key)
        began.set()
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            ended.append(key)

    with pytest.raises(LookupError):
        await f.aget_many([1, 2])
    assert ended == [2]


@on("locmem", "memory", "redis")
async def test_cancelled(cached):
    began, ended = asyncio.Event(), []
    before = asyncio.all_tasks()

    @cached
    async def f(key):
        began.set()
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            ended.append(key)

    many = asyncio.ensure_future(f.aget_many([1, 2]))
    await began.wait()
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    assert sorted(ended) in ([1], [1, 2])
    assert asyncio.all_tasks() == before
