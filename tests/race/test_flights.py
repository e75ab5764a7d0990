"""Promise 4 among threads: one fill at a time, and never a deadlock."""

import itertools
import threading
import time

import pytest

from cache_result import CACHE_MISSING
from tests.backends import on
from tests.waiting import DEADLINE, Gate, wait


class Herd:
    """Threads that call at once; the function does not return before all of them are about to call."""

    def __init__(self, size):
        self.size = size
        self.runs = 0
        self._announced = itertools.count(1)
        self._all_there = threading.Event()

    def announce(self):
        if next(self._announced) == self.size:
            self._all_there.set()

    def wait_for_all(self):
        self.runs += 1
        wait(self._all_there, "the herd")


def gated(cached, **options):
    """A gate, and a cached function of one argument whose runs are numbered; the first stops at the gate."""
    gate, runs = Gate(), itertools.count(1)

    @cached(**options)
    def function(key):
        run = next(runs)
        gate.stop_here()
        return run

    return gate, function


def test_a_herd_of_threads_runs_the_function_once(cached, threads):
    # Fails (50 runs) when callers of a cold key do not look for a flight.
    herd = Herd(50)

    @cached
    def function(key):
        herd.wait_for_all()
        return {"value": [herd.runs]}

    def call():
        herd.announce()
        return function("cold")

    outcomes = [threads(call) for _ in range(herd.size)]
    results = [outcome.result() for outcome in outcomes]
    assert results == [{"value": [1]}] * herd.size
    assert herd.runs == 1


@on("locmem", "redis")
def test_waiters_cannot_spoil_each_others_results(cached, threads):
    herd = Herd(8)

    @cached
    def function():
        herd.wait_for_all()
        return [[]]

    def call():
        herd.announce()
        result = function()
        assert result == [[]]
        result[0].append("spoiled")
        return True

    assert all(outcome.result() for outcome in [threads(call) for _ in range(herd.size)])
    assert herd.runs == 1


@on("locmem", "redis")
def test_different_calls_do_not_wait_for_each_other(cached, threads):
    gate = Gate()

    @cached
    def function(key):
        if key == 1:
            gate.stop_here()
        return key

    filling = threads(function, 1)
    gate.wait_until_reached()
    assert function(2) == 2
    gate.open()
    assert filling.result() == 1


def test_an_exception_reaches_all_waiters_and_frees_the_key(cached, threads):
    herd = Herd(10)
    broken = True

    @cached
    def function(key):
        herd.wait_for_all()
        if broken:
            raise LookupError("broken")
        return "mended"

    def call():
        herd.announce()
        return function(1)

    outcomes = [threads(call) for _ in range(herd.size)]
    for outcome in outcomes:
        error = outcome.exception()
        assert type(error) is LookupError
        assert error.args == ("broken",)
    broken = False
    assert function.get_cache_only(1) is CACHE_MISSING
    assert [function(1), function(1)] == ["mended", "mended"]


@on("locmem", "redis")
def test_a_result_that_is_not_stored_is_shared_with_waiters(cached, threads):
    """A refusing predicate concerns the store, not those who already wait."""
    herd = Herd(10)

    @cached(cache_if=lambda result: False)
    def function(key):
        herd.wait_for_all()
        return herd.runs

    def call():
        herd.announce()
        return function(1)

    results = {outcome.result() for outcome in [threads(call) for _ in range(herd.size)]}
    assert len(results) == herd.runs < herd.size
    assert function.get_cache_only(1) is CACHE_MISSING


def test_a_function_may_call_itself(cached):
    @cached
    def factorial(n):
        return n * factorial(n - 1) if n else 1

    assert factorial(10) == 3628800
    assert factorial.get_cache_only(5) == 120


def test_the_same_call_inside_itself_runs_through(cached):
    runs = []

    @cached
    def function(key):
        runs.append(key)
        return 1 + function(key) if len(runs) < 3 else 1

    assert function(1) == 3
    assert len(runs) == 3


@pytest.mark.parametrize("by", ["cache_if", "ttl"])
@on("locmem", "memory", "redis")
def test_the_same_call_by_what_belongs_to_the_fill_runs_through(cached, by):
    runs = itertools.count(1)

    def ask(result):
        return function(1) if result == 1 else 60

    @cached(**{by: ask})
    def function(key):
        return next(runs)

    began = time.monotonic()
    assert function(1) == 1
    assert time.monotonic() - began < DEADLINE / 4


class Reentrant:
    """A value that calls a function while it is pickled."""

    def __init__(self, function):
        self.function = function

    def __reduce__(self):
        return (int, (self.function(1),))


@on("locmem", "memory", "file", "db", "redis", "django_redis_json", "memcached")
def test_the_same_call_by_its_own_result_runs_through(cached):
    runs = itertools.count(1)

    @cached
    def function(key):
        run = next(runs)
        return Reentrant(function) if run == 1 else run

    began = time.monotonic()
    function(1)
    assert time.monotonic() - began < DEADLINE / 4
    assert function(1) == next(runs) - 1  # LocMem has pickled it twice


@on("locmem", "redis")
def test_a_circle_of_two_functions_runs_through(cached):
    depth = []

    @cached
    def ping(key):
        depth.append("ping")
        return pong(key)

    @cached
    def pong(key):
        depth.append("pong")
        return ping(key) if len(depth) < 4 else "end"

    assert ping(1) == "end"


@on("locmem", "redis")
def test_crossed_fills_end(cached, threads, settings):
    """One thread fills a and needs b, the other fills b and needs a."""
    settings.CACHE_RESULT = {"FLIGHT_TIMEOUT": 0.2}
    both_inside = threading.Barrier(2)
    first = {"a": True, "b": True}

    def meet(name):
        if first.pop(name, False):
            both_inside.wait(DEADLINE)
            return True
        return False

    @cached
    def a():
        return ["a", b()] if meet("a") else ["a"]

    @cached
    def b():
        return ["b", a()] if meet("b") else ["b"]

    left, right = threads(a), threads(b)
    assert left.result()[0] == "a"
    assert right.result()[0] == "b"


@on("locmem", "redis")
def test_waits_are_bounded(cached, threads, settings):
    settings.CACHE_RESULT = {"FLIGHT_TIMEOUT": 0.05}
    gate, function = gated(cached)
    stuck = threads(function, 1)
    gate.wait_until_reached()
    assert function(1) == 2
    gate.open()
    assert stuck.result() == 1


@on("locmem", "redis")
def test_single_flight_can_be_turned_off(cached, threads):
    gate, function = gated(cached, single_flight=None)
    first = threads(function, 1)
    gate.wait_until_reached()
    assert function(1) == 2
    gate.open()
    assert first.result() == 1


def test_refreshes_do_not_wait_for_fills(cached, threads):
    """A refresh promises a run that starts after it was asked for."""
    gate, function = gated(cached)
    filling = threads(function, 1)
    gate.wait_until_reached()
    assert function.refresh(1) == 2
    assert function(1) == 2
    gate.open()
    assert filling.result() == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@on("locmem", "redis")
def test_an_interrupted_leader_is_replaced(cached, threads, interruption):
    """An interruption concerns one thread; the others have asked for a value."""
    gate = Gate()
    runs = itertools.count(1)

    @cached
    def function(key):
        run = next(runs)
        gate.stop_here()
        if run == 1:
            raise interruption
        return run

    interrupted = threads(function, 1)
    gate.wait_until_reached()
    waiting = threads(function, 1)
    gate.open()
    assert isinstance(interrupted.exception(), interruption)
    assert waiting.result() == 2
