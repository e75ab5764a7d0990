"""Each two of the windows around expiry together: where one ends and the other begins, and when one fails."""

import asyncio
from datetime import datetime

import pytest
from django.core.cache import caches

from cache_result import CACHE_MISSING, _core
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle
from tests.waiting import DEADLINE, all_of

WINDOW, LONGER = 20, 60
BEFORE = 2  # seconds before the end, where nine of ten draws refresh early
EARLY = {"early_refresh": 1000}
SHORT, LONG = 0.05, DEADLINE


@pytest.fixture(autouse=True)
def seeded():
    _core.seed_random(11)
    yield
    _core.seed_random(None)


@pytest.fixture
def slow(script):
    """Runs take long enough for `early_refresh` to look far ahead: 20 s. What has stopped at a gate has taken
    longer still, and is refreshed by its first reader: those who are not to do that only look.
    """
    script.seconds = 0.02
    return script


def come_close(clock, function, script, runs=2):
    """Reads just before the end, until one of the readers has had the function run."""
    clock.advance(TTL - BEFORE)
    while script.runs < runs:
        assert seen(function)[1] == "HIT"
        background_has_begun(script, runs)


def fail_early(clock, function, script):
    """Three early runs fail, the last of them shortly before the end: what follows is left alone for four
    seconds from then on."""
    script.error = ValueError("no price")
    for runs, seconds in enumerate((TTL - 6, 2, 2.5), 2):
        clock.advance(seconds)
        while script.runs < runs:
            assert seen(function) == ([1], "HIT")
            settle()
    clock.advance(2)


def background_has_begun(script, runs):
    """A run that stops at a gate is under way; any other is over."""
    if runs in script.gates:
        script.gates[runs]._reached.wait(0.1)
    else:
        settle()


async def acome_close(clock, function, script, runs=2):
    clock.advance(TTL - BEFORE)
    while script.runs < runs:
        assert (await aseen(function))[1] == "HIT"
        if runs in script.gates:
            await asyncio.to_thread(script.gates[runs]._reached.wait, 0.1)
        else:
            await asettle()


# --- early_refresh and ...


def test_an_early_run_goes_on_past_the_end(scripted, clock, slow):
    # Fails (runs == 3) if the runs before and after the end do not know of each other.
    function = scripted(**EARLY, stale_while_revalidate=WINDOW)
    function()
    gate = slow.stop_at(2)
    come_close(clock, function, slow)
    clock.advance(BEFORE + 1)
    assert seen(function) == ([1], "STALE")
    gate.open()
    settle()
    assert function.get_cache_only() == [2]
    assert slow.runs == 2


async def test_an_early_run_goes_on_past_the_end_async(ascripted, clock, slow):
    function = ascripted(**EARLY, stale_while_revalidate=WINDOW)
    await function()
    gate = slow.stop_at(2)
    await acome_close(clock, function, slow)
    clock.advance(BEFORE + 1)
    assert await all_of(*(aseen(function) for _ in range(5))) == [([1], "STALE")] * 5
    gate.open()
    await asettle()
    assert await function.aget_cache_only() == [2]
    assert slow.runs == 2


def test_who_comes_after_the_end_waits_for_the_early_run(scripted, clock, slow, threads):
    """Nothing is to be served meanwhile, so he takes what is being made."""
    function = scripted(**EARLY)
    function()
    gate = slow.stop_at(2)
    come_close(clock, function, slow)
    clock.advance(BEFORE + 1)
    late = threads(seen, function)
    gate.open()
    assert late.result()[0] == [2]


def test_an_early_run_that_fails_leaves_the_end_alone(scripted, clock, slow):
    """The background leaves the function alone for a while; then it is tried again."""
    function = scripted(**EARLY, stale_while_revalidate=WINDOW)
    function()
    fail_early(clock, function, slow)
    assert seen(function) == ([1], "STALE")
    settle()
    assert slow.runs == 4
    clock.advance(4)
    slow.error = None
    assert seen(function) == ([1], "STALE")
    settle()
    assert seen(function) == ([5], "HIT")


