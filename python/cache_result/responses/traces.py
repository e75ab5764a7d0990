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
        self.read_messages = False
        """The response depends on whether there are messages."""
        self.private = False
        """The response has something that is for this client and this time alone: a CSRF token, a nonce of a
        content security policy, messages, what was written to the session."""


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
        traces.read_messages = _looks_at_messages(request)
        traces.private = (
            traces.private
            or bool(request.META.get(_CSRF))
            or bool(getattr(request, "_csp_nonce", None))  # of Django 6 and of django-csp
            or _has_messages(request)
            or any(a is not b for a, b in zip(known, _known(request), strict=True))
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


def _looks_at_messages(request: HttpRequest) -> bool:
    """Whether somebody wanted to know if there are messages (``django.contrib.messages``)."""
    messages: Any = getattr(request, "_messages", None)
    return messages is not None and (messages.used or "_loaded_data" in vars(messages))


def _has_messages(request: HttpRequest) -> bool:
    """Whether messages were added for later, or may be shown."""
    messages: Any = getattr(request, "_messages", None)
    if messages is None:
        return False
    return bool(messages.added_new or (_looks_at_messages(request) and len(messages)))
