"""Changes of many-to-many relations: the rows at both ends have changed."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import ManyToManyField, ManyToManyRel, Model
from django.db.models.signals import m2m_changed

from cache_result.invalidation.changes import Change, alias_of

MOST_ROWS = 1000
"""So many rows at the other end are told apart; beyond, the functions of their rules go as a whole."""
_CLEARED = "_cache_result_cleared"

Fire = Callable[[type[Model], Change, str], None]
FireAll = Callable[[type[Model], str], None]

_fire: Fire
_fire_all: FireAll


def watch(senders: Iterable[type[Model]], fire: Fire, fire_all: FireAll) -> None:
    """Has the relations of these models watched, from whichever end they are changed."""
    global _fire, _fire_all
    _fire, _fire_all = fire, fire_all
    for sender in senders:
        forward = [field.remote_field.through for field in sender._meta.many_to_many]
        backward = [rel.through for rel in sender._meta.related_objects if isinstance(rel, ManyToManyRel)]
        for through in {*forward, *backward}:
            if isinstance(through, type):
                m2m_changed.connect(_on_change, sender=through, dispatch_uid="cache_result.rules")


def _on_change(
    *,
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str | None = None,
    **kwargs: Any,
) -> None:
    using = using or alias_of(instance)
    near, far = _names(sender, type(instance), reverse)
    if action == "pre_clear":
        # Afterwards nobody knows what was there.
        setattr(instance._state, _CLEARED, _related(instance, near, using))
    elif action in {"post_add", "post_remove", "post_clear"}:
        keys = pk_set if pk_set is not None else getattr(instance._state, _CLEARED, None)
        _fire(type(instance), Change(instance, relation=near), using)
        if keys is None or len(keys) > MOST_ROWS:
            _fire_all(model, using)
        elif keys:
            for row in model._base_manager.using(using).filter(pk__in=keys):
                _fire(model, Change(row, relation=far), using)


def _names(through: type[Model], model: type[Model], reverse: bool) -> tuple[str, str]:
    """What the relation is called on the instance's model, and on the other one."""
    for field in _many_to_many(model, reverse):
        if field.remote_field.through is through:
            if field.remote_field.symmetrical:
                return field.name, field.name
            back = field.remote_field.get_accessor_name() or ""
            return (back, field.name) if reverse else (field.name, back)
    return "", ""


def _many_to_many(model: type[Model], reverse: bool) -> "list[ManyToManyField[Any, Any]]":
    if not reverse:
        return list(model._meta.many_to_many)
    return [rel.field for rel in model._meta.related_objects if isinstance(rel, ManyToManyRel)]


def _related(instance: Model, name: str, using: str) -> set[Any] | None:
    try:
        return set(getattr(instance, name).using(using).values_list("pk", flat=True)[: MOST_ROWS + 1])
    except Exception:
        return None
