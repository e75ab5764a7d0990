"""What is stored and for how long: ttl, predicates, results that cannot be stored, the master switch."""

import datetime
import logging
import threading
from uuid import UUID

import pytest
from django.core.cache import caches
from django.utils.dateparse import parse_datetime

from cache_result import CACHE_MISSING, CacheStatus
from tests.backends import on


def lifetime(metadata):
    """Seconds from the two times that a user sees; None for ever."""
    if metadata["cache_reset_at"] is None:
        return None
    return (
        parse_datetime(metadata["cache_reset_at"]) - parse_datetime(metadata["cached_at"])
    ).total_seconds()


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (60, 60),
        (1.5, 1.5),
        (None, None),
        (datetime.timedelta(minutes=2), 120),
        (lambda result: 30, 30),
        (lambda result, key, part=None: 10 * key, 20),
        (lambda result, *args, **kwargs: datetime.timedelta(seconds=10 * args[0]), 20),
        (lambda result, key=99: 7, 7),
    ],
    ids=["int", "float", "never", "timedelta", "of result", "of call", "of any call", "default kept"],
)
@on("locmem", "redis")
def test_ttl_kinds(make_inc, clock, ttl, seconds):
    inc = make_inc(ttl=ttl)
    assert lifetime(inc.get_with_metadata(2)[1]) == seconds
    assert lifetime(inc.get_cached_metadata(2)) == seconds
    if seconds is None:
        assert inc(2) == 1
    else:
        clock.advance(seconds - 0.5)
        assert inc(2) == 1
        clock.advance(0.6)
        assert inc.get_cache_only(2) is CACHE_MISSING
        assert inc(2) == 2


def test_expired_entries_are_misses_everywhere(make_inc, clock):
    inc = make_inc(ttl=60)
    assert inc(1) == 1
    clock.advance(61)
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc.get_cached_metadata(1) is None
    assert [inc(1), inc(1)] == [2, 2]


def test_times_follow_the_fill(make_inc, clock):
    inc = make_inc(ttl=60)
    first = inc.get_with_metadata(1)[1]
    clock.advance(30)
    assert inc.get_with_metadata(1)[1]["cached_at"] == first["cached_at"]
    inc.refresh(1)
    refreshed = inc.get_with_metadata(1)[1]
    assert refreshed["cached_at"] > first["cached_at"]
    assert lifetime(refreshed) == 60


@pytest.mark.parametrize("ttl", [0, 0.0, datetime.timedelta(0), lambda result: 0])
@on("locmem", "redis")
def test_a_ttl_of_nothing_stores_nothing(make_inc, ttl):
    inc = make_inc(ttl=ttl)
    assert inc.get_with_metadata(1) == (
        1,
        {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.MISS},
    )
    assert inc(1) == 2
    assert inc.get_cached_metadata(1) is None


@pytest.mark.parametrize(
    "options",
    [
        {"cache_if": lambda result: result % 2 == 0},
        {"cache_unless": lambda result: result % 2},
        {"cache_if": lambda result, key, part=None: key == "k" and result % 2 == 0},
        {"cache_unless": lambda result, *args, **kwargs: args[0] != "k" or result % 2},
    ],
    ids=["if", "unless", "if of the call", "unless of the call"],
)
@on("locmem", "redis")
def test_predicates_decide_what_is_stored(make_inc, options):
    inc = make_inc(**options)
    value, metadata = inc.get_with_metadata("k")
    assert value == 1
    assert metadata == {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.MISS}
    assert inc.get_cache_only("k") is CACHE_MISSING
    assert [inc("k"), inc("k")] == [2, 2]


def test_a_refused_refresh_deletes_the_entry(make_inc):
    inc = make_inc(cache_if=lambda result: result != 2)
    assert [inc(1), inc.refresh(1)] == [1, 2]
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert [inc(1), inc(1)] == [3, 3]


def failing(result):
    raise ZeroDivisionError("predicate")


