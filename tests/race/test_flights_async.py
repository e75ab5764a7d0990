"""Promise 4 among asyncio tasks."""

import asyncio
import itertools
import time

import pytest

from cache_result import CACHE_MISSING
from tests.backends import on
from tests.race.test_flights import Reentrant
from tests.waiting import DEADLINE, AsyncGate, Gate, all_of


class Herd:
    """Tasks that call at once; the function goes on when all of them are about to call."""

    def __init__(self, size):
        self.size = size
        self.runs = 0
        self._announced = 0
        self._all_there = asyncio.Event()

    async def call(self, function, *args):
        self._announced += 1
        if self._announced == self.size:
            self._all_there.set()
        return await function(*args)

    async def wait_for_all(self):
        self.runs += 1
        await self._all_there.wait()


def gated(cached, **options):
    """A gate, and a cached function of one argument whose runs are numbered; the first stops at the gate."""
    gate, runs = AsyncGate(), itertools.count(1)

    @cached(**options)
    async def function(key):
        run = next(runs)
        await gate.stop_here()
        return run

    return gate, function


async def test_a_herd_of_tasks_runs_the_function_once(cached):
    # Fails (50 runs) when callers of a cold key do not look for a flight.
    herd = Herd(50)

    @cached
    async def function(key):
        await herd.wait_for_all()
        return {"value": [herd.runs]}

    results = await all_of(*(herd.call(function, "cold") for _ in range(herd.size)))
    assert results == [{"value": [1]}] * herd.size
    assert herd.runs == 1


@on("locmem", "redis")
async def test_waiters_cannot_spoil_each_others_results(cached):
    herd = Herd(5)

    @cached
    async def function():
        await herd.wait_for_all()
        return [[]]

    results = await all_of(*(herd.call(function) for _ in range(herd.size)))
    for number, result in enumerate(results):
        result[0].append(number)
    assert results == [[[number]] for number in range(herd.size)]


@on("locmem")
async def test_an_exception_reaches_all_waiters_and_frees_the_key(cached):
    """On LocMem every task has joined the flight before the first one goes on: exactly one run."""
    gate = AsyncGate()
    runs = itertools.count(1)

    @cached
    async def function(key):
        run = next(runs)
        await gate.stop_here()
        if run == 1:
            raise LookupError("broken")
        return run

    tasks = [asyncio.create_task(function(1)) for _ in range(10)]
    await gate.wait_until_reached()
    for _ in range(20):
        await asyncio.sleep(0)
    gate.open()
    errors = await all_of(*(_error_of(task) for task in tasks))
    assert {type(error) for error in errors} == {LookupError}
    assert await function.aget_cache_only(1) is CACHE_MISSING
    assert await function(1) == 2


async def _error_of(task):
    try:
        return await task
    except Exception as error:
        return error


@on("redis", "memcached", "file", "db")
async def test_exceptions_free_the_key_everywhere(cached):
    runs = itertools.count(1)

    @cached
    async def function(key):
        if next(runs) == 1:
            raise LookupError("broken")
        return "mended"

    with pytest.raises(LookupError):
        await function(1)
    assert await all_of(function(1)) == ["mended"]


async def test_a_cancelled_leader_is_replaced(cached):
    gate, function = gated(cached)
    leader = asyncio.create_task(function(1))
    await gate.wait_until_reached()
    waiters = [asyncio.create_task(function(1)) for _ in range(5)]
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert await all_of(*waiters) == [2] * 5
    assert await function.aget_cache_only(1) == 2


async def test_a_cancelled_waiter_disturbs_nobody(cached):
    gate, function = gated(cached)
    leader = asyncio.create_task(function(1))
    await gate.wait_until_reached()
    waiters = [asyncio.create_task(function(1)) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    waiters[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiters[0]
    gate.open()
    assert await all_of(leader, *waiters[1:]) == [1, 1, 1]


async def test_the_same_call_inside_itself_runs_through(cached):
    runs = itertools.count(1)

    @cached
    async def function(key):
        return 1 + await function(key) if next(runs) < 3 else 1

    assert await all_of(function(1)) == [3]


@pytest.mark.parametrize("by", ["cache_if", "ttl"])
@on("locmem", "memory", "redis")
async def test_the_same_call_by_what_belongs_to_the_fill_runs_through(cached, by):
    runs = itertools.count(1)

    async def ask(result):
        return await function(1) if result == 1 else 60

    @cached(**{by: ask})
    async def function(key):
        return next(runs)

    async with asyncio.timeout(DEADLINE / 4):
        assert await function(1) == 1


@on("locmem", "memory", "redis")
async def test_the_same_call_by_its_own_result_runs_through(cached):
    runs = itertools.count(1)

    @cached
    def function(key):
        run = next(runs)
        return Reentrant(function) if run == 1 else run

    began = time.monotonic()
    await function.aget_with_metadata(1)
    assert time.monotonic() - began < DEADLINE / 4
    assert function(1) == next(runs) - 1


@on("locmem", "redis")
async def test_the_same_call_inside_a_task_of_its_own(cached):
    """Re-entrant through `gather`: the inner task inherits the context, not the stack."""
    runs = itertools.count(1)

    @cached
    async def function(key):
        if next(runs) < 3:
            (inner,) = await asyncio.gather(function(key))
            return 1 + inner
        return 1

    assert await all_of(function(1)) == [3]


@on("locmem", "redis")
async def test_waits_are_bounded(cached, settings):
    settings.CACHE_RESULT = {"FLIGHT_TIMEOUT": 0.05}
    gate, function = gated(cached)
    stuck = asyncio.create_task(function(1))
    await gate.wait_until_reached()
    assert await all_of(function(1)) == [2]
    gate.open()
    assert await stuck == 1


@on("locmem", "redis")
async def test_a_slow_fill_does_not_block_the_loop(cached):
    gate = AsyncGate()

    @cached
    async def function(key):
        await gate.stop_here()
        return key

    filling = [asyncio.create_task(function(1)) for _ in range(3)]
    await gate.wait_until_reached()
    gate.open()  # reached only because the loop still runs this task
    assert await all_of(*filling) == [1, 1, 1]


@on("locmem", "redis")
async def test_threads_under_the_loop_share_a_flight(cached):
    """A sync function called from tasks: all runs happen on Django's one thread for sync code."""
    runs = itertools.count(1)

    @cached
    def function(key):
        return next(runs)

    results = await all_of(*(function.aget_with_metadata(1) for _ in range(10)))
    assert {value for value, _ in results} == {1}


@on("locmem", "redis")
def test_loops_in_threads_share_a_flight(cached, threads):
    """Two event loops in two threads: the waiter's loop is woken from the leader's thread."""
    runs = itertools.count(1)
    gate = Gate()

    @cached
    async def function(key):
        run = next(runs)
        await asyncio.to_thread(gate.stop_here)
        return run

    leader = threads(asyncio.run, function(1))
    gate.wait_until_reached()
    waiter = threads(asyncio.run, function(1))
    gate.open()
    assert {leader.result(), waiter.result()} == {1}
