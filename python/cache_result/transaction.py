"""Open transactions: what they have written, and what is to be invalidated when they commit.

The state of a transaction hangs on its connection object and on a context variable, so that code
behind ``async_to_sync`` and ``sync_to_async`` sees the same one. Its end is noticed by wrapping
``commit``, ``rollback``, ``close`` and ``set_autocommit`` of that connection *object*, once, when it
first writes inside a transaction; no class is touched. Delivery does not ride on ``on_commit``
callbacks, because one that raises drops those behind it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from threading import RLock
from typing import Any, Protocol
from weakref import WeakSet, finalize, ref

from django.db import DataError, Error, IntegrityError, NotSupportedError, ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_result import _core
from cache_result.forks import renewed

_ATTRIBUTE = "_cache_result_transaction"
_REWARM = "_cache_result_rewarm"
_WRAPPED = "_cache_result_wrapped"

_REFUSED = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What a COMMIT, or a statement, raises that is a rollback for sure."""


class Targets(Protocol):
    """What is to be invalidated and rewarmed; see :mod:`cache_result.invalidation.targets`."""

    def merge(self, other: Any) -> None: ...
    def touch(self, scopes: Iterable[bytes]) -> bool: ...
    def close(self, committing: str | None = None) -> None: ...
    def invalidate(self) -> bool: ...
    def abandon(self) -> bool: ...
    def release(self) -> None: ...
    def rewarm(self) -> None: ...
    def rolled_back(self, savepoint: str) -> None: ...


class Diversion(Protocol):
    """Takes what the changes of a block of code invalidate; see :mod:`cache_result.invalidation.blocks`."""

    drops: bool
    """It takes what is changed, and not only what is committed."""

    def take(self, using: str, targets: Any) -> None: ...
    def touch(self, scopes: Iterable[bytes]) -> bool: ...


class Transaction:
    """One open transaction of one connection, from its first write on, or from its first statement where
    that takes a snapshot.

    It holds its connection weakly: a thread that ends inside a transaction takes both along.
    """

    __slots__ = (
        *("__weakref__", "announced", "connection", "dirty", "isolated", "models", "over", "since"),
        "targets",
    )

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = ref(connection)
        self.dirty = False
        self.isolated = False
        """It goes on seeing what was there at ``since``, or shortly after that."""
        self.since = _core.clock_now()
        self.over = False
        self.targets: Targets | None = None
        self.announced: set[tuple[str, str]] = set()
        self.models: set[Any] = set()
        """Of whose rows it has written some."""


_open: "WeakSet[Transaction]" = WeakSet()
_lock = renewed(RLock())  # a transaction that is collected while they are counted has them counted again
_seen: ContextVar[tuple[Transaction, ...]] = ContextVar("cache_result_transactions", default=())
_diversion: ContextVar[Diversion | None] = ContextVar("cache_result_diversion", default=None)
_diversions = 0
_listener: Callable[[Any], None] | None = None


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether ``connection`` is inside a transaction of the user's, Django's TestCase aside."""
    if connection.in_atomic_block:
        blocks: Iterable[Any] = connection.atomic_blocks
        return any(not getattr(block, "_from_testcase", False) for block in blocks)
    return _is_open(connection)


def is_in_testcase() -> bool:
    """Whether a connection of this thread is in the transaction of a Django TestCase, whose rows no other
    connection sees."""
    return any(
        getattr(block, "_from_testcase", False)
        for connection in connections.all(initialized_only=True)
        for block in connection.atomic_blocks
    )


def is_in_doubt(error: BaseException) -> bool:
    """Whether a statement that raised this may have been executed all the same, then or later."""
    raised_by_database = isinstance(error, Error) or not isinstance(error, Exception)
    return raised_by_database and not isinstance(error, _REFUSED)


def has_written(connection: BaseDatabaseWrapper, model: Any = None) -> None:
    """The open transaction of this connection writes; rows of ``model``, where that is known."""
    transaction = _begin(connection)
    if not transaction.dirty:
        transaction.dirty = True
        _count()
    if model is not None:
        transaction.models.add(model)


def reads_from_snapshot(connection: BaseDatabaseWrapper) -> None:
    """The open transaction of this connection goes on seeing what it sees now."""
    transaction = _begin(connection)
    if not transaction.isolated:
        transaction.isolated = True
        _count()


def on_rollback(listener: Callable[[Any], None]) -> None:
    """Has ``listener`` called with each model whose rows a transaction has written that is rolled back, as a
    whole or to a savepoint."""
    global _listener
    _listener = listener


def _rolled_back(transaction: Transaction) -> None:
    if _listener is not None:
        for model in transaction.models:
            _listener(model)


def record(using: str, targets: Targets, *, in_doubt: bool = False) -> None:
    """Invalidates ``targets`` when the transaction on the database ``using`` commits, or now; unless the
    caller is in a block that takes them. ``in_doubt`` says that nobody knows whether what is done now was
    done, or is going to be."""
    diversion = _diversion.get()
    connection = connections[using]
    if diversion is not None and (diversion.drops or not in_transaction(connection)):
        diversion.take(using, targets)
        return
    _settle()
    if not in_transaction(connection):
        if in_doubt:
            targets.abandon()
        else:
            targets.invalidate()
        targets.rewarm()
        return
    transaction = _begin(connection)
    if transaction.targets is None:
        transaction.targets = targets
        _count()
    else:
        transaction.targets.merge(targets)


def divert(diversion: Diversion | None) -> Token[Diversion | None]:
    """Has ``diversion`` take what the caller's changes invalidate, until ``undivert``; None ends that."""
    global _diversions
    with _lock:
        _diversions += 1
    _count()
    return _diversion.set(diversion)


