"""Exact interleavings without sleeping: gates that a function stops at, threads that report what went wrong.

Every wait has the same deadline, so that a lost wake-up is a failure and never a hang.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.core.cache import caches
from django.db import connections

DEADLINE = 30.0  # seconds


def wait(event: threading.Event, what: str = "the event") -> None:
    assert event.wait(DEADLINE), f"waited {DEADLINE:.0f} s for {what}"


class Gate:
    """A place in a function where its first visitor stops until the test lets it go on."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._reached = threading.Event()
        self._open = threading.Event()

    def stop_here(self) -> None:
        """Called inside the function: the first caller waits, later ones walk through."""
        if self._first.acquire(blocking=False):
            self._reached.set()
            wait(self._open, "the gate to open")

    def wait_until_reached(self) -> None:
        wait(self._reached, "a function to reach the gate")

    def open(self) -> None:
        self._open.set()


class AsyncGate:
    """`Gate` for coroutines of one event loop."""

    def __init__(self) -> None:
        self._taken = False
        self._reached = asyncio.Event()
        self._open = asyncio.Event()

    async def stop_here(self) -> None:
        if not self._taken:
            self._taken = True
            self._reached.set()
            await asyncio.wait_for(self._open.wait(), DEADLINE)

    async def wait_until_reached(self) -> None:
        await asyncio.wait_for(self._reached.wait(), DEADLINE)

    def open(self) -> None:
        self._open.set()


class Outcome(Future[Any]):
    """What a thread returned or raised; waits for it no longer than the deadline."""

    looked_at = False

    def result(self, timeout: float | None = DEADLINE) -> Any:
        self.looked_at = True
        return super().result(timeout)

    def exception(self, timeout: float | None = DEADLINE) -> BaseException | None:
        self.looked_at = True
        return super().exception(timeout)


class Threads:
    """Starts functions in threads of their own; no exception of theirs is lost."""

    def __init__(self) -> None:
        self._started: list[tuple[threading.Thread, Outcome]] = []

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
        outcome = Outcome()

        def run() -> None:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self._close()
                outcome.set_exception(error)
            else:
                self._close()
                outcome.set_result(result)

        thread = threading.Thread(target=run, daemon=True)
        self._started.append((thread, outcome))
        thread.start()
        return outcome

    @staticmethod
    def _close() -> None:
        """Connections belong to a thread; what is left open would be found by the garbage collector."""
        connections.close_all()
        caches.close_all()

    def join(self) -> None:
        """Wait for every thread, and raise what one of them raised if the test never looked."""
        for thread, outcome in self._started:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "a thread of the test never ended"
            if not outcome.looked_at:
                outcome.result()


async def all_of(*awaitables: Any) -> list[Any]:
    """Await all, within the deadline; the first exception is raised."""
    return await asyncio.wait_for(asyncio.gather(*awaitables), DEADLINE)
