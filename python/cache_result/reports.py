"""What goes wrong without an exception to the caller goes to the logger ``cache_result``."""

import logging
from typing import Any

from django.conf import settings
from django.dispatch import Signal

logger = logging.getLogger("cache_result")


def tell(signal: Signal, wrapper: Any, **what: Any) -> None:
    """Sends a signal of ours, whose receivers cannot break what has happened."""
    for receiver, raised in signal.send_robust(sender=wrapper, wrapper=wrapper, **what):
        if isinstance(raised, Exception):
            logger.error("cache_result: the receiver %r of a signal raised", receiver, exc_info=raised)


def too_large(what: str, size: int, most: int) -> None:
    """A ``MemoryCache`` cannot store a value of ``size`` bytes."""
    logger.warning(
        "cache_result: %s takes %d bytes, and an entry of this MemoryCache at most %d; such values are not "
        "stored (this is said once): give it more MAX_BYTES",
        what,
        size,
        most,
    )


def verdict_failed(label: str, error: Exception) -> None:
    """A predicate or a callable ttl raised: the value is returned and not stored.

    :raises Exception: the error itself, when ``DEBUG`` is on.
    """
    if settings.DEBUG:
        raise error
    logger.error(
        "cache_result: the predicate or ttl of %s raised; the result was not stored", label, exc_info=error
    )
