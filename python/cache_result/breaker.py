"""A circuit breaker: an outage of the backend costs one timeout now and then, not one per call."""

import time
from collections.abc import Callable
from threading import Lock

from cache_result.forks import renewed
from cache_result.reports import logger


class Breaker:
    """Opens after ``failures`` failures in a row, for ``seconds``; then one attempt at a time is let
    through until one succeeds. One WARNING per outage, one INFO at its end.

    The pattern is Nygard's (Release It!, 2007).
    """

    def __init__(
        self, alias: str, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._alias = alias
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = renewed(Lock())
        self._failures = 0
        self._open_until = 0.0

    @property
    def at_rest(self) -> bool:
        """Whether nothing has failed lately."""
        return not self._failures

    def allows(self) -> bool:
        """Whether the backend may be tried now."""
        if self._failures < self._limit:
            return True
        with self._lock:
            now = self._clock()
            if now < self._open_until:
                return False
            self._open_until = now + self._seconds
            return True

    def failed(self, error: BaseException) -> None:
        """The backend raised ``error``."""
        with self._lock:
            self._failures += 1
            first = self._failures == 1
            if self._failures >= self._limit:
                self._open_until = self._clock() + self._seconds
        if first:
            logger.warning(
                "cache_result: the cache %r fails (%s: %s); results are computed until it is back",
                self._alias,
                type(error).__name__,
                error,
            )

    def succeeded(self) -> None:
        """The backend answered."""
        if not self._failures:
            return
        with self._lock:
            recovered, self._failures = self._failures > 0, 0
        if recovered:
            logger.info("cache_result: the cache %r is back", self._alias)