def test_an_early_run_that_fails_spares_who_comes_after_the_end(scripted, clock, slow):
    # Fails (a run, and one more error in the log) if an early failure does not count.
    function = scripted(**EARLY, stale_if_error=LONGER)
    function()
    fail_early(clock, function, slow)
    assert seen(function) == ([1], "STALE")
    assert slow.runs == 4
    clock.advance(4)
    assert seen(function) == ([1], "STALE")
    assert slow.runs == 5
    slow.error = None
    clock.advance(9)
    assert seen(function) == ([6], "MISS")


async def test_an_early_run_that_fails_spares_who_comes_after_the_end_async(ascripted, clock, slow):
    function = ascripted(**EARLY, stale_if_error=LONGER)
    await function()
    slow.error = ValueError("no price")
    for runs, seconds in enumerate((TTL - 6, 2, 2.5), 2):
        clock.advance(seconds)
        while slow.runs < runs:
            assert await aseen(function) == ([1], "HIT")
            await asettle()
    clock.advance(2)
    assert await aseen(function) == ([1], "STALE")
    assert slow.runs == 4
    slow.error = None
    clock.advance(4)
    assert await aseen(function) == ([5], "MISS")


def test_an_early_run_with_another_error_hides_nothing(scripted, clock, slow):
    function = scripted(**EARLY, stale_if_error=LONGER, error_types=OSError)
    function()
    fail_early(clock, function, slow)
    with pytest.raises(ValueError, match="no price"):
        function()


def test_without_stale_if_error_an_early_failure_spares_nobody(scripted, clock, slow):
    function = scripted(**EARLY)
    function()
    fail_early(clock, function, slow)
    with pytest.raises(ValueError, match="no price"):
        function()
    slow.error = None
    assert seen(function) == ([6], "MISS")


def test_who_waits_a_little_waits_for_the_early_run(scripted, clock, slow):
    # Fails (runs == 3) if who waits a little begins a run of his own.
    function = scripted(**EARLY, stale_if_error=LONGER, fill_timeout=SHORT)
    function()
    gate = slow.stop_at(2)
    come_close(clock, function, slow)
    clock.advance(BEFORE + 1)
    assert seen(function) == ([1], "STALE")
    gate.open()
    settle()
    assert function.get_cache_only() == [2]
    assert slow.runs == 2


async def test_who_waits_a_little_waits_for_the_early_run_async(ascripted, clock, slow):
    function = ascripted(**EARLY, stale_if_error=LONGER, fill_timeout=LONG)
    await function()
    gate = slow.stop_at(2)
    await acome_close(clock, function, slow)
    clock.advance(BEFORE + 1)
    callers = [asyncio.create_task(aseen(function)) for _ in range(5)]
    gate.open()
    assert {value for (value,), _ in await all_of(*callers)} == {2}


@pytest.mark.parametrize("invalidate", ["delete_cache", "invalidate_all"])
def test_an_invalidation_during_an_early_run(scripted, clock, slow, invalidate):
    # Fails ([2]) if what an early run has read before counts as current.
    function = scripted(**EARLY, stale_while_revalidate=WINDOW, stale_if_error=LONGER)
    function()
    gate = slow.stop_at(2)
    come_close(clock, function, slow)
    getattr(function, invalidate)()
    assert seen(function) == ([3], "MISS")
    gate.open()
    settle()
    assert function.get_cache_only() == [3]


# --- jitter and ...


def lifetime(function):
    found = function.get_cached_metadata()
    at, end = (datetime.fromisoformat(found[name]).timestamp() for name in ("cached_at", "cache_reset_at"))
    assert TTL * 0.1 < end - at < TTL  # it was drawn
    return end - at


def test_windows_begin_at_the_jittered_end(scripted, clock, script):
    function = scripted(jitter=0.9, stale_while_revalidate=WINDOW, stale_if_error=LONGER)
    function()
    gate = script.stop_at(2)
    clock.advance(lifetime(function) - 0.3)
    assert seen(function) == ([1], "HIT")
    clock.advance(0.5)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    clock.advance(WINDOW - 0.5)
    assert function.get_cache_only() == [1]
    clock.advance(0.5)
    assert function.get_cache_only() is CACHE_MISSING
    gate.open()
    settle()
    assert seen(function) == ([2], "HIT")


