"""The rows that a statement reaches, as far as rules need to know them.

A statement tells by itself what it pins columns to (``WHERE author_id = %s``), assigns and inserts. Where
its WHERE is the primary key alone and a transaction is open, the rows are locked and read before it, and
read again after it. Nothing else is safe: between a look at the rows that match and the statement,
another writer could make more of them match.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import NotSupportedError, OperationalError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Field, IntegerField, Model, QuerySet, TextField, UUIDField

from cache_result.invalidation.sql import UNKNOWN, Statement
from cache_result.model_fields import field_of
from cache_result.rules import InvalidationRule

if TYPE_CHECKING:
    AnyField = Field[Any, Any]
else:
    AnyField = Field
Columns = Mapping[str, AnyField]
"""Arguments of a function, and the fields of the statement's own table that tell their values."""
Values = dict[str, Any]
"""Arguments of a function, and what they are in a row."""

VENDORS = {"postgresql", "sqlite"}
"""Databases that store what they are given, or refuse it."""

_READING = (
    *("to_python", "from_db_value", "get_prep_value", "get_db_prep_value", "get_db_prep_save"),
    *("get_placeholder", "descriptor_class", "forward_related_accessor_class", "db_type"),
)


def owner_of(table: str, sender: type[Model]) -> type[Model]:
    """The model, of ``sender`` and its parents, whose rows are in the table (in lower case)."""
    for owner in (sender, *sender._meta.get_parent_list()):
        if table_of(owner) == table:
            return owner._meta.concrete_model or owner
    raise LookupError(table)


def table_of(model: type[Model]) -> str:
    """The table of the model, in lower case. Some projects name a schema so: ``'schema"."table'``."""
    return model._meta.db_table.rpartition('"."')[2].lower()


def column_of(field: AnyField) -> str:
    """The field's column, in lower case."""
    return str(field.column).lower()


def columns(rule: InvalidationRule, sender: type[Model], owner: type[Model]) -> Columns | None:
    """The fields, all in the owner's table, that tell what the rule maps; None if others are needed."""
    found: dict[str, AnyField] = {}
    for name, path in rule.paths.items():
        field = _field_at(sender, path)
        local = None if field is None else _local(field, sender, owner)
        if local is None or _kind(local) is None:
            return None
        found[name] = local
    return found or None


def _field_at(model: type[Model], path: str) -> AnyField | None:
    """The column that tells the value at a path: ``author``, ``author_id``, ``author.pk`` are one."""
    first, _, rest = path.partition(".")
    field = field_of(model, first)
    if field is None or not rest:
        return field
    target = getattr(field, "target_field", None)
    related = field.related_model
    if target is None or not isinstance(related, type) or field_of(related, rest) is not target:
        return None
    return field


def _local(field: AnyField, sender: type[Model], owner: type[Model]) -> AnyField | None:
    """The field in the owner's table whose value is the same."""
    if (field.model._meta.concrete_model or field.model) is owner:
        return field
    key = owner._meta.pk
    chain = (sender, *sender._meta.get_parent_list())
    if any(_links(model) > 1 for model in chain) or _root(field) is not _root(key):
        return None
    return key


def _links(model: type[Model]) -> int:
    own = model._meta.concrete_model
    return sum(link is not None and link.model is own for link in model._meta.parents.values())


def _root(field: Any) -> Any:
    """The key of the topmost parent, for a key that is a child's link to it."""
    while getattr(field.remote_field, "parent_link", False):
        field = field.target_field
    return field


def _kind(field: Any) -> type | None:
    """What the column holds, if instances hold the same: whole numbers, UUIDs or text."""
    while True:
        for name in _READING:
            definer = next((c for c in type(field).__mro__ if name in vars(c)), None)
            if definer is not None and not definer.__module__.startswith("django.db.models."):
                return None
        if getattr(field, "remote_field", None) is None:
            break
        field = getattr(field, "target_field", None)
    if isinstance(field, IntegerField):
        return int
    if isinstance(field, UUIDField):
        return UUID
    return str if isinstance(field, CharField | TextField) else None


