"""What rows were like when they were loaded, for the models whose rules can tell old from new.

A rule that maps ``author_id`` has to invalidate two authors when an article moves from one to the
other. So instances of such models note, when they are loaded and when they are saved, the values that
rules look at. Primary keys are not noted: a row cannot change its own. Other models pay nothing.
"""

from collections.abc import Iterable
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.models.fields.files import FieldFile

from cache_result.model_fields import field_of
from cache_result.transaction import has_written, in_transaction, on_rollback

Values = dict[str, Any]
"""Some of a row's values, by ``attname``."""

_NOTE = "_cache_result_loaded"
Note = tuple[tuple[Values, ...], int, Any, int, int]
"""What the row may be like; how many values the rules asked for by then (they only become more); the primary
key; and how often rows of the model had been changed unseen, and this row been saved. A note is replaced,
never changed, for copies of an instance share it."""
_UNKNOWN: tuple[Values, ...] = ({},)
_ABSENT = object()
_MOST = 8
"""So many versions of a row are told apart within one transaction."""
_MOST_SAVES = 10_000
_PLAIN = frozenset(
    {str, int, float, bool, bytes, type(None), Decimal, UUID, datetime, date, time, timedelta},
)
"""Types of values that nobody can change, so that they need no copy."""


class _Tracker:
    """What is noted of instances of one model."""

    __slots__ = ("changes", "key", "names", "saves")

    def __init__(self, model: type[Model]) -> None:
        self.names: tuple[str, ...] = ()
        pk = model._meta.pk
        self.key = pk.attname if pk.column else "pk"
        """The attribute with the primary key, for those that have a single column."""
        self.changes = 0
        """How often rows were changed unseen."""
        self.saves: dict[Any, int] = {}
        """How often this process has saved a row, by key, so that another instance of it knows that it is
        outdated."""


_trackers: dict[type[Model], _Tracker] = {}


def track(sender: type[Model], attnames: Iterable[str]) -> None:
    """Has instances of exactly this model note these values, from now on."""
    names = set(attnames)
    if not names:
        return
    tracker = _trackers.get(sender)
    if tracker is None:
        tracker = _trackers[sender] = _Tracker(sender)
        _watch_loading(sender)
        _watch_refresh(sender)
    tracker.names = tuple(sorted(names.union(tracker.names)))


def versions(instance: Model, using: str) -> tuple[Values, ...]:
    """What the row may have been like before; values that nobody has seen are missing."""
    state = instance._state
    return _UNKNOWN if state.adding or state.db != using else _known(instance)


def rows_changed(sender: type[Model], connection: BaseDatabaseWrapper | None = None) -> None:
    """Rows of the model were written, or what was written has been rolled back, nobody knows which rows:
    what was loaded before may be outdated."""
    tracker = _trackers.get(sender)
    if tracker is None:
        return
    tracker.changes += 1
    if connection is not None and in_transaction(connection):
        has_written(connection, sender)


on_rollback(rows_changed)


def forget(instance: Model) -> None:
    """Nobody knows what the row is like now."""
    tracker = _trackers.get(type(instance))
    if tracker is not None:
        _keep(instance, tracker, _UNKNOWN)


def look_up(instance: Model, using: str) -> None:
    """Before a change: forgets what an instance was made with by hand, and reads the row of one that counts
    as stored but was not noted: it is older than the rules that ask for its values, or ``bulk_create`` has
    stored it."""
    tracker = _trackers.get(type(instance))
    if tracker is None:
        return
    if instance._state.adding:
        _keep(instance, tracker, _UNKNOWN)
        return
    note: Note | None = getattr(instance._state, _NOTE, None)
    if note is not None and note[1] == len(tracker.names):
        return
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*tracker.names).first()
    _keep(instance, tracker, (row or {},))


def saved(instance: Model, using: str, update_fields: Iterable[str] | None) -> None:
    """The instance's values, or some of them, are now those of the row."""
    before, inside = _known(instance), in_transaction(connections[using])
    # Instances of a parent may be of the same row.
    for model in type(instance).__mro__:
        tracker = _trackers.get(model)
        if tracker is None:
            continue
        saves = tracker.saves
        if len(saves) >= _MOST_SAVES:
            saves.clear()
            tracker.changes += 1
        key = getattr(instance, tracker.key)
        saves[key] = saves.get(key, 0) + 1
        if inside:
            has_written(connections[using], model)
    _note(instance, before, update_fields, keep=inside)


def _keep(instance: Model, tracker: _Tracker, known: tuple[Values, ...]) -> None:
    key = instance.pk
    note: Note = (known, len(tracker.names), key, tracker.changes, tracker.saves.get(key, 0))
    setattr(instance._state, _NOTE, note)


