"""The storage of each cache alias."""

from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache, InvalidCacheBackendError
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cache_result import _core
from cache_result.backends import MemoryCache
from cache_result.conf import get_settings
from cache_result.plans import is_redis
from cache_result.storage.local import LocalStorage, MemoryStorage
from cache_result.storage.redis import RedisStorage
from cache_result.storage.shared import Storage

_storages: dict[str, tuple[Any, Storage]] = {}


def get_storage(alias: str) -> Storage:
    """The storage of a cache alias.

    :raises ImproperlyConfigured: when ``CACHES`` has no such alias.
    """
    try:
        cache = caches[alias]
    except InvalidCacheBackendError as error:
        raise ImproperlyConfigured(
            f"cache_result: there is no cache {alias!r} in CACHES; "
            f'name one of {", ".join(sorted(caches.settings))} with cache= or CACHE_RESULT["CACHE"]'
        ) from error
    # The configuration that it was made from, to notice override_settings.
    stamp = (caches.settings, get_settings())
    known = _storages.get(alias)
    if known is None or known[0] != stamp:
        known = _storages[alias] = (stamp, _make(alias, cache))
    return known[1]


def forget(*, keep_entries: bool) -> None:
    """A test is over: what went wrong with a cache does not concern the next one, nor do bytes in memory."""
    for alias, (_, storage) in list(_storages.items()):
        if storage.is_in_trouble:
            storage.pending.drop()
            del _storages[alias]
        if not keep_entries:
            storage.sweep()


def _make(alias: str, cache: BaseCache) -> Storage:
    if isinstance(cache, MemoryCache):
        return MemoryStorage(alias, cache)
    if isinstance(cache, LocMemCache | DummyCache):
        return LocalStorage(alias, cache)
    return RedisStorage(alias) if is_redis(cache) else Storage(alias)


def _reconfigured(*, setting: str, **kwargs: Any) -> None:
    if setting in {"CACHE_RESULT", "CACHES"}:
        _core.reconfigured()


setting_changed.connect(_reconfigured, dispatch_uid="cache_result.storage")