def _value(field: AnyField, given: Any) -> Any:
    """What a parameter is as a value of the field; UNKNOWN if the database may take it for another."""
    kind = _kind(field)
    if given is None:
        return None
    if kind is int and isinstance(given, int) and not isinstance(given, bool):
        return int(given)
    if kind is str and type(given) is str:
        return given
    if kind is UUID and isinstance(given, UUID | str):
        with suppress(ValueError):
            return given if isinstance(given, UUID) else UUID(given)
    return UNKNOWN


def told(statement: Statement, fields: Columns, most: int) -> list[Values] | None:
    """What the rule's arguments are in the rows that the statement reaches, before and after it, as far as
    the statement itself tells. None: it does not, or of more than ``most`` rows."""
    if statement.verb == "INSERT":
        return _inserted(statement, fields, most)
    before = {name: _pinned(statement, field) for name, field in fields.items()}
    after = {name: _assigned(statement, field, before[name]) for name, field in fields.items()}
    found: list[Values] = []
    for side in (before,) if before == after else (before, after):
        known = [values for values in side.values() if values is not None]
        if len(known) < len(side) or prod(map(len, known)) > most:
            return None
        found.extend(dict(zip(side, row, strict=True)) for row in product(*known))
    return found


def _pinned(statement: Statement, field: AnyField) -> list[Any] | None:
    pinned = statement.pinned.get(column_of(field))
    # Texts that differ can be equal by their collation.
    if pinned is None or _kind(field) is str:
        return None
    values = [_value(field, each) for each in pinned]
    return None if UNKNOWN in values else values


def _assigned(statement: Statement, field: AnyField, before: list[Any] | None) -> list[Any] | None:
    column = column_of(field)
    if column not in statement.assigned:
        return before
    value = _value(field, statement.assigned[column])
    return None if value is UNKNOWN else [value]


def _inserted(statement: Statement, fields: Columns, most: int) -> list[Values] | None:
    if len(statement.rows) > most:
        return None
    if statement.conflict is not None and not all(
        column_of(field) in statement.conflict and _kind(field) is not str for field in fields.values()
    ):
        return None  # the rows that it updates were others before, or stay so
    found: list[Values] = []
    for row in statement.rows:
        values = {name: _new(field, row) for name, field in fields.items()}
        if UNKNOWN in values.values():
            return None
        if values not in found[-1:]:
            found.append(values)
    return found


def _new(field: AnyField, row: Mapping[str, Any]) -> Any:
    value = _value(field, row.get(column_of(field), UNKNOWN))
    # The database may draw a key instead.
    return UNKNOWN if field.primary_key and not value else value


def returned(statement: Statement, fields: Columns, rows: Sequence[Any]) -> list[Values] | None:
    """The same of new rows, by what the INSERT has returned of them."""
    at = {name: statement.returned.index(column_of(field)) for name, field in fields.items()}
    found = [{name: _value(field, row[at[name]]) for name, field in fields.items()} for row in rows]
    return None if any(UNKNOWN in values.values() for values in found) else found


def returns(statement: Statement, fields: Columns, most: int) -> bool:
    """Whether the INSERT, of new rows only, is going to return what the rule needs to know."""
    return (
        statement.verb == "INSERT"
        and statement.conflict is None
        and len(statement.rows) <= most
        and all(column_of(field) in statement.returned for field in fields.values())
    )


