"""Changes of rows, and which rules they fire."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Model

from cache_result.invalidation.loaded import Values
from cache_result.model_fields import field_of, is_generated
from cache_result.plain import plain
from cache_result.rules import InvalidationRule


class UnknownValueError(Exception):
    """Nobody has seen what the old row had there."""


class OldRow:
    """A row as it was before, of which some values are known. Reading another one raises
    :class:`UnknownValueError`; nothing is queried."""

    def __init__(self, instance: Model, values: Values) -> None:
        self._instance = instance
        self._values = values

    def __getattr__(self, name: str) -> Any:
        instance, values = self._instance, self._values
        if name in values:  # which are by `attname`
            return getattr(instance, name) if _same(instance, values, name) else values[name]
        field = field_of(type(instance), name)
        if field is None:
            # A property depends on anything.
            if all(_same(instance, values, f.attname) for f in instance._meta.concrete_fields):
                return getattr(instance, name)
            raise UnknownValueError(name)
        if field.primary_key or _same(instance, values, field.attname):
            return getattr(instance, name)
        if field.attname not in values or (name != field.attname and field.is_relation):
            raise UnknownValueError(name)
        return values[field.attname]


@dataclass(slots=True)
class Change:
    """What has happened to a row."""

    instance: Model
    """The row as it is now, or was before it was deleted."""
    olds: tuple[Any, ...] = ()
    """What it may have been before."""
    created: bool = False
    deleted: bool = False
    relation: str | None = None
    """The many-to-many relation that has changed, and nothing else."""
    update_fields: frozenset[str] | None = None
    """The fields that were saved; None for all."""

    def rows(self, rule: InvalidationRule) -> list[Any]:
        """The old and the new row, if this change fires the rule."""
        if self.created and rule.trigger_on_create is False:
            return []
        rows = [*self.olds, self.instance]
        if rule.watch_fields is not None and not self._is_watched(rule.watch_fields):
            return []
        if rule.invalidate_when and not any(_matches(row, rule) for row in rows):
            return []
        return rows

    def _is_watched(self, names: Sequence[str]) -> bool:
        if self.relation is not None:
            return self.relation in names
        if self.created or self.deleted:
            return True
        return any(self._differs(old, name) for old in self.olds for name in names)

    def _differs(self, old: Any, name: str) -> bool:
        field = field_of(type(self.instance), name)
        if field is not None and is_generated(field):
            return True
        name = name if field is None else field.attname
        try:
            return bool(getattr(old, name) != getattr(self.instance, name))
        except Exception:
            return True


def alias_of(instance: Model) -> str:
    """The database that a change of the instance goes to, where nobody names one."""
    return instance._state.db or router.db_for_write(type(instance), instance=instance)


def looked_at(rule: InvalidationRule, model: type[Model]) -> Iterator[str]:
    """The values of a row, by ``attname``, by which the rule can tell old from new."""
    if rule.old_values == "query":
        return
    firsts = [path.partition(".")[0] for path in rule.paths.values()]
    for name in (
        *firsts,
        *(rule.watch_fields or ()),
        *(key.removeprefix("!") for key in rule.invalidate_when),
    ):
        field = field_of(model, name)
        if field is None:
            yield from (f.attname for f in model._meta.concrete_fields if not f.primary_key)
        elif not field.primary_key:
            yield field.attname


def _same(instance: Model, values: Values, attname: str) -> bool:
    held = vars(instance)
    try:
        return attname in values and attname in held and bool(values[attname] == held[attname])
    except Exception:
        return False


def _matches(row: Any, rule: InvalidationRule) -> bool:
    """Whether a row matches all of ``invalidate_when``; what is unknown does."""
    return all(_is_one_of(row, name, expected) for name, expected in rule.invalidate_when.items())


def _is_one_of(row: Any, name: str, expected: Any) -> bool:
    try:
        value = plain(getattr(row, name.removeprefix("!")))
        if isinstance(expected, Collection) and not isinstance(expected, str | bytes):
            found = any(value == plain(one) for one in expected)
        else:
            found = bool(value == plain(expected))
    except Exception:
        return True
    return not found if name.startswith("!") else found