@pytest.mark.parametrize("option", ["cache_if", "cache_unless", "ttl"])
@on("locmem", "redis")
def test_a_failing_predicate_never_loses_the_value(make_inc, caplog, option):
    inc = make_inc(**{option: failing})
    with caplog.at_level(logging.WARNING, logger="cache_result"):
        assert inc(1) == 1
    assert "predicate" in caplog.text
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc(1) == 2


@on("locmem")
def test_a_failing_predicate_is_raised_in_debug(make_inc, settings):
    settings.DEBUG = True
    inc = make_inc(cache_if=failing)
    with pytest.raises(ZeroDivisionError):
        inc(1)


def test_an_unpicklable_result_is_returned_and_logged(cached, caplog):
    runs = []

    @cached
    def function(key):
        runs.append(key)
        return threading.Lock()

    with caplog.at_level(logging.WARNING, logger="cache_result"):
        assert hasattr(function(1), "acquire")
    assert [record.levelname for record in caplog.records if record.name == "cache_result"]
    assert "lock" in caplog.text.lower()
    assert function.get_cache_only(1) is CACHE_MISSING
    assert hasattr(function(1), "acquire")
    assert runs == [1, 1]


def test_disabled_means_bypass(make_inc, settings):
    inc = make_inc()
    assert inc(1) == 1
    settings.CACHE_RESULT = {"ENABLED": False}
    bypassed = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}
    assert inc.get_with_metadata(1) == (2, bypassed)
    assert [inc(1), inc.refresh(1), inc.bypass_cache(1)] == [3, 4, 5]
    assert inc.get_cache_only(1) is CACHE_MISSING
    assert inc.get_cached_metadata(1) is None


def test_settings_take_effect_on_existing_wrappers(make_inc, settings, tmp_path):
    inc = make_inc()
    assert inc(1) == 1
    alias = next(iter(settings.CACHES))
    assert alias == "default"
    settings.CACHES = {
        name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": f"{tmp_path}-{name}"}
        for name in settings.CACHES
    }
    assert [inc(1), inc(1)] == [2, 2]


class Interrupted:
    """A value during whose loading something comes in between, once."""

    by = None

    def __setstate__(self, state):
        by, Interrupted.by = Interrupted.by, None
        if by is not None:
            raise by


@pytest.mark.parametrize("by", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", ["__call__", "get_with_metadata"])
@on("locmem", "memory", "file", "redis")
def test_what_comes_in_between_is_no_matter_of_the_entry(cached, call, by):
    runs = []

    @cached
    def function(key):
        runs.append(key)
        value = Interrupted()
        value.key = key
        return value

    function(1)
    Interrupted.by = by
    with pytest.raises(by):
        getattr(function, call)(1)
    function(1)
    assert runs == [1]


class Pickled:
    """A value during whose pickling something comes in between, once."""

    by = None

    def __reduce__(self):
        by, Pickled.by = Pickled.by, None
        if by is not None:
            raise by
        return (Pickled, ())


@pytest.mark.parametrize("by", [KeyboardInterrupt, SystemExit])
@on("locmem", "memory", "file", "redis")
def test_what_comes_in_between_while_a_result_is_pickled(cached, by):
    function = cached(lambda key=1: Pickled())
    for use in (function, function.refresh):
        Pickled.by = by
        with pytest.raises(by):
            use()
        assert function.get_cache_only() is CACHE_MISSING
    assert isinstance(function(), Pickled)
    assert isinstance(function.get_cache_only(), Pickled)


@on("memory")
def test_what_comes_in_between_while_a_result_is_kept(cached, cache_alias, monkeypatch):
    """It reaches the caller; nothing is stored, and no flight is left behind."""
    value = {UUID(int=1): [1]}
    function = cached(lambda: value)
    hash_of = UUID.__hash__

    def interrupt(uuid):
        monkeypatch.setattr(UUID, "__hash__", hash_of)
        raise KeyboardInterrupt

    for use in (function, function.refresh, lambda: caches[cache_alias].set("key", value)):
        monkeypatch.setattr(UUID, "__hash__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            use()
        assert function.get_cache_only() is CACHE_MISSING
        assert caches[cache_alias].get("key") is None
    assert [function(), function.get_cache_only()] == [value] * 2
