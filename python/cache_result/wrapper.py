"""``CachedWrapper``: what a decorated function becomes."""

import os
from collections.abc import Callable, Coroutine, Iterable
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from asgiref.sync import markcoroutinefunction, sync_to_async

from cache_result import _core, registry
from cache_result.core_wrapper import CoreWrapper, Metadata
from cache_result.definition import Definition, SingleFlight, Tags, define, rules_of
from cache_result.freshness import ErrorTypes, Seconds, check_freshness
from cache_result.keys.constructors import DefaultKeyConstructor, KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.many import CONCURRENCY, aget_many, get_many
from cache_result.rules import InvalidationRule
from cache_result.warming import Warmed, warm

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
S = TypeVar("S")

os.register_at_fork(after_in_child=_core.after_fork)


class CachedWrapper(CoreWrapper[P, T]):
    """A function whose results live in the Django cache. Made by :func:`cache_result`.

    Every method has a twin for asyncio with the prefix ``a``. On the wrapper of an async function the
    plain names of methods that do I/O raise ``TypeError``.
    """

    is_cached_function = True
    __wrapped__: Callable[P, T]

    def __new__(
        cls,
        func: Callable[P, T],
        key_constructor: KeyConstructorLike = DefaultKeyConstructor,
        ttl: Any = 3600,
        invalidates_on: Iterable[InvalidationRule] | None = None,
        cache_if: Callable[..., Any] | None = None,
        cache_unless: Callable[..., Any] | None = None,
        *,
        cache: str | None = None,
        name: str | None = None,
        single_flight: SingleFlight = "cluster",
        stale_while_revalidate: Seconds | None = None,
        stale_if_error: Seconds | None = None,
        error_types: ErrorTypes | None = None,
        fill_timeout: Seconds | None = None,
        early_refresh: bool | float = False,
        jitter: float = 0,
        tags: Tags = None,
    ) -> "CachedWrapper[P, T]":
        rules = rules_of(invalidates_on, label_of(func))
        freshness = check_freshness(
            ttl,
            stale_while_revalidate,
            stale_if_error,
            error_types,
            fill_timeout,
            early_refresh,
            jitter,
            label_of(func),
            softens=any(rule.soft for rule in rules),
        )
        definition = define(
            func,
            key_constructor,
            ttl,
            rules,
            cache_if,
            cache_unless,
            cache,
            name,
            single_flight,
            tags,
            freshness=freshness,
        )
        if cls is CachedWrapper:
            cls = cast(Any, AsyncCachedWrapper if definition.asynchronous else SyncCachedWrapper)
        return cls._make(func, definition, ttl, cache, single_flight)

    @classmethod
    def _make(
        cls,
        func: Callable[P, T],
        definition: Definition,
        ttl: Any,
        cache: str | None,
        single_flight: SingleFlight,
    ) -> Self:
        if definition.rules:
            registry.require_installed(definition.label)
        self = cast("Self", _core.Wrapper.__new__(cls, *definition.core))
        update_wrapper(cast(Any, self), func)
        if definition.asynchronous:
            _mark_async(self, func)
        self.func = func
        self.key_constructor = definition.key_constructor
        self.function_id = definition.function_id
        self.label = definition.label
        self.rules = definition.rules
        self.window = definition.window
        self.ttl = ttl
        self._alias = cache
        self._single_flight = single_flight
        registry.used.add(cache)
        if cache is not None:
            registry.aliases[cache] = cast(Any, self)
        self.key_constructor.register(self)
        if self.rules:
            registry.register(cast(Any, self))
        return self

    # Attributes are set by __new__; there is nothing left for __init__ to do.

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T: ...

        def get_cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
            """The key under which this call's entry lives in the Django cache. No I/O."""
            raise RuntimeError("the Rust core has this method")

        @overload
        def __get__(self, instance: None, owner: Any = None) -> "CachedWrapper[P, T]": ...
        @overload
        def __get__(
            self: "CachedWrapper[Concatenate[S, Q], T]", instance: S, owner: Any = None
        ) -> "CachedWrapper[Q, T]": ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    def __reduce__(self) -> str:
        return str(cast(Any, self).__qualname__)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"


