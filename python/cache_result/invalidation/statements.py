"""Writes that no signal tells of: ``update()``, bulk operations, ``SET_NULL``, raw SQL.

Every statement that writes to the table of a model with rules is seen by the connection's execute
wrapper. The statements of ``save()`` and of deletions were announced by their signals, row by row;
what any other one invalidates :mod:`cache_result.invalidation.effects` finds out.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from threading import Lock, local
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_result import transaction, writes
from cache_result.forks import renewed
from cache_result.invalidation import loaded
from cache_result.invalidation.affected import table_of
from cache_result.invalidation.effects import Effect
from cache_result.invalidation.targets import Targets
from cache_result.model_fields import field_of, is_generated

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]

_QUOTED = r'"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$]+'
_UPSERT = re.compile(r"\bON\s+(?:CONFLICT|DUPLICATE)\b|^\s*INSERT\s+OR\b", re.IGNORECASE)
_TABLE = re.compile(
    r"\s*(?P<verb>INSERT|UPDATE|DELETE)\s+(?:(?:OR\s+\w+|IGNORE|INTO|FROM|ONLY)\s+)*"
    rf"(?:(?:{_QUOTED})\s*\.\s*)*(?P<table>{_QUOTED})(?=[\s(]|$)",
    re.IGNORECASE,
)
_BY_KEY = re.compile(
    r'\sWHERE\s+\(?["`\[]?(?P<table>[\w$-]+)["`\]]?\.["`\[]?(?P<column>[\w$-]+)["`\]]?\s*'
    r"(?:=\s*%s|IN\s*\((?:%s(?:,\s*)?)+\))\)?\s*$",
    re.IGNORECASE,
)
_SET = re.compile(r"\sSET\s(?P<assignments>.*)", re.IGNORECASE | re.DOTALL)
_SEVERAL = re.compile(r"^\s*(?:UPDATE|DELETE)\b.*\b(?:JOIN|USING)\b", re.IGNORECASE | re.DOTALL)
"""Of MySQL's, which write to more than the table that they name first."""
_SAVING = "_cache_result_saving"

RulesOf = Callable[[type[Model]], "Iterator[tuple[AnyWrapper, InvalidationRule]]"]

_tables: dict[str, set[type[Model]]] = {}
"""Models with rules by the tables that hold their rows, in lower case."""
_lock = renewed(Lock())
_of_thread = local()
_rules_of: RulesOf


class _Save:
    """A ``save()`` under way."""

    def __init__(self, instance: Model, *, forced: bool) -> None:
        self.instance = instance
        self.forced = forced
        """It must find its row."""
        self.closed: Targets | None = None
        """What its ``pre_save`` has closed, where no COMMIT will do that."""


def watch(senders: list[type[Model]], rules_of: RulesOf) -> None:
    """Has the tables of these models watched."""
    global _rules_of
    _rules_of = rules_of
    for sender in senders:
        with _lock:
            for table in _tables_of(sender):
                _tables.setdefault(table, set()).add(sender)
        _announce_saves(sender)
    writes.on_statement(_on_statement)


def close_for_save(instance: Model, targets: Targets) -> None:
    """Closes what a ``save()`` in autocommit mode is about to change."""
    save: _Save | None = getattr(_of_thread, "save", None)
    if save is not None and save.instance is instance and not transaction.is_diverted():
        try:
            targets.close()
        except BaseException:
            targets.release()
            raise
        save.closed = targets


def is_forced_update(instance: Model) -> bool:
    """Whether the ``save()`` under way of this instance must find its row."""
    save: _Save | None = getattr(_of_thread, "save", None)
    return save is not None and save.instance is instance and save.forced


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
        yield table_of(owner)


def _rows_of(instance: Model, connection: BaseDatabaseWrapper) -> Iterator[tuple[str, str]]:
    """Tables and keys of an instance's rows; keys as they are and as the database is given them."""
    for owner in (type(instance), *instance._meta.get_parent_list()):
        key = owner._meta.pk
        value = getattr(instance, key.attname)
        yield owner._meta.db_table.lower(), str(value)
        with suppress(Exception):
            yield owner._meta.db_table.lower(), str(key.get_db_prep_value(value, connection))


