"""Reads canonical bytes, by the description of the format and by nothing of the package.

    decode(canonical_bytes(value))            the value again
    decode_call(wrapper._canonical(...), n)   the class, if there is one, and what n fields contribute

What comes back is equal to what went in, of the same types. Of objects that say themselves what stands for
them, only that comes back: an `Opaque`. Bytes that are not the one form of their value are refused, so that
whatever can be read has been written by one value only.
"""

import collections
import datetime
import decimal
import enum
import functools
import importlib
import operator
import pathlib
import struct
import sys
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Any, NamedTuple

from cache_result import ABSENT


class Opaque(NamedTuple):
    """An object of which the class and a state are known."""

    kind: str
    module: str
    name: str
    state: Any


class Malformed(Exception):
    """Bytes that stand for nothing."""


def decode(data: bytes) -> Any:
    """The one value that `data` is."""
    (value,) = decode_all(data)
    return value


def decode_all(data: bytes) -> list[Any]:
    """The values that `data` is, one after the other."""
    reader = _Reader(data)
    return list(reader.rest())


def decode_call(data: bytes, fields: int) -> tuple[type | None, list[Any]]:
    """The class on which an inherited method was called, and what each of the fields contributes."""
    values = decode_all(data)
    if len(values) == fields:
        return None, values
    heir, *contributions = values
    _require(
        len(contributions) == fields and isinstance(heir, type), f"{len(values)} values of {fields} fields"
    )
    return heir, contributions


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise Malformed(problem)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def rest(self) -> Iterator[Any]:
        while self.at < len(self.data):
            yield self.value()

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        _require(len(taken) == count, "the end comes too early")
        self.at += count
        return taken

    def length(self) -> int:
        """LEB128, as short as it gets."""
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                _require(byte > 0 or shift == 0, "a length with too many bytes")
                return value
            shift += 7

    def blob(self) -> bytes:
        return self.take(self.length())

    def text(self) -> str:
        return self.blob().decode("utf-8", "surrogatepass")

    def name(self) -> tuple[str, str]:
        module, _, name = self.text().partition(":")
        return module, name

    def items(self) -> list[Any]:
        return [self.value() for _ in range(self.length())]

    def ordered(self, of: int = 1) -> list[Any]:
        """Items, or pairs of items, in the order of their bytes."""
        found, before = [], b""
        for _ in range(self.length()):
            start = self.at
            item = [self.value() for _ in range(of)]
            here = self.data[start : self.at]
            _require(before <= here, "items out of order")
            before = here
            found.append(tuple(item) if of > 1 else item[0])
        return found

    def value(self) -> Any:
        tag = self.take(1).decode("latin-1")
        match tag:
            case "N":
                return None
            case "T":
                return True
            case "F":
                return False
            case "A":
                return ABSENT
            case "i":
                return int.from_bytes(self.take(8), "little", signed=True)
            case "I":
                return self.big()
            case "f":
                return struct.unpack("<d", self.take(8))[0]
            case "c":
                return complex(*struct.unpack("<dd", self.take(16)))
            case "s":
                return self.text()
            case "b":
                return self.blob()
            case "a":
                return bytearray(self.blob())
            case "(":
                return tuple(self.items())
            case "[":
                return self.items()
            case "]":
                return self.ordered()
            case "{":
                return dict(self.ordered(2))
            case "<":
                return set(self.ordered())
            case ">":
                return frozenset(self.ordered())
            case "C":
                return _find(*self.name())
            case "S":
                return _standard(self.take(1).decode("latin-1"), self.value())
            case "O":
                kind = self.take(1).decode("latin-1")
                return _object(kind, *self.name(), self.value())
        raise Malformed(f"no such tag: {tag!r}")

    def big(self) -> int:
        data = self.blob()
        number = int.from_bytes(data, "little", signed=True)
        _require(not -(2**63) <= number < 2**63, "a small number as a large one")
        # With the bit for the sign: -128 has eight of them, 128 has nine.
        bits = (number if number >= 0 else ~number).bit_length() + 1
        _require(len(data) == -(-bits // 8), "a byte that only repeats the sign")
        return number


def _find(module: str, name: str) -> Any:
    found = sys.modules.get(module) or importlib.import_module(module)
    return functools.reduce(getattr, name.split("."), found)


# --- values of the standard library


def _standard(kind: str, state: Any) -> Any:
    match kind, state:
        case "u", bytes():
            return uuid.UUID(bytes=state)
        case "t", (str(text), int(fold), *zone):
            moment = datetime.datetime.fromisoformat(text).replace(fold=fold)
            return _in_zone(moment, zone)
        case "h", (str(text), int(fold), *zone):
            return _in_zone(datetime.time.fromisoformat(text).replace(fold=fold), zone)
        case "y", str():
            return datetime.date.fromisoformat(state)
        case "l", (int(days), int(seconds), int(microseconds)):
            return datetime.timedelta(days, seconds, microseconds)
        case "d", str():
            return decimal.Decimal(state)
        case "r", (start, stop, step):
            return range(start, stop, step)
        case "m", (bytes(content), str(form), tuple(shape)):
            return _view(content, form, shape)
        case "/", (str(flavour), str(text)):
            return getattr(pathlib, flavour)(text)
        case "M", (str(label), using, pk):
            return Opaque("M", *label.split("."), state=(using, pk))
    raise Malformed(f"no such value of the standard library: {kind!r} {state!r}")


def _in_zone(moment: Any, zone: list[Any]) -> Any:
    if zone == [None]:
        _require(moment.tzinfo is None, "an offset without a zone")
        return moment
    kind, name = zone
    found: Any
    match kind:
        case "zoneinfo.ZoneInfo":
            found = zoneinfo.ZoneInfo(name)
        case "datetime.timezone":
            found = eval(name, {"datetime": datetime})
        case _:
            raise Malformed(f"no such zone: {kind} {name}")
    inside = moment.replace(tzinfo=found)
    _require(inside.isoformat() == moment.isoformat(), "another offset than the zone's")
    return inside


def _view(content: bytes, form: str, shape: tuple[int, ...]) -> memoryview:
    view = memoryview(content)
    if form == "B" and shape == view.shape:
        return view
    return view.cast(form, shape)


# --- objects


def _object(kind: str, module: str, name: str, state: Any) -> Any:
    if kind in "kr":
        return Opaque(kind, module, name, state)
    cls = _find(module, name)
    match kind, state:
        case "e", _:
            return _member(cls, state)
        case "s", (tuple(items), dict(carried)) if hasattr(cls, "n_sequence_fields"):
            hidden = carried.keys() - set(cls.__match_args__)
            return cls(items, {name: carried[name] for name in hidden})
        case "s", (content, dict(carried)):
            return _carrying(_derived(cls, content), carried)
        case "D", (dict(fields),):
            return _carrying(object.__new__(cls), fields)
        case "D", (dict(fields), dict(carried)):
            return _carrying(object.__new__(cls), {**fields, **carried})
        case "p", (dict(content), extra, private, set(given)):
            made = cls.__new__(cls)
            parts = {"__dict__": content, "__pydantic_extra__": extra, "__pydantic_private__": private}
            parts["__pydantic_fields_set__"] = given
            for part, value in parts.items():
                object.__setattr__(made, part, value)
            return made
    raise Malformed(f"no such object: {kind!r} {module}.{name} {state!r}")


def _member(cls: Any, name: str | int) -> enum.Enum:
    """A member by its name; flags together are `A|B`, and bits without a name are numbers."""
    if isinstance(name, str) and issubclass(cls, enum.Flag):
        parts = [int(part) if part.isdigit() else cls[part].value for part in name.split("|")]
        return cls(functools.reduce(operator.or_, parts))
    return cls[name] if isinstance(name, str) else cls(name)


def _derived(cls: Any, content: Any) -> Any:
    """An instance of a subclass, made by the class it derives from."""
    if issubclass(cls, collections.OrderedDict):
        made = cls.__new__(cls)
        for key, value in content:
            collections.OrderedDict.__setitem__(made, key, value)
        return made
    if isinstance(content, dict | list | set | bytearray):
        return _filled(cls, content)
    if isinstance(content, pathlib.PurePath):
        return cls(content)
    base = type(content)
    if base is uuid.UUID:
        return _carrying(cls.__new__(cls), {"int": content.int, "is_safe": content.is_safe})
    if base is datetime.datetime:
        arguments = [*content.timetuple()[:6], content.microsecond, content.tzinfo]
        return base.__new__(cls, *arguments, fold=content.fold)
    if base is datetime.date:
        return base.__new__(cls, *content.timetuple()[:3])
    if base is datetime.timedelta:
        return base.__new__(cls, content.days, content.seconds, content.microseconds)
    return base.__new__(cls, content)


def _filled(cls: Any, content: Any, **attributes: Any) -> Any:
    made = cls.__new__(cls)
    match content:
        case list():
            list.extend(made, content)
        case bytearray():
            bytearray.extend(made, content)
        case _:
            dict.update(made, content) if isinstance(content, dict) else set.update(made, content)
    return _carrying(made, attributes)


def _carrying(made: Any, attributes: dict[str, Any]) -> Any:
    for name, value in attributes.items():
        if hasattr(made, "__dict__") and not hasattr(type(made), name):
            made.__dict__[name] = value
        else:
            object.__setattr__(made, name, value)
    return made
