"""Responses as the cache keeps them: tuples of immutable values, which in-process caches share."""

import secrets
from collections.abc import Sequence
from functools import cache
from http.cookies import SimpleCookie
from typing import Any, NamedTuple, cast

from django.http import HttpResponse
from django.http.response import HttpResponseRedirectBase, ResponseHeaders

from cache_result import _core
from cache_result.responses.headers import age_of

Pass = tuple[int, int]
"""Stored in place of a response that is for its own client alone, so that for a while the others neither
wait for one another nor for the cache ("hit-for-pass"): how long the view ran, in microseconds, and
when that was, in milliseconds since the epoch."""

PASS_SECONDS = 10.0


def is_pass(found: Any) -> bool:
    """Whether it stands in place of a response."""
    return len(found) == 2


def is_outdated(found: Pass) -> bool:
    """Whether it is past its time: unlike a response it is not served longer than that."""
    age: int = _core.clock_now() - found[1]
    return age >= PASS_SECONDS * 1000


class StoredResponse(NamedTuple):
    """What is kept of a response."""

    made_at: int
    """Milliseconds since the epoch, by the clock of entries."""
    status: int
    reason: str
    headers: tuple[tuple[str, tuple[str, str]], ...]
    """By lower-case name: name and value."""
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
        tuple((name.lower(), (name, value)) for name, value in response.items()),
        said,
        bytes(response.content),
        tuple(vary),
        secrets.randbits(62),
    )


def rebuild(stored: StoredResponse) -> HttpResponse:
    """A response that says what the stored one said, and how old it is (RFC 9111, 5.1)."""
    headers = dict(stored.headers)
    cls = _Redirect if 300 <= stored.status < 400 and "location" in headers else HttpResponse
    response: Any = cls.__new__(cls)
    # As made by the constructor, which checks and encodes anew what was checked when the view said it.
    vars(response).update(vars(_blank()))
    age = max(0, _core.clock_now() - stored.made_at) // 1000
    headers["age"] = ("Age", str(age))
    response.headers = ResponseHeaders({})
    response.headers._store.update(headers)
    response.cookies = SimpleCookie()
    response._resource_closers = []
    response.status_code = stored.status
    response.reason_phrase = stored.reason
    response.content = stored.body
    return cast(HttpResponse, response)


@cache
def _blank() -> HttpResponse:
    return HttpResponse()
