"""Running the state machine: its connections, its cached functions, and how long it goes on."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.cached import make_calls
from tests.property.worker import Worker
from tests.property.writes import Writes
from tests.waiting import Threads

TIMES = int(os.environ.get("CACHE_RESULT_TEST_EXAMPLES", "0"))
"""So many times as many examples, drawn anew; 0 for the same ones in every run."""


def play(cached: Callable[..., Any], alias: str, threads: Threads, examples: int) -> None:
    """Plays so many histories on this cache."""
    machine = type("Machine", (Writes,), {"alias": alias, "calls": make_calls(cached), "workers": []})
    machine.workers.extend(Worker(threads) for _ in range(3))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples * (TIMES or 1),
                stateful_step_count=40,
                deadline=None,
                derandomize=not TIMES,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        for worker in machine.workers:
            worker.end()
        Writes.empty_the_tables()
