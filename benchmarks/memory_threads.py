"""Hits of several threads at once, each of a key of its own: does the embedded cache stand in their way?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from threading import Barrier
from time import perf_counter_ns
from typing import Any

from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, VALUE, NotAHit, Ours, counted_profile
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

THREADS = 4

BATCH_NS = 60_000_000
"""Nanoseconds per batch: the interpreter switches threads every 5 ms."""


def memory_threads(conditions: Conditions) -> Section:
    """Nanoseconds per hit in all: of four threads together, and of one."""
    func, _ = counted_profile()
    wrapper = Ours().wrap(func, "bench.memory.threads", alias("memory", "ours"))
    with ThreadPoolExecutor(THREADS) as pool:
        one, four = (Crew(f"{OURS}, {count} threads", count, wrapper, pool) for count in (1, THREADS))
        result = race([one, four], max(conditions.rounds // 6, 10), BATCH_NS)
    throughput = result.ratio(one.name, four.name)
    figure = Figure(
        f"throughput of {THREADS} threads to that of one", throughput, "x", Target("at least", 0.9)
    )
    times = [Time(f"{OURS}, a hit of 1 thread", result.spread(one.name))]
    times.append(Time(f"{OURS}, a hit of {THREADS} threads, of any of them", result.spread(four.name)))
    return Section("hits of threads, MemoryCache", [figure], times)


@dataclass(frozen=True)
class Crew:
    """Some threads that hit, each its own key."""

    name: str
    count: int
    wrapper: Any
    pool: ThreadPoolExecutor

    @property
    def verify(self) -> Callable[[], None]:
        def verify() -> None:
            for user in range(self.count):
                self.wrapper(user, "profile")
                if self.wrapper.get_cache_only(user, "profile") != VALUE:
                    raise NotAHit(f"{self.name}: no entry for {user}")

        return verify

    def batch(self, runner: asyncio.Runner | None) -> Callable[[int], int]:
        """Turns are hits in all."""
        barrier = Barrier(self.count)
        work = Contestant(self.name, "call(user, 'profile')", {"call": self.wrapper})
        timed = [
            Contestant(work.name, work.statement, {**work.names, "user": user}).compile()
            for user in range(self.count)
        ]

        def hit(batch: Callable[..., Any], turns: int) -> tuple[int, int]:
            barrier.wait()
            start = perf_counter_ns()
            batch(repeat(None, turns), perf_counter_ns)
            return start, perf_counter_ns()

        def run(turns: int) -> int:
            each = -(-turns // self.count)
            spans = [future.result() for future in [self.pool.submit(hit, one, each) for one in timed]]
            took = max(end for _, end in spans) - min(start for start, _ in spans)
            return round(took * turns / (each * self.count))

        self.verify()
        return run
