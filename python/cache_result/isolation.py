"""Whether the transactions of a connection read from a snapshot.

They then go on seeing what was there at their first statement, whatever others commit meanwhile:
REPEATABLE READ and SERIALIZABLE of PostgreSQL and MySQL, and SQLite in WAL mode. (In its other modes a
reader keeps writers from committing.)
"""

import re
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

_ISOLATED = "_cache_result_isolated"
_EACH_STATEMENT = {"READ COMMITTED", "READ UNCOMMITTED"}
_SETTING = re.compile(
    r"\s*(?:SET|BEGIN|START|ALTER|PRAGMA)\b.*(?:ISOLATION|JOURNAL_MODE)", re.IGNORECASE | re.DOTALL
)
_OF_ONE = re.compile(r"\s*SET\s+(?:LOCAL\s+)?TRANSACTION\b", re.IGNORECASE)


def connected(connection: BaseDatabaseWrapper) -> None:
    """A new session has begun, whose settings are its own."""
    vars(connection).pop(_ISOLATED, None)


def reads_from_snapshot(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction of this session does. Asks PostgreSQL once per session, SQLite (which is no
    round trip) once per transaction; where it cannot be told, yes."""
    isolated: bool | None = vars(connection).get(_ISOLATED)
    if isolated is None:
        try:
            isolated = _find_out(connection)
        except Exception:
            return True  # as in a transaction that has failed; the next one is asked again
        setattr(connection, _ISOLATED, isolated)
    return isolated


def is_set_by(connection: BaseDatabaseWrapper, sql: str, *, inside: bool) -> bool:
    """Whether a statement sets the isolation of the transaction that it is ``inside``. What it sets for
    the session is noted; whatever is set counts as reading from a snapshot."""
    if not inside and sql.startswith("BEGIN"):
        connected(connection)  # SQLite, where the file may have got another mode since
    if not _SETTING.match(sql):
        return False
    if not inside or not _OF_ONE.match(sql):
        if connection.vendor == "sqlite":
            connected(connection)  # to be asked again
        else:
            setattr(connection, _ISOLATED, True)
    return inside


def _find_out(connection: BaseDatabaseWrapper) -> bool:
    vendor = connection.vendor
    if vendor == "oracle":
        return False
    level: Any = getattr(connection, "isolation_level", None)
    if vendor == "mysql":
        return str(level).upper() not in _EACH_STATEMENT  # None is the server's own: REPEATABLE READ
    if vendor == "sqlite":
        return bool(_ask(connection, "PRAGMA journal_mode") == "wal")
    if vendor == "postgresql" and level.name.replace("_", " ") in _EACH_STATEMENT:
        return _ask(connection, "SHOW default_transaction_isolation").upper() not in _EACH_STATEMENT
    return True


def _ask(connection: BaseDatabaseWrapper, question: str) -> Any:
    # Past Django, as nobody who counts queries has made this one.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(question)
        return cursor.fetchone()[0]
    finally:
        cursor.close()
