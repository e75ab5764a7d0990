"""Changes of many-to-many relations: the rows at both ends have changed."""

from collections.abc import Callable, Collection, Iterable
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
_children: dict[type[Model], set[type[Model]]] = {}
"""Models whose rows are rows of a parent's table too, by the parents that their rules do not concern."""


def watch(senders: Iterable[type[Model]], fire: Fire, fire_all: FireAll) -> None:
    """Has the relations of these models watched, from whichever end they are changed."""
    global _fire, _fire_all
    _fire, _fire_all = fire, fire_all
    senders = list(senders)
    for sender in senders:
        for parent in sender._meta.get_parent_list():
            if parent not in senders and not sender._meta.proxy:
                _children.setdefault(parent, set()).add(sender)
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
    near, far, key = _names(sender, type(instance), reverse)
    if action == "pre_clear":
        # Afterwards nobody knows what was there.
        setattr(instance._state, _CLEARED, _related(instance, near, key, using))
    elif action in {"post_add", "post_remove", "post_clear"}:
        keys = pk_set if pk_set is not None else getattr(instance._state, _CLEARED, None)
        _fire(type(instance), Change(instance, relation=near), using)
        own = type(instance)._meta.pk
        _fire_rows(_children_of(type(instance)), own.name, [getattr(instance, own.attname)], near, using)
        models = [model, *_children_of(model)]
        if keys is None or len(keys) > MOST_ROWS:
            for each in models:
                _fire_all(each, using)
        elif keys:
            _fire_rows(models, key, keys, far, using)


def _children_of(model: type[Model]) -> Collection[type[Model]]:
    return _children.get(model._meta.concrete_model or model, ())


def _fire_rows(
    models: Iterable[type[Model]], key: str, keys: Collection[Any], relation: str, using: str
) -> None:
    for model in models:
        for row in model._base_manager.using(using).filter(**{f"{key}__in": keys}):
            _fire(model, Change(row, relation=relation), using)


def _names(through: type[Model], model: type[Model], reverse: bool) -> tuple[str, str, str]:
    """What the relation is called on the instance's model, and on the other one; and the field of the other
    one that the rows of the relation refer to."""
    for field in _many_to_many(model, reverse):
        if field.remote_field.through is through:
            back = field.remote_field.get_accessor_name() or ""
            if reverse:
                return back, field.name, field.m2m_target_field_name()
            far = field.name if field.remote_field.symmetrical else back
            return field.name, far, field.m2m_reverse_target_field_name()
    return "", "", "pk"


def _many_to_many(model: type[Model], reverse: bool) -> "list[ManyToManyField[Any, Any]]":
    if not reverse:
        return list(model._meta.many_to_many)
    return [rel.field for rel in model._meta.related_objects if isinstance(rel, ManyToManyRel)]


def _related(instance: Model, name: str, key: str, using: str) -> set[Any] | None:
    try:
        return set(getattr(instance, name).using(using).values_list(key, flat=True)[: MOST_ROWS + 1])
    except Exception:
        return None
