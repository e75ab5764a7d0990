"""What a decorator says about the time around the end of an entry's freshness."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, isfinite
from typing import Any

Seconds = float | timedelta
"""A time as users write it."""
ErrorTypes = type[Exception] | Iterable[type[Exception]]

_LONGEST = 3.2e10
_HOW = "give seconds as int or float, or a timedelta"


@dataclass(frozen=True)
class Freshness:
    """Checked options. Times in seconds; 0 is none."""

    while_revalidate: float = 0.0
    if_error: float = 0.0
    error_types: tuple[type[Exception], ...] = (Exception,)
    fill_timeout: float | None = None
    early: float = 0.0
    jitter: float = 0.0

    @property
    def window(self) -> int:
        """For how long (ms) a result is of use after its end."""
        return ceil(1000 * max(self.while_revalidate, self.if_error))

    @property
    def core(self) -> tuple[Any, ...]:
        """The argument of ``_core.Wrapper``."""
        return (
            self.while_revalidate,
            self.if_error,
            self.fill_timeout,
            self.early,
            self.jitter,
            self.error_types,
        )


def check_freshness(
    ttl: Any,
    stale_while_revalidate: Any,
    stale_if_error: Any,
    error_types: Any,
    fill_timeout: Any,
    early_refresh: Any,
    jitter: Any,
    label: str,
    *,
    softens: bool = False,
) -> Freshness:
    """Checks the options of a decorator.

    :param softens: whether a rule makes results stale, so that even those get so that never expire.

    :raises TypeError: for an option of the wrong kind.
    :raises ValueError: for an unsuitable value, and for an option that has no effect without another one.
    """
    given = {
        "stale_while_revalidate": stale_while_revalidate is not None,
        "stale_if_error": stale_if_error is not None,
        "fill_timeout": fill_timeout is not None,
        "early_refresh": early_refresh not in (None, False),
        "jitter": jitter not in (None, 0),
    }
    if ttl is None and softens:
        given = {option: given[option] for option in ("early_refresh", "jitter")}
    for option in (option for option, is_given in given.items() if is_given and ttl is None):
        raise ValueError(
            f"cache_result: {option}= on {label} has no effect with ttl=None, as results that never expire "
            "are never stale; give a ttl, or leave it out"
        )
    while_revalidate = _seconds("stale_while_revalidate", stale_while_revalidate, label) or 0.0
    if_error = _seconds("stale_if_error", stale_if_error, label) or 0.0
    timeout = _seconds("fill_timeout", fill_timeout, label)
    if timeout is not None and if_error <= while_revalidate:
        raise ValueError(
            f"cache_result: fill_timeout={fill_timeout!r} on {label} has no effect without stale_if_error=, "
            "which says for how long after the ttl a stale result may stand in, longer than "
            "stale_while_revalidate=, during which nobody waits anyway"
        )
    if error_types is not None and not if_error:
        raise ValueError(f"cache_result: error_types= on {label} has no effect without stale_if_error=")
    return Freshness(
        while_revalidate,
        if_error,
        _error_types(error_types, label),
        timeout,
        _beta(early_refresh, label),
        _fraction(jitter, label),
    )


def _seconds(option: str, value: Any, label: str) -> float | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(
            f"cache_result: {option}={value!r} on {label} is of type {type(value).__qualname__}; {_HOW}"
        )
    if not 0 < seconds <= _LONGEST:
        raise ValueError(
            f"cache_result: {option}={value!r} on {label} is no positive number of seconds up to 3.2e10; "
            f"{_HOW}, or leave it out"
        )
    return float(seconds)


def _error_types(given: Any, label: str) -> tuple[type[Exception], ...]:
    if given is None:
        return (Exception,)
    several = isinstance(given, Iterable) and not isinstance(given, type | str)
    kinds: tuple[Any, ...] = tuple(given) if several else (given,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise TypeError(
            f"cache_result: error_types={given!r} on {label}: give a subclass of Exception, or several"
        )
    return kinds


def _beta(given: Any, label: str) -> float:
    if given is None or given is False:
        return 0.0
    if given is True:
        return 1.0
    if not isinstance(given, int | float):
        raise TypeError(
            f"cache_result: early_refresh={given!r} on {label}: give True, or a number (1.0 is usual; more "
            "refreshes earlier)"
        )
    if not (isfinite(given) and 0 < given <= 1000):
        raise ValueError(
            f"cache_result: early_refresh={given!r} on {label}: give a number up to 1000, above 0"
        )
    return float(given)


def _fraction(given: Any, label: str) -> float:
    if given is None:
        return 0.0
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"cache_result: jitter={given!r} on {label}: give a fraction of the ttl, such as 0.1")
    if not 0 <= given < 1:
        raise ValueError(
            f"cache_result: jitter={given!r} on {label}: give a fraction of the ttl from 0 to less than 1"
        )
    return float(given)
