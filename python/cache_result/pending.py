"""Invalidations that a backend could not take: kept, and delivered as soon as it can."""

import atexit
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event, Lock, Thread, current_thread
from weakref import WeakMethod, WeakSet

from django.db import connections

from cache_result.forks import renewed
from cache_result.reports import logger

MOST = 10_000
"""Invalidations that are kept for one backend."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
"""Seconds between two attempts; the first delay doubles until it is the longest."""


class Pending:
    """What one backend has still to be told.

    The next operation of this process on the backend delivers it, and so does a thread that tries in
    growing intervals, for processes that have no next operation. What is left when the process ends
    is tried once more, and logged.
    """

    def __init__(self, alias: str, deliver: Callable[[], bool]) -> None:
        self._alias = alias
        self._deliver = WeakMethod(deliver)
        self._kept: dict[bytes, tuple[int, tuple[str, ...]]] = {}
        self._count = 0
        self._thread: Thread | None = None
        self._lock = renewed(Lock())
        _all.add(self)

    def __bool__(self) -> bool:
        return bool(self._kept)

    def keep(self, scopes: Iterable[bytes], functions: tuple[str, ...]) -> None:
        """Keeps scopes, in which these functions' entries are, for later."""
        lost = 0
        with self._lock:
            for scope in scopes:
                if scope not in self._kept and len(self._kept) >= MOST:
                    lost += 1
                    continue
                self._count += 1
                self._kept[scope] = (self._count, functions)
            start = bool(self._kept) and (self._thread is None or not self._thread.is_alive())
            if start:
                self._thread = Thread(target=self._retry, name=f"cache_result {self._alias}", daemon=True)
        if lost:
            self._report_loss(lost, functions)
        if start:
            with suppress(RuntimeError):  # the interpreter is shutting down, or no thread is to be had
                self._thread.start()  # type: ignore[union-attr]

    def snapshot(self) -> dict[bytes, tuple[int, tuple[str, ...]]]:
        """What is to be delivered now."""
        with self._lock:
            return dict(self._kept)

    def delivered(self, snapshot: dict[bytes, tuple[int, tuple[str, ...]]]) -> None:
        """What ``snapshot`` said has been delivered; what was kept again meanwhile has not."""
        with self._lock:
            for scope, kept in snapshot.items():
                if self._kept.get(scope) == kept:
                    del self._kept[scope]

    def drop(self) -> None:
        """Forgets what is kept: it was a test's."""
        with self._lock:
            self._kept.clear()

    def _retry(self) -> None:
        delay = FIRST_DELAY
        while self._kept and self._thread is current_thread():
            _sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            deliver = self._deliver()
            if deliver is None:
                return
            deliver()
            del deliver
            connections.close_all()  # this thread's own, for caches that are tables

    def give_up(self) -> None:
        """The process ends."""
        deliver = self._deliver()
        if self._kept and deliver is not None:
            deliver()
        with self._lock:
            left, self._kept = self._kept, {}
        if left:
            self._report_loss(len(left), tuple({name for _, names in left.values() for name in names}))

    def _report_loss(self, count: int, functions: tuple[str, ...]) -> None:
        logger.error(
            "cache_result: %d invalidations for the cache %r were given up; clear it when it is back, or "
            "invalidate %s",
            count,
            self._alias,
            ", ".join(sorted(functions)) or "what it holds",
        )


_all: "WeakSet[Pending]" = WeakSet()


def _sleep(seconds: float) -> None:
    Event().wait(seconds)


@atexit.register
def _at_exit() -> None:
    for pending in list(_all):
        pending.give_up()
