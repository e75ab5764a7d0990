"""Many callers of one cold key at once: how often does the function run?"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any

from benchmarks.conditions import Conditions
from benchmarks.contestants import LIBRARIES, OURS, Library, NotAHit, Runs
from benchmarks.processes import PROCESSES, THREADS, process_herd
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Spread

CALLERS = 50

SLOW = 0.2
"""Seconds that the function takes."""

WORK = f"cold {SLOW * 1000:.0f} ms function"
SHOWN = {"locmem": "LocMem", "redis": "core RedisCache", "django_redis": "django-redis"}

LIMIT = Target("exactly", 1)

Herd = Callable[[Any, int], list[object]]
"""Call a wrapper from many places at once with one number; give all results."""


def thread_herd(wrapper: Any, number: int) -> list[object]:
    """Fifty threads that leave a barrier together."""
    barrier = threading.Barrier(CALLERS)

    def call() -> object:
        barrier.wait()
        return wrapper(number)

    with ThreadPoolExecutor(CALLERS) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(CALLERS)]]


def task_herd(runner: asyncio.Runner) -> Herd:
    """Fifty tasks of one event loop."""

    async def gather(wrapper: Any, number: int) -> list[object]:
        return list(await asyncio.gather(*(wrapper(number) for _ in range(CALLERS))))

    return lambda wrapper, number: runner.run(gather(wrapper, number))


def local_herds(conditions: Conditions, kind: str, tasks: bool) -> Section:
    """One herd per trial, within this process."""
    who = "tasks" if tasks else "threads"
    herd = task_herd(conditions.runner) if tasks else thread_herd
    section = Section(f"{CALLERS} {who}, {WORK}, {SHOWN[kind]}")
    for library in LIBRARIES:
        name = alias(kind, library.owner)
        library.use(name)
        func, runs = _slow_coroutine() if tasks else _slow_function()
        wrapper = library.wrap(func, f"bench.{who}.{kind}", name)
        executions, times = [], []
        for number in range(conditions.trials):
            before, start = runs.count, perf_counter_ns()
            results = herd(wrapper, number)
            times.append(perf_counter_ns() - start)
            executions.append(runs.count - before)
            if results != [number * 2] * CALLERS:
                raise NotAHit(f"{library.name}: wrong results {results!r}")
        _add(section, library, executions, times)
    return section


def process_herds(conditions: Conditions, kind: str) -> Section:
    """One herd per trial, over processes that share a Redis."""
    section = Section(f"{PROCESSES} processes of {THREADS} threads, {WORK}, {SHOWN[kind]}")
    for library in LIBRARIES:
        executions, times = process_herd(library, kind, conditions.server, conditions.process_trials, SLOW)
        _add(section, library, executions, times)
    return section


def _add(section: Section, library: Library, executions: Sequence[int], times: Sequence[float]) -> None:
    target = LIMIT if library.name == OURS else None
    what = f"{library.name}, executions"
    section.figures.append(Figure(what, Spread.of_counts(executions), "runs", target))
    section.times.append(Time(f"{library.name}, until the last caller has it", Spread.of(times)))


def _slow_function() -> tuple[Callable[[int], int], Runs]:
    runs = Runs()

    def slow(number: int) -> int:
        runs.record()
        time.sleep(SLOW)
        return number * 2

    return slow, runs


def _slow_coroutine() -> tuple[Callable[[int], Any], Runs]:
    runs = Runs()

    async def slow(number: int) -> int:
        runs.record()
        await asyncio.sleep(SLOW)
        return number * 2

    return slow, runs
