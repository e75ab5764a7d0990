"""``CachedWrapper``: what a decorated function becomes."""

import os
from collections.abc import Callable, Coroutine, Iterable
from functools import update_wrapper
from inspect import signature
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    cast,
    overload,
)

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.apps import apps
from django.template.response import ContentNotRenderedError

from cache_result import _core, registry, responses, worlds, writes
from cache_result.conf import get_settings
from cache_result.definition import Definition, SingleFlight, Tags, define, rules_of
from cache_result.driving import drive
from cache_result.explanation import KeyExplanation, explain
from cache_result.freshness import ErrorTypes, Seconds, check_freshness
from cache_result.keys.constructors import DefaultKeyConstructor, KeyConstructorLike
from cache_result.keys.identity import label_of
from cache_result.keyspace import delete_previous_versions
from cache_result.many import CONCURRENCY, aget_many, get_many
from cache_result.model_fields import RuleMember
from cache_result.reports import logger, tell, too_large
from cache_result.rules import InvalidationRule
from cache_result.signals import cache_invalidated
from cache_result.status import CacheInfo, CacheStatus
from cache_result.storage import Storage, get_storage
from cache_result.threads import off_the_loop
from cache_result.warming import Warmed, awarm, warm

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
S = TypeVar("S")

os.register_at_fork(after_in_child=_core.after_fork)


class Metadata(TypedDict):
    """When and how a result was cached; the times in ISO 8601, None where nothing is stored."""

    cached_at: str | None
    cache_reset_at: str | None
    cache_status: CacheStatus