class Rows:
    """The rows with some keys, which a statement reaches by them."""

    def __init__(self, owner: type[Model], keys: Sequence[Any], connection: BaseDatabaseWrapper) -> None:
        self._owner = owner
        self._keys = {_value(owner._meta.pk, key) for key in keys}
        self._connection = connection

    @classmethod
    def of(
        cls, statement: Statement, owner: type[Model], connection: BaseDatabaseWrapper, most: int
    ) -> "Rows | None":
        """Those of an UPDATE or a DELETE by primary key alone, inside a transaction; else None."""
        key = owner._meta.pk
        column = column_of(key)
        if statement.alone != column or column in statement.assigned or _kind(key) is None:
            return None
        keys = statement.pinned[column]
        if len(keys) > most or connection.get_autocommit():
            return None
        rows = cls(owner, keys, connection)
        return None if {None, UNKNOWN} & rows._keys else rows

    def locked(self, statement: Statement, fields: Sequence[AnyField]) -> list[dict[str, Any]] | None:
        """What the rows hold, which nobody else changes from now on until the transaction ends. The lock
        is the one that the statement is going to take."""
        if self._connection.vendor == "sqlite":
            return self._read(self._query(), fields, lock=True)
        weak = statement.verb == "UPDATE" and not statement.assigned.keys() & _unique(self._owner)
        no_key = weak and self._connection.features.has_select_for_no_key_update
        return self._read(self._query().select_for_update(no_key=no_key), fields)

    def read(self, fields: Sequence[AnyField]) -> list[dict[str, Any]] | None:
        """What the rows hold, by attname; None if one of them is not there, as it may come any moment."""
        return self._read(self._query(), fields)

    def _query(self) -> QuerySet[Model]:
        rows: QuerySet[Model] = QuerySet(self._owner, using=self._connection.alias)
        return rows.filter(pk__in=list(self._keys)).order_by("pk")

    def _read(
        self, query: "QuerySet[Model]", fields: Sequence[AnyField], *, lock: bool = False
    ) -> list[dict[str, Any]] | None:
        try:
            with self._savepoint():
                if lock:
                    self._lock()
                rows = list(query.values(*{field.attname for field in fields}))
        except (NotSupportedError, ProgrammingError):
            return None  # a table without these columns, as in an old migration, or without these rights
        except OperationalError:
            if self._connection.vendor != "sqlite":
                raise  # a deadlock, say, which the statement would have met as well
            return None
        return rows if len(rows) == len(self._keys) else None

    def _lock(self) -> None:
        # A transaction that has read cannot always become one that writes: so that comes first. Past
        # Django, whose wrappers would take it for a change.
        quote = self._connection.ops.quote_name
        table, key = quote(self._owner._meta.db_table), quote(str(self._owner._meta.pk.column))
        with self._connection.wrap_database_errors:
            self._connection.connection.execute(f"UPDATE {table} SET {key} = {key} WHERE 0")

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """What goes wrong inside must not end the caller's transaction. Past Django, as nobody who counts
        queries has made it."""
        if self._connection.vendor == "sqlite":
            yield  # there it does not
            return
        with self._connection.wrap_database_errors, self._connection.create_cursor() as cursor:
            cursor.execute("SAVEPOINT cache_result")
            try:
                yield
            except (NotSupportedError, ProgrammingError):
                cursor.execute("ROLLBACK TO SAVEPOINT cache_result")
                raise
            finally:
                if not self._connection.connection.closed:
                    with suppress(Exception):  # the caller is told of what came first
                        cursor.execute("RELEASE SAVEPOINT cache_result")


def _unique(model: type[Model]) -> set[str]:
    """Columns that other rows may refer to."""
    meta = model._meta
    names = {name for names in meta.unique_together for name in names}
    names |= {name for constraint in meta.constraints for name in getattr(constraint, "fields", ())}
    fields = [field_of(model, name) for name in names]
    unique = [field for field in meta.concrete_fields if field.unique]
    return {column_of(field) for field in (*fields, *unique) if field is not None}


def of_rows(rows: Sequence[Mapping[str, Any]], fields: Columns) -> Iterator[Values]:
    """What the rule's arguments are in rows that were read."""
    for row in rows:
        yield {name: row[field.attname] for name, field in fields.items()}


def assigned(statement: Statement, fields: Columns) -> Values:
    """What an UPDATE makes of the rule's arguments, of those that it assigns; UNKNOWN where an expression
    decides."""
    return {
        name: _value(field, statement.assigned[column_of(field)])
        for name, field in fields.items()
        if column_of(field) in statement.assigned
    }
