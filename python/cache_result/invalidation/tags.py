"""Invalidation of tags by hand."""

from asgiref.sync import sync_to_async
from django.db import connections

from cache_result import transaction
from cache_result._core import tags_scope
from cache_result.conf import get_settings
from cache_result.invalidation.targets import Targets
from cache_result.storage import Storage, get_storage
from cache_result.tags import Tag, check_tag


def invalidate_tags(*tags: str, cache: str | None = None) -> None:
    """Invalidates every entry that has one of these tags, of any function, by one batch of writes.

    At once; and inside a transaction once more when it commits, as what it changes is not visible before.
    The signal ``cache_invalidated`` is not sent: nobody knows whose entries they are.

    :param cache: alias in ``CACHES`` whose entries are meant; by default ``CACHE_RESULT["CACHE"]``.
    :raises TypeError: for anything but text.
    :raises ValueError: for an empty or too long one.
    :raises ImproperlyConfigured: when there is no such cache.
    """
    found = _read(tags)
    if found:
        storage = _storage(cache)
        _at_commit(storage, found)
        storage.invalidate(_scopes(found), tuple(map(str, found)))


async def ainvalidate_tags(*tags: str, cache: str | None = None) -> None:
    """Asyncio twin of :func:`invalidate_tags`."""
    found = _read(tags)
    if found:
        storage = _storage(cache)
        # Transactions belong to that thread.
        await sync_to_async(_at_commit, thread_sensitive=True)(storage, found)
        await storage.aperform("invalidate", _scopes(found), tuple(map(str, found)))


def _read(tags: tuple[str, ...]) -> list[Tag]:
    return [Tag(text) for text in dict.fromkeys(map(check_tag, tags))]


def _storage(alias: str | None) -> Storage:
    return get_storage(alias or get_settings().CACHE)


def _scopes(tags: list[Tag]) -> list[bytes]:
    return [tags_scope(), *(tag.scope for tag in tags)]


def _at_commit(storage: Storage, tags: list[Tag]) -> None:
    for connection in connections.all(initialized_only=True):
        if transaction.in_transaction(connection):
            targets = Targets()
            targets.add_tags(storage, tags)
            with transaction.undiverted():
                transaction.record(connection.alias, targets)
