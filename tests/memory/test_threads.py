"""Threads in one small store: nothing is lost but by eviction, nothing is doubled, nothing crashes."""

import sys
import threading

import pytest
from django.core.cache import caches
from django.test import override_settings

from cache_result import cache_result
from tests.waiting import wait

THREADS = 8


@pytest.fixture
def together(threads):
    """`together(function)`: what so many threads return that start `function(number)` at the same moment."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # in the usual one each would be done before the next begins

    def run(function):
        start = threading.Barrier(THREADS)

        def go(number):
            start.wait(30)
            return function(number)

        return [outcome.result() for outcome in [threads(go, number) for number in range(THREADS)]]

    yield run
    sys.setswitchinterval(interval)


def test_incr_loses_nothing(memory, together):
    memory.set("number", 0)
    results = together(lambda _: [memory.incr("number") for _ in range(2000)])
    assert memory.get("number") == THREADS * 2000
    assert sorted(number for result in results for number in result) == list(range(1, THREADS * 2000 + 1))


def test_incr_of_what_adds_in_python_loses_nothing(memory, together):
    """Other threads run while the two are added."""
    memory.set("number", Slow(0))
    together(lambda _: [memory.incr("number") for _ in range(300)])
    assert memory.get("number").value == THREADS * 300


class Slow:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Slow(sum([self.value, other]))


def test_add_has_one_winner(memory, together):
    winners = together(lambda number: [memory.add(f"key{at}", number) for at in range(2000)])
    for at, won in enumerate(zip(*winners, strict=True)):
        assert sum(won) == 1
        assert memory.get(f"key{at}") == won.index(True)


def test_add_has_one_winner_after_the_end(memory, together, clock):
    for at in range(500):
        memory.set(f"key{at}", "old", 10)
    clock.advance(11)
    winners = together(lambda number: [memory.add(f"key{at}", number) for at in range(500)])
    assert [sum(won) for won in zip(*winners, strict=True)] == [1] * 500


def test_get_or_set_agrees(memory, together):
    results = together(lambda number: [memory.get_or_set(f"key{at}", (number, at)) for at in range(1000)])
    for of_key in zip(*results, strict=True):
        assert len(set(of_key)) == 1


@pytest.mark.parametrize("options", [{"MAX_BYTES": 20_000}, {"MAX_ENTRIES": 7}, {}])
def test_a_mix_of_everything(make_memory, together, options):
    memory = make_memory(OPTIONS=options)

    def mix(number):
        for at in range(1500):
            key = f"key{at * (number + 1) % 50}"
            value = memory.get(key)
            assert value is None or value == [key, {"more": value[1]["more"]}]
            match at % 10:
                case 0 | 1 | 2 | 3:
                    memory.set(key, [key, {"more": bytes(at)}], timeout=None if at % 3 else 0.001)
                case 4:
                    memory.add(key, [key, {"more": b""}])
                case 5:
                    memory.delete(key)
                case 6:
                    memory.touch(key, 100)
                case 7:
                    found = memory.get_many([f"key{n}" for n in range(0, 50, 7)])
                    assert all(value[0] == name for name, value in found.items())
                case 8 if at % 300 == 8:
                    memory.clear()
                case 9:
                    memory.set_many({f"n{n}": n for n in range(5)})
                    assert memory.get("n3", 3) == 3
        return True

    assert all(together(mix))
    assert memory.store.weight <= options.get("MAX_BYTES", 64 << 20)


def test_wrappers_in_a_small_store(unique_name, together):
    spec = {
        "BACKEND": "cache_result.backends.MemoryCache",
        "LOCATION": "threads",
        "OPTIONS": {"MAX_BYTES": 30_000},
    }
    with override_settings(CACHES={"default": spec}):

        @cache_result(cache="default", name=unique_name())
        def function(a):
            return {"a": a, "more": [a] * 10}

        def use(number):
            for at in range(1000):
                a = at * (number + 1) % 200
                assert function(a) == {"a": a, "more": [a] * 10}
                match at % 50:
                    case 0:
                        function.invalidate_all()
                    case 10:
                        function.delete_cache(a)
                    case 20:
                        assert function.refresh(a)["a"] == a
                    case 30:
                        caches["default"].delete(function.get_cache_key(a))
                    case 40 if at % 200 == 40:
                        caches["default"].clear()
            return True

        assert all(together(use))


def test_nobody_reads_what_was_wiped(unique_name, threads):
    """At full speed, with one writer who says what he has made visible."""
    state = {"source": 0, "wiped": 0}
    caches["memory"].clear()

    @cache_result(cache="memory", name=unique_name())
    def function():
        return [state["source"]]

    over = threading.Event()

    def write():
        for number in range(1, 2001):
            state["source"] = number
            match number % 3:
                case 0:
                    function.invalidate_all()
                case 1:
                    function.delete_cache()
                case 2:
                    caches["memory"].clear()
            state["wiped"] = number
        over.set()

    def read():
        reads = 0
        while not over.is_set():
            at_least = state["wiped"]
            assert function()[0] >= at_least
            reads += 1
        return reads

    readers = [threads(read) for _ in range(4)]
    write()
    wait(over)
    assert all(reader.result() for reader in readers)
