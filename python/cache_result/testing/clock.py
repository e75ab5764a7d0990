"""A clock that tests move."""

from datetime import timedelta
from typing import Self

from cache_result import _core
from cache_result.context import Block


class cache_clock(Block):
    """The clock by which entries expire, moved by hand.

        with cache_clock() as clock:
            get_rate("EUR")
            clock.advance(61)  # seconds, or a timedelta
            get_rate("EUR")  # computed again, with ttl=60

    It moves what the package itself decides: the ttl of every entry, the times in metadata, how long scopes
    are closed, and everything in a ``MemoryCache``. It does not move Python's clock, the database's, or the
    timeouts that other backends keep, which only delete what is expired here. In this process alone, in all
    its threads; at the end of the block it is back at the real time.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _core.clock_reset()

    def advance(self, seconds: float | timedelta) -> None:
        """Moves the clock ahead.

        :raises ValueError: for a negative time.
        """
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if not seconds >= 0:
            raise ValueError(f"cache_result: the clock cannot be advanced by {seconds!r} seconds")
        _core.clock_advance(seconds)
