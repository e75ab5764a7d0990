"""One request and its response: what tells it from others, what becomes of it, what is told to the client."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from inspect import isawaitable
from time import perf_counter_ns
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_result import _core
from cache_result.conf import get_settings
from cache_result.keys.responses import asked
from cache_result.reports import verdict_failed
from cache_result.responses.headers import (
    add_lifetime,
    add_validator,
    conditional,
    declared_lifetime,
    end_lifetime,
    restore_lifetime,
    set_response_cache_header,
    varying_names,
)
from cache_result.responses.identity import MESSAGES, SESSION, Identity
from cache_result.responses.policy import CONDITIONAL, Policy
from cache_result.responses.stored import PASS_SECONDS, Pass, StoredResponse, capture, rebuild
from cache_result.responses.traces import Traces, watched
from cache_result.responses.verdict import Verdict, seconds_of
from cache_result.status import CacheStatus

Found = tuple[Any, ...]
"""What the cache has of a response: the fields of `StoredResponse`, or `Pass`."""
Told = Mapping[str, Any] | int
"""How a response is cached: metadata; or whether it is, and of a stale one since when it has been that, in
milliseconds since the epoch."""


class ViewFailed(Exception):
    """Takes a view's exception through the cache to whom it belongs: who waits for a response has to find
    out for himself, as nothing says on what of the request an exception depends."""

    def __init__(self, exchange: "Exchange", error: Exception) -> None:
        super().__init__(error)
        self.exchange = exchange
        self.error = error


class SparedViewFailed(ViewFailed):
    """The same for an exception that a stale response spares."""


class Exchange:
    """A request by GET or HEAD that a view's wrapper answers."""

    def __init__(
        self,
        policy: Policy,
        verdict: Verdict,
        asker: Identity,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        finish: Callable[[Any], Any] | None,
        passed: Callable[[bool, int], None],
    ) -> None:
        self.policy = policy
        self.verdict = verdict
        self.asker = asker
        self.http: HttpRequest = getattr(request, "_request", request)
        self.args = args
        self.kwargs = kwargs
        self.run = run
        self.finish = finish
        self.again = run
        """Runs the view when it has answered already."""
        self.afterwards: list[Callable[[], Any]] = []
        """What is to be begun when the request is over."""
        self.count_pass = passed
        """Is told that the cache took no part: whether it was found so, and the view's microseconds."""
        self.part = ""
        """The part that the cache takes."""
        self.variant: tuple[Any, ...] | None = None
        self.ran = False
        """The view ran for this very request."""
        self.response: Any = None
        """What it has returned: a response, or what Django is to complain about."""
        self.storable = False
        self.ttl: float | None = 0
        self.passed = False
        """The view's response is for this client alone."""
        self._captured: StoredResponse | None = None
        """What is kept of the view's response."""

    def asking(self, part: str = "") -> "Exchange":
        """A context in which the cache is asked."""
        self.part = part
        self.ran = False
        self._began = perf_counter_ns()
        return self

    def __enter__(self) -> "Exchange":
        self._token = asked.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        try:  # noqa: SIM105 - costs a hit nothing
            asked.reset(self._token)
        except ValueError:  # a coroutine that is thrown away may be closed in another context
            pass

    def apart(self) -> "Exchange":
        """The same for a run in the background, when the request has been answered."""
        apart = copy(self)
        apart.run, apart.afterwards = self.again, []
        return apart

    # --- which of the stored responses is for it

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells it from requests that have another answer."""
        if self.variant is None:
            return self.asker.payload
        return {**self.asker.payload, "variant": self.variant}

    def suits(self, stored: StoredResponse) -> bool:
        """Whether a stored response is one for this request (RFC 9111, 4.1). If not, the next look is for
        the variant that is."""
        header = self.asker.header
        if all(header(name) == value for name, value in stored.vary):
            return True
        names = {name for name, _ in stored.vary}
        of_entry = stored.variants
        if self.variant is not None:
            of_entry, known = self.variant
            names |= {name for name, _ in known}
        self.variant = (of_entry, tuple((name, header(name)) for name in sorted(names)))
        return False

    # --- what becomes of it

    def fill(self) -> Found:
        """Runs the view. Returns what the cache is to keep of its response."""
        if self.part == "bypass":
            self.response, self.ran = self.run(), True
            return self._pass()
        self.asker.remember()
        with self._failing(), watched(self.http) as traces:
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
            self.response, self.ran = await self.run(), True
            return self._pass()
        self.asker.remember()
        with self._failing(), watched(self.http) as traces:
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

    def _pass(self) -> Pass:
        return ((perf_counter_ns() - self._began) // 1000, _core.clock_now())

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            spared = isinstance(error, self.verdict.freshness.error_types)
            raise (SparedViewFailed if spared else ViewFailed)(self, error) from error

    def _finished(self, response: Any) -> Any:
        return response if self.finish is None else self.finish(response)

    def _judge(self, response: Any, traces: Traces) -> Generator[Any, Any, Found]:
        """What is kept of the view's response. Yields what predicate and ttl return, and is sent what comes
        of it where that can be awaited.

        What is not kept is not handed to those who wait for it either: it need not be for them.
        """
        if isawaitable(response):
            cast(Any, response).close()
            raise TypeError(
                f"cache_response: {self.verdict.label}, which is not async, returned {response!r}; "
                "make it an async function"
            )
        self.response, self.ran, self._captured = response, True, None
        self.storable, self.ttl = False, 0
        if not isinstance(response, HttpResponse) or traces.private or self._is_private(response):
            self.passed = self.storable = True
            self.ttl = PASS_SECONDS
            return self._pass()
        if response.status_code not in self.policy.statuses:
            return self._pass()
        call = (response, self.args, self.kwargs)
        try:
            accepted = bool((yield self.verdict.accepts(*call))) != self.verdict.negates
            ttl = seconds_of((yield self.verdict.lifetime(*call))) if accepted else 0
        except Exception as error:
            verdict_failed(self.verdict.label, error)
            ttl = 0
        if ttl == 0:
            return self._pass()
        self.storable, self.ttl = True, _shorter(ttl, declared_lifetime(response))
        said = response.headers.get("Cache-Control")
        add_validator(response)
        add_lifetime(response, self.ttl, self.verdict.freshness, public=self.policy.public)
        vary = [(name, self.asker.header(name)) for name in self._vary(response, traces)]
        self._captured = capture(response, said, vary)
        return tuple(self._captured)

    def _is_private(self, response: HttpResponse) -> bool:
        return self.policy.is_private(response) or declared_lifetime(response) == 0

    def _vary(self, response: HttpResponse, traces: Traces) -> Sequence[str]:
        names = varying_names(response)
        if "accept" in names and self.asker.is_negotiated:
            names.remove("accept")  # the negotiated type is in the key
        if traces.read_session and not self.policy.public:
            names.append(SESSION)
        if traces.read_messages:
            names.append(MESSAGES)
        return names

    # --- what the client gets

    def answer_own(self, metadata: Told) -> Any:
        """What the view has returned for this request."""
        response = self.response
        if not isinstance(response, HttpResponseBase):
            return response
        if self.part != "bypass":
            response = self._answered(response, self._captured, metadata)
        return self._told(response, metadata)

    def answer_stored(self, stored: StoredResponse, metadata: Told) -> HttpResponseBase:
        """The stored response."""
        session: Any = getattr(self.http, "session", None)
        if session is not None and any(name == SESSION for name, _ in stored.vary):
            session.accessed = True  # so that the session middleware adds `Vary: Cookie`
        response = rebuild(stored)
        since = _stale_since(metadata)
        if since is not None:
            end_lifetime(response, max(0, since - stored.made_at) // 1000)
        answer = self._told(self._answered(response, stored, metadata), metadata)
        # Until then the middleware of this request goes on using what the view would use.
        cast(Any, answer)._resource_closers.extend(self.afterwards)
        return answer

    def _answered(
        self,
        response: HttpResponseBase,
        captured: StoredResponse | None,
        metadata: Told,
    ) -> HttpResponseBase:
        """The response, or what of it the request's conditions leave."""
        stored = metadata if isinstance(metadata, int) else metadata["cached_at"] is not None
        if captured is not None and not stored:
            # Not stored after all, in a transaction or without a cache server: nor shall clients keep it.
            restore_lifetime(response, captured.said)
        if response.streaming or CONDITIONAL.isdisjoint(self.http.META):
            return response
        return cast(HttpResponseBase, conditional(self.http, response))

    def _told(self, response: HttpResponseBase, metadata: Told) -> HttpResponseBase:
        if self.policy.set_cache_headers and not isinstance(metadata, int) and get_settings().ENABLED:
            set_response_cache_header(response, metadata)
        return response


def _stale_since(metadata: Told) -> int | None:
    """Since when a response has been stale that is served all the same, in milliseconds since the epoch."""
    if isinstance(metadata, int):
        return None if isinstance(metadata, bool) else metadata
    if metadata["cache_status"] is not CacheStatus.STALE:
        return None
    return round(datetime.fromisoformat(metadata["cache_reset_at"]).timestamp() * 1000)


def _shorter(ttl: float | None, declared: float | None) -> float | None:
    if ttl is None or declared is None:
        return declared if ttl is None else ttl
    return min(ttl, declared)


def rendering(response: Any) -> Callable[[], Any] | None:
    """What renders a response, if it is not rendered yet."""
    render = getattr(response, "render", None)
    return render if callable(render) and not getattr(response, "is_rendered", True) else None
