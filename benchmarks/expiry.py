"""A herd at expiry: of many callers of an entry whose time is over, how long does the slowest take?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

from django.core.cache import caches

from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, TTL, NotAHit, Ours, Runs
from benchmarks.herds import LIMIT
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Spread
from cache_result import _core, background

CALLERS = 200
SLOW = 0.2
"""Seconds that the function takes."""
WINDOW = 3600
RAW = "cache.get of a thread each"
WITHOUT = f"{OURS}, without the window"
MILLISECONDS_5 = Target("at most", 5000)


def expiry_herd(conditions: Conditions) -> Section:
    """As many threads as callers, at once; beside them as many that do a `cache.get` each, which is as quick
    as it can be: on Redis two hundred round trips of Python threads take longer than 5 ms."""
    section = Section(f"{CALLERS} threads at expiry, {SLOW * 1000:.0f} ms function")
    kinds = (
        ("memory", "MemoryCache", MILLISECONDS_5),
        ("locmem", "LocMem", MILLISECONDS_5),
        ("redis", "core RedisCache", None),
    )
    with ThreadPoolExecutor(CALLERS) as pool:
        for kind, title, limit in kinds:
            _herds_of(section, pool, alias(kind, Ours.owner), title, limit, 4 * conditions.trials)
    _core.clock_reset()
    return section


def _herds_of(
    section: Section, pool: ThreadPoolExecutor, name: str, title: str, limit: Target | None, trials: int
) -> None:
    fresh, runs = _cached(f"bench.expiry.{name}", name, stale_while_revalidate=WINDOW)
    cold, _ = _cached(f"bench.expiry.cold.{name}", name)
    caches[name].set("raw", ["value"], None)
    slowest: dict[str, list[float]] = {OURS: [], WITHOUT: [], RAW: []}
    executions = []
    fresh(), cold()
    for _ in range(trials):
        _core.clock_advance(TTL + 1)
        before = runs.count
        slowest[OURS].append(_slowest(pool, name, fresh))
        background.settle()
        executions.append(runs.count - before)
        slowest[WITHOUT].append(_slowest(pool, name, cold))
        slowest[RAW].append(_slowest(pool, name, lambda: caches[name].get("raw")))
    section.figures += [
        Figure(f"{title}, {OURS}, executions", Spread.of_counts(executions), "runs", LIMIT),
        Figure(f"{title}, {OURS}, the slowest caller", _us(slowest[OURS]), "us", limit),
        Figure(f"{title}, {RAW}, the slowest caller", _us(slowest[RAW]), "us"),
    ]
    section.times += [Time(f"{title}: {who}, the slowest", Spread.of(slowest[who])) for who in slowest]


def _us(samples: list[float]) -> Spread:
    return Spread.of(samples).scaled(1e-3)


def _cached(name: str, cache: str, **options: Any) -> tuple[Callable[[], list[str]], Runs]:
    runs = Runs()

    def slow() -> list[str]:
        runs.record()
        time.sleep(SLOW)
        return ["value"]

    return Ours(OURS, **options).wrap(slow, name, cache), runs


def _slowest(pool: ThreadPoolExecutor, name: str, call: Callable[[], object]) -> float:
    """Nanoseconds that the slowest of all threads takes for a call, when they leave a barrier together."""
    barrier = threading.Barrier(CALLERS)

    def timed() -> int:
        caches[name].get("raw")  # connects
        barrier.wait()
        start = perf_counter_ns()
        value = call()
        took = perf_counter_ns() - start
        if value != ["value"]:
            raise NotAHit(f"wrong result {value!r}")
        return took

    return float(max(future.result() for future in [pool.submit(timed) for _ in range(CALLERS)]))
