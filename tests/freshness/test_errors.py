"""`stale_if_error`: when the function raises, the last result stands in, and the next try waits a little."""

import asyncio
import logging

import pytest
from django.db import transaction

from cache_result import CACHE_MISSING
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, seen, settle
from tests.waiting import Threads

WINDOW = 60


def test_the_last_result_stands_in(scripted, clock, script, caplog):
    function = scripted(stale_if_error=WINDOW)
    assert function() == [1]
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    assert seen(function) == ([1], "STALE")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "cache_result"
    assert record.exc_info[1] is script.error
    info = function.cache_info()
    assert (info.stale, info.errors, info.misses) == (1, 1, 1)


async def test_the_last_result_stands_in_async(ascripted, clock, script, caplog):
    function = ascripted(stale_if_error=WINDOW)
    assert await function() == [1]
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    assert await aseen(function) == ([1], "STALE")
    assert "ValueError: no price" in caplog.text
    clock.advance(WINDOW)
    with pytest.raises(ValueError, match="no price"):
        await function()


def test_without_an_error_it_is_an_ordinary_miss(scripted, clock):
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    assert function.get_cache_only() is CACHE_MISSING
    assert function.get_cached_metadata() is None
    assert seen(function) == ([2], "MISS")
    assert seen(function) == ([2], "HIT")


def test_the_window_ends(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW)
    function()
    script.error = ValueError("no price")
    clock.advance(TTL + WINDOW - 1)
    assert function() == [1]
    clock.advance(1.5)
    with pytest.raises(ValueError, match="no price"):
        function()


def test_the_window_ends_during_the_run(scripted, clock, script, threads):
    # Fails (the old result) if it is not looked at the clock again.
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    gate = script.stop_at(2)
    late = threads(function)
    gate.wait_until_reached()
    clock.advance(WINDOW)
    gate.open()
    assert late.exception() is script.error


@on("locmem", "memory")  # real time goes by as well: no server is to take a part of it
def test_tries_are_spaced_out_and_recover(scripted, clock, script):
    # Fails (a run for each call) without the backoff.
    function = scripted(stale_if_error=10_000)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    runs = []
    for _ in range(12):
        function()
        runs.append(script.runs - 1)
        clock.advance(0.7)
    # Tried at 0; again after 1, 2 and 4 seconds.
    assert runs == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4]
    script.error = None
    clock.advance(8)
    assert seen(function) == ([6], "MISS")
    assert seen(function) == ([6], "HIT")
    clock.advance(TTL + 1)
    script.error = ValueError("again")
    assert function() == [6]
    clock.advance(1.1)  # the failures from before are forgotten
    assert function() == [6]
    assert script.runs == 8


def test_other_errors_pass(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW, error_types=(OSError, LookupError))
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("a bug")
    for _ in range(2):  # nor does a backoff hide them
        with pytest.raises(ValueError, match="a bug"):
            function()
    script.error = KeyError("a subclass of LookupError")
    assert function() == [1]


def test_what_is_no_exception_passes(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    script.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        function()
    script.error = None
    assert seen(function) == ([3], "MISS")


def test_waiters_get_it_too(scripted, clock, script):
    # Fails (the exception) if waiters are handed the error without a look of their own.
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    gate = script.stop_at(2)
    herd = Threads()
    leader = herd(seen, function)
    gate.wait_until_reached()
    waiters = [herd(seen, function) for _ in range(10)]
    gate.open()
    assert [outcome.result() for outcome in [leader, *waiters]] == [([1], "STALE")] * 11
    herd.join()
    assert script.runs == 2


@pytest.mark.parametrize(
    "invalidate", [lambda f: f.delete_cache(1), lambda f: f.invalidate_all()], ids=["delete", "wipe"]
)
def test_an_invalidation_during_the_run(scripted, clock, script, threads, invalidate):
    # Fails (the old result) if what was read before the run is served after it.
    function = scripted(stale_if_error=WINDOW)
    function(1)
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    gate = script.stop_at(2)
    call = threads(function, 1)
    gate.wait_until_reached()
    invalidate(function)
    gate.open()
    assert call.exception() is script.error


def test_refresh_tells_of_errors(scripted, clock, script):
    """Who asks for a new result wants to know; the old one stays."""
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    with pytest.raises(ValueError, match="no price"):
        function.refresh()
    assert seen(function) == ([1], "STALE")


def test_a_refused_result_ends_the_old_one(cached, clock, script):
    @cached(ttl=TTL, stale_if_error=WINDOW, cache_if=lambda result: result != [2])
    def function():
        return script.run()

    function()
    clock.advance(TTL + 1)
    assert seen(function) == ([2], "MISS")
    script.error = ValueError("no price")
    with pytest.raises(ValueError, match="no price"):
        function()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_written_gets_the_error(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    with transaction.atomic():
        Author.objects.create(name="new")
        with pytest.raises(ValueError, match="no price"):
            function()


def test_revalidation_first_and_errors_after_it(scripted, clock, script, caplog):
    """Both windows: at first nobody waits, then who asks waits, and is spared the error."""
    function = scripted(stale_while_revalidate=5, stale_if_error=WINDOW)
    function()
    script.error = ValueError("no price")
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 2
    clock.advance(5)
    assert seen(function) == ([1], "STALE")
    assert script.runs == 3
    script.error = None
    clock.advance(3)
    assert seen(function) == ([4], "MISS")


@on("locmem", "memory", "redis")
async def test_a_cancelled_call_leaves_the_old_result(ascripted, clock, script):
    function = ascripted(stale_if_error=WINDOW)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    call = asyncio.create_task(function())
    await asyncio.to_thread(gate.wait_until_reached)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.open()
    script.error = ValueError("no price")
    assert await aseen(function) == ([1], "STALE")
