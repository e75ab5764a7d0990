"""Open transactions: what they have written, and what is to be invalidated when they commit.

The state of a transaction hangs on its connection object and on a context variable, so that code
behind ``async_to_sync`` and ``sync_to_async`` sees the same one. Its end is noticed by wrapping
``commit``, ``rollback``, ``close`` and ``set_autocommit`` of that connection *object*, once, when it
first writes inside a transaction; no class is touched. Delivery does not ride on ``on_commit``
callbacks, because one that raises drops those behind it.
"""

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from threading import Lock
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_result import _core
from cache_result.invalidation.targets import Targets

_ATTRIBUTE = "_cache_result_transaction"
_WRAPPED = "_cache_result_wrapped"

_READS = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*\(*\s*(?:SELECT\b(?!.*\bINTO\b)|SAVEPOINT\b|RELEASE\b|ROLLBACK\b|BEGIN\b|COMMIT\b"
    r"|START\b|SET\b|SHOW\b|EXPLAIN\b|PRAGMA\b|DECLARE\b|FETCH\b|CLOSE\b|VALUES\b"
    r"|WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b))",
    re.IGNORECASE | re.DOTALL,
)


class Transaction:
    """One open transaction of one connection, from its first write on."""

    __slots__ = ("connection", "dirty", "over", "targets")

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection: BaseDatabaseWrapper | None = connection
        self.dirty = False
        self.over = False
        self.targets = Targets()


_open: set[Transaction] = set()
_lock = Lock()
_seen: ContextVar[tuple[Transaction, ...]] = ContextVar("cache_result_transactions", default=())


def watch_writes(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute wrapper of every connection: notes that a transaction has written."""
    connection = context["connection"]
    if in_transaction(connection) and is_write(sql):
        _begin(connection).dirty = True
    return execute(sql, params, many, context)


def is_write(sql: Any) -> bool:
    """Whether a statement may change data; what is not surely a read counts as a write."""
    if isinstance(sql, bytes):
        sql = sql.decode(errors="replace")
    return not (isinstance(sql, str) and _READS.match(sql))


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether ``connection`` is inside a transaction of the user's, Django's TestCase aside."""
    if connection.in_atomic_block:
        blocks: Iterable[Any] = connection.atomic_blocks
        return any(not getattr(block, "_from_testcase", False) for block in blocks)
    return connection.connection is not None and not connection.autocommit


def install(connection: BaseDatabaseWrapper) -> None:
    """Has the writes of ``connection`` watched."""
    if watch_writes not in connection.execute_wrappers:
        # In front: a context manager that added one is about to pop the last.
        connection.execute_wrappers.insert(0, watch_writes)


def record(using: str, targets: Targets) -> None:
    """Invalidates ``targets`` when the transaction on the database ``using`` commits, or now."""
    _settle()
    connection = connections[using]
    if in_transaction(connection):
        _begin(connection).targets.merge(targets)
    else:
        targets.invalidate()
        targets.rewarm()


def is_dirty() -> bool:
    """Whether an open transaction of the caller has written."""
    _settle()
    return any(transaction.dirty for transaction in _visible())


def is_touched(scopes: list[bytes]) -> bool:
    """Whether an open transaction of the caller is going to invalidate one of ``scopes``."""
    _settle()
    return any(transaction.targets.touch(scopes) for transaction in _visible())


def _visible() -> list[Transaction]:
    """Open transactions of this thread's connections and of this context."""
    found = {transaction for transaction in _seen.get() if not transaction.over}
    for connection in connections.all(initialized_only=True):
        transaction = getattr(connection, _ATTRIBUTE, None)
        if transaction is not None and not transaction.over:
            found.add(transaction)
    return list(found)


def _settle() -> None:
    """Ends transactions whose end nobody told: those inside a TestCase's own."""
    for transaction in _visible():
        connection = transaction.connection
        if connection is not None and not in_transaction(connection):
            _end(connection, committed=True)
            _rewarm(connection)


def _begin(connection: BaseDatabaseWrapper) -> Transaction:
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is None or transaction.over:
        _wrap(connection)
        transaction = Transaction(connection)
        setattr(connection, _ATTRIBUTE, transaction)
        with _lock:
            _open.add(transaction)
            _core.set_open_transactions(len(_open))
    seen = _seen.get()
    if transaction not in seen:
        _seen.set((*(other for other in seen if not other.over), transaction))
    return transaction


def _end(connection: BaseDatabaseWrapper, *, committed: bool) -> None:
    """The transaction on ``connection`` is over; its targets change their generations if it may
    have been committed."""
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is None or transaction.over:
        return
    transaction.over = True
    transaction.connection = None
    with _lock:
        _open.discard(transaction)
        _core.set_open_transactions(len(_open))
    if committed:
        transaction.targets.invalidate()
    else:
        transaction.targets = Targets()


def _rewarm(connection: BaseDatabaseWrapper) -> None:
    """Runs what the last transaction left to rewarm, now that the connection is in autocommit mode."""
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is not None and transaction.over:
        setattr(connection, _ATTRIBUTE, None)
        transaction.targets.rewarm()


def _wrap(connection: BaseDatabaseWrapper) -> None:
    """Has the end of each transaction of this connection object noticed."""
    if getattr(connection, _WRAPPED, False):
        return
    setattr(connection, _WRAPPED, True)
    commit, rollback, close = connection.commit, connection.rollback, connection.close
    set_autocommit = connection.set_autocommit

    def watched_commit() -> None:
        try:
            commit()
        finally:
            # A COMMIT that raised may have happened all the same.
            _end(connection, committed=True)

    def watched_rollback() -> None:
        try:
            rollback()
        finally:
            _end(connection, committed=False)

    def watched_close() -> None:
        try:
            close()
        finally:
            _end(connection, committed=False)

    def watched_set_autocommit(autocommit: bool, *args: Any, **kwargs: Any) -> None:
        try:
            set_autocommit(autocommit, *args, **kwargs)
        finally:
            if autocommit:
                # Leaving manual transaction management commits what is open.
                _end(connection, committed=True)
        if autocommit:
            _rewarm(connection)

    for name, method in {
        "commit": watched_commit,
        "rollback": watched_rollback,
        "close": watched_close,
        "set_autocommit": watched_set_autocommit,
    }.items():
        setattr(connection, name, method)
