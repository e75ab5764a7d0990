"""Headers of responses that come from a cache (RFC 9110, RFC 9111)."""

import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeVar, cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import http_date, parse_http_date_safe

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


def declared_lifetime(response: HttpResponse) -> float | None:
    """For how many more seconds a response says that a shared cache may use it (RFC 9111, 4.2.1 and 4.2.3);
    None where it does not say."""
    said = directives(response.get("Cache-Control", ""))
    for name in ("s-maxage", "max-age"):
        if name in said:
            seconds = _seconds(said[name])  # stale if it is no number, as section 4.2.1 encourages
            return max(0, seconds - age_of(response))
    if "Expires" in response.headers:
        expires = parse_http_date_safe(response.headers["Expires"])
        return 0 if expires is None else max(0, expires - time.time())
    return None


def age_of(response: HttpResponse) -> int:
    """How old a response says that it is, in seconds, as another cache has had it."""
    return _seconds(response.get("Age", ""))


def _seconds(value: str) -> int:
    value = value.strip()
    return int(value) if value.isascii() and value.isdigit() else 0


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


def conditional(request: HttpRequest, response: Any) -> Any:
    """The response, or 304 or 412 where the request's conditions want it (RFC 9110, 13)."""
    etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    if etag is None and modified is None:
        return response
    seconds = None if modified is None else parse_http_date_safe(modified)
    answer: Any = cast(Any, get_conditional_response)(request, etag, seconds, response)
    if answer is not response and "Age" in response.headers:
        answer.headers["Age"] = response.headers["Age"]
    return answer


def add_lifetime(
    response: HttpResponse, lifetime: float | None, freshness: Freshness, *, public: bool
) -> None:
    """Says in ``Cache-Control`` how long clients may use a response, counted from when it was made: how much
    of that is over is in ``Age``. What the view says itself stands. Responses without an end are the ones
    that rules end, so clients have to ask each time."""
    said = directives(response.get("Cache-Control", ""))
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


def end_lifetime(response: HttpResponse, seconds: int) -> None:
    """Has a response say nothing longer than that it was fresh for so many seconds: something has ended it
    earlier than was known when it was made."""
    said = directives(response.get("Cache-Control", ""))
    shorter = {
        name.replace("-", "_"): seconds
        for name in ("max-age", "s-maxage")
        if name in said and _seconds(said[name]) > seconds
    }
    if shorter:
        patch_cache_control(response, **shorter)
    expires = parse_http_date_safe(response.get("Expires", ""))
    if expires is not None and expires > time.time():
        response.headers["Expires"] = http_date()


def restore_lifetime(response: Any, said: str | None) -> None:
    """Has ``Cache-Control`` say what the view said."""
    if said is None:
        del response["Cache-Control"]
    else:
        response["Cache-Control"] = said
