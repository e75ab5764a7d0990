"""``CachedResponseWrapper``: what a decorated view becomes."""

from collections.abc import Callable, Coroutine, Generator, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async

from cache_result import _core
from cache_result.conf import get_settings
from cache_result.definition import SingleFlight, Tags, check_predicate, check_ttl, define, is_async
from cache_result.explanation import KeyExplanation
from cache_result.keys.constructors import KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.keys.responses import ResponseCacheKeyConstructor, ResponseKeyField, asked
from cache_result.responses.exchange import Exchange, Verdict
from cache_result.responses.policy import STATUSES, Policy
from cache_result.responses.stored import PASS, StoredResponse
from cache_result.rules import InvalidationRule
from cache_result.status import CacheStatus
from cache_result.tags import given_tags
from cache_result.threads import off_the_loop
from cache_result.views import rest
from cache_result.views.calls import call_parameters, locate
from cache_result.views.unsafe import changes_its_target, invalidate_target
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, Metadata, SyncCachedWrapper

P = ParamSpec("P")
T = TypeVar("T")

_VARIANTS = 4
"""How often another variant of a response is looked for before the view runs for this request alone."""

_BYPASSED: Metadata = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}

Answer = tuple[Any, Metadata | None]
Mode = str


class _Done(BaseException):
    """Leaves a view's ``dispatch`` with what was found behind its checks."""

    def __init__(self, found: Any) -> None:
        self.found = found