def undivert(token: Token[Diversion | None]) -> None:
    """Ends what ``divert`` began."""
    global _diversions
    with _lock:
        _diversions -= 1
    _count()
    _diversion.reset(token)


@contextmanager
def undiverted() -> Iterator[None]:
    """A block of code whose changes no block outside takes."""
    token = divert(None)
    try:
        yield
    finally:
        undivert(token)


def is_diverted() -> bool:
    """Whether the caller is in a block that takes what its changes invalidate."""
    return _diversion.get() is not None


def announced(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    """The rows, by table and key, that this transaction is about to delete, as signals have told."""
    return _begin(connection).announced if in_transaction(connection) else set()


def is_dirty() -> bool:
    """Whether an open transaction of the caller has written."""
    _settle()
    return any(transaction.dirty for transaction in _visible())


def snapshot_time() -> int | None:
    """Since when (ms since the epoch) an open transaction of the caller sees nothing new, if one does."""
    _settle()
    return min((transaction.since for transaction in _visible() if transaction.isolated), default=None)


def is_touched(scopes: list[bytes]) -> bool:
    """Whether the caller is going to invalidate one of ``scopes``: an open transaction, or a block."""
    _settle()
    diversion = _diversion.get()
    if diversion is not None and diversion.touch(scopes):
        return True
    return any(t.targets is not None and t.targets.touch(scopes) for t in _visible())


def forget() -> None:
    """The running code comes from a caller whose transactions and blocks it has no part in."""
    _seen.set(())
    _diversion.set(None)


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
        connection = transaction.connection()
        if connection is not None and not in_transaction(connection):
            _end(connection, committed=True)
            _rewarm(connection, raising=False)  # whoever is told here has not changed anything


def ended(connection: BaseDatabaseWrapper, *, committed: bool) -> None:
    """An atomic block inside a TestCase's own transaction has ended, of which nobody else tells. If it was
    the outermost of the user's, this is his COMMIT, or rollback."""
    if not in_transaction(connection):
        _end(connection, committed=committed)
        _rewarm(connection)


def _count() -> None:
    with _lock:
        transactions = [transaction for transaction in _open if not transaction.over]
        changing = sum(t.dirty or t.targets is not None for t in transactions)
        _core.set_open_transactions(_diversions + changing, sum(t.isolated for t in transactions))


def _begin(connection: BaseDatabaseWrapper) -> Transaction:
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is None or transaction.over:
        _wrap(connection)
        transaction = Transaction(connection)
        setattr(connection, _ATTRIBUTE, transaction)
        with _lock:
            _open.add(transaction)
        finalize(transaction, _count).atexit = False
    seen = _seen.get()
    if transaction not in seen:
        _seen.set((*(other for other in seen if not other.over), transaction))
    return transaction


def _close(connection: BaseDatabaseWrapper) -> None:
    """The transaction on ``connection`` is about to be committed."""
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is None or transaction.over or transaction.targets is None or _collecting():
        return
    transaction.targets.close(connection.alias)


def _end(connection: BaseDatabaseWrapper, *, committed: bool, in_doubt: bool = False) -> bool:
    """The transaction on ``connection`` is over; its targets change their generations if it may
    have been committed, and what they rewarm waits until the connection is in autocommit mode.
    Returns whether generations were written to a database."""
    transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
    if transaction is None or transaction.over:
        return False
    transaction.over = True
    _count()
    if in_doubt or not committed:
        _rolled_back(transaction)
    targets, transaction.targets = transaction.targets, None
    if targets is None:
        return False
    if not committed:
        targets.release()
        return False
    if in_doubt:
        return targets.abandon()
    collecting = _collecting()
    if collecting is not None:
        collecting.take(connection.alias, targets)
        return False
    setattr(connection, _REWARM, [*getattr(connection, _REWARM, []), targets])
    return targets.invalidate()


def _rewarm(connection: BaseDatabaseWrapper, *, raising: bool = True) -> None:
    waiting: list[Targets] = getattr(connection, _REWARM, [])
    setattr(connection, _REWARM, [])
    asked: Exception | None = None
    for targets in waiting:
        try:
            targets.rewarm()
        except Exception as error:
            asked = asked or error
    if asked is not None and raising:
        raise asked


def _collecting() -> Diversion | None:
    """The block that takes what is committed, if the caller is in one."""
    diversion = _diversion.get()
    return None if diversion is None or diversion.drops else diversion


def _is_open(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection, outside of atomic blocks, leaves it to the caller to commit."""
    return connection.connection is not None and not connection.autocommit


def _wrap(connection: BaseDatabaseWrapper) -> None:
    """Has the end of each transaction of this connection object noticed."""
    if getattr(connection, _WRAPPED, False):
        return
    setattr(connection, _WRAPPED, True)
    commit, rollback, close = connection.commit, connection.rollback, connection.close
    set_autocommit, savepoint_rollback = connection.set_autocommit, connection.savepoint_rollback

    def invalidated_in_the_database() -> None:
        # A cache that is a table has been written to on this connection, which is not in autocommit
        # mode here, so that a transaction is open again.
        if _is_open(connection):
            commit()
            _end(connection, committed=False)

    # Inside an atomic block Django refuses the first three, and then nothing has ended. It clears
    # the flag before it ends the outermost block itself.
    def watched_commit() -> None:
        if connection.in_atomic_block:
            commit()
            return
        _close(connection)
        try:
            commit()
        except BaseException as error:
            # Unless the database has said no, it may have happened all the same.
            if _end(connection, committed=True, in_doubt=not isinstance(error, _REFUSED)):
                invalidated_in_the_database()
            raise
        if _end(connection, committed=True):
            invalidated_in_the_database()
        if not connection.settings_dict["AUTOCOMMIT"]:
            _rewarm(connection)  # it never comes back to autocommit mode

    def watched_rollback() -> None:
        try:
            rollback()
        finally:
            if not connection.in_atomic_block:
                _end(connection, committed=False)

    def watched_set_autocommit(autocommit: bool, *args: Any, **kwargs: Any) -> None:
        if autocommit and not connection.in_atomic_block:
            _close(connection)
        done = False
        try:
            set_autocommit(autocommit, *args, **kwargs)
            done = True
        finally:
            # Leaving manual transaction management commits what is open, unless it is refused.
            if autocommit and not connection.in_atomic_block and not _is_open(connection):
                in_doubt = not done and connection.connection is None
                _end(connection, committed=True, in_doubt=in_doubt)
                # The error of an application's callback is not replaced by ours.
                _rewarm(connection, raising=done)

    def watched_savepoint_rollback(sid: str) -> None:
        savepoint_rollback(sid)
        transaction: Transaction | None = getattr(connection, _ATTRIBUTE, None)
        if transaction is not None and not transaction.over:
            _rolled_back(transaction)
            if transaction.targets is not None:
                transaction.targets.rolled_back(sid)

    def watched_close() -> None:
        try:
            close()
        finally:
            _end(connection, committed=False)

    for name, method in {
        "commit": watched_commit,
        "rollback": watched_rollback,
        "close": watched_close,
        "set_autocommit": watched_set_autocommit,
        "savepoint_rollback": watched_savepoint_rollback,
    }.items():
        setattr(connection, name, method)
