"""The shape of a model or of a serializer, as plain values for a key.

A deployment that changes a shape leads to other keys. Descriptions are equal in every process, so nothing in
them comes from ``repr``, from the active language, or from what else has been imported. They see too much
rather than too little: a needless change costs a cold cache, a missed one serves what no longer fits.
"""

import copy
import re
from collections.abc import ItemsView, Iterable, KeysView, Mapping, ValuesView
from contextlib import AbstractContextManager, nullcontext
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import partial
from importlib import import_module
from inspect import getattr_static
from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Choices, Field, Model, QuerySet
from django.db.models.manager import BaseManager
from django.utils.functional import LazyObject, Promise
from django.utils.translation import override

# fmt: off
# Options that do not shape what is read: texts for people, checks of what is written, indexes and
# constraints, and what belongs to the other end of a relation.
_MODEL_FIELD_IGNORED = frozenset((
    "verbose_name", "help_text", "error_messages", "validators", "on_delete", "related_name",
    "related_query_name", "limit_choices_to", "db_index", "db_tablespace", "db_constraint", "db_table",
    "db_comment", "db_default",
))
_SERIALIZER_FIELD_IGNORED = frozenset((
    "label", "help_text", "style", "error_messages", "validators", "html_cutoff", "html_cutoff_text",
    "min_value", "max_value",  # those of a ModelSerializer are the limits of the database
    "child", "child_relation",  # described as children
))
# Beside the options, because a class may set them itself or leave them out of its deconstruct().
_MODEL_FIELD_ATTRIBUTES = ("null", "primary_key", "max_length", "choices")
_GENERIC_ATTRIBUTES = (
    "ct_field", "fk_field", "for_concrete_model", "object_id_field_name", "content_type_field_name",
)
_SERIALIZER_FIELD_ATTRIBUTES = (
    "read_only", "write_only", "required", "default", "source", "many", "allow_null", "allow_blank",
    "allow_empty", "max_length", "min_length", "max_digits", "decimal_places", "coerce_to_string",
    "normalize_output", "localize", "rounding", "format", "timezone", "uuid_format", "protocol", "binary",
    "encoder", "use_url", "method_name", "lookup_field", "lookup_url_kwarg", "view_name", "slug_field",
    "queryset", "grouped_choices",
)
# What fields without such an option go by.
_SERIALIZER_SETTINGS = (
    "DATE_FORMAT", "DATETIME_FORMAT", "TIME_FORMAT", "DURATION_FORMAT", "COERCE_DECIMAL_TO_STRING",
    "COERCE_BIGINT_TO_STRING", "UPLOADED_FILES_USE_URL",
)
# fmt: on

# A serializer may nest itself, and make the classes as it goes; Meta.depth ends at 10.
_MAX_DEPTH = 12

_BASES: tuple[Any, ...] = (str, int, float, bytes)
_TEXTUAL = (Decimal, complex, UUID, date, time, timedelta, PurePath, range)
_MOMENTARY = (date, time, UUID)

_Within = tuple[tuple[type, Any], ...]
"""The serializers around a field: class and arguments."""


def describe_model(model: type[Model]) -> tuple[Any, ...]:
    """Label, base and fields of a model, with their types and options; not what points to it.

    :raises ValueError: for anything that is no model class.
    """
    if not (isinstance(model, type) and issubclass(model, Model) and hasattr(model, "_meta")):
        raise ValueError(f"Invalid model class: {model!r}")
    opts = model._meta
    concrete = opts.concrete_model  # an abstract model has none
    base = concrete and concrete._meta.label_lower
    fields = (*opts.fields, *opts.many_to_many, *opts.private_fields)
    with _untranslated():
        described = tuple(map(_describe_model_field, fields))
    return ("model", opts.label, _path(model), opts.proxy, base, _plain(opts.ordering), described)