class CachedResponseWrapper(CachedWrapper[P, T]):
    """A view whose responses live in the Django cache. Made by :func:`cache_response`.

    Has every method of a :class:`CachedWrapper`; they take what the view takes, the request among it.
    """

    def __new__(
        cls,
        func: Callable[P, T],
        key_constructor: KeyConstructorLike | None = None,
        ttl: Any = 3600,
        invalidates_on: Iterable[InvalidationRule] | None = None,
        cache_if: Callable[..., Any] | None = None,
        cache_unless: Callable[..., Any] | None = None,
        set_cache_headers: bool = False,
        *,
        public: bool = False,
        authorization: bool = False,
        statuses: Iterable[int] = STATUSES,
        cache: str | None = None,
        name: str | None = None,
        single_flight: SingleFlight = "cluster",
        tags: Tags = None,
        identity: Callable[..., Any] | None = None,
        gate: rest.Gate | None = None,
    ) -> "CachedResponseWrapper[P, T]":
        label, asynchronous = label_of(func), is_async(func)
        policy = Policy(public, authorization, cast(Any, statuses), set_cache_headers).check(label)
        predicate = check_predicate(cache_if, cache_unless, asynchronous, label)
        lifetime = check_ttl(ttl, asynchronous, label)
        rules = None if invalidates_on is None else list(invalidates_on)
        tags = None if tags is None else given_tags(tags, label)
        definition = define(
            func,
            ResponseCacheKeyConstructor if key_constructor is None else key_constructor,
            # What is decided while the response is at hand; the core is given what is kept of it.
            0 if ttl == 0 else _decided_ttl,
            rules,
            _decided_to_store,
            None,
            cache,
            name,
            single_flight,
            tags,
            run=wraps(func)(_fill),
            parameters=call_parameters(func, rules or (), tags),
            identity=identity,
            more_fields={"response": ResponseKeyField()},
        )
        for rule in definition.rules:
            if rule.rewarm:
                raise ValueError(
                    f"cache_response: a rule for {rule.model_label} on {label} has rewarm=True, but a view "
                    "cannot run without a request; leave it out, or put @cache_result on the function that "
                    "makes the answer"
                )
        if cls is CachedResponseWrapper:
            cls = cast(Any, AsyncCachedResponseWrapper if asynchronous else SyncCachedResponseWrapper)
        self = cls._make(func, definition, cache, single_flight)
        self._policy = policy
        self._gate = gate
        self._verdict = Verdict(label, predicate, lifetime)
        return self

    _policy: Policy
    _gate: rest.Gate | None
    _verdict: Verdict

    # --- what sync and async views have in common

    def _exchange(
        self,
        place: tuple[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
    ) -> Exchange:
        view, request = place
        finish = None if self._gate is not None else partial(rest.finalized, view, request)
        return Exchange(self._policy, self._verdict, request, args, kwargs, run, finish)

    def _talk(self, exchange: Exchange, mode: Mode) -> Generator[Mode, tuple[Any, Any], Answer]:
        """The steps of an answer: yields in which mode the core is to be called, and is sent what it has,
        with the metadata, or with whether it is stored."""
        part = self._part(exchange, mode)
        look = "peek" if part == "get" and exchange.http.method == "HEAD" else part
        if look != "bypass":
            for _ in range(_VARIANTS):
                found, metadata = yield look
                if exchange.response is not None:
                    return exchange.answer_own(metadata), _BYPASSED if exchange.passed else metadata
                if found is _core.CACHE_MISSING or found == PASS:
                    break
                stored = StoredResponse(*found)
                if exchange.suits(stored):
                    return exchange.answer_stored(stored, metadata), metadata
            if part == "peek":
                return _core.CACHE_MISSING, None
        _, metadata = yield "bypass"
        return exchange.answer_own(metadata), metadata

    def _part(self, exchange: Exchange, mode: Mode) -> Mode:
        """The part that the cache takes in an answer."""
        if not get_settings().ENABLED:
            return "peek" if mode == "peek" else "bypass"
        if mode == "get":
            mode = self._policy.part(exchange.http)
        if mode in {"get", "refresh"} and not exchange.may_be_shared():
            return "bypass"
        return mode

    def _prepared(
        self, view: Any, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Any] | None:
        """View and request behind the checks of a view function of REST framework; None where it refuses."""
        if self._gate is None:
            return view, request
        return self._gate.prepare(request, args[1:], kwargs)

    def _behind_checks(
        self, view: Any, do: Callable[[Exchange, tuple[Any, ...], dict[str, Any]], Any]
    ) -> None:
        """Has ``do`` called with the exchange where ``view.dispatch`` calls its handler."""

        def answer(handler: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            run = partial(handler, request, *args, **kwargs)
            exchange = self._exchange((view, request), (view, request, *args), kwargs, run)
            return do(exchange, exchange.args, kwargs)

        rest.put_behind_checks(view, answer)

    def _with_key(self, find: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``find`` says of a call, once it is known whose response it is about."""
        view, request = locate(self.label, args, kwargs)

        def do(exchange: Exchange, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            exchange.recognize()
            with exchange.asking():
                return find(args, kwargs)

        def leave(*given: Any) -> None:
            raise _Done(do(*given))

        if rest.is_before_checks(view, request):
            self._behind_checks(view, leave)
            try:
                cast(Any, self.func)(*args, **kwargs)
            except _Done as done:
                return done.found
            raise ValueError(f"cache_response: {self.label} refuses this request")
        prepared = self._prepared(view, request, args, kwargs)
        if prepared is None:
            raise ValueError(f"cache_response: {self.label} refuses this request")
        return do(self._exchange(prepared, args, kwargs, lambda: None), args, kwargs)

    if not TYPE_CHECKING:

        def get_cache_key(self, *args: Any, **kwargs: Any) -> str:
            """The key under which the response to this request lives in the Django cache. No I/O."""
            return self._with_key(lambda args, kwargs: self._parts(args, kwargs)[0], args, kwargs)

        def explain_key(self, *args: Any, **kwargs: Any) -> KeyExplanation:
            """What the key of the response to this request is made of. No I/O."""
            explain = super().explain_key
            return self._with_key(lambda args, kwargs: explain(*args, **kwargs), args, kwargs)

    async def adelete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Asyncio twin of ``delete_cache``."""
        key, own, _ = await off_the_loop(self._with_key, self._parts, args, kwargs)
        await self.storage.aperform("forget", key, own, (self.label,))
        await self._atell("delete_cache", args, kwargs)

    # --- the asyncio side, which both kinds have

    async def _aanswer(
        self,
        mode: Mode,
        metadata: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any] | None = None,
    ) -> Answer:
        view, request = locate(self.label, args, kwargs)
        run = run or self._awaitable(cast(Any, self.func), args, kwargs)
        if mode == "get" and request.method not in ("GET", "HEAD"):
            response = await run()
            if changes_its_target(request, response):
                await sync_to_async(invalidate_target, thread_sensitive=True)(self, args, kwargs)
            return response, _BYPASSED
        if rest.is_before_checks(view, request):
            return await self._abehind(mode, metadata, view, run)
        prepared = await off_the_loop(self._prepared, view, request, args, kwargs)
        if prepared is None:
            return await run(), _BYPASSED
        return await self._adrive(self._exchange(prepared, args, kwargs, run), mode, metadata)

    async def _adrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        await off_the_loop(exchange.recognize)
        args, kwargs = exchange.args, exchange.kwargs
        metadata = metadata or self._policy.set_cache_headers
        want = "both" if metadata else "stored"
        steps = self._talk(exchange, mode)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        found = await self._drive(part, want, args, kwargs)
                part = steps.send(found)
        except StopIteration as over:
            return cast(Answer, over.value)

    async def _abehind(self, mode: Mode, metadata: bool, view: Any, run: Callable[[], Any]) -> Answer:
        seen: list[Metadata | None] = []

        async def do(exchange: Exchange, args: Any, kwargs: Any) -> Any:
            response, said = await self._adrive(exchange, mode, metadata)
            if response is _core.CACHE_MISSING:
                raise _Done(response)
            seen.append(said)
            return response

        self._behind_checks(view, do)
        try:
            return await run(), seen[0] if seen else _BYPASSED
        except _Done as done:
            return done.found, None

    def _at_hand(
        self, part: Mode, metadata: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Any] | None:
        """A hit in our own store, whose metadata nobody wants to know."""
        if part != "get" or metadata:
            return None
        hit = self._hit(args, kwargs)
        return None if hit is _core.CACHE_MISSING else (hit, True)

    def _awaitable(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any]:
        """What runs the view for asyncio."""
        if not self.is_async:
            func = sync_to_async(func, thread_sensitive=True)
        return partial(func, *args, **kwargs)

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await cast(Exchange, asked.get()).afill()

    async def aget_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_with_metadata``."""
        return await self._aanswer("get", True, args, kwargs)

    async def aget_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_cache_only``."""
        return (await self._aanswer("peek", False, args, kwargs))[0]

    async def aget_cached_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Metadata | None:
        """Asyncio twin of ``get_cached_metadata``."""
        return (await self._aanswer("peek", True, args, kwargs))[1]

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``refresh``."""
        return (await self._aanswer("refresh", False, args, kwargs))[0]

    async def abypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``bypass_cache``."""
        return (await self._aanswer("bypass", False, args, kwargs))[0]


class SyncCachedResponseWrapper(CachedResponseWrapper[P, T], SyncCachedWrapper[P, T]):
    """The wrapper of a plain view."""

    def _answer(
        self,
        mode: Mode,
        metadata: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any] | None = None,
    ) -> Answer:
        view, request = locate(self.label, args, kwargs)
        run = run or partial(cast(Any, self.func), *args, **kwargs)
        if mode == "get" and request.method not in ("GET", "HEAD"):
            response = run()
            if changes_its_target(request, response):
                invalidate_target(self, args, kwargs)
            return response, _BYPASSED
        if rest.is_before_checks(view, request):
            return self._behind(mode, metadata, view, run)
        prepared = self._prepared(view, request, args, kwargs)
        if prepared is None:
            return run(), _BYPASSED
        return self._sdrive(self._exchange(prepared, args, kwargs, run), mode, metadata)

    def _sdrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        exchange.recognize()
        args, kwargs = exchange.args, exchange.kwargs
        metadata = metadata or self._policy.set_cache_headers
        want = "both" if metadata else "stored"
        steps = self._talk(exchange, mode)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        found = self._run(part, want, args, kwargs)
                part = steps.send(found)
        except StopIteration as over:
            return cast(Answer, over.value)

    def _behind(self, mode: Mode, metadata: bool, view: Any, run: Callable[[], Any]) -> Answer:
        seen: list[Metadata | None] = []

        def do(exchange: Exchange, args: Any, kwargs: Any) -> Any:
            response, said = self._sdrive(exchange, mode, metadata)
            if response is _core.CACHE_MISSING:
                raise _Done(response)
            seen.append(said)
            return response

        self._behind_checks(view, do)
        try:
            return run(), seen[0] if seen else _BYPASSED
        except _Done as done:
            return done.found, None

    def answer_in_place_of(
        self, view: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The response to a call of ``method``, which is bound to ``view``."""
        return self._answer("get", False, (view, *args), kwargs, partial(method, *args, **kwargs))[0]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The response."""
        return cast(T, self._answer("get", False, args, kwargs)[0])

    def get_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, Metadata]:
        """The response and how it was cached."""
        return cast("tuple[T, Metadata]", self._answer("get", True, args, kwargs))

    def get_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> "T | _core.CacheMissing":
        """The cached response, or ``CACHE_MISSING``. Never runs the view."""
        return cast("T | _core.CacheMissing", self._answer("peek", False, args, kwargs)[0])

    def get_cached_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Metadata | None:
        """How the response is cached, or None. Never runs the view."""
        return self._answer("peek", True, args, kwargs)[1]

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the view and stores its response over the old one, which is served meanwhile."""
        return cast(T, self._answer("refresh", False, args, kwargs)[0])

    def bypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the view; neither reads nor writes the cache."""
        return cast(T, self._answer("bypass", False, args, kwargs)[0])

    def delete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Deletes the response to this request, in all of its variants."""
        key, own, _ = self._with_key(self._parts, args, kwargs)
        self.storage.forget(key, own, (self.label,))
        self._tell("delete_cache", args, kwargs)


class AsyncCachedResponseWrapper(CachedResponseWrapper[P, Coroutine[Any, Any, T]], AsyncCachedWrapper[P, T]):
    """The wrapper of an async view."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The response."""
        return cast(T, (await self._aanswer("get", False, args, kwargs))[0])

    async def answer_in_place_of(
        self, view: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The response to a call of ``method``, which is bound to ``view``."""
        run = partial(method, *args, **kwargs)
        return (await self._aanswer("get", False, (view, *args), kwargs, run))[0]


def _fill(*args: Any, **kwargs: Any) -> Any:
    """Makes the response to the request that is being answered; what the core runs in place of the view."""
    return cast(Exchange, asked.get()).fill()


def _decided_to_store(kept: Any) -> bool:
    return cast(Exchange, asked.get()).storable


def _decided_ttl(kept: Any) -> float | None:
    return cast(Exchange, asked.get()).ttl
