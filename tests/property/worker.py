"""Threads that do one thing at a time, when they are told to: each has a database connection of its own."""

import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connection, transaction

from tests.waiting import Outcome, Threads


class Worker:
    """`worker(function)` runs it in the worker's thread and waits, with a deadline, for its result."""

    def __init__(self, threads: Threads) -> None:
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], Outcome] | None] = queue.SimpleQueue()
        self.blocks: list[Any] = []
        self._ended = threads(self._work)

    def start(self, function: Callable[[], Any]) -> Outcome:
        outcome = Outcome()
        self._commands.put((function, outcome))
        return outcome

    def __call__(self, function: Callable[[], Any]) -> Any:
        return self.start(function).result()

    def end(self) -> None:
        self._commands.put(None)
        self._ended.result()

    def _work(self) -> None:
        while (command := self._commands.get()) is not None:
            function, outcome = command
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

    # Transactions, block by block.

    def enter(self, kind: str) -> None:
        """Enters a block: "atomic", "savepoint", or "manual", which can only be the outermost."""
        block = KINDS[kind]()
        block.enter()
        self.blocks.append(block)

    def leave(self, ending: str, committed: Callable[[], None] | None = None) -> None:
        """Leaves the innermost block, in one of its `endings`; ``committed`` is called right after the
        database has committed."""
        with ExitStack() as stack:
            if committed is not None:
                stack.enter_context(_calling(committed))
            self.blocks.pop().leave(ending)


@contextmanager
def _calling(committed: Callable[[], None]) -> Iterator[None]:
    original = connection._commit

    def commit() -> None:
        connection._commit = original
        original()
        committed()

    connection._commit = commit
    try:
        yield
    finally:
        connection._commit = original


class Ended(Exception):
    """What an atomic block is left with."""


class _Atomic:
    endings = ("commit", "error", "set_rollback", "error in a block without a savepoint")

    def enter(self) -> None:
        self._stack = ExitStack()
        self._stack.enter_context(transaction.atomic())

    def leave(self, ending: str) -> None:
        try:
            with self._stack:
                if ending == "set_rollback":
                    transaction.set_rollback(True)
                elif ending == "error":
                    raise Ended
                elif ending == "error in a block without a savepoint":
                    try:
                        with transaction.atomic(savepoint=False):
                            raise Ended
                    except Ended:
                        pass  # the outer block does not know, and is rolled back all the same
        except Ended:
            assert ending == "error"


class _Savepoint:
    endings = ("commit", "error")

    def enter(self) -> None:
        self._id = transaction.savepoint()

    def leave(self, ending: str) -> None:
        (transaction.savepoint_commit if ending == "commit" else transaction.savepoint_rollback)(self._id)


class _Manual:
    endings = ("commit", "error")

    def enter(self) -> None:
        transaction.set_autocommit(False)

    def leave(self, ending: str) -> None:
        (connection.commit if ending == "commit" else connection.rollback)()
        transaction.set_autocommit(True)


KINDS: dict[str, Any] = {"atomic": _Atomic, "savepoint": _Savepoint, "manual": _Manual}
