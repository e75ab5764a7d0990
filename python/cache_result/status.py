"""How a call resolved."""

from enum import Enum


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
