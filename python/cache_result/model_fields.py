"""What a rule knows of the fields of its model."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from cache_result.plain import plain

RuleMember = tuple[str, str, Callable[[Any], Any]]
"""Argument, how it is read ("integer", "text", "field"), and the model field's reading of a value."""


def member(model: type[models.Model], name: str, path: str) -> RuleMember:
    """How the argument is read that a rule maps to this dotted path."""
    found = _field_at(model, path)
    if found is None:
        return (name, "field", plain)
    reading = "field"
    to_python = type(found).to_python
    if to_python is models.IntegerField.to_python:
        reading = "integer"
    elif to_python in {models.CharField.to_python, models.TextField.to_python}:
        reading = "text"
    return (name, reading, _reader(found))


def _field_at(model: type[models.Model], path: str) -> "models.Field[Any, Any] | None":
    """The concrete field that a dotted path ends in; None for properties and the like."""
    owner: Any = model
    found: Any = None
    for part in path.split("."):
        if owner is None or isinstance(owner, str):
            return None  # a relation of an abstract model may not be resolved
        try:
            found = owner._meta.pk if part == "pk" else owner._meta.get_field(part)
        except FieldDoesNotExist:
            return None
        owner = found.related_model if found.is_relation else None
    while found is not None and getattr(found, "remote_field", None) and hasattr(found, "target_field"):
        found = found.target_field
    return found if isinstance(found, models.Field) else None


def field_of(model: type[models.Model], name: str) -> "models.Field[Any, Any] | None":
    """The concrete field that is called so, by ``name`` or ``attname``; None for anything else."""
    if name == "pk":
        return model._meta.pk
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, models.Field) and field.concrete and not field.many_to_many else None


def is_generated(field: "models.Field[Any, Any]") -> bool:
    """Whether the database computes the field's value, so that an instance has an outdated one."""
    return bool(getattr(field, "generated", False))


def _reader(target: "models.Field[Any, Any]") -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, models.Model) and isinstance(value, target.model):
            value = getattr(value, target.attname)
        value = plain(value)
        if value is None:
            return None
        try:
            return target.to_python(value)
        except Exception:
            return None  # no single value: the rule's other scope

    return read
