"""Invalidation of tags by hand."""

from asgiref.sync import sync_to_async
from django.db import connections

from cache_result import transaction
from cache_result._core import tags_scope
from cache_result.invalidation.targets import Targets, storages_of_functions
from cache_result.storage import Storage, get_storage
from cache_result.tags import Tag, check_tag


def invalidate_tags(*tags: str, cache: str | None = None) -> None:
    """Invalidates every entry that has one of these tags, of any function, by one batch of writes per cache.

    At once; and inside a transaction once more when it commits, as what it changes is not visible before.
    The signal ``cache_invalidated`` is not sent: nobody knows whose entries they are.

    :param cache: alias in ``CACHES`` whose entries are meant; by default those of every cache that functions
        of this project store in.
    :raises TypeError: for anything but text.
    :raises ValueError: for an empty or too long one.
    :raises ImproperlyConfigured: when there is no such cache.
    """
    found = _read(tags)
    if found:
        storages = _storages(cache)
        _at_commit(storages, found)
        for storage in storages:
            storage.invalidate(_scopes(found), tuple(map(str, found)))


async def ainvalidate_tags(*tags: str, cache: str | None = None) -> None:
    """Asyncio twin of :func:`invalidate_tags`."""
    found = _read(tags)
    if found:
        storages = _storages(cache)
        # Transactions belong to that thread.
        await sync_to_async(_at_commit, thread_sensitive=True)(storages, found)
        for storage in storages:
            await storage.aperform("invalidate", _scopes(found), tuple(map(str, found)))


def _read(tags: tuple[str, ...]) -> list[Tag]:
    return [Tag(text) for text in dict.fromkeys(map(check_tag, tags))]


def _storages(alias: str | None) -> list[Storage]:
    return storages_of_functions() if alias is None else [get_storage(alias)]


def _scopes(tags: list[Tag]) -> list[bytes]:
    return [tags_scope(), *(tag.scope for tag in tags)]


def _at_commit(storages: list[Storage], tags: list[Tag]) -> None:
    for connection in connections.all(initialized_only=True):
        if transaction.in_transaction(connection):
            targets = Targets()
            for storage in storages:
                targets.add_tags(storage, tags)
            with transaction.undiverted():
                transaction.record(connection.alias, targets)