class SyncCachedWrapper(CachedWrapper[P, T]):
    """The wrapper of a plain function."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any = None) -> "SyncCachedWrapper[P, T]": ...
        @overload
        def __get__(
            self: "SyncCachedWrapper[Concatenate[S, Q], T]", instance: S, owner: Any = None
        ) -> "SyncCachedWrapper[Q, T]": ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    def get_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, Metadata]:
        """The result and how it was cached."""
        return cast("tuple[T, Metadata]", self._run("get", "both", args, kwargs))

    def get_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> "T | _core.CacheMissing":
        """The cached result, or ``CACHE_MISSING``. Never runs the function."""
        return cast("T | _core.CacheMissing", self._run("peek", "value", args, kwargs))

    def get_cached_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Metadata | None:
        """How the result is cached, or None. Never runs the function."""
        return cast("Metadata | None", self._run("peek", "metadata", args, kwargs))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function and stores its result over the old one, which is served meanwhile."""
        return cast(T, self._run("refresh", "value", args, kwargs))

    def bypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function; neither reads nor writes the cache."""
        return cast(T, self._run("bypass", "value", args, kwargs))

    def get_many(self, calls: Iterable[Any]) -> list[T]:
        """The results of many calls, in their order. What is cached is read in one round trip for up to 500
        of them, and the function runs for the others one after the other, each as in a call of its own.

        :param calls: for each call the only argument, a tuple of arguments, a dict of keyword arguments, or
            ``Call(...)``.
        :raises TypeError: for what is no iterable, and for a call that does not fit the function.
        """
        return get_many(self, calls)

    def warm(self, calls: Iterable[Any], *, refresh: bool = False, progress: bool | None = None) -> Warmed:
        """Makes many calls whose results are then cached, for scripts. Those that raise are logged.

        :param calls: as of ``get_many``; it may be a generator.
        :param refresh: whether the function runs for what is cached, too.
        :param progress: whether to show a progress bar, which needs tqdm; by default on a terminal.
        :raises ImportError: if a bar is wanted, and tqdm is not installed.
        """
        return warm(self, calls, refresh, progress)

    def delete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Deletes this call's entry."""
        key, own, _ = self._parts(args, kwargs)
        self.storage.forget(key, own, (self.label,))
        self._tell("delete_cache", args, kwargs)

    def delete_by_prefix(self, *args: Any, **kwargs: Any) -> None:
        """Invalidates every entry of a partition, at the cost of one write.

        Arguments bind partially; only the partition fields (or the arguments that a rule maps) need
        values. Without partition fields every entry of the function is invalidated. Entries' bytes
        stay in the backend until they expire, are overwritten or evicted.

        :raises ValueError: when the arguments name no group of entries; it lists what does.
        """
        self.storage.invalidate([self._prefix_scope(args, kwargs)], (self.label,))
        self._tell("delete_by_prefix", args, kwargs)

    def invalidate_all(self) -> None:
        """Invalidates every entry that this function ever stored, at the cost of one write."""
        self.storage.invalidate([self._function_scope()], (self.label,))
        self._tell("invalidate_all", None, {})

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await sync_to_async(cast(Any, self.func), thread_sensitive=True)(*args, **kwargs)


class AsyncCachedWrapper(CachedWrapper[P, Coroutine[Any, Any, T]]):
    """The wrapper of an async function."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any = None) -> "AsyncCachedWrapper[P, T]": ...
        @overload
        def __get__(
            self: "AsyncCachedWrapper[Concatenate[S, Q], T]", instance: S, owner: Any = None
        ) -> "AsyncCachedWrapper[Q, T]": ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        hit = self._hit(args, kwargs)
        if hit is not _core.CACHE_MISSING:
            return cast(T, hit)
        return cast(T, await self._drive("get", "value", args, kwargs))

    async def aget_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, Metadata]:
        """The result and how it was cached."""
        return cast("tuple[T, Metadata]", await self._drive("get", "both", args, kwargs))

    async def aget_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> "T | _core.CacheMissing":
        """The cached result, or ``CACHE_MISSING``. Never runs the function."""
        return cast("T | _core.CacheMissing", await self._drive("peek", "value", args, kwargs))

    async def aget_many(self, calls: Iterable[Any], *, concurrency: int = CONCURRENCY) -> list[T]:
        """The results of many calls, in their order. What is cached is read in one round trip for up to 500
        of them; the function runs for up to ``concurrency`` of the others at once, each as in a call of
        its own. The first exception ends those that are under way.

        :param calls: for each call the only argument, a tuple of arguments, a dict of keyword arguments, or
            ``Call(...)``.
        :raises TypeError: for what is no iterable, and for a call that does not fit the function.
        :raises ValueError: if ``concurrency`` is less than 1.
        """
        return await aget_many(self, calls, concurrency)

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function and stores its result over the old one, which is served meanwhile."""
        return cast(T, await self._drive("refresh", "value", args, kwargs))

    async def abypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the function; neither reads nor writes the cache."""
        return cast(T, await self._drive("bypass", "value", args, kwargs))

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await cast(Any, self.func)(*args, **kwargs)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _BLOCKING:
                return _refuse_blocking(self.__wrapped__.__name__, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_BLOCKING = frozenset(
    {
        "get_with_metadata",
        "get_cache_only",
        "get_cached_metadata",
        "refresh",
        "bypass_cache",
        "delete_cache",
        "delete_by_prefix",
        "invalidate_all",
        "get_many",
        "warm",
    }
)


def _refuse_blocking(function: str, name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{function!r} is async, use a{name} instead of the sync method.")

    return refuse


def _mark_async(wrapper: Any, func: Any) -> None:
    """Has ``inspect`` and asgiref, and so Django, take the wrapper for a coroutine function."""
    for name in ("__code__", "__defaults__", "__kwdefaults__"):  # what Python 3.11 looks at
        if hasattr(func, name):
            setattr(wrapper, name, getattr(func, name))
    markcoroutinefunction(wrapper)
