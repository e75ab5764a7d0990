"""Herds over several processes: each has Django, the wrapper and some threads of its own; Redis counts.

The processes are spawned, so nothing that the parent has set up is there in them.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from time import monotonic_ns
from typing import TYPE_CHECKING

from benchmarks.project import COUNTER_DATABASE, alias, configure
from benchmarks.servers import RedisServer

if TYPE_CHECKING:
    from benchmarks.contestants import Library

PROCESSES = 4
THREADS = 10

PATIENCE = 60.0
"""Seconds that a process waits for the others before the herd is given up."""

_meeting: Barrier | None = None


@dataclass(frozen=True)
class Job:
    """What one process does. `slow` is in seconds."""

    library: str
    kind: str
    server: RedisServer
    trials: int
    slow: float


def process_herd(
    library: Library, kind: str, server: RedisServer, trials: int, slow: float
) -> tuple[list[int], list[float]]:
    """Executions per trial, and nanoseconds from the first start to the last result of a trial."""
    with server.client(COUNTER_DATABASE) as counter:
        counter.flushdb()
        context = multiprocessing.get_context("spawn")
        job = Job(library.name, kind, server, trials, slow)
        barrier = context.Barrier(PROCESSES)
        with ProcessPoolExecutor(PROCESSES, context, initializer=_meet_at, initargs=(barrier,)) as pool:
            spans = [future.result() for future in [pool.submit(_run, job) for _ in range(PROCESSES)]]
        executions = [int(counter.get(f"executions:{trial}") or 0) for trial in range(trials)]
    times = [
        float(max(end for _, end in trial) - min(start for start, _ in trial))
        for trial in zip(*spans, strict=True)
    ]
    return executions, times


def _meet_at(barrier: Barrier) -> None:
    global _meeting
    _meeting = barrier


def _run(job: Job) -> list[tuple[int, int]]:
    """In the child: start and end of each trial, on the clock that all processes share (ns)."""
    configure(job.server.port)
    from benchmarks.contestants import LIBRARIES, NotAHit

    library = next(library for library in LIBRARIES if library.name == job.library)
    name = alias(job.kind, library.owner)
    library.use(name)
    wrapper = library.wrap(_slow_function(job), f"bench.processes.{job.kind}", name)
    spans = []
    for trial in range(job.trials):
        results, start, end = _one_trial(wrapper, trial)
        if results != [trial * 2] * THREADS:
            raise NotAHit(f"{library.name}: wrong results {results!r}")
        spans.append((start, end))
    return spans


def _slow_function(job: Job) -> Callable[[int], int]:
    counter = job.server.client(COUNTER_DATABASE)

    def slow(trial: int) -> int:
        counter.incr(f"executions:{trial}")
        time.sleep(job.slow)
        return trial * 2

    return slow


def _one_trial(wrapper: Callable[[int], int], trial: int) -> tuple[list[int], int, int]:
    """All threads of all processes call at once: the last thread of each waits for the other processes."""
    if _meeting is None:
        raise RuntimeError("the process was started without a barrier")
    meeting = _meeting
    started: list[int] = []

    def meet() -> None:
        meeting.wait(PATIENCE)
        started.append(monotonic_ns())

    barrier = threading.Barrier(THREADS, action=meet)

    def call() -> int:
        barrier.wait(PATIENCE)
        return wrapper(trial)

    with ThreadPoolExecutor(THREADS) as pool:
        results = [future.result() for future in [pool.submit(call) for _ in range(THREADS)]]
    return results, started[0], monotonic_ns()
