"""What a view does to its request that tells whose response it has made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest

from cache_result.responses.policy import CONDITIONAL

_CSRF = "CSRF_COOKIE_NEEDS_UPDATE"
"""Set in ``request.META`` when a token was put into the page; see ``django.middleware.csrf``."""

_NOBODY = object()


class Traces:
    """What a view has done while it ran."""

    def __init__(self) -> None:
        self.read_session = False
        """The response depends on the session."""
        self.private = False
        """The response has something that is for this client and this time alone: a CSRF token, messages,
        what was written to the session."""


@contextmanager
def watched(request: HttpRequest) -> Iterator[Traces]:
    """Runs a view for everybody who may ask: what it does to the request is told, and conditions and ranges
    of this one client are out of its sight (the cache answers those itself)."""
    traces = Traces()
    session: Any = getattr(request, "session", None)
    accessed, modified = getattr(session, "accessed", False), getattr(session, "modified", False)
    renewed = request.META.pop(_CSRF, None)
    hidden, known = _hide(request), _known(request)
    if session is not None:
        session.accessed = session.modified = False
    try:
        yield traces
    finally:
        if session is not None:
            traces.read_session = session.accessed
            traces.private = session.modified
            session.accessed, session.modified = accessed or session.accessed, modified or session.modified
        traces.private = traces.private or bool(request.META.get(_CSRF)) or _shows_messages(request)
        traces.private = traces.private or any(
            a is not b for a, b in zip(known, _known(request), strict=True)
        )
        if renewed and not request.META.get(_CSRF):
            request.META[_CSRF] = renewed
        if hidden:
            request.META.update(hidden)
            vars(request).pop("headers", None)


def _hide(request: HttpRequest) -> dict[str, Any]:
    hidden = {name: request.META.pop(name) for name in CONDITIONAL & request.META.keys()}
    if hidden:
        vars(request).pop("headers", None)  # which Django keeps
    return hidden


def _known(request: HttpRequest) -> tuple[Any, Any]:
    """User and credentials as a view finds them. Where it puts others in their place (by a view of REST
    framework that it calls), it answers somebody whom the key does not name."""
    return vars(request).get("user"), vars(request).get("auth", _NOBODY)


def _shows_messages(request: HttpRequest) -> bool:
    """Whether messages (``django.contrib.messages``) were shown, or added for later."""
    messages: Any = getattr(request, "_messages", None)
    if messages is None:
        return False
    return bool(messages.added_new or (messages.used and len(messages)))
