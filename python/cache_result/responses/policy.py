"""Which requests the cache answers, and which responses it keeps (RFC 9111, 3 and 5.2)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse

from cache_result.conf import get_settings
from cache_result.responses.headers import directives, varying_names

STATUSES = frozenset({200, 203, 204, 300, 301, 308})
"""Those that are kept if a view names no others."""

_PARTS = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED, HTTPStatus.PRECONDITION_FAILED})

CONDITIONAL = frozenset(
    {
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_RANGE",
    }
)
"""Headers of requests that want less than the whole response, in ``request.META``."""

Part = Literal["get", "refresh", "bypass"]


@dataclass(frozen=True)
class Policy:
    """What a view's decorator says about its responses."""

    public: bool = False
    authorization: bool = False
    statuses: Collection[int] = STATUSES
    set_cache_headers: bool = False

    def check(self, label: str) -> "Policy":
        """The same policy, checked.

        :raises TypeError: for an option of the wrong type.
        :raises ValueError: for a status that cannot be kept.
        """
        for option in ("public", "authorization", "set_cache_headers"):
            if not isinstance(getattr(self, option), bool):
                value = getattr(self, option)
                raise TypeError(f"cache_response: {option}={value!r} on {label}: give True or False")
        given = self.statuses
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Collection):
            raise TypeError(f"cache_response: statuses={given!r} on {label}: give a list of status codes")
        for status in given:
            if isinstance(status, bool) or not isinstance(status, int):
                raise TypeError(f"cache_response: statuses={given!r} on {label}: give a list of status codes")
            if not 200 <= status <= 599 or status in _PARTS:
                raise ValueError(
                    f"cache_response: {status} in statuses of {label} is no response that can be kept; give "
                    "final ones, without 206, 304 and 412, which answer what one client has asked for"
                )
        return self

    def part(self, request: HttpRequest) -> Part:
        """The part that the cache takes in answering a request by GET or HEAD.

        The content of one is in no key, and without a meaning (RFC 9110, 9.3.1), but a view may look at it.
        """
        if _has_content(request):
            return "bypass"
        header = request.META.get("HTTP_CACHE_CONTROL")
        if header and get_settings().REQUEST_CACHE_CONTROL:
            said = directives(header)
            if "no-store" in said:
                return "bypass"
            if "no-cache" in said:
                return "refresh"
        return "get"

    def credentials_allow(self, request: HttpRequest, user: Any) -> bool:
        """Whether a request's ``Authorization`` lets the cache answer it (RFC 9111, 3.5): where the view
        declares that its responses depend on nothing of it, or on the user alone whom it names."""
        if "HTTP_AUTHORIZATION" not in request.META or self.public:
            return True
        return self.authorization and user is not None

    def is_private(self, response: HttpResponse) -> bool:
        """Whether a response is for its own client alone."""
        said = directives(response.get("Cache-Control", ""))
        return (
            response.streaming
            or bool(response.cookies)
            or response.has_header("Set-Cookie")
            or not {"private", "no-store", "no-cache"}.isdisjoint(said)
            or "*" in varying_names(response)
        )


def _has_content(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH")
    return length not in {None, "", "0", 0} or "HTTP_TRANSFER_ENCODING" in request.META
