"""Sees every statement of every connection: which ones write, and what that invalidates.

What bypasses Django's cursors (``callproc``, ``copy``, a driver's own) is not seen.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from cache_result import isolation, transaction

_READ = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*\(*\s*(?:SELECT\b(?!.*\bINTO\b)|SAVEPOINT\b|RELEASE\b|ROLLBACK\b|BEGIN\b|COMMIT\b"
    r"|START\b|SET\b|SHOW\b|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|PRAGMA\b|DECLARE\b|FETCH\b|CLOSE\b|VALUES\b"
    r"|WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|MERGE)\b))",
    re.IGNORECASE | re.DOTALL,
)
_SECOND_STATEMENT = re.compile(r";\s*\S")

Late = Callable[[list[Any] | None], transaction.Targets]
"""What a statement invalidates that shows only when it has run: by the rows that it returned, or None
where it is in doubt what it did."""
Listener = Callable[[BaseDatabaseWrapper, str, Any, bool], tuple[transaction.Targets, Late | None] | None]

_listener: Listener | None = None


def watch_connections() -> None:
    """Has the writes of every connection watched, from now on and of those that exist."""
    connection_created.connect(_on_connection, dispatch_uid="cache_result.writes")
    for connection in connections.all(initialized_only=True):
        install(connection)


def _on_connection(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    isolation.connected(connection)
    install(connection)


def watch_writes(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute wrapper of every connection: notes that a transaction has written, and what."""
    text = _text_of(sql)
    connection = context["connection"]
    inside = transaction.in_transaction(connection)
    writes = text is None or _is_write(text)
    _note(connection, text or "", inside=inside, writes=writes)
    if not writes:
        return execute(sql, params, many, context)
    found = None if _listener is None or text is None else _listener(connection, text, params, many)
    if found is None:
        return execute(sql, params, many, context)
    targets, late = found
    if inside:
        transaction.record(connection.alias, targets)
    elif not transaction.is_diverted():
        try:
            targets.close()
        except BaseException:
            targets.release()
            raise
    in_doubt = False
    try:
        result = execute(sql, params, many, context)
        rows = []
        if late is not None or (connection.vendor == "sqlite" and not inside):
            # There a statement that returns rows is not committed before the last of them is fetched.
            rows = _fetch(context["cursor"])
        if late is not None:
            transaction.record(connection.alias, late(rows))
        return result
    except BaseException as error:
        in_doubt = transaction.is_in_doubt(error)
        if late is not None:
            transaction.record(connection.alias, late(None))
        raise
    finally:
        if not inside:
            transaction.record(connection.alias, targets, in_doubt=in_doubt)


def _fetch(cursor: Any) -> list[Any]:
    """The rows of the last statement, which can be fetched all the same."""
    if not cursor.description:
        return []
    if not isinstance(cursor.cursor, _Fetched):
        cursor.cursor = _Fetched(cursor.cursor)
    fetched: _Fetched = cursor.cursor
    return fetched.fetch()


def _note(connection: BaseDatabaseWrapper, text: str, *, inside: bool, writes: bool) -> None:
    """Notes what a statement that is about to be executed does to its transaction."""
    if inside and writes:
        transaction.has_written(connection)
        return
    isolated = inside and isolation.reads_from_snapshot(connection)
    if not isolated and not text.startswith("SELECT"):
        isolated = isolation.is_set_by(connection, text, inside=inside)
    if isolated:
        transaction.reads_from_snapshot(connection)


class _Fetched:
    """A cursor that can have its rows fetched beforehand."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._rows: Iterator[Any] = iter(())

    def fetch(self) -> list[Any]:
        """Fetches the rows of the last statement, and has them fetched once more."""
        rows = list(self._cursor.fetchall())
        self._rows = iter(rows)
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        # Those of a statement that came later are still to be fetched.
        return chain(self._rows, self._cursor)

    def fetchone(self) -> Any:
        return next(iter(self), None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self, self._cursor.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        return list(self)

    def execute(self, *args: Any) -> Any:
        self._rows = iter(())
        return self._cursor.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self._rows = iter(())
        return self._cursor.executemany(*args)


def on_statement(listener: Listener) -> None:
    """Has ``listener`` asked about every statement: what does it invalidate?"""
    global _listener
    _listener = listener


def _text_of(sql: Any) -> str | None:
    if type(sql) is str:
        return sql
    if hasattr(sql, "as_string"):  # psycopg's composed statements
        sql = sql.as_string(None)
    elif isinstance(sql, bytes):
        sql = sql.decode(errors="replace")
    return sql if isinstance(sql, str) else None


def is_write(sql: Any) -> bool:
    """Whether a statement may change data; what is not surely a read counts as a write.

    A function with side effects inside a SELECT cannot be told, nor what bypasses ``execute``
    (``callproc``, ``copy``).
    """
    text = _text_of(sql)
    return text is None or _is_write(text)


def _is_write(text: str) -> bool:
    # Most statements, and most of them without a look at a regular expression.
    if text.startswith("SELECT ") and ";" not in text and "into" not in text.lower():
        return False
    return not _READ.match(text) or bool(_SECOND_STATEMENT.search(text))


def install(connection: BaseDatabaseWrapper) -> None:
    """Has the writes of ``connection`` watched."""
    if watch_writes not in connection.execute_wrappers:
        # In front: a context manager that added one is about to pop the last.
        connection.execute_wrappers.insert(0, watch_writes)
