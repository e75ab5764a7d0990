"""What a change is going to invalidate, and what to rewarm afterwards."""

from collections.abc import Hashable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.db import connections

from cache_result import registry, transaction
from cache_result._core import tags_scope
from cache_result.conf import get_settings
from cache_result.exceptions import CloseError
from cache_result.invalidation.work import Invalidation, Job, Rewarm, hand_over
from cache_result.reports import logger, tell
from cache_result.signals import cache_invalidated
from cache_result.storage import Storage, get_storage
from cache_result.tags import Tag

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]


Arguments = dict[str, Any]
_writers = count(1)


def storages_of_functions() -> list[Storage]:
    """Those of all caches that functions store in, as far as this process knows: tags are common to them."""
    default = get_settings().CACHE
    named = {alias or default for alias in registry.used} or {default}
    # Tests have functions in caches that are gone from the settings.
    return [get_storage(alias) for alias in sorted(named) if alias == default or alias in caches.settings]


class Targets:
    """Scopes by wrapper, and what to do afterwards. Each once, however often it is named."""

    __slots__ = (
        *("_closed", "_committed", "_committing", "_named", "_owed", "_scopes", "_settle", "_tags"),
        *("_windows", "_work", "_writer"),
    )

    def __init__(self) -> None:
        self._writer = next(_writers)
        self._closed: dict[tuple[Any, int], set[bytes]] = {}
        """By cache and by the writer in whose name the scopes were closed, who has to open them."""
        self._settle: dict[bytes, float] = {}
        """Seconds for which scopes stay closed after the change."""
        self._committing: str | None = None
        """The database whose transaction is being committed."""
        self._committed: dict[Any, set[bytes]] = {}
        """By cache: scopes whose new generations are part of the transaction that is being committed."""
        self._owed: dict[Any, set[bytes]] = {}
        """By cache: scopes of another database's change, whose new generations were written inside of this
        transaction. They have to change whatever becomes of it."""
        self._scopes: dict[AnyWrapper, set[bytes]] = {}
        self._tags: dict[Any, dict[bytes, Tag]] = {}
        """By cache: tags by their scopes."""
        self._windows: dict[bytes, int] = {}
        """Of soft scopes: for how long (ms) what they make stale is of use."""
        self._work: dict[Hashable, Job] = {}
        self._named: dict[AnyWrapper, list[Arguments] | None] = {}
        """For those who listen: the arguments that the scopes stand for, None for all of a function's."""

    def aim(self, wrapper: "AnyWrapper", rule: "InvalidationRule", values: Arguments | None = None) -> None:
        """The calls that ``rule`` names by these values are to change; where it names none, all of the
        function's. And its tags."""
        if rule.tags:
            tags = list(rule.tags_of(values))
            for storage in storages_of_functions():
                self.add_tags(storage, tags, rule.settle)
            if not rule.field_mapping:
                return
            values = rule.mapped(values) if values else None
        scopes = wrapper._fired_scopes(values, rule.soft) if values else []
        named = scopes or [wrapper._function_scope(rule.soft)]
        if rule.soft:
            self._windows.update(dict.fromkeys(named, wrapper.window))
        self.add(wrapper, named, rule.settle)
        if cache_invalidated.has_listeners(wrapper):
            self._name(wrapper, [values] if values and scopes else None)

    def add(self, wrapper: "AnyWrapper", scopes: Iterable[bytes], settle: float = 0) -> None:
        """These scopes of ``wrapper`` are to change, and to stay closed for ``settle`` seconds after that."""
        named = self._scopes.setdefault(wrapper, set())
        scopes = set(scopes)
        named.update(scopes)
        if len(named) > get_settings().MAX_SCOPES_PER_TRANSACTION:
            settle = max(settle, *(self._settle.get(scope, 0) for scope in named))
            scopes = {wrapper._function_scope(soft) for soft in {scope in self._windows for scope in named}}
            self._windows.update(
                (scope, wrapper.window) for scope in scopes if scope != wrapper._function_scope()
            )
            named.clear()
            named.update(scopes)
        if settle:
            self._settle.update((scope, max(settle, self._settle.get(scope, 0))) for scope in scopes)

    def add_tags(self, storage: Any, tags: Iterable[Tag], settle: float = 0) -> None:
        """These tags are to change in a cache, and their entries to stay closed for ``settle`` seconds."""
        added = {tag.scope: tag for tag in tags}
        named = self._tags.setdefault(storage, {})
        named.update(added)
        if len(named) > get_settings().MAX_SCOPES_PER_TRANSACTION:
            settle = max(settle, *(self._settle.get(scope, 0) for scope in named))
            wider = [tag.wider for tag in named.values()]
            added = self._tags[storage] = {tag.scope: tag for tag in wider}
        if settle:
            # Who adds tags while a function runs knows by that scope alone that they are closed.
            for scope in (*added, tags_scope()):
                self._settle[scope] = max(settle, self._settle.get(scope, 0))

    def _name(self, wrapper: "AnyWrapper", arguments: list[Arguments] | None) -> None:
        named = self._named.setdefault(wrapper, [])
        if arguments is None or named is None or len(named) > get_settings().MAX_SCOPES_PER_TRANSACTION:
            self._named[wrapper] = None
        else:
            named.extend(each for each in arguments if each not in named)

    def add_rewarm(self, rewarm: Rewarm) -> None:
        """This call is to be refreshed afterwards, unless that would store nothing."""
        if not get_settings().ENABLED:
            return
        try:
            key = rewarm.wrapper.get_cache_key(**rewarm.arguments)
        except TypeError:
            return  # the values have no key, so no call has them
        except Exception:
            logger.exception("cache_result: %s", rewarm.what)
            return  # the code of a key field; it must not break a save
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
        self._windows.update(other._windows)
        for scope, seconds in other._settle.items():
            self._settle[scope] = max(seconds, self._settle.get(scope, 0))
        for wrapper, scopes in other._scopes.items():
            self.add(wrapper, scopes)
        for storage, tags in other._tags.items():
            self.add_tags(storage, tags.values())
        for wrapper, arguments in other._named.items():
            self._name(wrapper, arguments)
        for key, work in other._work.items():
            if isinstance(work, Invalidation):
                self.add_invalidation(work)
            else:
                self._work[key] = work
        for closing, scopes in other._closed.items():
            self._closed.setdefault(closing, set()).update(scopes)
        other._closed = {}
        for storage, scopes in other._owed.items():
            self._owed.setdefault(storage, set()).update(scopes)
        other._owed = {}

    def touch(self, scopes: Iterable[bytes]) -> bool:
        """Whether one of ``scopes`` is to change."""
        mine: Iterator[AbstractSet[bytes]] = chain(self._scopes.values(), map(dict.keys, self._tags.values()))
        return any(not each.isdisjoint(scopes) for each in mine)

    def __bool__(self) -> bool:
        return bool(self._scopes or self._tags or self._work)

    def close(self, committing: str | None = None) -> None:
        """Closes the scopes, just before the change becomes visible: one batch per cache. The new
        generations of a cache that is a table of the database ``committing`` become part of its
        transaction.

        :raises CloseError: when a cache could not be told, and ``ON_CLOSE_FAILURE`` says so; and when a
            database has ended the transaction because of that.
        """
        conf = get_settings()
        self._committing = committing
        if not conf.CLOSE_SCOPES:
            return
        # Everybody in one order, and that of the scopes is one as well: rows are locked from here on.
        for storage, scopes in sorted(self._batches().items(), key=lambda batch: batch[0].alias):
            if storage.in_transaction() and storage.database != committing:
                continue  # a mark would be seen, and go, with that transaction
            self._note(storage, scopes)
            if storage.in_transaction():
                if storage.renew_inside(sorted(scopes)):
                    self._committed.setdefault(storage, set()).update(scopes)
                    continue
                if connections[storage.database].needs_rollback:
                    raise CloseError(
                        f"cache_result: the database has ended the transaction, as the cache "
                        f"{storage.alias!r}, a table of it, was told of its changes"
                    )
            elif storage.close(sorted(scopes), self._writer):
                self._closed.setdefault((storage, self._writer), set()).update(scopes)
                continue
            message = f"the cache {storage.alias!r} could not be told of a change before its COMMIT"
            if conf.ON_CLOSE_FAILURE == "raise":
                raise CloseError(f"cache_result: {message}; ON_CLOSE_FAILURE = 'raise' stops it")
            logger.error("cache_result: %s; its readers may see older data until it is", message)

    def invalidate(self) -> bool:
        """Starts new generations, which open what is closed: one batch per cache. Returns whether something
        was written to a database."""
        batches, functions = self._batches(), self._functions()
        self._scopes.clear()
        self._tags.clear()
        self._owed = {}
        closed, self._closed = self._closed, {}
        for (storage, writer), scopes in closed.items():
            # In the same batch as what was added since.
            names = functions.get(storage, [])
            scopes = self._keep_closed(storage, scopes | batches.pop(storage, set()), names, writer)
            if scopes:
                storage.reopen(sorted(scopes), names, writer)
        committed, self._committed = self._committed, {}
        written = False
        for storage, scopes in batches.items():
            names = functions.get(storage, [])
            opening = self._keep_closed(storage, scopes, names, self._writer)
            left = sorted(opening - committed.get(storage, set()))
            written = written or (opening != scopes and storage.database is not None)
            if left:
                self._note(storage, left)
                storage.invalidate(left, names)
                written = written or storage.database is not None
                using = storage.database
                if using is not None and using != self._committing and storage.in_transaction():
                    # Part of the caller's other transaction, which may still be rolled back.
                    owed = Targets()
                    owed._owed[storage] = set(left)
                    transaction.record(using, owed)
        named, self._named = self._named, {}
        for wrapper, arguments in named.items():
            tell(cache_invalidated, wrapper, reason="rule", arguments=arguments)
        return written

    def _note(self, storage: Any, scopes: Iterable[bytes]) -> None:
        """Of soft ones among the scopes, since when what is stored under them is stale."""
        windows = {scope: self._windows[scope] for scope in sorted(scopes) if scope in self._windows}
        if windows:
            storage.remember(windows)

    def _keep_closed(
        self, storage: Any, scopes: set[bytes], functions: list[str], writer: int, longer: float = 0
    ) -> set[bytes]:
        """Keeps those closed that are to settle, and returns the others."""
        settling: dict[float, set[bytes]] = {}
        for scope in scopes & self._settle.keys():
            settling.setdefault(self._settle[scope] + longer, set()).add(scope)
        for seconds, some in settling.items():
            storage.settle(sorted(some), functions, writer, seconds)
        return scopes - self._settle.keys()

    def abandon(self) -> bool:
        """Nobody knows whether the change was committed: what is closed stays so until its time is over;
        the rest changes now. Returns what ``invalidate`` does."""
        functions = self._functions()
        for (storage, writer), scopes in self._closed.items():
            names = functions.get(storage, [])
            self._keep_closed(storage, scopes, names, writer, get_settings().CLOSE_TIMEOUT)
        closed, self._closed = {storage for storage, _ in self._closed}, {}
        for wrapper in list(self._scopes):
            if wrapper.storage in closed:
                del self._scopes[wrapper]
        self._tags = {storage: tags for storage, tags in self._tags.items() if storage not in closed}
        return self.invalidate()

    def release(self) -> None:
        """The change was not committed: opens what was closed for it."""
        self._named = {}
        self._committed = {}
        owed, self._owed = self._owed, {}
        for storage, scopes in owed.items():
            storage.owe(sorted(scopes))
        functions = self._functions()
        closed, self._closed = self._closed, {}
        for (storage, writer), scopes in closed.items():
            storage.reopen(sorted(scopes), functions.get(storage, []), writer)

    def _batches(self) -> dict[Any, set[bytes]]:
        batches: dict[Any, set[bytes]] = {}
        for wrapper, scopes in self._scopes.items():
            batches.setdefault(wrapper.storage, set()).update(scopes)
        for storage, tags in self._tags.items():
            batches.setdefault(storage, set()).update(tags, [tags_scope()])
        for storage, scopes in self._owed.items():
            batches.setdefault(storage, set()).update(scopes)
        return batches

    def _functions(self) -> dict[Any, list[str]]:
        """By cache: whose the scopes are, for people."""
        functions: dict[Any, list[str]] = {}
        for wrapper in self._scopes:
            functions.setdefault(wrapper.storage, []).append(wrapper.label)
        for storage, tags in self._tags.items():
            functions.setdefault(storage, []).extend(map(str, tags.values()))
        return functions

    def rewarm(self) -> None:
        """Has the calls refreshed and the custom invalidators run, wherever their rules say.

        :raises Exception: the first error that is to be raised, once everything is done.
        """
        work, self._work = self._work, {}
        hand_over(work.values())
