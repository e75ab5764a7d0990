"""A cache that processes share, behind one small interface that never raises.

Each operation is a plan (see :mod:`cache_result.plans`). It is run by plain calls, by the backend's
own a-methods, or, where a backend has none of its own, in one hop to Django's thread-sensitive thread.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from math import ceil
from threading import local
from typing import Any, ClassVar, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections, router
from django.db.transaction import atomic

from cache_result import _core, background
from cache_result.breaker import Breaker
from cache_result.conf import get_settings
from cache_result.pending import Pending
from cache_result.plans import UNREADABLE, Plan, arun, operation, raises, run
from cache_result.transaction import in_transaction

R = TypeVar("R")

BARREN_SECONDS = 1
"""How long a lease says that its holder stored nothing."""
LONGEST_SECONDS = 5 * 365 * 24 * 3600
"""Longer timeouts are not given to the backend."""
_PROBE = b"\x00\xffcache_result"
_ASYNC_METHODS = ("aget", "aget_many", "aset", "aset_many", "aadd", "adelete", "adelete_many")


class UndeliveredError(Exception):
    """The backend said that it did not store everything."""


class Storage:
    """A cache that other processes share: entries and generations live side by side in it."""

    shared: ClassVar[bool] = True
    FAILED: ClassVar[dict[str, Any]] = {"read_carefully": None, "create": None, "claim": None, "get": None}
    """What an operation returns when the backend is down; False where nothing is said here."""

    index: _core.Index | _core.Memory | None = None
    """Where the generations of an in-process cache are."""
    get_entry: Callable[[str], Any] | None = None
    """The bound ``get`` of an in-process cache, whose instances all share one store; None where the core
    asks its own store."""

    def __init__(self, alias: str) -> None:
        conf = get_settings()
        self.alias = alias
        cache = caches[alias]
        self.database: str | None = None
        """The database whose table the cache is: inside a transaction on it nothing is stored."""
        if isinstance(cache, BaseDatabaseCache):
            self.database = router.db_for_write(cache.cache_model_class)
        # Whole seconds: some backends cut off the rest.
        self._lease_timeout = ceil(conf.LEASE_TIMEOUT)
        self._close_timeout = ceil(conf.CLOSE_TIMEOUT)
        self._breaker = Breaker(alias, *conf.BREAKER)
        # While there are any, nothing else is done with this cache by this process: its calls compute.
        self.pending = Pending(alias, self.deliver)
        self._of_thread = local()
        self._takes_bytes: bool | None = None
        self._raises = raises(cache)

    @property
    def cache(self) -> BaseCache:
        """The alias's backend object of this thread."""
        try:
            return cast(BaseCache, self._of_thread.cache)
        except AttributeError:
            # `caches[alias]` looks it up anew every time, which costs as much as many an operation.
            self._of_thread.cache = caches[self.alias]
            return cast(BaseCache, self._of_thread.cache)

    def part_thread(self) -> None:
        """Gives this thread a backend object that is no other thread's. `caches` goes by context, and code in
        the background has that of its caller, whose object is not made for two threads at once."""
        if not hasattr(self._of_thread, "cache"):
            self._of_thread.cache = Context().run(caches.__getitem__, self.alias)
            background.at_thread_end(self._leave_thread)

    async def apart_thread(self) -> None:
        """The same for the thread that does the work of this task, if one does."""
        if self._needs_thread(caches[self.alias]):
            await sync_to_async(self.part_thread, thread_sensitive=True)()

    async def aleave_thread(self) -> None:
        """Closes what ``apart_thread`` has opened."""
        if self._needs_thread(caches[self.alias]):
            await sync_to_async(self._leave_thread, thread_sensitive=True)()

    def _leave_thread(self) -> None:
        cache = self._of_thread.__dict__.pop("cache", None)
        if cache is not None:
            cache.close()

    @staticmethod
    def _needs_thread(cache: BaseCache) -> bool:
        return not _is_async(cache) and type(cache) is not LocMemCache

    def in_transaction(self) -> bool:
        """Whether what is stored now would commit or roll back with the caller's data."""
        return self.database is not None and in_transaction(connections[self.database])

    @property
    def is_in_trouble(self) -> bool:
        """Whether something has failed lately, or is still to be delivered."""
        return not self._breaker.at_rest or bool(self.pending)

    def sweep(self) -> None:
        """Deletes what tests have left, where that takes no request."""

    # Operations. The first line of each is also what the Rust core relies on.

    def read(self, keys: list[str]) -> list[Any] | None:
        """The values under ``keys``, None where there is none. One round trip."""
        if not self._breaker.at_rest or self.pending or self.database is not None:
            return cast("list[Any] | None", self.read_carefully(keys))
        try:
            get = self.cache.get_many(keys).get
        except Exception:
            return cast("list[Any] | None", self.read_carefully(keys))
        return [get(key) for key in keys]

    @operation
    def read_carefully(self, keys: list[str]) -> Plan[list[Any]]:
        """``read`` when something is or may be wrong."""
        try:
            found = yield "get_many", keys
        except UNREADABLE:
            found = {}
            for key in keys:
                found[key] = yield from self._read_alone(key)
        return [found.get(key) for key in keys]

    @operation
    def get(self, key: str) -> Plan[Any]:
        """The value under one key."""
        return (yield from self._read_alone(key))

    def _read_alone(self, key: str) -> Plan[Any]:
        try:
            return (yield "get", key)
        except UNREADABLE:
            yield "delete", key
            return None

    @operation
    def create(self, keys: list[str], tokens: list[int], timeout: float | None) -> Plan[list[Any]]:
        """Adds tokens where there are none, and reads back what is there (file caches lie)."""
        for key, token in zip(keys, tokens, strict=True):
            yield "add", key, token, timeout
        found = yield "get_many", keys
        return [found.get(key) for key in keys]

    @operation
    def claim(self, lease: str, own: int, keys: list[str]) -> Plan[list[Any] | bool | None]:
        """Takes the lease and reads ``keys``; False when another has it, None when nobody can."""
        won = yield "add", lease, own, self._lease_timeout
        if not won:
            return None if won is None else False
        found = yield "get_many", keys
        return [found.get(key) for key in keys]

    @operation
    def release(self, lease: str, mark: int | None) -> Plan[bool]:
        """Gives the lease back, or leaves ``mark`` in it for those who look for it."""
        if mark is None:
            yield "delete", lease
        else:
            yield "set", lease, mark, BARREN_SECONDS
        return True

    @operation
    def abandon(self, lease: str, own: int) -> Plan[bool]:
        """Gives back a lease that may have been had, if it was."""
        if (yield "get", lease) == own:
            yield "delete", lease
        return True

    @operation
    def put(self, key: str, token: int, timeout: float | None) -> Plan[bool]:
        """Sets an entry's own token."""
        yield "set", key, token, timeout
        return True

    @operation
    def prolong(self, key: str, timeout: float | None) -> Plan[bool]:
        """Has an entry's own token live as long as a new one would; False when it is gone."""
        try:
            touched = yield "touch", key, timeout
        except NotImplementedError:
            return True  # then the entry that gets it dies with it, some time
        # Of what has no end already, Redis says that it has not been touched.
        return bool(touched or (timeout is None and (yield "get", key) is not None))

    @operation
    def store(self, key: str, entry: bytes, timeout: float | None) -> Plan[bool]:
        """Stores an entry, as ASCII text where the alias's serializer refuses bytes."""
        if self._takes_bytes is None:
            self._takes_bytes = yield from self._probe()
        if timeout is not None and timeout > LONGEST_SECONDS:
            timeout = None  # the header knows the end; Memcached counts to 2038 only
        value = entry if self._takes_bytes is not False else b64encode(entry).decode("ascii")
        yield "set", key, value, timeout
        return True

    def _probe(self) -> Plan[bool | None]:
        key = "cr:probe"
        try:
            yield "set", key, _PROBE, 10
            back = yield "get", key
        except UNREADABLE:
            return False
        return None if back is None else back == _PROBE

    @operation
    def delete(self, keys: list[str]) -> Plan[bool]:
        """Deletes keys."""
        yield "delete_many", keys
        return True

    @operation
    def forget(self, key: str, own: bytes, functions: Sequence[str] = ()) -> Plan[bool]:
        """Deletes an entry and voids its own token, so that no fill under way can bring it back."""
        yield from Storage._renew(self, [own])  # which no writer closes
        yield "delete", key
        return True

    @operation
    def invalidate(self, scopes: Sequence[bytes], functions: Sequence[str] = ()) -> Plan[bool]:
        """Starts a new generation of each scope: one write for one scope, one batch for many.

        ``functions`` says whose they are, should they be lost.
        """
        yield from self._renew(scopes)
        return True

    @operation
    def remember(self, windows: Mapping[bytes, int]) -> Plan[bool]:
        """Notes which generations soft scopes are in, before they change: entries of these are stale from
        now on. What was noted before stays while it is of use, which is for the scope's window (ms)."""
        now = _core.clock_now()  # before the look: then each of these tokens was the current one still
        keys = {scope: (_core.generation_key(scope), _core.grace_key(scope)) for scope in windows}
        try:
            found = yield "get_many", [key for pair in keys.values() for key in pair]
        except UNREADABLE:
            return False
        graces: dict[int, dict[str, int]] = {}
        for scope, (key, grace_key) in keys.items():
            grace = _core.next_grace(found.get(key), found.get(grace_key), windows[scope], now)
            if grace is not None:
                seconds = min(ceil(windows[scope] / 1000), LONGEST_SECONDS)
                graces.setdefault(seconds, {})[grace_key] = grace
        for seconds, some in graces.items():
            yield "set_many", some, seconds
        return True

    @operation
    def close(self, scopes: Sequence[bytes], writer: int) -> Plan[bool]:
        """Closes scopes until ``reopen``, or until the writer counts as dead: their calls store nothing."""
        yield from self._renew(scopes, writer, closing=True)
        return True

    @operation
    def reopen(self, scopes: Sequence[bytes], functions: Sequence[str], writer: int) -> Plan[bool]:
        """Opens scopes that this writer has closed, with a new generation of each."""
        yield from self._renew(scopes, writer)
        return True

    @operation
    def renew_inside(self, scopes: Sequence[bytes]) -> Plan[bool]:
        """Starts a new generation of each scope as part of the caller's open transaction, which is one on
        the database whose table the cache is. Unlike ``invalidate`` it is not made up for when it fails."""
        tokens = {_core.generation_key(scope): _core.fresh_token() for scope in scopes}
        missing = tokens
        for _ in range(2):  # others may insert or delete the same row just now
            for key, token in missing.items():
                yield "set", key, token, self._close_timeout
            found = yield "get_many", list(missing)
            # What was written is ours until the transaction ends: nobody else's token can be there.
            missing = {key: token for key, token in missing.items() if found.get(key) != token}
            if not missing:
                return True
        raise UndeliveredError(f"{len(missing)} of {len(tokens)} generations were not written")

    @operation
    def settle(
        self, scopes: Sequence[bytes], functions: Sequence[str], writer: int, seconds: float
    ) -> Plan[bool]:
        """Keeps scopes closed for some seconds; then they are in a new generation."""
        # One more, as some backends count whole seconds, from when they last looked.
        yield from self._renew(scopes, writer, ceil(seconds) + 1, closing=True)
        return True

    def owe(self, scopes: Iterable[bytes]) -> None:
        """Has these scopes start a new generation before anything else is done with this cache."""
        self._keep(scopes)

    def _renew(
        self, scopes: Sequence[bytes], writer: int = 0, seconds: int | None = None, *, closing: bool = False
    ) -> Plan[None]:
        """Writes new tokens, or marks; reads them back where a backend may swallow what it cannot write."""
        draw = _core.closed_token if closing else _core.fresh_token
        keys = [_core.generation_key(scope) for scope in scopes]
        timeout = self._close_timeout if seconds is None else seconds
        found: dict[str, Any] = {}
        before: dict[str, Any] = {}
        for _ in range(2):
            tokens = {key: draw() for key in keys}
            if len(tokens) == 1:
                ((key, token),) = tokens.items()
                yield "set", key, token, timeout
            elif tokens:
                yield "set_many", tokens, timeout
            if self._raises:
                return
            before, found = found, (yield "get_many", keys)
            keys = [key for key, token in tokens.items() if found.get(key) != token]
            # Another writer's token does as well, if it is not one that was there before ours.
            if not keys:
                return
        lost = sum(found.get(key) in (None, before.get(key)) for key in keys)
        if lost:
            raise UndeliveredError(f"{lost} of {len(scopes)} generations were not written")

    # Running them.

    async def aperform(self, name: str, *args: Any) -> Any:
        """The operation ``name`` through Django's async cache API."""
        if name == "read":
            name = "read_carefully"
        plan = getattr(type(self), name).plan
        if not self._breaker.allows():
            return self._refused(name, args)
        try:
            if self.pending:
                if self.database and await sync_to_async(self.in_transaction, thread_sensitive=True)():
                    return self._refused(name, args)
                await self._adrive(self._deliver())
            result = await self._adrive(plan(self, *args))
        except Exception as error:
            return self._failed(name, args, error)
        self._breaker.succeeded()
        return result

    async def _adrive(self, plan: Plan[R]) -> R:
        cache = caches[self.alias]
        if _is_async(cache):
            return await arun(cache, plan)
        if not self._needs_thread(cache):  # memory only: nothing in it can block the event loop
            return run(cache, plan)
        # The thread has a backend object of its own.
        return await sync_to_async(lambda: run(self.cache, plan), thread_sensitive=True)()

    def _perform(self, name: str, plan: Callable[..., Plan[Any]], args: tuple[Any, ...]) -> Any:
        if not self._breaker.allows():
            return self._refused(name, args)
        try:
            cache = self.cache
            if self.pending and self.in_transaction():
                return self._refused(name, args)  # what is delivered here may be rolled back
            with self._savepoint():
                if self.pending:
                    run(cache, self._deliver())
                result = run(cache, plan(self, *args))
        except Exception as error:
            return self._failed(name, args, error)
        self._breaker.succeeded()
        return result

    def _savepoint(self) -> AbstractContextManager[Any]:
        """What goes wrong with a cache that is a table must not abort the caller's transaction."""
        return atomic(using=self.database) if self.in_transaction() else nullcontext()

    def _failed(self, name: str, args: tuple[Any, ...], error: Exception) -> Any:
        self._breaker.failed(error)
        return self._refused(name, args)

    def _refused(self, name: str, args: tuple[Any, ...]) -> Any:
        if name in {"invalidate", "reopen", "settle"}:
            self._keep(*args[:2])
        elif name == "forget":
            _, own, *functions = args
            self._keep([own], *functions)
        return self.FAILED.get(name, False)

    def _keep(self, scopes: Iterable[bytes], functions: Sequence[str] = ()) -> None:
        self.pending.keep(scopes, tuple(functions))

    @operation
    def deliver(self) -> Plan[bool]:
        """Delivers what is pending, as every operation does."""
        yield from ()
        return True

    def _deliver(self) -> Plan[None]:
        pending = self.pending.snapshot()
        yield from self._renew(list(pending))
        self.pending.delivered(pending)


def _is_async(cache: BaseCache) -> bool:
    """Whether the backend has an a-method of its own, on its class or on the object."""
    return any(
        name in vars(cache) or getattr(type(cache), name) is not getattr(BaseCache, name)
        for name in _ASYNC_METHODS
    )
