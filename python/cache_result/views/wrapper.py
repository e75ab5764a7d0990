"""``CachedResponseWrapper``: what a decorated view becomes."""

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async

from cache_result import _core
from cache_result.definition import SingleFlight, check_predicate, check_ttl, define, is_async, rules_of
from cache_result.explanation import KeyExplanation
from cache_result.keys.constructors import KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.keys.responses import ResponseCacheKeyConstructor, ResponseKeyField, asked
from cache_result.responses.exchange import Exchange, ViewFailed
from cache_result.responses.identity import Identity
from cache_result.responses.policy import STATUSES, Policy
from cache_result.responses.steps import BYPASSED, part_of, steps_of
from cache_result.responses.verdict import Verdict
from cache_result.rules import InvalidationRule
from cache_result.threads import off_the_loop
from cache_result.views import rest
from cache_result.views.calls import call_parameters, locate
from cache_result.views.filling import decided_to_store, decided_ttl, filling
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, Metadata, SyncCachedWrapper

P = ParamSpec("P")
T = TypeVar("T")

Answer = tuple[Any, Any]
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
        identity: Callable[..., Any] | None = None,
        gate: rest.Gate | None = None,
    ) -> "CachedResponseWrapper[P, T]":
        label, asynchronous = label_of(func), is_async(func)
        policy = Policy(public, authorization, cast(Any, statuses), set_cache_headers).check(label)
        predicate = check_predicate(cache_if, cache_unless, asynchronous, label)
        lifetime = check_ttl(ttl, asynchronous, label)
        rules = rules_of(invalidates_on, label)
        definition = define(
            func,
            ResponseCacheKeyConstructor if key_constructor is None else key_constructor,
            # What is decided while the response is at hand; the core is given what is kept of it.
            decided_ttl,
            rules,
            decided_to_store,
            None,
            cache,
            name,
            single_flight,
            run=filling(func),
            parameters=call_parameters(func, rules),
            identity=identity,
            more_fields={"response": ResponseKeyField()},
            of_view=True,
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
        asker = Identity(self._policy, request)
        return Exchange(self._policy, self._verdict, asker, request, args, kwargs, run, finish)

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
            exchange.asker.recognize()
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
        if rest.is_before_checks(view, request):
            return await self._abehind(mode, metadata, view, run)
        if mode == "get" and request.method not in ("GET", "HEAD"):
            return await run(), BYPASSED
        prepared = await off_the_loop(self._prepared, view, request, args, kwargs)
        if prepared is None:
            return await run(), BYPASSED
        return await self._adrive(self._exchange(prepared, args, kwargs, run), mode, metadata)

    async def _adrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        part = part_of(exchange, mode)
        if part != "bypass":
            await self._recognize(exchange.asker)
        args, kwargs = exchange.args, exchange.kwargs
        steps = steps_of(exchange, mode, part)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        try:
                            found = await self._drive(part, "both", args, kwargs)
                        except ViewFailed as failed:
                            found = (failed, None)
                part = steps.send(found)
        except StopIteration as over:
            return cast(Answer, over.value)

    @staticmethod
    async def _recognize(asker: Identity) -> None:
        if asker.is_at_hand:
            await off_the_loop(asker.recognize)
        else:
            await sync_to_async(asker.recognize, thread_sensitive=True)()

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
            return await run(), seen[0] if seen else BYPASSED
        except _Done as done:
            return done.found, None

    def _at_hand(
        self, part: Mode, metadata: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Answer | None:
        """A hit in our own store, whose metadata nobody wants to know."""
        if part != "get" or metadata or self._policy.set_cache_headers:
            return None
        hit = self._hit(args, kwargs)
        return None if hit is _core.CACHE_MISSING else (hit, None)

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
        return cast("Metadata | None", (await self._aanswer("peek", True, args, kwargs))[1])

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
        if rest.is_before_checks(view, request):
            return self._behind(mode, metadata, view, run)
        if mode == "get" and request.method not in ("GET", "HEAD"):
            return run(), BYPASSED
        prepared = self._prepared(view, request, args, kwargs)
        if prepared is None:
            return run(), BYPASSED
        return self._sdrive(self._exchange(prepared, args, kwargs, run), mode, metadata)

    def _sdrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        part = part_of(exchange, mode)
        if part != "bypass":
            exchange.asker.recognize()
        args, kwargs = exchange.args, exchange.kwargs
        steps = steps_of(exchange, mode, part)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        try:
                            found = self._run(part, "both", args, kwargs)
                        except ViewFailed as failed:
                            found = (failed, None)
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
            return run(), seen[0] if seen else BYPASSED
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
        return cast("Metadata | None", self._answer("peek", True, args, kwargs)[1])

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

    if TYPE_CHECKING:

        async def aget_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, Metadata]: ...
        async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> T: ...
        async def abypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The response."""
        return cast(T, (await self._aanswer("get", False, args, kwargs))[0])

    async def answer_in_place_of(
        self, view: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The response to a call of ``method``, which is bound to ``view``."""
        run = partial(method, *args, **kwargs)
        return (await self._aanswer("get", False, (view, *args), kwargs, run))[0]