def _announce_saves(model: type[Model]) -> None:
    """Knows which statements are those of a ``save()``, whose signals announce them, and when one fails,
    which ``post_save`` does not tell."""
    if hasattr(model.save_base, _SAVING):
        return
    any_model: Any = model
    save_base = any_model.save_base

    @wraps(save_base)
    def watched_save_base(self: Model, *args: Any, **kwargs: Any) -> None:
        outer = getattr(_of_thread, "save", None)
        forced = bool(kwargs.get("force_update", args[2] if len(args) > 2 else False))
        _of_thread.save = save = _Save(self, forced=forced)
        in_doubt = False
        try:
            save_base(self, *args, **kwargs)
        except BaseException as error:
            loaded.forget(self)
            in_doubt = transaction.is_in_doubt(error)
            raise
        finally:
            _of_thread.save = outer
            if save.closed is not None:  # it failed, so that nobody else opens them
                (save.closed.abandon if in_doubt else save.closed.invalidate)()

    setattr(watched_save_base, _SAVING, True)
    any_model.save_base = watched_save_base
    # The code of fields runs in there too, such as their `pre_save`, but it makes no INSERT or UPDATE.
    any_model._do_insert = _writing("INSERT", any_model._do_insert)
    any_model._do_update = _writing("UPDATE", any_model._do_update)


def _writing(verb: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Knows that the statements with this verb, which the method executes, are those of a ``save()``."""

    @wraps(method)
    def writing(self: Model, *args: Any, **kwargs: Any) -> Any:
        outer = getattr(_of_thread, "writing", None)
        _of_thread.writing = (verb, self)
        try:
            return method(self, *args, **kwargs)
        finally:
            _of_thread.writing = outer

    return writing


def _on_statement(
    connection: BaseDatabaseWrapper, sql: str, params: Any, many: bool
) -> tuple[Targets, writes.Late | None] | None:
    """What a statement, which writes, invalidates that no signal has announced."""
    if sql[:6].upper() == "SELECT" and ";" not in sql:
        return None
    verb, tables = _written(sql)
    of_save, instance = getattr(_of_thread, "writing", None) or ("", None)
    writing: Model | None = instance if verb == of_save else None
    effect = Effect(connection, sql, None if many or not verb else params)
    for table in tables:
        if verb == "DELETE" and not many and _is_announced(connection, table, sql, params):
            continue
        for sender in _tables[table]:
            if writing is None or not isinstance(writing, sender):
                loaded.rows_changed(sender, connection)
            for wrapper, rule in _rules_of(sender):
                # The signals of a save told the rules for its own class.
                told = writing is not None and rule.concerns(type(writing))
                if not told and _may_fire(rule, sender, verb, sql):
                    effect.add(table, sender, wrapper, rule)
    return effect.found()


def _written(sql: str) -> tuple[str, list[str]]:
    """What a statement does, and the tables that it may do it to, of those that are watched."""
    written = _TABLE.match(sql)
    if written is not None and ";" not in sql and not _SEVERAL.search(sql):
        table = written["table"].strip('"`[]').lower()
        return written["verb"].upper(), [table] if table in _tables else []
    text = sql.lower()
    return "", [table for table in _tables if re.search(rf"(?<![\w$]){re.escape(table)}(?![\w$])", text)]


def _is_announced(connection: BaseDatabaseWrapper, table: str, sql: str, params: Any) -> bool:
    """Whether signals have told of every row that the statement deletes."""
    where = _BY_KEY.search(sql)
    if where is None or where["table"].lower() != table or not _is_key(table, where["column"]):
        return False
    count = where[0].count("%s")
    keys = {(table, str(key)) for key in list(params or ())[-count:]}
    return keys <= transaction.announced(connection)


def _is_key(table: str, column: str) -> bool:
    """Whether the column is the primary key of the table."""
    return any(
        owner._meta.db_table.lower() == table and str(owner._meta.pk.column).lower() == column.lower()
        for sender in _tables[table]
        for owner in (sender, *sender._meta.get_parent_list())
    )


def _may_fire(rule: "InvalidationRule", sender: type[Model], verb: str, sql: str) -> bool:
    """Whether the statement may fire the rule."""
    if verb == "INSERT" and not _UPSERT.search(sql):
        return rule.trigger_on_create is not False
    if verb != "UPDATE" or rule.watch_fields is None:
        return True
    assigned = _SET.search(sql)
    fields = [field_of(sender, name) for name in rule.watch_fields]
    return assigned is None or any(
        field is None or is_generated(field) or str(field.column).lower() in assigned["assignments"].lower()
        for field in fields
    )