def _seen(instance: Model, names: Iterable[str]) -> Values:
    """Those of the values that the instance has."""
    held = instance.__dict__
    seen: Values = {}
    for name in names:
        value = held.get(name, _ABSENT)
        if type(value) in _PLAIN:
            seen[name] = value
        elif value is not _ABSENT and not hasattr(value, "resolve_expression"):
            seen[name] = _copied(value)
    return seen


def _copied(value: Any) -> Any:
    if isinstance(value, FieldFile):
        return value.name
    try:
        return deepcopy(value)
    except Exception:
        return object()  # equal to nothing


def _note(instance: Model, before: tuple[Values, ...], fields: Iterable[str] | None, *, keep: bool) -> None:
    """Notes the values of some fields, or of all; ``keep`` says that a rollback may bring back the former
    ones."""
    tracker = _trackers.get(type(instance))
    if tracker is None:
        return
    if fields is None:
        after: tuple[Values, ...] = (_seen(instance, tracker.names),)
        if not keep or before is _UNKNOWN:  # a rollback is told of, and makes everything unknown again
            _keep(instance, tracker, after)
            return
        after = (*before, *after)
    else:
        names = _attnames(type(instance), fields)
        seen = _seen(instance, names.intersection(tracker.names))
        # Whatever else the row may have had, it may have still.
        others = [{name: value for name, value in old.items() if name not in names} for old in before]
        after = (*(before if keep else ()), *({**other, **seen} for other in others))
    distinct: list[Values] = []
    for version in after:
        if version not in distinct:
            distinct.append(version)
    _keep(instance, tracker, tuple(distinct) if len(distinct) <= _MOST else _UNKNOWN)


def _known(instance: Model) -> tuple[Values, ...]:
    """What is noted of the row, unless it has changed since."""
    note: Note | None = getattr(instance._state, _NOTE, None)
    tracker = _trackers.get(type(instance))
    if note is None or tracker is None:
        return _UNKNOWN
    known, _, key, changes, saves = note
    outdated = changes != tracker.changes or saves != tracker.saves.get(key, 0)
    return _UNKNOWN if outdated or key not in (None, instance.pk) else known


def _attnames(model: type[Model], names: Iterable[str]) -> set[str]:
    """The attributes of the fields with these names; a name that is no field's, as it is."""
    fields = {name: field_of(model, name) for name in names}
    return {name if field is None else field.attname for name, field in fields.items()}


def _watch_loading(model: type[Model]) -> None:
    """Has instances noted that come from the database. ``post_init`` would tell of them too, but a receiver
    costs a microsecond before it has done anything, and every instance pays."""
    from_db: Any = model.from_db
    if hasattr(from_db, _NOTE):
        return
    original = from_db.__func__
    # One of the project's own may give out an instance again, which has changed since.
    is_new = original is vars(Model)["from_db"].__func__

    # Every instance pays for what is done here, so that nothing is called that need not be.
    @wraps(original)
    def watched_from_db(cls: type[Model], db: Any, field_names: Any, values: Any, **kwargs: Any) -> Model:
        instance: Model = (
            original(cls, db, field_names, values, **kwargs)
            if kwargs
            else original(cls, db, field_names, values)
        )
        tracker = _trackers.get(cls)
        if tracker is None or (not is_new and hasattr(instance._state, _NOTE)):
            return instance
        held = instance.__dict__
        seen: Values = {}
        names = tracker.names
        for name in names:
            if name in held:
                value = held[name]
                if type(value) in _PLAIN:
                    seen[name] = value
                else:
                    seen |= _seen(instance, (name,))
        key = held[tracker.key] if tracker.key in held else instance.pk  # noqa: SIM401 # it may be a query
        saves = tracker.saves.get(key, 0) if tracker.saves else 0
        note: Note = ((seen,), len(names), key, tracker.changes, saves)
        instance._state._cache_result_loaded = note  # type: ignore[attr-defined]
        return instance

    setattr(watched_from_db, _NOTE, True)
    cast(Any, model).from_db = classmethod(cast(Any, watched_from_db))


def _watch_refresh(model: type[Model]) -> None:
    """``refresh_from_db`` sends no signal, and deferred fields are loaded by it."""
    original = model.refresh_from_db
    if hasattr(original, _NOTE):
        return

    @wraps(original)
    def refresh_from_db(self: Model, *args: Any, **kwargs: Any) -> None:
        before = _known(self)
        original(self, *args, **kwargs)
        fields = kwargs.get("fields", args[1] if len(args) > 1 else None)
        connection = connections[self._state.db or "default"]
        _note(self, before, fields, keep=in_transaction(connection))

    setattr(refresh_from_db, _NOTE, True)
    model.refresh_from_db = refresh_from_db  # type: ignore[method-assign]
