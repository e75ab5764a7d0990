"""What a decorated function does, on every backend: hits, misses and the methods of its wrapper."""

import datetime
import decimal

import pytest
from django.core.cache import caches
from django.utils.dateparse import parse_datetime

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, cache_result
from tests.backends import on

PARTITIONED = {
    "fields": {
        "country": ArgsKeyField("country", partition=True),
        "language": ArgsKeyField("language", partition=True),
        "page": ArgsKeyField("page"),
    }
}


@pytest.fixture
def pages(cached):
    """A function of two partition fields and one more; returns how often it ran."""
    runs = iter(range(1, 1000))

    @cached(key_constructor=PARTITIONED)
    def pages(country, language, page=1):
        return next(runs)

    return pages


def test_a_result_is_computed_once_per_call(make_inc):
    inc = make_inc()
    assert [inc(1), inc(1), inc(2), inc(1), inc(2)] == [1, 1, 2, 1, 2]


def test_calls_that_bind_alike_are_one_call(make_inc):
    inc = make_inc()
    assert [inc(1), inc(key=1), inc(1, None), inc(1, part=None), inc(part=None, key=1)] == [1] * 5


@pytest.mark.parametrize(
    "value",
    [
        None,
        False,
        0,
        "",
        b"\x00\xff",
        "Ünïcödé \x00 text",
        3.5,
        [],
        [{"a": [1, 2, {"b": (3, {4})}]}],
        datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        decimal.Decimal("1.10"),
        "x" * 100_000,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_hit_equals_what_was_computed(cached, value):
    runs = []

    @cached
    def function():
        runs.append(1)
        return value

    for result in (function(), function()):
        assert result == value
        assert type(result) is type(value)
    assert len(runs) == 1


def test_a_hit_cannot_be_spoiled(cached):
    """Promise 6: neither the result of the fill nor that of a hit is the one that others get."""

    @cached
    def function():
        return {"list": [1, {"deep": [2]}], "set": {3}}

    for _ in range(3):
        result = function()
        assert result == {"list": [1, {"deep": [2]}], "set": {3}}
        result["list"][1]["deep"].append("spoiled")
        result["list"].append("spoiled")
        result["set"].clear()
        result["more"] = "spoiled"


def test_identity_within_a_value_survives(cached):
    @cached
    def function():
        shared = [1]
        return {"a": shared, "b": shared}

    for result in (function(), function()):
        assert result["a"] is result["b"]


def test_metadata_says_how_a_call_was_resolved(make_inc):
    inc = make_inc(ttl=60)
    value, missed = inc.get_with_metadata(1)
    assert (value, missed["cache_status"]) == (1, CacheStatus.MISS)
    value, hit = inc.get_with_metadata(1)
    assert (value, hit["cache_status"]) == (1, CacheStatus.HIT)
    assert set(hit) == {"cached_at", "cache_reset_at", "cache_status"}
    assert hit == {**missed, "cache_status": CacheStatus.HIT}
    cached_at, reset_at = parse_datetime(hit["cached_at"]), parse_datetime(hit["cache_reset_at"])
    assert reset_at - cached_at == datetime.timedelta(seconds=60)
    assert abs(datetime.datetime.now(datetime.UTC) - cached_at) < datetime.timedelta(seconds=60)


def test_metadata_without_a_run(make_inc):
    inc = make_inc()
    assert inc.get_cached_metadata(1) is None
    _, metadata = inc.get_with_metadata(1)
    assert inc.get_cached_metadata(1) == {**metadata, "cache_status": CacheStatus.HIT}
    assert inc(2) == 2


def test_cache_only_never_runs_the_function(cached):
    @cached
    def function(key):
        return None

    assert function.get_cache_only(1) is CACHE_MISSING
    assert function(1) is None
    assert function.get_cache_only(1) is None
    assert function.get_cache_only(2) is CACHE_MISSING


def test_refresh_runs_and_overwrites(make_inc):
    inc = make_inc()
    assert [inc.refresh(1), inc(1), inc.refresh(1), inc(1), inc(2)] == [1, 1, 2, 2, 3]


def test_bypass_neither_reads_nor_writes(make_inc):
    inc = make_inc()
    assert inc.bypass_cache(1) == 1
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc(1) == 2
    assert inc.bypass_cache(1) == 3
    assert inc(1) == 2


def test_delete_cache_drops_one_call(make_inc):
    inc = make_inc()
    assert [inc(1), inc(2)] == [1, 2]
    assert inc.delete_cache(1) is None
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert [inc(2), inc(1), inc(1)] == [2, 3, 3]


def test_delete_cache_removes_the_bytes(cached, cache_alias):
    @cached
    def function(key):
        return "result"

    function(1)
    key = function.get_cache_key(1)
    assert caches[cache_alias].get(key) is not None
    function.delete_cache(1)
    assert caches[cache_alias].get(key) is None


def test_deleting_what_is_not_there_is_fine(make_inc):
    inc = make_inc()
    inc.delete_cache(1)
    inc.delete_by_prefix()
    inc.invalidate_all()
    assert [inc(1), inc(1)] == [1, 1]


def test_a_partition_is_wiped_alone(pages):
    assert [pages("de", "en"), pages("de", "fr"), pages("at", "en"), pages("de", "en", 2)] == [1, 2, 3, 4]
    pages.delete_by_prefix("de", "en")
    assert [pages("de", "fr"), pages("at", "en")] == [2, 3]
    assert [pages("de", "en"), pages("de", "en", 2)] == [5, 6]


def test_a_leading_run_of_partition_fields_is_wiped(pages):
    assert [pages("de", "en"), pages("de", "fr"), pages("at", "en")] == [1, 2, 3]
    pages.delete_by_prefix("de")
    assert [pages("at", "en"), pages("de", "en"), pages("de", "fr")] == [3, 4, 5]


def test_further_arguments_of_a_wipe_are_ignored(pages):
    assert [pages("de", "en", 1), pages("de", "en", 2)] == [1, 2]
    pages.delete_by_prefix(country="de", language="en", page=1)
    assert [pages("de", "en", 1), pages("de", "en", 2)] == [3, 4]


def test_without_partition_fields_the_function_is_wiped(make_inc):
    inc = make_inc()
    assert [inc(1), inc(2)] == [1, 2]
    inc.delete_by_prefix()
    assert [inc(1), inc(2)] == [3, 4]
    inc.delete_by_prefix(1)
    assert [inc(1), inc(2)] == [5, 6]


def test_a_wipe_sees_values_as_loosely_as_urls_write_them(pages):
    assert [pages(5, "en"), pages("5", "en")] == [1, 2]
    pages.delete_by_prefix("5")
    assert [pages(5, "en"), pages("5", "en")] == [3, 4]


def test_invalidate_all_wipes_one_function(make_inc, pages):
    inc = make_inc()
    assert [inc(1), inc(2), pages("de", "en")] == [1, 2, 1]
    inc.invalidate_all()
    assert [inc(1), inc(2), pages("de", "en")] == [3, 4, 1]


def test_wipes_repeat(pages):
    """Each wipe counts: a generation never comes back."""
    for round_number in range(1, 6):
        assert pages("de", "en") == pages("de", "en") == round_number
        pages.delete_by_prefix("de")


def test_two_functions_never_meet(cached):
    @cached
    def one(key):
        return "one"

    @cached
    def two(key):
        return "two"

    assert [one(1), two(1), one(1), two(1)] == ["one", "two", "one", "two"]
    one.invalidate_all()
    assert two.get_cache_only(1) == "two"


def test_clearing_the_cache_clears_everything(make_inc, cache_alias):
    inc = make_inc()
    assert inc(1) == 1
    caches[cache_alias].clear()
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert [inc(1), inc(1)] == [2, 2]


def test_the_key_is_where_the_entry_lives(make_inc, cache_alias):
    inc = make_inc()
    key = inc.get_cache_key(1)
    assert key == inc.get_cache_key(key=1) != inc.get_cache_key(2)
    assert caches[cache_alias].get(key) is None
    inc(1)
    assert caches[cache_alias].get(key) is not None


def test_exceptions_pass_through_and_are_not_cached(cached):
    """Promise 8."""
    error = LookupError("no such thing")
    runs = []

    @cached
    def function(key):
        runs.append(key)
        if len(runs) < 3:
            raise error
        return "at last"

    for attempt in (function, function.refresh):
        with pytest.raises(LookupError) as caught:
            attempt(1)
        assert caught.value is error
    assert function.get_cache_only(1) is CACHE_MISSING
    assert [function(1), function(1)] == ["at last", "at last"]


@on("dummy")
def test_a_cache_that_keeps_nothing_still_answers(make_inc):
    inc = make_inc()
    assert [inc(1), inc(1), inc.refresh(1)] == [1, 2, 3]
    assert inc.get_cache_only(1) is CACHE_MISSING
    inc.delete_cache(1)
    inc.invalidate_all()


def test_the_default_cache_is_used_unless_told_otherwise(settings, unique_name, cache_alias):
    runs = iter(range(1, 10))
    name = unique_name()
    settings.CACHE_RESULT = {"CACHE": cache_alias}
    function = cache_result(name=name)(lambda: next(runs))
    assert [function(), function()] == [1, 1]
    assert caches[cache_alias].get(function.get_cache_key()) is not None
