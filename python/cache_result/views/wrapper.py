"""``CachedResponseWrapper``: what a decorated view becomes."""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from cache_result import _core
from cache_result.definition import SingleFlight, Tags, check_predicate, check_ttl, define, is_async, rules_of
from cache_result.explanation import KeyExplanation
from cache_result.freshness import ErrorTypes, Seconds, check_freshness
from cache_result.keys.constructors import KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.keys.responses import ResponseCacheKeyConstructor, ResponseKeyField, asked
from cache_result.responses.exchange import Exchange, SparedViewFailed, ViewFailed
from cache_result.responses.identity import Identity
from cache_result.responses.policy import STATUSES, Policy
from cache_result.responses.steps import BYPASSED, part_of, steps_of
from cache_result.responses.verdict import Verdict
from cache_result.rules import InvalidationRule
from cache_result.tags import given_tags
from cache_result.threads import off_the_loop
from cache_result.views import rest
from cache_result.views.calls import call_parameters, locate
from cache_result.views.filling import decided_to_store, decided_ttl, filling
from cache_result.views.unsafe import changes_its_target, invalidate_target
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, Metadata, SyncCachedWrapper

P = ParamSpec("P")
T = TypeVar("T")

Answer = tuple[Any, Any]
Mode = str


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
        stale_while_revalidate: Seconds | None = None,
        stale_if_error: Seconds | None = None,
        error_types: ErrorTypes | None = None,
        early_refresh: bool | float = False,
        jitter: float = 0,
        tags: Tags = None,
        identity: Callable[..., Any] | None = None,
        gate: rest.Gate | None = None,
    ) -> "CachedResponseWrapper[P, T]":
        label, asynchronous = label_of(func), is_async(func)
        policy = Policy(public, authorization, cast(Any, statuses), set_cache_headers).check(label)
        predicate = check_predicate(cache_if, cache_unless, asynchronous, label)
        lifetime = check_ttl(ttl, asynchronous, label)
        rules = rules_of(invalidates_on, label)
        tags = None if tags is None else given_tags(tags, label)
        freshness = check_freshness(
            ttl,
            stale_while_revalidate,
            stale_if_error,
            error_types,
            None,
            early_refresh,
            jitter,
            label,
            softens=any(rule.soft for rule in rules),
        )
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
            tags,
            freshness=replace(freshness, error_types=(SparedViewFailed,)),
            run=filling(func),
            parameters=call_parameters(func, rules, tags),
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
        self = cls._make(func, definition, ttl, cache, single_flight)
        self._policy = policy
        self._gate = gate
        self._dispatches = getattr(func, "__name__", None) == "dispatch"
        self._verdict = Verdict(label, predicate, lifetime, freshness)
        return self

    _policy: Policy
    _gate: rest.Gate | None
    _dispatches: bool
    _verdict: Verdict

    # --- what sync and async views have in common

    def _exchange(
        self,
        view: Any,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        checked: rest.Checked | None,
    ) -> Exchange | None:
        """What is to be answered; None where the cache has no part in it."""
        finish, again = None, run
        if checked is not None:
            request = checked.request
        elif rest.is_rest_view(view):
            if isinstance(request, HttpRequest):
                return None  # a handler that was called without `dispatch`; nobody knows how to render it
            finish = partial(rest.finalized, view, request)
            again = partial(rest.run_again, view, run)
        if (checked is not None and checked.is_refused) or not rest.may_be_shared(request, self._policy):
            return None
        exchange = self._exchange_with(request, args, kwargs, run, finish)
        exchange.again = again
        return exchange

    def _exchange_with(
        self,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        finish: Callable[[Any], Any] | None = None,
    ) -> Exchange:
        asker = Identity(self._policy, request)
        return Exchange(self._policy, self._verdict, asker, request, args, kwargs, run, finish, self._passed)

    def _is_async_dispatch(self, args: tuple[Any, ...]) -> bool:
        """Whether a plain ``dispatch`` is called on an heir with async handlers."""
        return self._dispatches and bool(args) and _handles_async(cast(Any, type(args[0])))

    def _is_before_checks(self, view: Any, request: Any) -> bool:
        """Whether the checks of a view of REST framework lie behind this cache."""
        if self._gate is not None:
            return True
        return self._dispatches and isinstance(request, HttpRequest) and rest.is_rest_view(view)

    def _check(
        self, view: Any, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any], throttle: bool = True
    ) -> rest.Checked:
        in_front = self._gate is not None
        args = args[1:] if in_front else args[2:]
        if self._gate is not None:
            view = self._gate.view(request, args, kwargs)
        return rest.check(view, request, args, kwargs, in_front=in_front, throttle=throttle)

    def _with_key(self, find: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``find`` says of a call, once it is known whose response it is about."""
        view, request = locate(self.label, args, kwargs)
        if self._is_before_checks(view, request):
            checked = self._check(view, request, args, kwargs, throttle=False)
            if checked.refusal is not None:
                raise ValueError(f"cache_response: {self.label} refuses this request") from checked.refusal
            request = checked.request
        exchange = self._exchange_with(request, args, kwargs, lambda: None)
        exchange.asker.recognize()
        with exchange.asking():
            return find(args, kwargs)

    if not TYPE_CHECKING:

        def get_cache_key(self, *args: Any, **kwargs: Any) -> str:
            """The key under which the response to this request lives in the Django cache. No I/O."""
            return self._with_key(lambda args, kwargs: self._parts(args, kwargs)[0], args, kwargs)

        def explain_key(self, *args: Any, **kwargs: Any) -> KeyExplanation:
            """What the key of the response to this request is made of. No I/O."""
            explain = super().explain_key
            return self._with_key(lambda args, kwargs: explain(*args, **kwargs), args, kwargs)

    async def _away(self, find: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``find`` says of a call, where it may query the database and run the checks of a view."""
        if self._gate is None and not self._dispatches:
            return await off_the_loop(find, *args, **kwargs)
        return await sync_to_async(find, thread_sensitive=True)(*args, **kwargs)

    async def aget_cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Asyncio twin of ``get_cache_key``."""
        return cast(str, await self._away(self.get_cache_key, *args, **kwargs))

    async def aexplain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """Asyncio twin of ``explain_key``."""
        return cast(KeyExplanation, await self._away(self.explain_key, *args, **kwargs))

    async def adelete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Asyncio twin of ``delete_cache``."""
        key, own, _ = await self._away(self._with_key, self._parts, args, kwargs)
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
            return response, BYPASSED
        checked = None
        if self._is_before_checks(view, request):
            checked = await sync_to_async(self._check, thread_sensitive=True)(view, request, args, kwargs)
            run = partial(_arun_checked, checked, run)
        # Where a view leaves authentication to whoever wants to know, it is now.
        exchange = await off_the_loop(self._exchange, view, request, args, kwargs, run, checked)
        if exchange is not None:
            return await self._adrive(exchange, mode, metadata)
        return (_core.CACHE_MISSING, None) if mode == "peek" else (await run(), BYPASSED)

    async def _adrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        part = part_of(exchange, mode)
        if part != "bypass":
            await self._recognize(exchange.asker)
        args, kwargs = exchange.args, exchange.kwargs
        metadata = metadata or self._policy.set_cache_headers
        want = "both" if metadata else "stored"
        steps = steps_of(exchange, mode, part)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        try:
                            found = await self._drive(part, want, args, kwargs)
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

    def _at_hand(
        self, part: Mode, metadata: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Answer | None:
        """A hit in our own store, whose metadata nobody wants to know."""
        if part != "get" or metadata:
            return None
        hit = self._hit(args, kwargs)
        return None if hit is _core.CACHE_MISSING else (hit, True)

    def _awaitable(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any]:
        """What runs the view for asyncio."""
        if not self.is_async and not self._is_async_dispatch(args):
            func = sync_to_async(func, thread_sensitive=True)
        return partial(func, *args, **kwargs)

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await cast(Exchange, asked.get()).afill()

    def _invoke_here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return cast(Exchange, asked.get()).fill()

    def _set_apart(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        asked.set(cast(Exchange, asked.get()).apart())
        return args, kwargs

    def _when_free(self, begin: Callable[[], bool]) -> bool:
        cast(Exchange, asked.get()).afterwards.append(begin)
        return True

    def _spared(self, error: Exception) -> None:
        super()._spared(error.error if isinstance(error, ViewFailed) else error)

    def _not_renewed(self, error: Exception) -> None:
        super()._not_renewed(error.error if isinstance(error, ViewFailed) else error)

    def _refuse_many(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"cache_result: {self.label} is a view, of which each call has a request of its own; put "
            "@cache_result on a function that makes the data, for many calls of that"
        )

    if not TYPE_CHECKING:
        get_many = aget_many = warm = awarm = _refuse_many

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
        if mode == "get" and request.method not in ("GET", "HEAD"):
            response = run()
            if changes_its_target(request, response):
                invalidate_target(self, args, kwargs)
            return response, BYPASSED
        checked = None
        if self._is_before_checks(view, request):
            checked = self._check(view, request, args, kwargs)
            run = partial(_run_checked, checked, run)
        exchange = self._exchange(view, request, args, kwargs, run, checked)
        if exchange is not None:
            return self._sdrive(exchange, mode, metadata)
        return (_core.CACHE_MISSING, None) if mode == "peek" else (run(), BYPASSED)

    def _sdrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        part = part_of(exchange, mode)
        if part != "bypass":
            exchange.asker.recognize()
        args, kwargs = exchange.args, exchange.kwargs
        metadata = metadata or self._policy.set_cache_headers
        want = "both" if metadata else "stored"
        steps = steps_of(exchange, mode, part)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        try:
                            found = self._run(part, want, args, kwargs)
                        except ViewFailed as failed:
                            found = (failed, None)
                part = steps.send(found)
        except StopIteration as over:
            return cast(Answer, over.value)

    def answer_in_place_of(
        self, view: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The response to a call of ``method``, which is bound to ``view``."""
        run = partial(method, *args, **kwargs)
        if self._is_async_dispatch((view,)):
            return self._aresponse((view, *args), kwargs, run)
        return self._answer("get", False, (view, *args), kwargs, run)[0]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The response."""
        if self._is_async_dispatch(args):
            return cast(T, self._aresponse(args, kwargs))
        return cast(T, self._answer("get", False, args, kwargs)[0])

    async def _aresponse(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any] | None = None
    ) -> Any:
        """The response of an async heir of the class whose ``dispatch`` it is."""
        return (await self._aanswer("get", False, args, kwargs, run))[0]

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


@lru_cache(maxsize=1024)
def _handles_async(cls: type) -> bool:
    """Whether the handlers of a class-based view are coroutine functions; to find out takes a while."""
    return bool(getattr(cls, "view_is_async", False))


def _run_checked(checked: rest.Checked, run: Callable[[], Any]) -> Any:
    with checked.handed_over():
        return run()


async def _arun_checked(checked: rest.Checked, run: Callable[[], Any]) -> Any:
    with checked.handed_over():
        return await run()
