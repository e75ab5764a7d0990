"""Blocks of code whose changes invalidate nothing, or only at their end."""

from collections.abc import Iterable
from contextvars import Token
from threading import Lock
from typing import Any, Self

from asgiref.sync import sync_to_async

from cache_result import transaction
from cache_result.context import Block
from cache_result.forks import renewed
from cache_result.invalidation.targets import Targets


class _Block(Block):
    drops = True
    """Whether it takes what is changed inside, and not only what is committed."""

    def __init__(self) -> None:
        self._entered: list[Token[Any]] = []

    def take(self, using: str, targets: Targets) -> None:
        """These targets of a change on the database ``using`` would be invalidated now."""

    def touch(self, scopes: Iterable[bytes]) -> bool:
        """Whether one of ``scopes`` will be invalidated."""
        return False

    def deliver(self) -> None:
        """The block is over."""

    def __enter__(self) -> Self:
        self._entered.append(transaction.divert(self))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            transaction.undivert(self._entered.pop())
        finally:
            self.deliver()

    async def __aexit__(self, *error: object) -> None:
        try:
            transaction.undivert(self._entered.pop())
        finally:
            await sync_to_async(self.deliver, thread_sensitive=True)()


class no_invalidation(_Block):
    """Changes made inside fire no rule: for imports and migrations of data that end with
    ``invalidate_for()`` or ``invalidate_all()``, and for changes that no cached function shows.

        with no_invalidation():
            ...

    Until then readers get what was cached before. What is invalidated by hand inside is invalidated.
    Also ``async with``, and a decorator of plain and async functions.
    """


class invalidation_deferred(_Block):
    """Changes made inside are invalidated together when the block ends, also by an exception: each scope
    once, and each call rewarmed once, however often it was named.

        with invalidation_deferred():
            for row in rows:
                row.save()

    Calls of those scopes inside the block run their function; elsewhere readers may get what was cached
    before until it ends. Ends inside a transaction with that transaction's commit. Also ``async with``,
    and a decorator of plain and async functions.
    """

    drops = False

    def __init__(self) -> None:
        super().__init__()
        self._taken: dict[str, Targets] = {}
        self._lock = renewed(Lock())

    def take(self, using: str, targets: Targets) -> None:
        """Keeps the targets for the end."""
        with self._lock:
            self._taken.setdefault(using, Targets()).merge(targets)

    def touch(self, scopes: Iterable[bytes]) -> bool:
        """Whether one of ``scopes`` will be invalidated."""
        with self._lock:
            return any(targets.touch(scopes) for targets in self._taken.values())

    def deliver(self) -> None:
        """Invalidates what was taken, unless a block outside takes it."""
        if self._entered:
            return  # entered twice
        with self._lock:
            taken, self._taken = self._taken, {}
        errors = []
        for using, targets in taken.items():
            try:
                transaction.record(using, targets)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
