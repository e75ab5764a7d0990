"""``MemoryCache``: a Django cache in this process, kept in Rust."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, default_key_func
from django.core.exceptions import ImproperlyConfigured

from cache_result import _core
from cache_result.backends.host import host_index_path
from cache_result.forks import with_renewed_properties

_MEBIBYTE = 1024 * 1024
_LEAST_BYTES = 4096
"""Room for one entry of 3 KB with the longest of keys, which takes 700 bytes more. Who gives less has counted
in another unit than bytes."""
_OPTIONS = {"MAX_BYTES", "MAX_ENTRIES", "HOST_INDEX", "CULL_FREQUENCY"}
_CONFIGURATION = {"key_func", "key_prefix", "version", "default_timeout"}
_OF_KEYS = ("make_key", "validate_key", "make_and_validate_key")
_OF_VALUES = ("get", "get_many", "set", "set_many", "add", "delete", "delete_many")

_stores: dict[tuple[Any, ...], _core.MemoryStore] = {}
_configured: dict[str, tuple[Any, Mapping[str, Any]]] = {}


@with_renewed_properties
class MemoryCache(BaseCache):
    """A cache of this process, bounded by bytes.

    ``LOCATION`` names the store: caches of one name and the same options share it. ``OPTIONS``:

    - ``MAX_BYTES``: what entries may take, 64 MiB unless given, and at least 4096. The coldest are evicted
      first; a value of more than a quarter of it is not stored, and the one that it was to replace is gone.
    - ``MAX_ENTRIES``: how many there may be, no limit of its own unless given.
    - ``HOST_INDEX``: ``True``, or the path of a file: processes of this host that name the same one see each
      other's invalidations of cached functions at their next call. Values stay in each process.

    What a caller gets is his own: to change it changes nothing here. Values of built-in types are copied
    without pickling; anything else has to be picklable.
    """

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._name = name
        self._options: Mapping[str, Any] = params.get("OPTIONS", {})

    @cached_property
    def store(self) -> _core.MemoryStore:
        """What caches of this LOCATION share: ``len(cache.store)`` entries of ``cache.store.weight`` bytes.

        It is opened at the first use, so that `manage.py check` can say what is wrong with the options:
        Django's own checks make every cache.

        :raises ImproperlyConfigured: for options that do not suit, and a host index that cannot be used.
        """
        options = store_options(self._name, self._options)
        _refuse_two_sizes(self._name, self._options)
        return _store_of(self._name, self._options.get("HOST_INDEX"), *options)

    @property
    def host_index(self) -> Path | None:
        """The file of ``HOST_INDEX``, which need not be there, for the user of this process; None: it has
        none."""
        *_, path = store_options(self._name, self._options)
        return path

    @property
    def is_plain(self) -> bool:
        """Whether nobody but this class has a say in keys and values, so that wrappers need not ask it."""
        return self._has_usual_keys() and _inherits(self, MemoryCache, _OF_VALUES)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _CONFIGURATION:
            self.__dict__.pop("memory", None)

    @cached_property
    def memory(self) -> _core.Memory:
        """The store as this cache sees it."""
        # Keys are made and checked in Rust, unless somebody has a say in it.
        usual = self._has_usual_keys()
        function = cast(Any, self.key_func)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return _core.Memory(
            self.store,
            str(self.key_prefix),
            self.version,
            self.default_timeout,
            "" if usual else f"{function.__module__}.{name}",
            self.validate_key,
            None if usual else self.make_and_validate_key,
        )

    def _has_usual_keys(self) -> bool:
        return self.key_func is default_key_func and _inherits(self, BaseCache, _OF_KEYS)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self.memory.get(key, default, version)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self.memory.set(key, value, timeout, version)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self.memory.add(key, value, timeout, version)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self.memory.touch(key, timeout, version)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self.memory.delete(key, version)

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self.memory.has_key(key, version)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return cast(int, self.memory.incr(key, delta, version))

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        return self.memory.get_many(keys, version)

    def clear(self) -> None:
        """Deletes every entry of the store, as ``LocMemCache`` does."""
        self.memory.clear()

    # For asyncio: nothing here waits, so nothing needs a thread.

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self.get(key, default, version)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self.set(key, value, timeout, version)

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return self.add(key, value, timeout, version)

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self.touch(key, timeout, version)

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return self.delete(key, version)

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return self.has_key(key, version)

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.incr(key, delta, version)

    async def adecr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.decr(key, delta, version)

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.incr_version(key, delta, version)

    async def adecr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self.decr_version(key, delta, version)

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        return self.get_many(keys, version)

    async def aset_many(
        self, data: dict[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        return self.set_many(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self.delete_many(keys, version)

    async def aclear(self) -> None:
        self.clear()

    async def aclose(self, **kwargs: Any) -> None:
        self.close(**kwargs)


def store_options(name: Any, options: Mapping[str, Any]) -> tuple[int, int | None, Path | None]:
    """What the ``OPTIONS`` of the store ``name`` say, with defaults: bytes, entries, the host index.

    :raises ImproperlyConfigured: for a name that is no text, an unknown option or an unsuitable value.
    """
    if not isinstance(name, str):
        raise ImproperlyConfigured(
            f"cache_result: LOCATION of a MemoryCache is {name!r}; give a text, which names the store, "
            "or leave it out"
        )
    for option in options:
        if option not in _OPTIONS:
            raise ImproperlyConfigured(
                f"cache_result: MemoryCache has no option {option!r}; "
                f"it takes {', '.join(sorted(_OPTIONS - {'CULL_FREQUENCY'}))}"
            )
    return (
        _whole(options, "MAX_BYTES", _LEAST_BYTES) or 64 * _MEBIBYTE,
        _whole(options, "MAX_ENTRIES"),
        host_index_path(options.get("HOST_INDEX"), name),
    )


def _store_of(
    name: str, given: Any, max_bytes: int, max_entries: int | None, path: Path | None
) -> _core.MemoryStore:
    """The store of a LOCATION and these options, made by whoever comes first.

    It is known by the ``HOST_INDEX`` as ``given``: the path that ``True`` stands for is another after a
    change of the user, as of a server that loads the project before it becomes that of its workers; and
    none once a test environment is set up, which is late where a test runner of the project's own does it.
    """
    key = (name, max_bytes, max_entries, given)
    known = _stores.get(key)
    if known is None:
        try:
            # Who has become another user goes on with the file of that one.
            store = _core.MemoryStore(max_bytes, max_entries, path, given is True)
            known = _stores.setdefault(key, store)
        except OSError as error:
            raise ImproperlyConfigured(f"cache_result: HOST_INDEX of a MemoryCache: {error}") from error
    return known


def _inherits(cache: MemoryCache, base: type, methods: Iterable[str]) -> bool:
    return all(getattr(type(cache), method) is getattr(base, method) for method in methods)


def _refuse_two_sizes(name: str, options: Mapping[str, Any]) -> None:
    """Who shares a store has to agree on its options; other settings may have others."""
    settings, known = _configured.setdefault(name, (caches.settings, options))
    if known == options:
        return
    if settings is caches.settings:
        raise ImproperlyConfigured(
            f"cache_result: MemoryCaches of LOCATION {name!r} share a store, but have the OPTIONS {known!r} "
            f"and {options!r}; give them the same ones, or another LOCATION"
        )
    _configured[name] = (caches.settings, options)


def _whole(options: Mapping[str, Any], name: str, least: int = 1) -> int | None:
    value = options.get(name)
    if value is None or (type(value) is int and least <= value < 2**64):
        return value
    raise ImproperlyConfigured(
        f"cache_result: OPTIONS[{name!r}] of a MemoryCache is {value!r}; "
        f"give a whole number{' of bytes' if name == 'MAX_BYTES' else ''} from {least}"
    )