def describe_serializer(serializer_class: type) -> tuple[Any, ...]:
    """Class, model and fields of a serializer, with their types and options, and those of nested ones.

    :raises ValueError: for anything that is no serializer class, or that raises when its fields are made.
    :raises ImproperlyConfigured: without djangorestframework.
    """
    base = _rest_framework().BaseSerializer
    failure = "Failed to initialize serializer class"
    if not (isinstance(serializer_class, type) and issubclass(serializer_class, base)):
        raise ValueError(f"{failure}: {serializer_class!r}: not a serializer class")
    given = getattr(settings, "REST_FRAMEWORK", None) or {}
    formats = {name: given[name] for name in _SERIALIZER_SETTINGS if name in given}
    try:
        with _untranslated():
            described = _describe_serializer_field(serializer_class(), ())
    except Exception as error:
        raise ValueError(f"{failure}: {_path(serializer_class)}: {str(error) or repr(error)}") from error
    return ("serializer", _plain(formats), described)


def _untranslated() -> AbstractContextManager[None]:
    """No language is active. Before the apps are loaded none can be, and leaving ``override`` would fail."""
    return override(None) if apps.apps_ready else nullcontext()


def _rest_framework() -> Any:
    """The module with all fields and serializers; nobody needs it who has none to describe."""
    try:
        return import_module("rest_framework.serializers")
    except ImportError as error:
        raise ImproperlyConfigured("DrfSerializerKeyField needs djangorestframework") from error


def _describe_model_field(field: Any) -> tuple[Any, ...]:
    """Name, class and options of a model field, or of a generic relation."""
    generic = hasattr(field, "ct_field") or hasattr(field, "object_id_field_name")
    names = _GENERIC_ATTRIBUTES if generic else _MODEL_FIELD_ATTRIBUTES
    options = {name: getattr(field, name) for name in names if hasattr(field, name)}
    args: Iterable[Any] = ()
    if not generic:  # their deconstruct() depends on the Django version and on what is resolved
        field = copy.copy(field)
        field.swappable = False  # else a foreign key asks the registry which settings name its target
        _, _, args, kwargs = field.deconstruct()
        options.update(kwargs)
    if remote := getattr(field, "remote_field", None):
        through = getattr(remote, "through", None)
        scope = getattr(field, "model", None)
        options["to"] = _label(remote.model, scope)
        options["through"] = through and _label(through, scope)
        options["through_fields"] = getattr(remote, "through_fields", None)
        options["symmetrical"] = getattr(remote, "symmetrical", None)
    return (field.name, _path(type(field)), _plain(args), _options(options, _MODEL_FIELD_IGNORED))


def _label(target: Any, scope: Any) -> str:
    """The label of a relation's target, in lower case, whether or not the class is known yet."""
    if not isinstance(target, str):
        return str(target._meta.label_lower)
    if scope is None or "." in target:
        return target.lower()
    return f"{scope._meta.app_label}.{target}".lower()


def _describe_serializer_field(field: Any, within: _Within) -> tuple[Any, ...]:
    """Class, arguments, attributes and parts of a field of Django REST framework."""
    serializers = _rest_framework()
    kind: Any = type(field)
    arguments = (_plain(field._args, within), _options(field._kwargs, _SERIALIZER_FIELD_IGNORED, within))
    attributes = {}
    for name in _SERIALIZER_FIELD_ATTRIBUTES:
        value = getattr_static(field, name, field)  # never a property: that of a relation would query
        if value is not field and not (
            name == "grouped_choices" and isinstance(field, serializers.FilePathField)
        ):
            attributes[name] = value  # the choices of a FilePathField are the files of this host
    described: tuple[Any, ...]
    described = (_path(kind), _path(kind.to_representation), *arguments, _options(attributes, (), within))
    if isinstance(field, serializers.BaseSerializer):
        meta = getattr(kind, "Meta", None)
        model, many = (getattr(meta, name, None) for name in ("model", "list_serializer_class"))
        described = (*described, _plain(model), _plain(many))
    if not isinstance(field, serializers.Serializer):
        return (*described, *_describe_children(field, within))
    here = (kind, arguments)
    if here in within or len(within) >= _MAX_DEPTH:
        return (*described, "recursive")
    within = (*within, here)
    parts = ((name, _describe_serializer_field(part, within)) for name, part in field.fields.items())
    return (*described, *parts)