def test_errors_are_spared_from_the_jittered_end_on(scripted, clock, script):
    function = scripted(jitter=0.9, stale_if_error=LONGER)
    function()
    script.error = ValueError("no price")
    clock.advance(lifetime(function) + LONGER - 0.3)
    assert seen(function) == ([1], "STALE")
    clock.advance(0.5)
    with pytest.raises(ValueError, match="no price"):
        function()


def test_waiting_a_little_begins_at_the_jittered_end(scripted, clock, script):
    function = scripted(jitter=0.9, stale_if_error=LONGER, fill_timeout=SHORT)
    function()
    gate = script.stop_at(2)
    clock.advance(lifetime(function) - 0.3)
    assert seen(function) == ([1], "HIT")
    clock.advance(0.5)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()


def test_early_refreshes_come_before_the_jittered_end(scripted, clock, slow):
    function = scripted(jitter=0.9, **EARLY)
    function()
    clock.advance(lifetime(function) - BEFORE / 4)
    while slow.runs < 2:
        assert seen(function) == ([1], "HIT")
        settle()
    assert seen(function)[0] != [1]


@pytest.fixture
def left(cache_alias):
    """For how many seconds the server keeps what is under a key."""
    cache = caches[cache_alias]
    client = cache.client.get_client() if cache_alias == "django_redis" else cache._cache.get_client()
    return lambda key: client.pttl(cache.make_key(key)) / 1000


@on("redis", "django_redis")
def test_the_backend_keeps_an_entry_as_long_as_its_windows(scripted, left):
    # Fails (a shorter time) if the backend is told the ttl alone.
    function = scripted(jitter=0.9, stale_while_revalidate=WINDOW, stale_if_error=LONGER)
    function()
    seconds = left(function.get_cache_key())
    assert lifetime(function) + LONGER - 1 <= seconds <= lifetime(function) + LONGER + 1


@on("redis", "django_redis")
def test_the_backend_keeps_the_token_of_an_entry_as_long(scripted, clock, cache_alias, left):
    # Fails (a shorter time) if windows do not count, or if a run leaves the token that stays as it is.
    days = 2 * 24 * 3600
    function = scripted(stale_while_revalidate=days)
    function()
    _, own, _ = function._parts((), {})
    own = _core.generation_key(own)
    assert left(own) > days
    caches[cache_alias].touch(own, 100)
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    settle()
    assert seen(function) == ([2], "HIT")
    assert left(own) > days


# --- stale_while_revalidate, stale_if_error and fill_timeout


async def test_revalidation_first_and_errors_after_it_async(ascripted, clock, script):
    function = ascripted(stale_while_revalidate=5, stale_if_error=LONGER)
    await function()
    script.error = ValueError("no price")
    clock.advance(TTL + 1)
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert script.runs == 2
    clock.advance(5)
    assert await aseen(function) == ([1], "STALE")
    assert script.runs == 3
    script.error = None
    clock.advance(3)
    assert await aseen(function) == ([4], "MISS")


def test_nobody_waits_at_first_and_then_a_little(scripted, clock, script):
    """The run that began while nobody waited is the one that is waited for."""
    function = scripted(stale_while_revalidate=5, stale_if_error=LONGER, fill_timeout=SHORT)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    clock.advance(5)
    assert seen(function) == ([1], "STALE")
    assert script.runs == 2
    gate.open()
    settle()
    assert seen(function) == ([2], "HIT")
    assert script.runs == 2


async def test_nobody_waits_at_first_and_then_a_little_async(ascripted, clock, script):
    function = ascripted(stale_while_revalidate=5, stale_if_error=LONGER, fill_timeout=LONG)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert await aseen(function) == ([1], "STALE")
    await asyncio.to_thread(gate.wait_until_reached)
    clock.advance(5)
    callers = [asyncio.create_task(aseen(function)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.open()
    assert {value for (value,), _ in await all_of(*callers)} == {2}
    assert script.runs == 2
