"""Values on their way to a worker: made of JSON's types, and back as what they were.

JSON's own types stand for themselves; everything else is ``{"type": name, "value": ...}``. What cannot
arrive as the same value is refused, because a call with a similar one is another call.
"""

import datetime
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.apps import apps
from django.db.models import DEFERRED, Model

_MOST = 2**53  # beyond, some readers of JSON round
Encoded = Any


def encode(value: Any) -> Encoded:
    """A value in JSON's types.

    :raises TypeError: when it cannot travel; the message names it.
    """
    kind = type(value)
    if value is None or kind in {bool, str} or (kind is int and -_MOST < value < _MOST):
        return value
    if kind is list:
        return _all(value)
    if kind in _WRITERS:
        return {"type": kind.__name__, "value": _WRITERS[kind](value)}
    if isinstance(value, Enum):
        member = [kind.__module__, kind.__qualname__, str(value.name)]
        # Not so for a class that others cannot import, nor for a union of flags.
        if _members(*member[:2]).get(member[2]) is value:
            return {"type": "Enum", "value": member}
    if isinstance(value, Model) and value.pk is not None:
        place = [value._meta.label, value._state.db, encode(value.pk)]
        return {"type": "Model", "value": place}
    raise TypeError(
        f"{value!r}, a {kind.__module__}.{kind.__qualname__}, cannot travel to a worker; map a plain value, "
        "or use a dispatcher of this process: inline, threadpool or asyncio"
    )


def decode(value: Encoded) -> Any:
    """What :func:`encode` was given. An instance is read from its database."""
    if isinstance(value, list):
        return [decode(one) for one in value]
    if isinstance(value, dict):
        return _READERS[value["type"]](value["value"])
    return value


def _moment(value: datetime.datetime | datetime.time) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _zone(value.tzinfo)]


def _zone(zone: datetime.tzinfo | None) -> str | float | None:
    if zone is None:
        return None
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    offset = zone.utcoffset(None)
    if type(zone) is datetime.timezone and offset is not None and zone == datetime.timezone(offset):
        return offset.total_seconds()
    raise TypeError(f"the time zone {zone!r} cannot travel to a worker; use a zoneinfo.ZoneInfo")


def _in_zone(said: str | float | None) -> datetime.tzinfo | None:
    if said is None or isinstance(said, str):
        return ZoneInfo(said) if said else None
    return datetime.timezone(datetime.timedelta(seconds=said)) if said else datetime.timezone.utc  # noqa: UP017


def _members(module: str, name: str) -> Mapping[str, Any]:
    """The members of the class with this name, which may be inside of another, such as a model."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    members: Mapping[str, Any] = getattr(found, "__members__", {})
    return members


def _instance(place: list[Any]) -> Model:
    label, using, key = place
    found: Model = apps.get_model(label)._base_manager.using(using).get(pk=decode(key))
    return found


def _pairs(value: dict[Any, Any]) -> list[Any]:
    return [[encode(key), encode(one)] for key, one in value.items()]


def _all(value: Any) -> list[Any]:
    return [encode(one) for one in value]


_WRITERS: dict[type, Callable[[Any], Any]] = {
    int: str,
    float: float.hex,
    Decimal: str,
    UUID: str,
    bytes: lambda value: b64encode(value).decode(),
    datetime.datetime: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: _moment,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    tuple: _all,
    set: _all,
    frozenset: _all,
    dict: _pairs,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float.fromhex,
    "Decimal": Decimal,
    "UUID": UUID,
    "bytes": b64decode,
    "datetime": lambda v: datetime.datetime.fromisoformat(v[0]).replace(fold=v[1], tzinfo=_in_zone(v[2])),
    "date": datetime.date.fromisoformat,
    "time": lambda v: datetime.time.fromisoformat(v[0]).replace(fold=v[1], tzinfo=_in_zone(v[2])),
    "timedelta": lambda v: datetime.timedelta(*v),
    "tuple": lambda v: tuple(map(decode, v)),
    "set": lambda v: set(map(decode, v)),
    "frozenset": lambda v: frozenset(map(decode, v)),
    "dict": lambda v: {decode(key): decode(one) for key, one in v},
    "Enum": lambda v: _members(*v[:2])[v[2]],
    "Model": _instance,
}


def encode_row(instance: Model, using: str) -> Encoded:
    """An instance and the values of its loaded fields.

    :raises TypeError: when its primary key cannot travel. Another field that cannot goes as text, and an
        expression, whose value the database knows, not at all.
    """
    values = {}
    for field in instance._meta.concrete_fields:
        if field.attname not in vars(instance):
            continue
        value = vars(instance)[field.attname]
        if hasattr(value, "resolve_expression"):
            continue
        try:
            values[field.attname] = encode(value)
        except TypeError:
            values[field.attname] = {"type": "text", "value": field.value_to_string(instance)}
    return {"model": instance._meta.label, "using": using, "pk": encode(instance.pk), "values": values}


def decode_row(row: Encoded, *, deleted: bool) -> Model:
    """The instance as its row is now; as it was, if the row is gone."""
    model, using = apps.get_model(row["model"]), row["using"]
    held = row["values"]
    if not deleted:
        found: Model | None = model._base_manager.using(using).filter(pk=decode(row["pk"])).first()
        if found is not None:
            return found
    names, values = [], []
    for field in model._meta.concrete_fields:
        names.append(field.attname)
        value = held.get(field.attname, DEFERRED)
        if isinstance(value, dict) and value["type"] == "text":
            values.append(field.to_python(value["value"]))
        else:
            values.append(value if value is DEFERRED else decode(value))
    rebuilt: Model = model.from_db(using, names, values)
    return rebuilt
