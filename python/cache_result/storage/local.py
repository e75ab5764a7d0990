"""A cache of one process, whose generations are in a Rust index."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache

from cache_result import _core, worlds
from cache_result.backends import MemoryCache
from cache_result.plans import Plan, operation
from cache_result.reports import logger
from cache_result.storage.shared import Storage

_UNCLEARED = "cr:uncleared"
_indexes: dict[tuple[Any, ...], _core.Index] = {}


class LocalStorage(Storage):
    """A cache of this process alone: generations live in a Rust index beside it."""

    shared: ClassVar[bool] = False

    def __init__(self, alias: str, cache: BaseCache) -> None:
        super().__init__(alias)
        self.generations: _core.Index | _core.Memory = _index_of(cache, alias)
        self.index = self.generations
        # All LocMem objects of one LOCATION are views of one store.
        self.get_entry = cache.get
        self._of_tests: set[str] = set()

    def _read_alone(self, key: str) -> Plan[Any]:
        try:
            return (yield "get", key)
        except Exception:  # nothing can be down here: the value does not load
            yield "delete", key
            return None

    @operation
    def enter(self) -> Plan[Any]:
        """What says that the store was not cleared: to be given to ``store`` after the fill."""
        mark = yield "get", _UNCLEARED
        if mark is None:
            mark = _core.fresh_token()
            yield "add", _UNCLEARED, mark, None
            mark = yield "get", _UNCLEARED
        return mark

    @operation
    def store(  # type: ignore[override] # the core gives what belongs to the kind of storage
        self, key: str, entry: tuple[bytes, Any], timeout: float | None, mark: Any, own: bytes
    ) -> Plan[bool]:
        """Stores header and value, unless the store was cleared during the fill. LocMem copies by
        pickling, so the value needs no pickle of ours inside."""
        if mark is None or (yield "get", _UNCLEARED) != mark:
            return False
        yield "set", key, entry, timeout
        if worlds.current() != worlds.REAL:
            self._of_tests.add(key)
        if (yield "get", _UNCLEARED) == mark:
            return True
        self.invalidate([own])
        return False

    def sweep(self) -> None:
        """Deletes the entries of tests, which would take the room of what others keep here."""
        keys, self._of_tests = self._of_tests, set()
        with suppress(Exception):  # a test may have made its cache fail
            self.cache.delete_many(list(keys))

    def forget(self, key: str, own: bytes, functions: Sequence[str] = ()) -> bool:
        """Starts a new generation of the entry's own scope, and deletes its bytes."""
        self.invalidate([own])
        return self.delete([key])

    def invalidate(self, scopes: Sequence[bytes], functions: Sequence[str] = ()) -> bool:
        """Starts a new generation of each scope."""
        self.generations.renew(list(scopes))
        return True

    def remember(self, windows: Mapping[bytes, int]) -> bool:
        """Notes which generations soft scopes are in, before they change."""
        self.generations.remember(list(windows.items()))
        return True

    def close(self, scopes: Sequence[bytes], writer: int) -> bool:
        """Closes scopes until the writer opens them or counts as dead."""
        self.generations.close(list(scopes), writer, self._close_timeout)
        return True

    def reopen(self, scopes: Sequence[bytes], functions: Sequence[str], writer: int) -> bool:
        """Opens scopes that this writer has closed; others may still have them closed."""
        self.generations.open(list(scopes), writer)
        return True

    def settle(self, scopes: Sequence[bytes], functions: Sequence[str], writer: int, seconds: float) -> bool:
        """Keeps scopes closed for some seconds; then they are in a new generation."""
        self.generations.open(list(scopes), writer)
        self.generations.close(list(scopes), writer, seconds)
        return True

    async def aperform(self, name: str, *args: Any) -> Any:
        """The operation ``name`` through Django's async cache API."""
        if name == "invalidate":
            return self.invalidate(*args)
        if name == "forget":
            key, own, *_ = args
            self.invalidate([own])
            return await super().aperform("delete", [key])
        return await super().aperform(name, *args)


def _index_of(cache: BaseCache, alias: str) -> _core.Index | _core.Memory:
    """One index per store: aliases that name the same LocMem store share it."""
    if isinstance(cache, MemoryCache):
        return cache.memory
    store = id(getattr(cache, "_cache", None)) if isinstance(cache, LocMemCache) else alias
    identity = (store, cache.key_prefix, cache.version, cache.key_func)
    if identity not in _indexes:
        # Each entry has a scope of its own, and others besides.
        entries = getattr(cache, "_max_entries", 0)
        _indexes[identity] = _core.Index(min(max(65_536, 4 * entries), 2**24))
    return _indexes[identity]


class MemoryStorage(LocalStorage):
    """Our own store. Calls go to it in Rust; this is for what changes generations."""

    def __init__(self, alias: str, cache: MemoryCache) -> None:
        super().__init__(alias, cache)
        self._memory = cache.memory
        if cache.is_plain:
            self.get_entry = None  # the core asks its own store
        self._trouble: str | None = None

    def invalidate(self, scopes: Sequence[bytes], functions: Sequence[str] = ()) -> bool:
        """Starts a new generation of each scope."""
        done = super().invalidate(scopes)
        self.look_at_index()
        return done

    def look_at_index(self) -> None:
        """Logs when the file of ``HOST_INDEX`` gets out of reach, and when it is back. The core calls this
        too."""
        before, self._trouble = self._trouble, self._memory.trouble
        if self._trouble is not None and before is None:
            logger.warning(
                "cache_result: the cache %r has lost the file of its HOST_INDEX and stores nothing until it "
                "is back: %s",
                self.alias,
                self._trouble,
            )
        elif self._trouble is None and before is not None:
            logger.info("cache_result: the HOST_INDEX of the cache %r is back", self.alias)
