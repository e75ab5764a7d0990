"""Headers that tell how a response was cached."""

from collections.abc import Mapping
from typing import Any, TypeVar

ResponseT = TypeVar("ResponseT")

HEADERS = {
    "cached_at": "X-Cached-at",
    "cache_reset_at": "X-Cache-reset-at",
    "cache_status": "X-Cache-status",
}


def set_response_cache_header(response: ResponseT, metadata: Mapping[str, Any] | None) -> ResponseT:
    """Sets ``X-Cached-at``, ``X-Cache-reset-at`` and ``X-Cache-status`` from a call's metadata.

    Values that are missing are left out. Returns the same response.
    """
    for name, header in HEADERS.items():
        value = (metadata or {}).get(name)
        if value is not None:
            response[header] = str(getattr(value, "value", value))  # type: ignore[index]
    return response
