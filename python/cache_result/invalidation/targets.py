"""What a change is going to invalidate, and what to rewarm afterwards."""

from collections.abc import Hashable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from cache_result.conf import get_settings
from cache_result.exceptions import CloseError
from cache_result.invalidation.work import Invalidation, Job, Rewarm, hand_over
from cache_result.reports import logger

if TYPE_CHECKING:
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]


_writers = count(1)


class Targets:
    """Scopes by wrapper, and what to do afterwards. Each once, however often it is named."""

    __slots__ = ("_closed", "_scopes", "_work", "_writer")

    def __init__(self) -> None:
        self._writer = next(_writers)
        self._closed: dict[tuple[Any, int], set[bytes]] = {}
        """By cache and by the writer in whose name the scopes were closed, who has to open them."""
        self._scopes: dict[AnyWrapper, set[bytes]] = {}
        self._work: dict[Hashable, Job] = {}

    def add(self, wrapper: "AnyWrapper", scopes: Iterable[bytes]) -> None:
        """These scopes of ``wrapper`` are to change."""
        named = self._scopes.setdefault(wrapper, set())
        named.update(scopes)
        if len(named) > get_settings().MAX_SCOPES_PER_TRANSACTION:
            named.clear()
            named.add(wrapper._function_scope())

    def add_rewarm(self, rewarm: Rewarm) -> None:
        """This call is to be refreshed afterwards."""
        try:
            key = rewarm.wrapper.get_cache_key(**rewarm.arguments)
        except TypeError:
            return  # the values have no key, so no call has them
        self._work[rewarm.wrapper._alias, key] = rewarm

    def add_invalidation(self, work: Invalidation) -> None:
        """This custom invalidator is to run afterwards."""
        before = self._work.get(work.key)
        self._work[work.key] = before.joined(work) if isinstance(before, Invalidation) else work

    def rolled_back(self, savepoint: str) -> None:
        """What was done since the savepoint has not happened. Scopes may change all the same."""
        for key, work in list(self._work.items()):
            if isinstance(work, Invalidation) and savepoint in work.savepoints:
                del self._work[key]

    def merge(self, other: "Targets") -> None:
        """Takes over what ``other`` has."""
        for wrapper, scopes in other._scopes.items():
            self.add(wrapper, scopes)
        for key, work in other._work.items():
            if isinstance(work, Invalidation):
                self.add_invalidation(work)
            else:
                self._work[key] = work
        for closing, scopes in other._closed.items():
            self._closed.setdefault(closing, set()).update(scopes)
        other._closed = {}

    def touch(self, scopes: Iterable[bytes]) -> bool:
        """Whether one of ``scopes`` is to change."""
        return any(not mine.isdisjoint(scopes) for mine in self._scopes.values())

    def __bool__(self) -> bool:
        return bool(self._scopes or self._work)

    def close(self) -> None:
        """Closes the scopes, just before the change becomes visible: one batch per cache.

        :raises CloseError: when a cache could not be told, and ``ON_CLOSE_FAILURE`` says so.
        """
        conf = get_settings()
        if not conf.CLOSE_SCOPES:
            return
        for storage, scopes in self._batches().items():
            if storage.database is not None:
                continue  # its tokens commit with the data, or right after it
            if storage.close(sorted(scopes), self._writer):
                self._closed.setdefault((storage, self._writer), set()).update(scopes)
                continue
            message = f"the cache {storage.alias!r} could not be told of a change before its COMMIT"
            if conf.ON_CLOSE_FAILURE == "raise":
                raise CloseError(f"cache_result: {message}; ON_CLOSE_FAILURE = 'raise' stops it")
            logger.error("cache_result: %s; its readers may see older data until it is", message)

    def invalidate(self) -> bool:
        """Starts new generations, which open what is closed: one batch per cache. Returns whether one of
        them is a database."""
        batches = self._batches()
        self._scopes.clear()
        closed, self._closed = self._closed, {}
        for (storage, writer), scopes in closed.items():
            # In the same batch as what was added since.
            storage.reopen(sorted(scopes | batches.pop(storage, set())), writer)
        for storage, scopes in batches.items():
            storage.invalidate(sorted(scopes))
        return any(storage.database is not None for storage in batches)

    def abandon(self) -> bool:
        """Nobody knows whether the change was committed: what is closed stays so until its time is over;
        the rest changes now. Returns what ``invalidate`` does."""
        closed, self._closed = {storage for storage, _ in self._closed}, {}
        for wrapper in list(self._scopes):
            if wrapper.storage in closed:
                del self._scopes[wrapper]
        return self.invalidate()

    def release(self) -> None:
        """The change was not committed: opens what was closed for it."""
        closed, self._closed = self._closed, {}
        for (storage, writer), scopes in closed.items():
            storage.reopen(sorted(scopes), writer)

    def _batches(self) -> dict[Any, set[bytes]]:
        batches: dict[Any, set[bytes]] = {}
        for wrapper, scopes in self._scopes.items():
            batches.setdefault(wrapper.storage, set()).update(scopes)
        return batches

    def rewarm(self) -> None:
        """Has the calls refreshed and the custom invalidators run, wherever their rules say.

        :raises Exception: the first error that is to be raised, once everything is done.
        """
        work, self._work = self._work, {}
        hand_over(work.values())
