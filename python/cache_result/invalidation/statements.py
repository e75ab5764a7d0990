"""Writes that no signal tells of: ``update()``, bulk operations, ``SET_NULL``, raw SQL.

Every statement that writes to the table of a model with rules is seen by the connection's execute
wrapper. The statements of ``save()`` and of deletions were announced by their signals, row by row;
any other one invalidates the functions of that model's rules as a whole.
"""

import re
from collections.abc import Callable, Iterator
from functools import wraps
from threading import Lock, local
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_result import transaction
from cache_result.invalidation.changes import field_of
from cache_result.invalidation.targets import Targets

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]

_NAME = r'(?:["`\[]?[\w$-]+["`\]]?\s*\.\s*)?["`\[]?(?P<table>[\w$-]+)["`\]]?'
_WRITE = re.compile(
    r"[\s(]*(?P<verb>INSERT|REPLACE|UPDATE|DELETE|MERGE|TRUNCATE|COPY|LOAD|WITH|ALTER|DROP)\b", re.IGNORECASE
)
_TABLE = re.compile(
    rf"\s*(?:INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO|REPLACE\s+INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?)\s+{_NAME}",
    re.IGNORECASE,
)
_BY_KEY = re.compile(
    r'\sWHERE\s+\(?["`\[]?(?P<table>[\w$-]+)["`\]]?\.["`\[]?(?P<column>[\w$-]+)["`\]]?\s*'
    r"(?:=\s*%s|IN\s*\((?:%s(?:,\s*)?)+\))\)?\s*$",
    re.IGNORECASE,
)
_SET = re.compile(r"\sSET\s(?P<assignments>.*)", re.IGNORECASE | re.DOTALL)
_SAVING = "_cache_result_saving"

RulesOf = Callable[[type[Model]], "Iterator[tuple[AnyWrapper, InvalidationRule]]"]

_tables: dict[str, set[type[Model]]] = {}
"""Models with rules by the tables that hold their rows, in lower case."""
_lock = Lock()
_of_thread = local()
_rules_of: RulesOf


class _Save:
    """A ``save()`` under way: whose statements its signals announce."""

    def __init__(self, instance: Model) -> None:
        self.instance = instance
        self.inserted: set[str] = set()
        self.closed: Targets | None = None
        """What its ``pre_save`` has closed, where no COMMIT will do that."""


def watch(senders: list[type[Model]], rules_of: RulesOf) -> None:
    """Has the tables of these models watched."""
    global _rules_of
    _rules_of = rules_of
    for sender in senders:
        with _lock:
            for table in _tables_of(sender):
                _tables.setdefault(table.lower(), set()).add(sender)
        _announce_saves(sender)
    transaction.on_statement(_on_statement)


def close_for_save(instance: Model, targets: Targets) -> None:
    """Closes what a ``save()`` in autocommit mode is about to change."""
    save: _Save | None = getattr(_of_thread, "save", None)
    if save is not None and save.instance is instance:
        targets.close()
        save.closed = targets


def closed_for_save(instance: Model) -> Targets | None:
    """What was closed for a ``save()`` that is done now. The caller opens it."""
    save: _Save | None = getattr(_of_thread, "save", None)
    if save is None or save.instance is not instance:
        return None
    closed, save.closed = save.closed, None
    return closed


def announce_deletion(instance: Model, connection: BaseDatabaseWrapper) -> None:
    """The rows of this instance are about to be deleted, and its rules have fired."""
    transaction.announced(connection).update(_rows_of(instance, connection))


def deletion_done(instance: Model, connection: BaseDatabaseWrapper) -> None:
    """The row of this instance is gone; those in its parents' tables go next."""
    own = type(instance)._meta.db_table.lower()
    rows = {(table, key) for table, key in _rows_of(instance, connection) if table == own}
    transaction.announced(connection).difference_update(rows)


