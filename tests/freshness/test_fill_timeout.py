"""`fill_timeout`: with an old result at hand nobody waits long for a new one."""

import asyncio

import pytest

from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle
from tests.waiting import DEADLINE, Threads, all_of

WINDOW = 60
SHORT = 0.05
LONG = DEADLINE  # so that a test which waits for it fails


def test_a_slow_run_is_not_waited_for(scripted, clock, script):
    # Fails (the call never returns) if the run is the caller's own.
    function = scripted(stale_if_error=WINDOW, fill_timeout=SHORT)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    assert seen(function) == ([1], "STALE")
    gate.open()
    settle()
    assert script.runs == 2
    assert seen(function) == ([2], "HIT")


async def test_a_slow_run_is_not_waited_for_async(ascripted, clock, script):
    function = ascripted(stale_if_error=WINDOW, fill_timeout=SHORT)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert await all_of(*(aseen(function) for _ in range(5))) == [([1], "STALE")] * 5
    await asyncio.to_thread(gate.wait_until_reached)
    gate.open()
    await asettle()
    assert script.runs == 2
    assert await aseen(function) == ([2], "HIT")


def test_a_quick_run_is(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG)
    function()
    clock.advance(TTL + 1)
    assert seen(function) == ([2], "MISS")
    assert seen(function) == ([2], "HIT")


async def test_a_quick_run_is_async(ascripted, clock, script):
    function = ascripted(stale_if_error=WINDOW, fill_timeout=LONG)
    await function()
    clock.advance(TTL + 1)
    assert await aseen(function) == ([2], "MISS")
    assert await aseen(function) == ([2], "HIT")


def test_all_who_wait_get_one_run(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    herd = Threads()
    outcomes = [herd(function) for _ in range(10)]
    gate.wait_until_reached()
    gate.open()
    assert [outcome.result() for outcome in outcomes] == [[2]] * 10
    herd.join()
    assert script.runs == 2


def test_errors_are_spared_as_without_it(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    assert seen(function) == ([1], "STALE")
    assert seen(function) == ([1], "STALE")  # without a run
    assert script.runs == 2


def test_other_errors_reach_who_waits(scripted, clock, script):
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG, error_types=OSError)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        function()


def test_after_the_window_the_run_is_waited_for(scripted, clock, script, threads):
    function = scripted(stale_if_error=WINDOW, fill_timeout=SHORT)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    clock.advance(WINDOW)
    late = threads(function)
    gate.open()
    assert late.result() == [2]
    assert script.runs == 2


def test_an_invalidation_while_one_waits(scripted, clock, script, threads):
    # Fails (the old result) if what was read before the wait is served after it.
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    gate = script.stop_at(2)
    call = threads(function)
    gate.wait_until_reached()
    function.invalidate_all()
    gate.open()
    assert call.exception() is script.error


@on("locmem", "memory", "redis")
def test_a_full_pool_makes_nobody_wait(scripted, clock, script, monkeypatch):
    monkeypatch.setattr("cache_result.background.submit", lambda work: False)
    function = scripted(stale_if_error=WINDOW, fill_timeout=LONG)
    function()
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    assert script.runs == 1
    monkeypatch.undo()
    assert seen(function) == ([2], "MISS")


@on("locmem", "memory")
async def test_a_refresh_that_is_under_way_is_waited_for(ascripted, clock, script):
    # Fails (the old result, at once) if who waits a little does not know of other runs.
    function = ascripted(stale_if_error=WINDOW, fill_timeout=LONG)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    refresh = asyncio.create_task(function.arefresh())
    await asyncio.to_thread(gate.wait_until_reached)
    call = asyncio.create_task(function())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not call.done()
    gate.open()
    assert await all_of(call, refresh) == [[2], [2]]
    assert script.runs == 2
