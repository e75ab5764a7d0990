"""Responses as the cache keeps them: tuples of immutable values, which in-process caches share."""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.http import HttpResponse
from django.http.response import HttpResponseRedirectBase

from cache_result import _core
from cache_result.responses.headers import age_of

PASS: tuple[Any, ...] = ()
"""Stored in place of a response that is for its own client alone, so that for a while the others neither
wait for one another nor for the cache ("hit-for-pass")."""

PASS_SECONDS = 10.0


class StoredResponse(NamedTuple):
    """What is kept of a response."""

    made_at: int
    """Milliseconds since the epoch, by the clock of entries."""
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    said: str | None
    """What the view said in ``Cache-Control``."""
    body: bytes
    vary: tuple[tuple[str, str | None], ...]
    """The headers of the request on which it depends, and what they were."""
    variants: int
    """Names the other variants of this response, as long as this entry lives."""


class _Redirect(HttpResponse):
    """A stored redirect, with the attribute ``url`` that Django's have."""

    url = HttpResponseRedirectBase.url


def capture(
    response: HttpResponse, said: str | None, vary: Sequence[tuple[str, str | None]]
) -> StoredResponse:
    """What is kept of a response."""
    return StoredResponse(
        _core.clock_now() - 1000 * age_of(response),
        response.status_code,
        response.reason_phrase,
        tuple(response.items()),
        said,
        bytes(response.content),
        tuple(vary),
        secrets.randbits(62),
    )


def rebuild(stored: StoredResponse) -> HttpResponse:
    """A response that says what the stored one said, and how old it is (RFC 9111, 5.1)."""
    headers = dict(stored.headers)
    cls = _Redirect if 300 <= stored.status < 400 and "Location" in headers else HttpResponse
    bare = "Content-Type" not in headers
    response = cls(stored.body, status=stored.status, reason=stored.reason, headers=headers)
    if bare:
        del response["Content-Type"]
    age = max(0, _core.clock_now() - stored.made_at) // 1000
    response.headers["Age"] = str(age)
    return response