def _tables_of(model: type[Model]) -> Iterator[str]:
    for owner in (model, *model._meta.get_parent_list()):
        yield owner._meta.db_table


def _rows_of(instance: Model, connection: BaseDatabaseWrapper) -> Iterator[tuple[str, str]]:
    """Tables and keys of an instance's rows; keys as they are and as the database is given them."""
    for owner in (type(instance), *instance._meta.get_parent_list()):
        key = owner._meta.pk
        value = getattr(instance, key.attname)
        yield owner._meta.db_table.lower(), str(value)
        if value is not None:
            yield owner._meta.db_table.lower(), str(key.get_db_prep_value(value, connection))


def _announce_saves(model: type[Model]) -> None:
    """``pre_save`` has no counterpart when a save fails, so the frame around both is needed."""
    original = model.save_base
    if hasattr(original, _SAVING):
        return

    @wraps(original)
    def save_base(self: Model, *args: Any, **kwargs: Any) -> None:
        outer = getattr(_of_thread, "save", None)
        _of_thread.save = save = _Save(self)
        try:
            original(self, *args, **kwargs)
        finally:
            _of_thread.save = outer
            if save.closed is not None:
                save.closed.invalidate()  # it failed, so that nobody else opens them

    setattr(save_base, _SAVING, True)
    model.save_base = save_base  # type: ignore[method-assign]


def _on_statement(connection: BaseDatabaseWrapper, sql: str, params: Any, many: bool) -> Targets | None:
    """What a statement invalidates that no signal has announced."""
    verb = _WRITE.match(sql)
    if verb is None:
        return None
    written = _TABLE.match(sql)
    tables = [written["table"].lower()] if written else [table for table in _tables if table in sql.lower()]
    targets = Targets()
    for table in tables:
        senders = _tables.get(table)
        if not senders or _is_announced(connection, verb["verb"].upper(), table, sql, params, many):
            continue
        for sender in senders:
            for wrapper, rule in _rules_of(sender):
                if _concerns(rule, sender, verb["verb"].upper(), sql):
                    targets.add(wrapper, [wrapper._function_scope()])
    return targets or None


def _is_announced(
    connection: BaseDatabaseWrapper, verb: str, table: str, sql: str, params: Any, many: bool
) -> bool:
    """Whether signals have told of every row that the statement writes."""
    if many or verb not in {"INSERT", "UPDATE", "DELETE"}:
        return False
    save: _Save | None = getattr(_of_thread, "save", None)
    if verb == "INSERT":
        # One statement inserts the row; another one in the same frame is somebody else's.
        if (
            save is None
            or table not in {own for own, _ in _rows_of(save.instance, connection)}
            or table in save.inserted
        ):
            return False
        save.inserted.add(table)
        return True
    where = _BY_KEY.search(sql)
    if where is None or where["table"].lower() != table or not _is_key(table, where["column"]):
        return False
    count = where[0].count("%s")
    keys = {(table, str(key)) for key in list(params or ())[-count:]}
    if verb == "DELETE":
        return keys <= transaction.announced(connection)
    return save is not None and keys <= set(_rows_of(save.instance, connection))


def _is_key(table: str, column: str) -> bool:
    """Whether the column is the primary key of the table."""
    return any(
        owner._meta.db_table.lower() == table and str(owner._meta.pk.column).lower() == column.lower()
        for sender in _tables[table]
        for owner in (sender, *sender._meta.get_parent_list())
    )


def _concerns(rule: "InvalidationRule", sender: type[Model], verb: str, sql: str) -> bool:
    """Whether the statement may fire the rule."""
    if verb == "INSERT":
        return rule.trigger_on_create is not False
    if verb != "UPDATE" or rule.watch_fields is None:
        return True
    assigned = _SET.search(sql)
    fields = [field_of(sender, name) for name in rule.watch_fields]
    return assigned is None or any(
        field is None or str(field.column).lower() in assigned["assignments"].lower() for field in fields
    )
