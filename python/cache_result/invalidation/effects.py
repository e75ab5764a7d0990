"""What one statement invalidates: the scopes of the rows that it reaches, or whole functions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from cache_result.conf import get_settings
from cache_result.invalidation import affected
from cache_result.invalidation.affected import Columns, Rows, Values
from cache_result.invalidation.sql import UNKNOWN, Statement, read
from cache_result.invalidation.targets import Targets
from cache_result.writes import Late

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]
    Aim = tuple[AnyWrapper, InvalidationRule, Columns]

_UNREAD = object()


class Effect:
    """Of a statement that is about to be executed.

    :param params: its parameters; None if what they mean is in doubt.
    """

    def __init__(self, connection: BaseDatabaseWrapper, sql: str, params: Any) -> None:
        self._connection = connection
        self._most = get_settings().MAX_ROWS_PER_STATEMENT
        self._sql, self._params = sql, params
        self._read: Any = _UNREAD
        self._targets = Targets()
        self._whole: set[tuple[AnyWrapper, InvalidationRule]] = set()
        self._of_rows: dict[type[Model], list[Aim]] = {}
        """Rules that have to know what is in the rows, by the model in whose table they are."""
        self._returned: list[Aim] = []
        """Rules that have to know what the new rows got from the database."""
        self._changed: list[tuple[Rows, list[Aim]]] = []
        """Rows in which an expression changes what rules map."""

    def add(self, table: str, sender: type[Model], wrapper: "AnyWrapper", rule: "InvalidationRule") -> None:
        """The statement, which writes to the table, fires the rule."""
        statement = self._statement(table)
        owner = affected.owner_of(table, sender)
        fields = None if statement is None else affected.columns(rule, sender, owner)
        if statement is None or fields is None:
            self._whole.add((wrapper, rule))
            return
        known = affected.told(statement, fields, self._most)
        if known is not None:
            self._aim(self._targets, wrapper, rule, known)
        elif affected.returns(statement, fields, self._most) and not self._connection.get_autocommit():
            self._returned.append((wrapper, rule, fields))
        else:
            self._of_rows.setdefault(owner, []).append((wrapper, rule, fields))

    def found(self) -> tuple[Targets, Late | None] | None:
        """What goes before the statement, and what after it."""
        for owner, aims in self._of_rows.items():
            self._look_up(owner, aims)
        for wrapper, rule in self._whole:
            self._aim(self._targets, wrapper, rule, None)
        late = self._late if self._returned or self._changed else None
        return (self._targets, late) if self._targets or late else None

    def _statement(self, table: str) -> Statement | None:
        if self._read is _UNREAD:
            readable = self._params is not None and self._most and self._connection.vendor in affected.VENDORS
            self._read = read(self._sql, self._params, table) if readable else None
        return self._read  # type: ignore[no-any-return]

    def _look_up(self, owner: type[Model], aims: "list[Aim]") -> None:
        """Locks and reads the rows; where that cannot be, whole functions go."""
        statement: Statement = self._read
        rows = Rows.of(statement, owner, self._connection, self._most)
        held = None if rows is None else rows.locked(statement, _fields(aims))
        if rows is None or held is None:
            self._whole.update((wrapper, rule) for wrapper, rule, _ in aims)
            return
        changed: list[Aim] = []
        for wrapper, rule, fields in aims:
            new = affected.assigned(statement, fields)
            olds = list(affected.of_rows(held, fields))
            self._aim(self._targets, wrapper, rule, olds)
            if UNKNOWN in new.values():
                changed.append((wrapper, rule, fields))
            elif new:
                self._aim(self._targets, wrapper, rule, [{**old, **new} for old in olds])
        if changed:
            self._changed.append((rows, changed))

    def _late(self, returned: list[Any] | None) -> Targets:
        """What shows only when the statement has run, which has returned these rows; whole functions
        where it is in doubt."""
        targets = Targets()
        for wrapper, rule, fields in self._returned:
            known = None if returned is None else affected.returned(self._read, fields, returned)
            self._aim(targets, wrapper, rule, known)
        for rows, aims in self._changed:
            held = None if returned is None else rows.read(_fields(aims))
            for wrapper, rule, fields in aims:
                known = None if held is None else list(affected.of_rows(held, fields))
                self._aim(targets, wrapper, rule, known)
        return targets

    def _aim(
        self,
        targets: Targets,
        wrapper: "AnyWrapper",
        rule: "InvalidationRule",
        known: Iterable[Values] | None,
    ) -> None:
        for values in (None,) if known is None else known:
            targets.aim(wrapper, rule, values)


def _fields(aims: "list[Aim]") -> list[affected.AnyField]:
    return [field for *_, fields in aims for field in fields.values()]
