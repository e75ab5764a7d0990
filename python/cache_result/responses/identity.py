"""For whom a response is: what tells a request from those that have another answer."""

import secrets
from functools import cached_property
from hashlib import blake2b
from types import ModuleType
from typing import Any

from django.http import HttpRequest
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cache_result.responses.policy import Policy
from cache_result.responses.project import get_project

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
        self.user: tuple[str, Any] | None = None
        """Class and primary key of the authenticated user; None for anybody else, and where all are alike."""
        self.is_known = True
        """Whether the user, if one is authenticated, has a primary key."""
        self.is_negotiated = False
        """Whether REST framework has negotiated a type, which then is in the key."""
        self.payload: dict[str, Any] = {}
        """Part of the key of every response."""

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
        if not self._policy.public:
            self.user, self.is_known = _user(getattr(self._request, "user", None))
        payload = {"scheme": self._http.scheme, "host": _host(self._http), "user": self.user}
        if (urls := getattr(self._http, "urlconf", None)) is not None:
            payload["urls"] = urls.__name__ if isinstance(urls, ModuleType) else str(urls)
        if (renderer := getattr(self._request, "accepted_renderer", None)) is not None:
            self.is_negotiated = True
            # Its class too: a negotiator may choose among several of one format and type.
            payload["renderer"] = _name(type(renderer))
            payload["format"] = getattr(renderer, "format", None)
            payload["type"] = self._request.accepted_media_type
            payload["version"] = getattr(self._request, "version", None)
        project = get_project()
        if project.uses_languages:
            payload["language"] = get_language()
        if project.uses_time_zones:
            payload["time zone"] = get_current_timezone_name()
        self.payload = payload
        session = self._session
        if session is not None and session.session_key:
            accessed = session.accessed
            session.keys()  # loads it
            session.accessed = accessed

    def may_be_shared(self) -> bool:
        """Whether the answer to this request may come from the cache, by its credentials (RFC 9111, 3.5)."""
        return self.is_known and self._policy.credentials_allow(self._http, self.user)

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


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _user(user: Any) -> tuple[tuple[str, Any] | None, bool]:
    """Class and primary key of an authenticated user, and whether he can be told from others."""
    if user is None or not getattr(user, "is_authenticated", False):
        return None, True
    pk = getattr(user, "pk", None)
    return (_name(user.__class__), pk), pk is not None  # which a lazy object has from the user


def _host(request: HttpRequest) -> str:
    """Host and port as the client says them. Whether they are allowed is asked where they are used."""
    meta, project = request.META, get_project()
    host = meta.get("HTTP_HOST")
    if project.trusts_forwarded_host:
        host = meta.get("HTTP_X_FORWARDED_HOST", host)
    if host is None:
        host = f"{meta.get('SERVER_NAME')}:{meta.get('SERVER_PORT')}"
    if project.trusts_forwarded_port and (port := meta.get("HTTP_X_FORWARDED_PORT")):
        host = f"{host} at port {port}"
    return str(host).lower()
