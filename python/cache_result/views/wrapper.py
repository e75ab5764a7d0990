"""``CachedResponseWrapper``: what a decorated view becomes."""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from cache_result import _core
from cache_result.core_wrapper import Metadata
from cache_result.definition import SingleFlight, Tags, check_predicate, check_ttl, define, is_async, rules_of
from cache_result.freshness import ErrorTypes, Seconds, check_freshness
from cache_result.keys.constructors import KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.keys.responses import ResponseCacheKeyConstructor, ResponseKeyField
from cache_result.responses.exchange import Exchange, SparedViewFailed, ViewFailed
from cache_result.responses.policy import STATUSES, Policy
from cache_result.responses.steps import BYPASSED, part_of, steps_of
from cache_result.responses.verdict import Verdict
from cache_result.rules import InvalidationRule
from cache_result.tags import given_tags
from cache_result.views import rest
from cache_result.views.answering import Answer, AnsweringWrapper, Mode
from cache_result.views.calls import call_parameters, locate
from cache_result.views.filling import decided_to_store, decided_ttl, filling
from cache_result.views.unsafe import changes_its_target, invalidate_target
from cache_result.wrapper import AsyncCachedWrapper, SyncCachedWrapper

P = ParamSpec("P")
T = TypeVar("T")


class CachedResponseWrapper(AnsweringWrapper[P, T]):
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


def _run_checked(checked: rest.Checked, run: Callable[[], Any]) -> Any:
    with checked.handed_over():
        return run()
