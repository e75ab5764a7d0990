"""What every wrapper is beside a function: its asyncio side, and what the Rust core asks of it."""

from collections.abc import Callable, Iterable
from inspect import signature
from typing import (
    Any,
    Generic,
    ParamSpec,
    TypedDict,
    TypeVar,
    cast,
)

from asgiref.sync import sync_to_async
from django.apps import apps
from django.template.response import ContentNotRenderedError

from cache_result import _core, registry, responses, worlds, writes
from cache_result.conf import get_settings
from cache_result.definition import SingleFlight
from cache_result.driving import drive
from cache_result.explanation import KeyExplanation, explain
from cache_result.keyspace import delete_previous_versions
from cache_result.many import CONCURRENCY, aget_many
from cache_result.model_fields import RuleMember
from cache_result.reports import logger, tell, too_large
from cache_result.rules import InvalidationRule
from cache_result.signals import cache_invalidated
from cache_result.status import CacheInfo, CacheStatus
from cache_result.storage import Storage, get_storage
from cache_result.threads import off_the_loop
from cache_result.warming import Warmed, awarm

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Metadata(TypedDict):
    """When and how a result was cached; the times in ISO 8601, None where nothing is stored."""

    cached_at: str | None
    cache_reset_at: str | None
    cache_status: CacheStatus


class CoreWrapper(_core.Wrapper, Generic[P, T]):
    """A wrapper but for how it is made, called and bound."""

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

    @property
    def _origin(self) -> tuple[str, str, int]:
        """Namespace, function and version: what the header of an entry says."""
        constructor = self.key_constructor
        return constructor.namespace, self.function_id, constructor.get_version()

    def _delete_previous_versions(self) -> int:
        return delete_previous_versions(self.storage.cache, self._head(), *self._origin)

    async def _adelete_previous_versions(self) -> int:
        return await sync_to_async(self._delete_previous_versions, thread_sensitive=True)()

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
