"""What a request by an unsafe method does to the responses of its URL (RFC 9111, 4.4)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.http.response import HttpResponseBase

from cache_result import transaction
from cache_result.invalidation.targets import Targets

if TYPE_CHECKING:
    from cache_result.wrapper import CachedWrapper

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def changes_its_target(request: Any, response: Any) -> bool:
    """Whether a request has changed what its URL shows: POST, PUT, DELETE or the like, and no error."""
    if request.method in _SAFE or not isinstance(response, HttpResponseBase):
        return False
    return 200 <= response.status_code < 400


def invalidate_target(
    wrapper: "CachedWrapper[..., Any]", args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Invalidates the responses of a URL, for all users: those of its partition, where it has one. If the
    request's transactions are still open, then when they commit."""
    try:
        scope = wrapper._prefix_scope(args, dict(kwargs))
    except (TypeError, ValueError):
        scope = wrapper._function_scope()
    open_ones = [c.alias for c in connections.all(initialized_only=True) if transaction.in_transaction(c)]
    for alias in open_ones or [DEFAULT_DB_ALIAS]:
        targets = Targets()
        targets.add(wrapper, [scope])
        transaction.record(alias, targets)
