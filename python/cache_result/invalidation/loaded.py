"""What rows were like when they were loaded, for the models whose rules can tell old from new.

A rule that maps ``author_id`` has to invalidate two authors when an article moves from one to the
other. So instances of such models note, when they are loaded and when they are saved, the values that
rules look at. Primary keys are not noted: a row cannot change its own. Other models pay nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from functools import wraps
from typing import Any

from django.db import connections
from django.db.models import Model
from django.db.models.fields.files import FieldFile
from django.db.models.signals import post_init

from cache_result.rules import field_of
from cache_result.transaction import in_transaction

Values = dict[str, Any]
"""Some of a row's values, by ``attname``."""

_ATTRIBUTE = "_cache_result_loaded"
_ASKED = "_cache_result_asked"
"""How many values the rules asked for by then (they only become more), the primary key, and how often
rows of the model had been changed unseen, and this row been saved."""
_MOST = 8
"""So many versions of a row are told apart within one transaction."""
_PLAIN = (str, int, float, bool, bytes, type(None))

_tracked: dict[type[Model], set[str]] = {}
_changes: defaultdict[type[Model], int] = defaultdict(int)
_saves: dict[tuple[type[Model], Any], int] = {}
"""How often this process has saved a row, so that another instance of it knows that it is outdated."""
_MOST_SAVES = 10_000


def track(sender: type[Model], attnames: Iterable[str]) -> None:
    """Has instances of exactly this model note these values, from now on."""
    names = set(attnames)
    if not names:
        return
    if sender not in _tracked:
        post_init.connect(_on_init, sender=sender, dispatch_uid="cache_result.loaded")
        _watch_refresh(sender)
    _tracked.setdefault(sender, set()).update(names)


def versions(instance: Model, using: str) -> tuple[Values, ...]:
    """What the row may have been like before; values that nobody has seen are missing."""
    known: tuple[Values, ...] | None = getattr(instance._state, _ATTRIBUTE, None)
    if known is None or instance._state.adding or instance._state.db != using:
        return ({},)
    _, key, changes, saves = getattr(instance._state, _ASKED)
    model = type(instance)
    outdated = changes != _changes[model] or saves != _saves.get((model, key), 0)
    return ({},) if outdated or key not in (None, instance.pk) else known


def rows_changed(sender: type[Model]) -> None:
    """Rows of the model were written, nobody knows which: what was loaded before may be outdated."""
    _changes[sender] += 1


def forget(instance: Model) -> None:
    """Nobody knows what the row is like now."""
    if type(instance) in _tracked:
        _keep(instance, ({},))


def look_up(instance: Model, using: str) -> None:
    """Before a change: forgets what an instance was made with by hand, and reads the row of one that is
    older than the rules that ask for its values."""
    names = _tracked.get(type(instance))
    if not names:
        return
    if instance._state.adding:
        _keep(instance, ({},))
    if instance._state.adding or getattr(instance._state, _ASKED, (0,))[0] == len(names):
        return
    row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*names).first()
    _keep(instance, (row or {},))


def saved(instance: Model, using: str, update_fields: Iterable[str] | None) -> None:
    """The instance's values, or some of them, are now those of the row."""
    if type(instance) not in _tracked:
        return
    row = (type(instance), instance.pk)
    if len(_saves) >= _MOST_SAVES:
        _saves.clear()
        for model in _tracked:
            rows_changed(model)
    _saves[row] = _saves.get(row, 0) + 1
    _note(instance, _attnames(type(instance), update_fields), keep=in_transaction(connections[using]))


def _on_init(*, instance: Model, **kwargs: Any) -> None:
    _keep(instance, (_seen(instance, None),))


def _keep(instance: Model, known: tuple[Values, ...]) -> None:
    setattr(instance._state, _ATTRIBUTE, known)
    model = type(instance)
    key = instance.pk
    asked = len(_tracked.get(model, ()))
    setattr(instance._state, _ASKED, (asked, key, _changes[model], _saves.get((model, key), 0)))


def _seen(instance: Model, names: set[str] | None) -> Values:
    held = vars(instance)
    tracked = _tracked.get(type(instance), set())
    return {
        name: held[name] if isinstance(held[name], _PLAIN) else _copied(held[name])
        for name in (tracked if names is None else tracked & names)
        if name in held and not hasattr(held[name], "resolve_expression")
    }


def _copied(value: Any) -> Any:
    if isinstance(value, FieldFile):
        return value.name
    try:
        return deepcopy(value)
    except Exception:
        return object()  # equal to nothing


def _note(instance: Model, names: set[str] | None, *, keep: bool) -> None:
    """Notes values; ``keep`` says that a rollback may bring back the former ones."""
    before: tuple[Values, ...] = getattr(instance._state, _ATTRIBUTE, ({},))
    seen = _seen(instance, names)
    if names is None:
        after = (*before, seen) if keep else (seen,)
    else:
        # Whatever else the row may have had, it may have still.
        others = [{name: value for name, value in old.items() if name not in names} for old in before]
        after = (*(before if keep else ()), *({**other, **seen} for other in others))
    distinct: list[Values] = []
    for version in after:
        if version not in distinct:
            distinct.append(version)
    _keep(instance, tuple(distinct) if len(distinct) <= _MOST else ({},))


def _attnames(model: type[Model], names: Iterable[str] | None) -> set[str] | None:
    """The attributes of the fields with these names; None, for all of them, as it is."""
    if names is None:
        return None
    fields = {name: field_of(model, name) for name in names}
    return {name if field is None else field.attname for name, field in fields.items()}


def _watch_refresh(model: type[Model]) -> None:
    """``refresh_from_db`` sends no signal, and deferred fields are loaded by it."""
    original = model.refresh_from_db
    if hasattr(original, _ATTRIBUTE):
        return

    @wraps(original)
    def refresh_from_db(self: Model, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        fields = kwargs.get("fields", args[1] if len(args) > 1 else None)
        connection = connections[self._state.db or "default"]
        _note(self, _attnames(type(self), fields), keep=in_transaction(connection))

    setattr(refresh_from_db, _ATTRIBUTE, True)
    model.refresh_from_db = refresh_from_db  # type: ignore[method-assign]
