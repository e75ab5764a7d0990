"""One request and its response: what tells it from others, what becomes of it, what is told to the client."""

from collections.abc import Callable, Generator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from inspect import isawaitable
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import parse_http_date_safe
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cache_result import _core
from cache_result.freshness import Freshness
from cache_result.keys.responses import asked
from cache_result.reports import verdict_failed
from cache_result.responses.headers import (
    add_lifetime,
    add_validator,
    declared_lifetime,
    directives,
    set_response_cache_header,
    varying_names,
)
from cache_result.responses.policy import CONDITIONAL, Policy
from cache_result.responses.project import Project, get_project
from cache_result.responses.stored import PASS_SECONDS, StoredResponse, capture, passing, rebuild
from cache_result.responses.traces import Traces, watched

SESSION = ":session"
"""Stands in ``StoredResponse.vary`` for the session, which is no header."""

Found = tuple[Any, ...]
"""What the cache has of a response: the fields of `StoredResponse`, or that it is passed."""


@dataclass(frozen=True)
class Verdict:
    """What a view's decorator says about storing its responses."""

    label: str
    predicate: tuple[Callable[..., Any], bool, bool] | None
    """The callable, whether it says what is *not* stored, and whether it takes the view's arguments too."""
    ttl: tuple[Any, bool, bool]
    """The ttl, whether it is a callable, and whether that takes the view's arguments too."""
    freshness: Freshness
    """What happens around its end."""

    def accepts(self, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the predicate says, which may have to be awaited; True without one."""
        if self.predicate is None:
            return True
        callable_, _, with_call = self.predicate
        return callable_(response, *args, **kwargs) if with_call else callable_(response)

    @property
    def negates(self) -> bool:
        """Whether the predicate says what is *not* stored."""
        return self.predicate is not None and self.predicate[1]

    def lifetime(self, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The ttl, which may have to be awaited."""
        ttl, called, with_call = self.ttl
        if not called:
            return ttl
        return ttl(response, *args, **kwargs) if with_call else ttl(response)


class Exchange:
    """A request by GET or HEAD that a view's wrapper answers."""

    def __init__(
        self,
        policy: Policy,
        verdict: Verdict,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        again: Callable[[], Any],
        finish: Callable[[Any], Any] | None,
    ) -> None:
        self.policy = policy
        self.verdict = verdict
        self.request = request
        self.http: HttpRequest = getattr(request, "_request", request)
        self.args = args
        self.kwargs = kwargs
        self.run = run
        self.again = again
        self.finish = finish
        self.afterwards: list[Callable[[], Any]] = []
        """What is to be begun when the request is over."""
        self.user: tuple[str, Any] | None = None
        """Kind and primary key of the authenticated user; None for anybody else, and where all are alike."""
        self.is_known = True
        """Whether the user, if one is authenticated, has a primary key."""
        self.negotiated = False
        """Whether the type of the response is in the key."""
        self.identity: Mapping[str, Any] = {}
        """What tells it from requests that have another answer."""
        self.part = ""
        """The part that the cache takes."""
        self.variant: tuple[Any, ...] | None = None
        self.response: HttpResponseBase | None = None
        """What the view has returned, if it ran for this very request."""
        self.storable = False
        self.ttl: float | None = 0
        self.passed = False
        """The view's response is for this client alone."""
        self._said: str | None = None
        """What the view said in ``Cache-Control``."""

    def asking(self, part: str = "") -> "Exchange":
        """A context in which the cache is asked."""
        self.part = part
        self.response = None
        return self

    def __enter__(self) -> "Exchange":
        self._token = asked.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        asked.reset(self._token)

    def apart(self) -> "Exchange":
        """The same for a run in the background, when the request has been answered."""
        apart = copy(self)
        apart.run = self.again
        apart.response, apart.afterwards = None, []
        return apart

    # --- for whom it is

    def recognize(self) -> None:
        """Finds out whose request it is. May query the database."""
        request, http, public = self.request, self.http, self.policy.public
        project = get_project()
        if not public:
            self.user, self.is_known = _user(getattr(request, "user", None))
        renderer = getattr(request, "accepted_renderer", None)
        negotiated = None
        if renderer is not None:  # by REST framework
            self.negotiated = True
            negotiated = (
                getattr(renderer, "format", None),
                getattr(request, "accepted_media_type", None),
                getattr(request, "version", None),
            )
        self.identity = {
            "request": (
                http.scheme,
                _host(http.META, project),
                self.user,
                negotiated,
                get_language() if project.uses_languages else None,
                get_current_timezone_name() if project.uses_time_zones else None,
            )
        }

    def may_be_shared(self) -> bool:
        """Whether the answer to this request may come from the cache, by its credentials (RFC 9111, 3.5)."""
        return self.is_known and self.policy.credentials_allow(self.http, self.user)

    def header(self, name: str) -> str | None:
        """What the request says in a header on which a response depends."""
        if name == SESSION:
            session: Any = getattr(self.http, "session", None)
            return str(getattr(session, "session_key", None))
        name = name.upper().replace("-", "_")
        if name not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            name = f"HTTP_{name}"
        value = self.http.META.get(name)
        return None if value is None else str(value).strip()

    def suits(self, stored: StoredResponse) -> bool:
        """Whether a stored response is one for this request (RFC 9111, 4.1). If not, the next look is for
        the variant that is."""
        if all(self.header(name) == value for name, value in stored.vary):
            return True
        names = {name for name, _ in stored.vary}
        of_entry = stored.variants
        if self.variant is not None:
            of_entry, known = self.variant
            names |= {name for name, _ in known}
        self.variant = (of_entry, tuple((name, self.header(name)) for name in sorted(names)))
        self.identity = {**self.identity, "variant": self.variant}
        return False

    # --- what becomes of it

    def fill(self) -> Found:
        """Runs the view. Returns what the cache is to keep of its response."""
        if self.part == "bypass":
            self.response = self.run()
            return passing()
        with watched(self.http) as traces:
            response = self._finished(self.run())
            if (render := rendering(response)) is not None:
                response = render()
        steps = self._judge(response, traces)
        said = None
        try:
            while True:
                said = steps.send(said)
        except StopIteration as over:
            return cast(Found, over.value)

    async def afill(self) -> Found:
        """Asyncio twin of ``fill``."""
        if self.part == "bypass":
            self.response = await self.run()
            return passing()
        with watched(self.http) as traces:
            response = self._finished(await self.run())
            if (render := rendering(response)) is not None:
                response = await sync_to_async(render, thread_sensitive=True)()
        steps = self._judge(response, traces)
        said = None
        try:
            while True:
                said = steps.send(said)
                if isawaitable(said):
                    said = await said
        except StopIteration as over:
            return cast(Found, over.value)

    def _finished(self, response: Any) -> Any:
        return response if self.finish is None else self.finish(response)

    def _judge(self, response: Any, traces: Traces) -> Generator[Any, Any, Found]:
        """What is kept of the view's response. Yields what predicate and ttl return, and is sent what comes
        of it where that can be awaited."""
        self.response = response
        self.storable, self.ttl = False, 0
        if not isinstance(response, HttpResponse) or traces.private or self._is_private(response, traces):
            self.passed = self.storable = True
            self.ttl = PASS_SECONDS
            return passing()
        said = directives(response.get("Cache-Control", ""))
        if response.status_code in self.policy.statuses:
            call = (response, self.args, self.kwargs)
            try:
                accepted = bool((yield self.verdict.accepts(*call))) != self.verdict.negates
                ttl = _seconds((yield self.verdict.lifetime(*call))) if accepted else 0
            except Exception as error:
                verdict_failed(self.verdict.label, error)
                ttl = 0
            self.ttl = _shorter(ttl, declared_lifetime(response, said))
            self.storable = self.ttl != 0
        if self.storable:
            self._said = response.headers.get("Cache-Control")
            add_validator(response)
            add_lifetime(response, said, self.ttl, self.verdict.freshness, public=self.policy.public)
        return capture(response, [(name, self.header(name)) for name in self._vary(response, traces)])

    def _is_private(self, response: HttpResponse, traces: Traces) -> bool:
        said = directives(response.get("Cache-Control", ""))
        return self.policy.is_private(response, said, varying_names(response))

    def _vary(self, response: HttpResponseBase, traces: Traces) -> Sequence[str]:
        names = varying_names(cast(HttpResponse, response))
        if "accept" in names and self.negotiated:
            names.remove("accept")
        if traces.read_session and not self.policy.public:
            names.append(SESSION)
        return names

    # --- what the client gets

    def answer_own(self, metadata: Mapping[str, Any] | bool) -> HttpResponseBase:
        """The response that the view has made for this very request."""
        response = self.response
        assert response is not None
        if not isinstance(response, HttpResponseBase):
            return response  # Django says what is wrong with it
        stored = metadata if isinstance(metadata, bool) else metadata["cached_at"] is not None
        if self.storable and not self.passed and not stored:
            # Not stored after all, in a transaction or without a cache server: nor shall clients keep it.
            if self._said is None:
                del response["Cache-Control"]
            else:
                response["Cache-Control"] = self._said
        return self._told(response, metadata)

    def answer_stored(self, stored: StoredResponse, metadata: Mapping[str, Any] | bool) -> HttpResponseBase:
        """The stored response."""
        session: Any = getattr(self.http, "session", None)
        if session is not None and any(name == SESSION for name, _ in stored.vary):
            session.accessed = True  # so that the session middleware adds `Vary: Cookie`
        response = self._told(rebuild(stored), metadata)
        # Until then the middleware of this request goes on using what the view would use.
        cast(Any, response)._resource_closers.extend(self.afterwards)
        return response

    def _told(self, response: HttpResponseBase, metadata: Mapping[str, Any] | bool) -> HttpResponseBase:
        whole: Any = response
        conditional = not CONDITIONAL.isdisjoint(self.http.META)
        if conditional and not self.passed and (etag := response.headers.get("ETag")) is not None:
            modified = response.headers.get("Last-Modified")
            seconds = None if modified is None else parse_http_date_safe(modified)
            response = cast(Any, get_conditional_response)(self.http, etag, seconds, response)
        if response is not whole and "Age" in whole.headers:
            response.headers["Age"] = whole.headers["Age"]
        if self.policy.set_cache_headers and not isinstance(metadata, bool):
            set_response_cache_header(response, metadata)
        return response


def _user(user: Any) -> tuple[tuple[str, Any] | None, bool]:
    """Kind and primary key of an authenticated user, and whether he can be told from others."""
    if user is None or not getattr(user, "is_authenticated", False):
        return None, True
    pk = getattr(user, "pk", None)
    meta = getattr(user, "_meta", None)
    return (meta.label if meta is not None else type(user).__qualname__, pk), pk is not None


def _host(meta: Mapping[str, Any], project: Project) -> tuple[Any, ...]:
    """The host as the client said it. Whether it is allowed is asked where it is used."""
    host = meta.get("HTTP_HOST")
    port = meta.get("HTTP_X_FORWARDED_PORT") if project.trusts_forwarded_port else None
    if project.trusts_forwarded_host:
        host = meta.get("HTTP_X_FORWARDED_HOST", host)
    if host is None:
        return (meta.get("SERVER_NAME"), meta.get("SERVER_PORT"), port)
    return (host.lower(), port)


def _seconds(ttl: Any) -> float | None:
    _core.check_ttl(ttl)
    if isinstance(ttl, timedelta):
        return ttl.total_seconds()
    return cast("float | None", ttl)


def _shorter(ttl: float | None, declared: float | None) -> float | None:
    if ttl is None or declared is None:
        return declared if ttl is None else ttl
    return min(ttl, declared)


def rendering(response: Any) -> Callable[[], Any] | None:
    """What renders a response, if it is not rendered yet."""
    render = getattr(response, "render", None)
    return render if callable(render) and not getattr(response, "is_rendered", True) else None
