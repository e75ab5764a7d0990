"""Finds entries in caches that can list their keys. A maintenance command: no call does this."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.db import connections, router

from cache_result import _core
from cache_result.backends import MemoryCache
from cache_result.plans import UNREADABLE

_BATCH = 500
_VERSION = re.compile(r"v(-?\d+):")


def delete_previous_versions(
    cache: BaseCache, head: str, namespace: str, function_id: str, version: int
) -> int:
    """Deletes a function's entries of smaller versions; returns how many.

    :param head: what the function's keys start with. Others' may start alike, so each entry is read:
        its header says which function and version wrote it.
    """
    if isinstance(cache, MemoryCache) and cache.is_plain:
        return cache.memory.delete_versions_before(namespace, function_id, version)
    deleted = 0
    found = _keys_beginning_with(cache, head)
    while keys := list(islice(found, _BATCH)):
        old = []
        for key, entry in _read(cache, keys).items():
            shown = _VERSION.match(key, len(head))
            versions = {1, int(shown[1]) if shown else 1}
            origins = {_core.origin_of(namespace, function_id, v) for v in versions if v < version}
            if _core.entry_origin(entry) in origins:
                old.append(key)
        cache.delete_many(old)
        deleted += len(old)
    return deleted


def _read(cache: BaseCache, keys: list[str]) -> dict[str, Any]:
    try:
        return cache.get_many(keys)
    except UNREADABLE:
        found = {}
        for key in keys:
            try:
                found[key] = cache.get(key)
            except UNREADABLE:  # somebody else's
                continue
        return found


def _keys_beginning_with(cache: BaseCache, head: str) -> Iterator[str]:
    """Keys as the cache's methods take them; none where the cache cannot list its keys."""
    made = cache.make_key(head)
    if cache.make_key(f"{head}x") != f"{made}x":  # a KEY_FUNCTION that hashes
        return
    for key in _stored_keys(cache, made):
        if key.startswith(made):
            yield head + key[len(made) :]


def _stored_keys(cache: Any, made: str) -> Iterator[str]:
    if isinstance(cache, LocMemCache):
        with cache._lock:  # type: ignore[attr-defined]
            keys = list(cache._cache)  # type: ignore[attr-defined]
        yield from keys
    elif isinstance(cache, MemoryCache):
        yield from cache.memory.texts_beginning_with(made)
    elif isinstance(cache, RedisCache):
        yield from _scan(cache._cache.get_client(None, write=False), made)
    elif hasattr(cache, "iter_keys"):  # django-redis, whose own method splits keys at colons
        yield from _scan(cache.client.get_client(write=False), made)
    elif isinstance(cache, DatabaseCache):
        connection: Any = connections[router.db_for_read(cache.cache_model_class)]
        table = connection.ops.quote_name(cache._table)  # type: ignore[attr-defined]
        pattern = connection.ops.prep_for_like_query(made) + "%"
        like = connection.operators["startswith"]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT cache_key FROM {table} WHERE cache_key {like}", [pattern])
            yield from [row[0] for row in cursor.fetchall()]


def _scan(client: Any, made: str) -> Iterator[str]:
    for key in client.scan_iter(match=f"{_escape(made)}*", count=_BATCH):
        yield key.decode()


def _escape(text: str) -> str:
    """Text in which a pattern of Redis finds nothing special."""
    return re.sub(r"([*?\[\]^\\-])", r"\\\1", text)