def _describe_children(field: Any, within: _Within) -> tuple[Any, ...]:
    """What each item of a list or of a relation to many is written by."""
    children = (getattr_static(field, name, None) for name in ("child", "child_relation"))
    return tuple(_plain(child, within) for child in children)


def _options(options: Mapping[str, Any], ignored: Iterable[str], within: _Within = ()) -> tuple[Any, ...]:
    """Name and value of each option, in the order of their names."""
    described = []
    for name in sorted(options.keys() - set(ignored)):
        value = options[name]
        if name in {"default", "initial"} and issubclass(type(value), _MOMENTARY):
            value = type(value)  # today, or a new id: another one in every process
        described.append((name, _plain(value, within)))
    return tuple(described)


def _path(named: Any) -> str:
    """Module and qualified name of a class or of a function."""
    name = getattr(named, "__qualname__", None)
    named = named if isinstance(name, str) else type(named)
    return f"{getattr(named, '__module__', None) or '?'}.{named.__qualname__}"


def _plain(value: Any, within: _Within = ()) -> Any:
    """A value as itself, or as a tuple whose first item says what it stands for."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if issubclass(kind, LazyObject):  # first of all, because isinstance() would evaluate it
        return ("object", _path(kind))
    if isinstance(value, Enum):
        label = value.label if isinstance(value, Choices) else None
        return ("member", _path(kind), value.name, _plain(value.value), _plain(label))
    for base in _BASES:
        if isinstance(value, base):  # without a subclass's own __str__; NaN is not equal to itself
            return base.__getnewargs__(value)[0] if value == value else ("float", "nan")
    if isinstance(value, Promise):  # the function and its arguments: for a translation, the untranslated text
        return ("lazy", *(_plain(part, within) for part in value.__reduce__()[1]))
    if isinstance(value, Mapping):
        return ("mapping", *((_plain(key), _plain(item, within)) for key, item in value.items()))
    if isinstance(value, list | tuple | KeysView | ValuesView | ItemsView):
        return ("sequence", *(_plain(item, within) for item in value))
    if isinstance(value, set | frozenset):
        return ("set", *sorted((_plain(item) for item in value), key=repr))
    return _plain_class(value) if isinstance(value, type) else _plain_object(value, within)


def _plain_class(value: type) -> tuple[Any, ...]:
    if issubclass(value, Enum):
        return ("enum", _path(value), *(_plain(member) for member in value))
    if issubclass(value, Model) and hasattr(value, "_meta"):
        return ("model", value._meta.label_lower)
    return ("class", _path(value))


def _plain_object(value: Any, within: _Within) -> tuple[Any, ...]:
    kind = type(value)
    for base in _TEXTUAL:
        if isinstance(value, base):
            return (base.__name__, str(value))
    if isinstance(value, re.Pattern):
        return ("regex", value.pattern, value.flags)
    if isinstance(value, tzinfo):
        return ("timezone", str(getattr(value, "key", None) or getattr(value, "zone", value.tzname(None))))
    if isinstance(value, QuerySet | BaseManager):  # not evaluated
        return ("queryset", value.model and value.model._meta.label_lower)
    if isinstance(value, Field):
        return ("field", _describe_model_field(value))
    if isinstance(value, partial):
        return ("partial", _plain(value.func), _plain(value.args), _options(value.keywords, ()))
    if hasattr(kind, "to_representation") and hasattr(value, "_kwargs"):
        return ("field", _describe_serializer_field(value, within))
    if isinstance(getattr(value, "__qualname__", None), str):
        return ("function", _path(value))
    if hasattr(kind, "deconstruct"):
        try:
            *_, args, kwargs = value.deconstruct()
        except Exception:  # of a class that cannot be imported, or another kind of deconstruct()
            return ("object", _path(kind))
        return ("object", _path(kind), _plain(tuple(args)), _options(kwargs, ()))
    return ("object", _path(kind))
