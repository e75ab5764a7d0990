"""Headers of responses that come from a cache (RFC 9110, RFC 9111)."""

import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from django.http import HttpResponse
from django.utils.cache import patch_cache_control
from django.utils.http import parse_http_date_safe

from cache_result.freshness import Freshness

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


def directives(value: str) -> dict[str, str]:
    """The directives of ``Cache-Control``, in lower case; those without a value have an empty one."""
    found: dict[str, str] = {}
    for part in value.split(","):
        name, _, argument = part.strip().partition("=")
        if name:
            found[name.strip().lower()] = argument.strip().strip('"')
    return found


def declared_lifetime(response: HttpResponse, said: Mapping[str, str]) -> float | None:
    """For how many seconds a response says that a shared cache may use it (RFC 9111, 4.2.1); None where it
    does not say."""
    for name in ("s-maxage", "max-age"):
        if name in said:
            try:
                return max(0, int(said[name]))
            except ValueError:
                return 0  # stale, as section 4.2.1 encourages
    if "Expires" in response.headers:
        expires = parse_http_date_safe(response.headers["Expires"])
        return 0 if expires is None else max(0, expires - time.time())
    return None


def varying_names(response: HttpResponse) -> list[str]:
    """The header names in ``Vary``, in lower case."""
    return sorted({name.strip().lower() for name in response.get("Vary", "").split(",")} - {""})


def add_validator(response: HttpResponse) -> None:
    """Gives a response a strong ``ETag``, unless it has one."""
    if "ETag" in response.headers:
        return
    digest = blake2b(response.content, digest_size=16)
    for name in ("Content-Type", "Content-Encoding", "Content-Language", "Location"):
        digest.update(f"\n{name}: {response.get(name, '')}".encode())
    response.headers["ETag"] = f'"{digest.hexdigest()}"'


def add_lifetime(
    response: HttpResponse,
    said: Mapping[str, str],
    lifetime: float | None,
    freshness: Freshness,
    *,
    public: bool,
) -> None:
    """Says in ``Cache-Control`` how long clients may use a response, counted from when it was made: how much
    of that is over is in ``Age``. What the view says itself stands. Responses without an end are the ones
    that rules end, so clients have to ask each time."""
    added: dict[str, Any] = {}
    if not {"public", "private"} & said.keys():
        added["public" if public else "private"] = True
    if not {"max-age", "s-maxage", "no-cache"} & said.keys() and "Expires" not in response.headers:
        if lifetime is None:
            added["no_cache"] = True
        else:
            added["max_age"] = int(lifetime)
            # RFC 5861, for the caches on the way.
            if freshness.while_revalidate:
                added["stale_while_revalidate"] = int(freshness.while_revalidate)
            if freshness.if_error:
                added["stale_if_error"] = int(freshness.if_error)
    if added:
        patch_cache_control(response, **added)
