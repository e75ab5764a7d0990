"""`assert_cache_calls` counts what it is told to count."""

import pytest

from cache_result import cache_result
from cache_result.testing import CacheResultTestMixin, assert_cache_calls, cache_results_off
from tests.backends import on
from tests.waiting import Threads

pytestmark = on("locmem", "memory", "redis")


@pytest.fixture
def get_user(cached):
    @cached
    def get_user(pk):
        if pk < 0:
            raise LookupError
        return pk

    return get_user


@pytest.fixture
def get_city(cached):
    @cached
    def get_city(pk):
        return pk

    return get_city


class TestCounting:
    def test_what_is_named_is_exact_and_the_rest_is_free(self, get_user):
        with assert_cache_calls(get_user, hits=1, misses=1):
            get_user(1)
            get_user(1)
        with assert_cache_calls(get_user, misses=0), assert_cache_calls(get_user, hits=2):
            get_user(1)
            get_user(1)
        for counts in ({"hits": 0}, {"hits": 2}, {"hits": 1, "misses": 1}):
            with pytest.raises(AssertionError), assert_cache_calls(get_user, **counts):
                get_user(1)

    def test_every_kind(self, get_user):
        with assert_cache_calls(get_user, refreshes=1, bypassed=2, misses=1, errors=1, hits=0):
            get_user.refresh(1)
            get_user.bypass_cache(1)
            with cache_results_off():
                get_user(1)
            with pytest.raises(LookupError):
                get_user(-1)

    def test_several_functions_are_added_up(self, get_user, get_city):
        get_city(2)
        with assert_cache_calls(get_user, get_city, misses=2, hits=1):
            get_user(1)
            get_city(1)
            get_city(2)
        with assert_cache_calls(get_user, get_user, misses=1):
            get_user(2)

    def test_without_a_name_all_functions(self, get_user, get_city, cached):
        with assert_cache_calls(misses=3):
            get_user(1)
            get_city(1)
            decorated_inside = cached(lambda: 1)
            decorated_inside()
        with pytest.raises(AssertionError), assert_cache_calls(misses=0):
            get_city(2)

    def test_calls_of_other_threads(self, get_user, threads: Threads):
        with assert_cache_calls(get_user, misses=1):
            threads(get_user, 1).result()

    async def test_async_functions(self, cached):
        @cached
        async def get_rate(currency):
            return 1.08

        async with assert_cache_calls(get_rate, misses=1, hits=1):
            await get_rate("EUR")
            await get_rate("EUR")

    def test_methods(self, cache_alias):
        class Service:
            @cache_result(cache=cache_alias, name="service-with-counts")
            def method(self, number):
                return number

            def __cache_key__(self):
                return 1

        service = Service()
        with assert_cache_calls(service.method, misses=1), assert_cache_calls(Service.method, misses=1):
            service.method(1)

    def test_in_a_test_class(self, get_user):
        with CacheResultTestMixin().assertCacheCalls(get_user, misses=1):
            get_user(1)


class TestMessages:
    def test_the_difference_is_shown_by_function(self, get_user, get_city):
        get_user(1)
        calls = assert_cache_calls(get_user, get_city, hits=2, misses=2)
        with pytest.raises(AssertionError) as raised, calls:
            get_user(1)
            get_user(2)
            get_city(1)
        heading, *rows = str(raised.value).splitlines()
        assert heading == "calls of cached functions differ:"
        assert [row.split() for row in rows[:3]] == [
            ["expected", "seen"],
            ["hits", "2", "1", "<--"],
            ["misses", "2", "2"],
        ]
        assert rows[3].startswith(f"{get_city.label}: misses=1")
        assert rows[4].startswith(f"{get_user.label}: hits=1, misses=1")

    def test_no_call_at_all(self, get_user):
        calls = assert_cache_calls(get_user, hits=1)
        with pytest.raises(AssertionError, match=f"no call of {get_user.label} was seen"), calls:
            pass

    def test_the_error_of_the_block_comes_first(self, get_user):
        with pytest.raises(LookupError), assert_cache_calls(get_user, hits=1):
            get_user(-1)

    def test_wrong_use(self, get_user):
        with pytest.raises(TypeError, match="name at least one number of calls: hits, misses, stale"):
            assert_cache_calls(get_user)
        with pytest.raises(TypeError, match=r"<built-in function len> is no cached function"):
            assert_cache_calls(len, hits=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="hits=-1: no block makes so many calls"):
            assert_cache_calls(get_user, hits=-1)
        with pytest.raises(TypeError, match="hit"):
            assert_cache_calls(get_user, hit=1)  # type: ignore[call-arg]
