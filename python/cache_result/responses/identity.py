"""For whom a response is: what tells a request from those that have another answer."""

import secrets
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from types import ModuleType
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cache_result.responses.policy import Policy

SESSION = ":session"
"""Stands in ``StoredResponse.vary`` for what is in the session, which is no header."""
MESSAGES = ":messages"
"""The same for whether there are messages (``django.contrib.messages``) to be shown."""


class Identity:
    """Whose request it is, and what it asks for beside its URL."""

    def __init__(self, policy: Policy, request: Any) -> None:
        self._policy = policy
        self._request = request
        self._http: HttpRequest = getattr(request, "_request", request)

    @cached_property
    def user(self) -> tuple[str, Any] | None:
        """Class and primary key of the authenticated user; None for anybody else. May query the database.

        :raises LookupError: when a user is authenticated who has no primary key.
        """
        user: Any = getattr(self._request, "user", None)
        if user is None or not getattr(user, "is_authenticated", False):
            return None
        pk = getattr(user, "pk", None)
        if pk is None:
            raise LookupError("an authenticated user without a primary key")
        cls = user.__class__  # which a lazy object has from the user
        return (f"{cls.__module__}.{cls.__qualname__}", pk)

    @property
    def _session(self) -> Any:
        return None if self._policy.public else getattr(self._http, "session", None)

    @property
    def is_at_hand(self) -> bool:
        """Whether to recognize it the session need not be loaded from wherever it is."""
        session = self._session
        return session is None or not session.session_key or "_session_cache" in vars(session)

    def recognize(self) -> None:
        """Finds out whose request it is. May query the database."""
        with suppress(LookupError):
            _ = self.payload
        session = self._session
        if session is not None and session.session_key:
            accessed = session.accessed
            session.keys()  # loads it
            session.accessed = accessed

    def may_be_shared(self) -> bool:
        """Whether the answer to this request may come from the cache, by its credentials (RFC 9111, 3.5)."""
        if self._policy.public:
            return True
        try:
            return self._policy.credentials_allow(self._http, self.user)
        except LookupError:
            return False

    @cached_property
    def payload(self) -> dict[str, Any]:
        """Part of the key of every response."""
        renderer = getattr(self._request, "accepted_renderer", None)
        return {
            "scheme": self._http.scheme,
            "host": self._http.get_host(),
            "user": None if self._policy.public else self.user,
            "urls": _urlconf(self._http),
            "format": getattr(renderer, "format", None),
            "type": getattr(self._request, "accepted_media_type", None),
            "version": getattr(self._request, "version", None),
            "language": get_language() if settings.USE_I18N else None,
            "time zone": get_current_timezone_name() if settings.USE_TZ else None,
        }

    def header(self, name: str) -> str | None:
        """What the request says in a header on which a response depends, as a digest: whoever reads the
        cache learns no cookies and tokens."""
        value = self._value(name)
        if value is None:
            return None
        return blake2b(value.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def _value(self, name: str) -> str | None:
        if name == SESSION:
            return self._in_session
        if name == MESSAGES:
            return "some" if len(getattr(self._http, "_messages", ())) else None
        name = name.upper().replace("-", "_")
        if name not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            name = f"HTTP_{name}"
        value = self._http.META.get(name)
        return None if value is None else str(value).strip()

    @cached_property
    def _in_session(self) -> str | None:
        session = self._session
        if session is None:
            return None
        accessed = session.accessed
        content = dict(session.items())
        session.accessed = accessed
        if not content and not session.session_key:
            return None
        try:
            return f"{session.session_key} {session.serializer().dumps(content)!r}"
        except (TypeError, ValueError):
            return secrets.token_hex()  # what cannot be saved is like nothing else

    def remember(self) -> None:
        """Notes what the session says now, before a view changes it."""
        _ = self._in_session


def _urlconf(request: HttpRequest) -> str | None:
    """The URLs that a middleware has chosen for this request: links are made of them."""
    chosen: Any = getattr(request, "urlconf", None)
    if isinstance(chosen, ModuleType):
        return chosen.__name__
    return None if chosen is None else str(chosen)
