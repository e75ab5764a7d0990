"""How calls resolved: one, and all of a function."""

from enum import Enum
from typing import NamedTuple


class CacheStatus(str, Enum):  # noqa: UP042 - the API says so, and StrEnum is another class
    """How a call of a cached function resolved."""

    HIT = "HIT"
    """From the cache."""
    MISS = "MISS"
    """Computed, by this call or by one that it waited for."""
    STALE = "STALE"
    """From the cache, past its time."""
    BYPASS = "BYPASS"
    """Computed without the cache."""
    REFRESH = "REFRESH"
    """Computed anew because a refresh was asked for."""

    __str__ = str.__str__


class CacheInfo(NamedTuple):
    """What became of a function's calls in this process, since it began or was forked.

    Every call that ends with a result, or with an exception of the function, is one of ``hits``,
    ``misses``, ``stale``, ``refreshes`` and ``bypassed``: its :class:`CacheStatus`. Calls that are
    cancelled or interrupted count nowhere, and neither do those whose arguments are refused.
    """

    hits: int
    """Calls that were answered from the cache, among them those of ``get_cache_only`` and
    ``get_cached_metadata`` that found something."""
    misses: int
    """Calls that were not. Those that waited for another caller's run are among them, those that only
    looked and found nothing, and those made while the backend was out of reach."""
    stale: int
    """Calls that were answered from the cache past the entry's time."""
    refreshes: int
    """Calls of ``refresh``, and those that a rule with ``rewarm=True`` makes."""
    bypassed: int
    """Calls in which the cache took no part: ``bypass_cache``, ``ENABLED = False``, and calls of a
    transaction that has written, or of a scope that is being changed."""
    fills: int
    """Results that were stored, by calls and in the background."""
    waited: int
    """Calls that got what another call of this process computed, or its exception. They are misses."""
    errors: int
    """Runs of the function that raised an ``Exception``. Their calls are misses, refreshes or bypassed; stale
    where an old result stood in; and runs in the background are no calls."""
    time_saved: float
    """Seconds: for each hit and each stale answer, how long the run had taken whose result it got."""