class CachedWrapper(_core.Wrapper, Generic[P, T]):
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

    # Attributes set by __new__; there is nothing left for __init__ to do.
    func: Callable[P, T]
    key_constructor: Any
    function_id: str
    label: str
    rules: tuple[InvalidationRule, ...]
    window: int
    ttl: Any
    _alias: str | None
    _single_flight: SingleFlight
    _has_told_of_size = False

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

    @property
    def _origin(self) -> tuple[str, str, int]:
        """Namespace, function and version: what the header of an entry says."""
        constructor = self.key_constructor
        return constructor.namespace, self.function_id, constructor.get_version()

    def _delete_previous_versions(self) -> int:
        return delete_previous_versions(self.storage.cache, self._head(), *self._origin)

    async def _adelete_previous_versions(self) -> int:
        return await sync_to_async(self._delete_previous_versions, thread_sensitive=True)()

    def __reduce__(self) -> str:
        return str(cast(Any, self).__qualname__)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"

    def explain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """What this call's key is made of, and which scopes the call belongs to. No I/O.

        Print it to read it.
        """
        return explain(self._origin, *self._explain(args, kwargs))

    def cache_info(self) -> CacheInfo:
        """What became of this function's calls in this process. No I/O."""
        return CacheInfo(*self._counted())

    def set_response_cache_header(self, response: S, metadata: Metadata | None) -> S:
        """See :func:`cache_result.set_response_cache_header`."""
        return responses.set_response_cache_header(response, metadata)

    # The asyncio side, which both kinds of wrapper have.

    async def aget_many(self, calls: Iterable[Any], *, concurrency: int = CONCURRENCY) -> list[Any]:
        """Asyncio twin of ``get_many``. The function runs for up to ``concurrency`` calls at once, in tasks.

        :raises ValueError: if ``concurrency`` is less than 1.
        """
        return await aget_many(self, calls, concurrency)

    async def awarm(
        self,
        calls: Iterable[Any],
        *,
        refresh: bool = False,
        progress: bool | None = None,
        concurrency: int = CONCURRENCY,
    ) -> Warmed:
        """Asyncio twin of ``warm``, for up to ``concurrency`` calls at once.

        :raises ValueError: if ``concurrency`` is less than 1.
        """
        return await awarm(self, calls, refresh, progress, concurrency)

    async def aget_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_with_metadata``."""
        return await self._drive("get", "both", args, kwargs)

    async def aget_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_cache_only``."""
        return await self._drive("peek", "value", args, kwargs)

    async def aget_cached_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Metadata | None:
        """Asyncio twin of ``get_cached_metadata``."""
        return cast("Metadata | None", await self._drive("peek", "metadata", args, kwargs))

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``refresh``."""
        return await self._drive("refresh", "value", args, kwargs)

    async def abypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``bypass_cache``."""
        return await self._drive("bypass", "value", args, kwargs)

    async def aget_cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Asyncio twin of ``get_cache_key``, for keys that have to load something."""
        return await off_the_loop(self.get_cache_key, *args, **kwargs)

    async def aexplain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """Asyncio twin of ``explain_key``, for keys that have to load something."""
        return await off_the_loop(self.explain_key, *args, **kwargs)

    async def adelete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Asyncio twin of ``delete_cache``."""
        key, own, _ = await off_the_loop(self._parts, args, kwargs)
        await self.storage.aperform("forget", key, own, (self.label,))
        await self._atell("delete_cache", args, kwargs)

    async def adelete_by_prefix(self, *args: Any, **kwargs: Any) -> None:
        """Asyncio twin of ``delete_by_prefix``."""
        scope = await off_the_loop(self._prefix_scope, args, kwargs)
        await self.storage.aperform("invalidate", [scope], (self.label,))
        await self._atell("delete_by_prefix", args, kwargs)

    async def ainvalidate_all(self) -> None:
        """Asyncio twin of ``invalidate_all``."""
        await self.storage.aperform("invalidate", [self._function_scope()], (self.label,))
        await self._atell("invalidate_all", None, {})

    def _tell(self, reason: str, args: tuple[Any, ...] | None, kwargs: dict[str, Any]) -> None:
        """Sends ``cache_invalidated``; without ``args`` every call is meant."""
        if cache_invalidated.has_listeners(self):
            arguments = None if args is None else [signature(self).bind_partial(*args, **kwargs).arguments]
            tell(cache_invalidated, self, reason=reason, arguments=arguments)

    async def _atell(self, reason: str, args: tuple[Any, ...] | None, kwargs: dict[str, Any]) -> None:
        if cache_invalidated.has_listeners(self):
            await sync_to_async(self._tell, thread_sensitive=True)(reason, args, kwargs)

    @property
    def storage(self) -> Storage:
        """The cache that calls use now."""
        return cast(Storage, self._storage())

    async def _drive(self, mode: str, want: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await drive(self, mode, want, args, kwargs)

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise TypeError("use SyncCachedWrapper or AsyncCachedWrapper")

    # What runs in the background.

    def _invoke_here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return cast(Any, self.func)(*args, **kwargs)

    def _set_apart(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Parts the code that runs in this context from the caller; the arguments to call with."""
        return args, kwargs

    def _when_free(self, begin: Callable[[], bool]) -> bool:
        """Calls ``begin`` once the caller needs nothing any more that the background uses, too: now."""
        return begin()

    # What the Rust core calls.

    def _bind(self) -> tuple[Any, ...]:
        """Everything that depends on settings: looked up again after each reconfiguration."""
        worlds.part_from_siblings()
        writes.watch_connections()  # for those who have not installed the app
        conf = get_settings()
        storage = get_storage(self._alias or conf.CACHE)
        enabled, rule_sets = conf.ENABLED, list[tuple[list[RuleMember], bool]]()
        if self.rules:
            if apps.models_ready:
                registry.require_installed(self.label)
                rule_sets = self._rule_sets()
            else:
                enabled = False  # without its rules a call cannot know its scopes
        return (
            enabled,
            storage,
            storage.get_entry,
            storage.index,
            self._single_flight or "",
            conf.FLIGHT_TIMEOUT,
            conf.LEASE_TIMEOUT,
            rule_sets,
            any(rule.soft for rule in self.rules),
        )

    def _rule_sets(self) -> list[tuple[list[RuleMember], bool]]:
        """The sets of arguments that rules map, each once; and whether one of these rules is soft."""
        sets: dict[Any, tuple[list[RuleMember], bool]] = {}
        for rule in self.rules:
            try:
                members = rule.members
            except LookupError:
                continue  # `manage.py check` names the model that is not there
            if members:
                shape = tuple(
                    (name, reading if reading != "field" else read) for name, reading, read in members
                )
                _, soft = sets.get(shape, (members, False))
                sets[shape] = members, soft or rule.soft
        return list(sets.values())

    def _unpicklable(self, error: Exception) -> None:
        remedy = ""
        if isinstance(error, ContentNotRenderedError):
            remedy = ". It is a response: put @cache_response on the view, or return the data instead"
        logger.error(
            "cache_result: the result of %s cannot be pickled; it was not stored: %s%s",
            self.label,
            str(error).rstrip("."),
            remedy,
        )

    def _spared(self, error: Exception) -> None:
        logger.error(
            "cache_result: %s raised; its last result is served instead, and it is left alone for a while",
            self.label,
            exc_info=error,
        )

    def _not_renewed(self, error: Exception) -> None:
        logger.error(
            "cache_result: %s raised in the background; it is left alone for a while",
            self.label,
            exc_info=error,
        )

    def _too_large(self, size: int, most: int) -> None:
        if not self._has_told_of_size:
            self._has_told_of_size = True
            too_large(f"the result of {self.label}", size, most)

    def _unreadable(self, error: Exception) -> None:
        logger.warning("cache_result: an entry of %s does not load; it is made anew: %s", self.label, error)


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
