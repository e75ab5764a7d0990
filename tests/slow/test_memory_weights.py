"""What `MemoryCache` says its entries weigh, and what they take; and that churn takes no more."""

import gc
import itertools
import time
from pathlib import Path

import pytest

ENTRIES = 60_000


class Plain:
    def __init__(self, number):
        self.number = number


SHAPES = {
    "small integers": lambda n: n % 200,
    "texts": lambda n: f"value number {n} of many",
    "dicts": lambda n: {f"field {at}": n * at for at in range(10)},
    "rows": lambda n: [{"id": n + at, "name": f"name {n} {at}"} for at in range(5)],
    "sets": lambda n: {n, n + 1, n + 2},
    "bytes": lambda n: bytes(3000),
    "objects": lambda n: [Plain(n)],
}


def tagged(number):
    """With two tags of its own, which are in its family as well."""
    from cache_result import add_tags

    add_tags(f"row:{number}", f"text:{number}")
    return f"value number {number} of many"


def resident():
    """Bytes of memory that the process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(parent, shape, wrapped):
    """By how much the process has grown for each entry, and what the store says that one weighs."""
    from django.core.cache import caches
    from django.test import override_settings

    from cache_result import cache_result

    store = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "weights"}
    store["OPTIONS"] = {"MAX_BYTES": 2**32}
    with override_settings(CACHES={"default": store}):
        cache = caches["default"]
        function = cache_result(cache="default", name="function", ttl=None)(SHAPES.get(shape, tagged))
        put = function if wrapped else lambda n: cache.set(f"key-number-{n}", SHAPES[shape](n), None)
        for number in range(1000):
            put(number)
        memory, weight = resident(), cache.store.weight
        for number in range(1000, ENTRIES + 1000):
            put(number)
        assert len(cache.store) == ENTRIES + 1000
        return (resident() - memory) / ENTRIES, (cache.store.weight - weight) / ENTRIES


@pytest.mark.parametrize(("shape", "wrapped"), [*itertools.product(SHAPES, [False, True]), ("tagged", True)])
def test_weights_are_honest(processes, shape, wrapped):
    grown, weight = processes(measure, shape, wrapped).result()
    print(f"{shape}, {wrapped=}: {grown:.0f} bytes for a weight of {weight:.0f}")
    # A text that many rows have in common, as a key of theirs, is counted as often as it is met.
    assert weight / 1.6 <= grown <= weight * 1.15


def churn(parent, seconds):
    """The largest and the last size of the process, from when the store was full."""
    from django.core.cache import caches
    from django.test import override_settings

    from cache_result import cache_result

    store = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "churn"}
    store["OPTIONS"] = {"MAX_BYTES": 16 * 2**20}
    shapes = list(SHAPES.values())
    with override_settings(CACHES={"default": store}):
        cache = caches["default"]
        function = cache_result(cache="default", name="function")(lambda n: shapes[n % len(shapes)](n))
        sizes = []
        end = time.monotonic() + seconds
        for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
            function(number)
            cache.set(f"key-{number}", shapes[number % len(shapes)](number), 1 + number % 100)
            cache.add(f"key-{number * 7 % 100_000}", [number])
            function(number * 7919 % 200_000)
            if number % 1000 == 0:
                function.invalidate_all()
            if number % 50_000 == 0:
                cache.clear()
            if number % 10_000 == 9_999:
                sizes.append(resident())
                assert cache.store.weight <= 16 * 2**20
    return sizes


def test_churn_takes_no_more_memory(processes):
    sizes = processes(churn, 12).result()
    half = len(sizes) // 2
    print(f"{[size >> 20 for size in sizes]} MiB")
    assert half > 3
    assert max(sizes[half:]) <= max(sizes[:half]) * 1.05 + 2**20
