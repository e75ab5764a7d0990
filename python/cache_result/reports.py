"""What goes wrong without an exception to the caller goes to the logger ``cache_result``."""

import logging

from django.conf import settings

logger = logging.getLogger("cache_result")


def verdict_failed(label: str, error: Exception) -> None:
    """A predicate or a callable ttl raised: the value is returned and not stored.

    :raises Exception: the error itself, when ``DEBUG`` is on.
    """
    if settings.DEBUG:
        raise error
    logger.error(
        "cache_result: the predicate or ttl of %s raised; the result was not stored", label, exc_info=error
    )
