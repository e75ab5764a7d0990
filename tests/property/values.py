"""Values that are easily taken for each other, and strategies for more of them."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import struct
import time
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pydantic
from django.db.models import Model
from django.http import QueryDict
from django.utils.functional import LazyObject, Promise, SimpleLazyObject, lazystr
from django.utils.safestring import SafeString
from hypothesis import strategies as st

from cache_result import ABSENT, register_key_encoder
from tests.app.models import Article, Author, Document, Place, Restaurant, Writer
from tests.keys.decoder import Opaque


class Colour(enum.Enum):
    RED = 1
    TEXT = "1"


class Shape(enum.Enum):
    ROUND = 1
    RED = 2


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    ONE = "1"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    """Keeps bits that have no name."""

    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True)
class Vector:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    x: Any
    y: Any = 0


class Marked(Point):
    """No dataclass itself, and carries more than the fields."""

    def __init__(self, x: Any, mark: Any) -> None:
        super().__init__(x)
        self.mark = mark


class Pair(NamedTuple):
    x: Any
    y: Any


class Couple(NamedTuple):
    x: Any
    y: Any


class Tagged(list[Any]):
    """Its tag is in a slot, under the name that Python makes of a private one."""

    __slots__ = ("__tag",)

    def __init__(self, items: Any, tag: Any) -> None:
        super().__init__(items)
        self.__tag = tag


class Noted(dict[Any, Any]):
    """Its note is in its `__dict__`."""

    def __init__(self, items: Any, note: Any) -> None:
        super().__init__(items)
        self.note = note


class Number(int):
    pass


class Price(decimal.Decimal):
    pass


class Moment(datetime.datetime):
    pass


class Day(datetime.date):
    pass


class Span(datetime.timedelta):
    pass


class Token(uuid.UUID):
    pass


class OwnPath(type(pathlib.Path())):  # type: ignore[misc]
    pass


class Keyed:
    def __init__(self, key: Any) -> None:
        self.key = key

    def __cache_key__(self) -> Any:
        return self.key


class OtherKeyed(Keyed):
    class Inner(Keyed):
        pass


class Foreign:
    """A class of somebody else, for which an encoder is registered."""

    def __init__(self, state: Any) -> None:
        self.state = state


class OtherForeign(Foreign):
    pass


register_key_encoder(Foreign, lambda value: value.state)


class Form(pydantic.BaseModel, extra="allow"):
    x: Any
    _y: Any = pydantic.PrivateAttr(default=0)


class OtherForm(pydantic.BaseModel):
    x: Any = 0


def form(x: Any, y: Any, z: Any) -> Any:
    made = Form(x=x, z=z)
    made._y = y
    return made


def stored(model: Any, pk: Any, using: str = "default") -> Any:
    """A row, as if it had been read from the database."""
    instance = model(pk=pk)
    instance._state.db = using
    instance._state.adding = False
    return instance


def zoned(year: int, zone: str | None, offset: int) -> time.struct_time:
    """A tuple whose last two fields only its attributes tell."""
    return time.struct_time((year, 1, 1, 0, 0, 0, 0, 1, 0, zone, offset))


UTC = datetime.UTC
CET = datetime.timezone(datetime.timedelta(hours=1))
NAMED_CET = datetime.timezone(datetime.timedelta(hours=1), "CET")
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
ZONES = [UTC, CET, NAMED_CET, BERLIN, zoneinfo.ZoneInfo("America/New_York"), zoneinfo.ZoneInfo("UTC")]
SOME_UUID = uuid.UUID(int=1)

# No two of these are the same argument.
TRICKY: list[Any] = [
    # nothing, and what looks like it
    *(
        None,
        "None",
        "null",
        "",
        b"",
        (),
        [],
        {},
        set(),
        frozenset(),
        bytearray(),
        range(0),
        ABSENT,
        "<absent>",
    ),
    # ones and zeros
    *(0, False, 0.0, -0.0, 0j, "0", b"0", "False", decimal.Decimal(0), decimal.Decimal("-0"), Number(0)),
    *(1, True, 1.0, 1 + 0j, "1", b"1", "True", "1.0", Number(1), Price(1)),
    *(Colour.RED, Colour.TEXT, Shape.ROUND, Shape.RED, Level.LOW, Word.ONE, "RED", "ONE", "Colour.RED"),
    *(Access(0), Access.READ, Access.WRITE, Access.READ | Access.WRITE, "READ|WRITE", Bits.ONE | Bits.TWO),
    *(Bits(0), Bits.ONE, Bits(8), Bits(9), Bits(16), 8, 9),
    *(decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("1E0") * 10),
    *(decimal.Decimal("1E+1"), decimal.Decimal("1E-400"), decimal.Decimal("0E+3"), "1E+1"),
    *(bytearray(b"1"), memoryview(b"1"), SafeString("1"), SafeString("")),
    *(memoryview(b"1234").cast("I"), memoryview(b"1234").cast("i"), memoryview(b"1234"), b"1234"),
    *(memoryview(b"1234").cast("B", (2, 2)), memoryview(b"1234").cast("B", (4, 1))),
    # large and odd numbers
    *(2**63 - 1, 2**63, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, -(2**64), 10**16, 1e16, str(2**64)),
    *(2**2000, -(2**2000), 2**71 - 1, 2**71, -(2**71), -(2**71) - 1, Number(2**71)),
    *(float("inf"), float("-inf"), float("nan"), -float("nan"), "nan"),
    *(decimal.Decimal("NaN"), decimal.Decimal("sNaN"), decimal.Decimal("-NaN"), decimal.Decimal("NaN7")),
    *(decimal.Decimal("Infinity"), decimal.Decimal("-Infinity")),
    *(complex(0, 1), complex(0, -0.0), complex(float("nan"), 0), 0.1, 0.1 + 2**-55, 5e-324),
    *(255, 256, 65535, 65536, -1, -255, -256, -128, 127, 128, "\x7f", "\x80"),
    # separators and encodings within text
    *("a::b", "a||b", "a:b", "a,b", "a\x00b", "a\x00", "\x00a", "\x00", "a", "A", "a ", " a", "\uff41"),
    *("é", "e\u0301", "\ud800", "\udc00", "\ud83d\ude00", "\U0001f600", b"\xc3\xa9", b"\xed\xa0\x80"),
    *("a" * 1000, "a" * 1001, b"a", b"a\x00", "a*", "a?", "[a]", "a\nb", "a\r\nb", "a\\", "a%", "\\ud800"),
    *("x" * 127, "x" * 128, "x" * 16383, "x" * 16384),
    # where one value ends and the next begins
    *(["ab", "c"], ["a", "bc"], ["abc"], ["a", "b", "c"], ["a,b"], ["a", "b"], [["a"], "b"], [["a", "b"]]),
    *([1, 2], (1, 2), {1, 2}, frozenset({1, 2}), [[1, 2]], [(1, 2)], ([1, 2],), [1, [2]], [[1], 2], [2, 1]),
    *([[]], [()], [{}], [None], [[], []], [[[]]], [""], ["", ""], [b""], (None,), ((),), (0,), [0], [ABSENT]),
    *([0] * 127, [0] * 128, [[0]] * 127, Tagged([1, 2], 1), Tagged([1, 2], "1"), Tagged([2, 1], 1)),
    # mappings
    *({"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 1}}, {"a": 1, "b": None}),
    *({1: "a"}, {"1": "a"}, {True: "a"}, {1.0: "a"}, {None: "a"}, {(): "a"}, {"\ud800": 1}, {b"a": 1}),
    *([("a", 1)], (("a", 1),), {("a", 1)}, [["a", 1]], {frozenset(): 1}, {Level.LOW: "a"}),
    *(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), collections.OrderedDict()),
    *(collections.defaultdict(None, a=1), collections.defaultdict(int, a=1), collections.defaultdict(list)),
    *(collections.defaultdict(int), collections.Counter(a=1), Noted({"a": 1}, 1), Noted({"a": 1}, 2)),
    *(QueryDict("a=1&a=2"), QueryDict("a=2&a=1"), QueryDict("a=1"), {"a": ["1", "2"]}),
    # named containers
    *(Pair(1, 2), Couple(1, 2), Point(1, 2), Vector(1, 2), Spot(1, 2), Point(1, "2"), Point(2, 1), Point(1)),
    *(Marked(1, 0), Marked(1, "0"), {"x": 1, "y": 2}, Pair((1, 2), ()), Pair(1, (2,))),
    # time
    *(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), "2024-01-01", "2024-01-01T00:00:00"),
    *(Day(2024, 1, 1), Moment(2024, 1, 1), Moment(2024, 1, 1, tzinfo=UTC), Span(1), Span(0)),
    *(datetime.datetime(2024, 1, 1, tzinfo=UTC), datetime.datetime(2024, 1, 1, 1, tzinfo=CET)),
    *(datetime.datetime(2024, 1, 1, 1, tzinfo=zone) for zone in (BERLIN, PARIS, NAMED_CET)),
    datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
    *(datetime.datetime(2024, 1, 1, tzinfo=CET), datetime.datetime(2024, 6, 1, tzinfo=BERLIN)),
    *(datetime.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)),
    *(datetime.datetime(2024, 1, 1, 0, 0, 0, 1), datetime.datetime(2024, 1, 1, fold=1)),
    *(datetime.time(0), datetime.time(0, tzinfo=UTC), datetime.time(0, 0, 1), datetime.time(0, 0, 0, 1)),
    *(datetime.time(0, fold=1), datetime.time(0, tzinfo=BERLIN), datetime.time(0, tzinfo=PARIS)),
    *(datetime.timedelta(0), datetime.timedelta(1), datetime.timedelta(-1), datetime.timedelta(0, 1)),
    *(datetime.timedelta(0, 0, 1), datetime.datetime.max, datetime.datetime.min),
    *(zoned(2024, "UTC", 0), zoned(2024, "CET", 0), zoned(2024, "UTC", 1), tuple(zoned(2024, "UTC", 0))),
    # identifiers and paths
    *(
        SOME_UUID,
        str(SOME_UUID),
        SOME_UUID.hex,
        SOME_UUID.bytes,
        uuid.UUID(int=2),
        Token(int=1),
        Token(int=2),
    ),
    *(pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a"), pathlib.Path("a/b")),
    *(pathlib.PurePosixPath("/a"), pathlib.PureWindowsPath("A"), pathlib.PureWindowsPath("c:a")),
    *(pathlib.PurePosixPath("."), pathlib.PurePosixPath("\udcff"), OwnPath("a")),
    # ranges
    *(range(3), range(0, 3, 2), range(0, 4, 2), range(1, 3), range(2**80), [0, 1, 2], (0, 1, 2)),
    # classes
    *(int, str, type, dict, Point, Vector, Colour, OtherKeyed.Inner, "int", "builtins.int", "builtins:int"),
    # rows
    *(stored(Author, 1), stored(Author, 2), stored(Author, 1, "other"), stored(Article, 1)),
    *(stored(Author, "1"), stored(Author, 1, None), stored(Writer, 1)),
    *(stored(Place, 1), stored(Restaurant, 1), stored(Document, SOME_UUID), stored(Document, str(SOME_UUID))),
    *(("app.author", 1), ("app.author", 1, "default"), ("app.Author", "default", 1), Author),
    # objects that say what they are
    *(Keyed(1), Keyed("1"), Keyed((1,)), OtherKeyed(1), OtherKeyed.Inner(1), [Keyed(1)], Keyed(Keyed(1))),
    *(Keyed(ABSENT), Foreign(1), Foreign("1"), OtherForeign(1), Foreign(Keyed(1)), Keyed(Foreign(1))),
    # pydantic models
    *(form(1, 0, 0), form(0, 1, 0), form(0, 0, 1), OtherForm(x=1), OtherForm(x=0), OtherForm()),
]

# Pairs that are the same argument.
ALIKE: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({3, 1, 2}, {2, 3, 1}),
    (frozenset("abc"), frozenset("cba")),
    (datetime.timedelta(1), datetime.timedelta(0, 86400)),
    (lazystr("text"), "text"),
    (SimpleLazyObject(lambda: [1, 2]), [1, 2]),
    (SimpleLazyObject(lambda: stored(Author, 1)), stored(Author, 1)),
    (SimpleLazyObject(lambda: lazystr("text")), "text"),
    (stored(Writer, 1), stored(Writer, 1)),
    (Point(1, [2]), Point(1, [2])),
    (Keyed({"a": 1, "b": 2}), Keyed({"b": 2, "a": 1})),
    (collections.defaultdict(int, a=1, b=2), collections.defaultdict(int, b=2, a=1)),
    (memoryview(b"xaxb")[1::2], memoryview(b"ab")),
    (memoryview(bytearray(b"ab")), memoryview(b"ab")),
    (Access.READ | Access.WRITE, Access(3)),
    (decimal.Decimal("1e+10"), decimal.Decimal("1E+10")),
    (pathlib.PurePosixPath("a/./b/"), pathlib.PurePosixPath("a", "b")),
]

_text = st.text(st.sampled_from("ab1:,|*\x00 é\ud800\udfff\U0001f600"), max_size=3) | st.text(
    st.characters(), max_size=5
)
_lengths = st.sampled_from([0, 126, 127, 128, 129, 255, 256, 16383, 16384])
_small = st.sampled_from([None, 0, "x", (), ABSENT])
_integers = (
    st.integers(-2, 2)
    | st.integers()
    | st.builds(lambda bits, by: 2**bits + by, st.integers(60, 1100), st.integers(-2, 2))
    | st.builds(lambda bits, by: -(2**bits) + by, st.integers(60, 1100), st.integers(-2, 2))
)
_floats = st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("nan"), -float("nan")]) | st.floats()
_decimals = st.decimals() | st.decimals(allow_nan=False, places=2)
_zones = st.none() | st.sampled_from(ZONES)
_datetimes = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    # The hour that comes twice, and everything else.
    st.datetimes(datetime.datetime(2024, 10, 27), datetime.datetime(2024, 10, 28)) | st.datetimes(),
    _zones,
    st.integers(0, 1),
)
_times = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold), st.times(), _zones, st.integers(0, 1)
)
_path_text = st.text(st.sampled_from("ab/\\.~ é"), max_size=5)
# What looks like half a share is read by Python in more than one way.
_windows_paths = st.builds(
    pathlib.PureWindowsPath,
    st.sampled_from([".", "c:", "C:/", "/", "//host/share/"]),
    st.text(st.sampled_from("abA~ é"), max_size=3),
)
_hashable_scalars = (
    st.none()
    | st.booleans()
    | _integers
    | _floats
    | _text
    | st.binary(max_size=2)
    | st.complex_numbers()
    | st.decimals(allow_nan=False)
    | st.dates()
    | _datetimes
    | _times
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Colour, *Shape, *Level, *Word, Access(0), *Access, Access(3)])
    | st.integers(0, 20).map(Bits)
    | _path_text.map(pathlib.PurePosixPath)
    | _windows_paths
    | _path_text.map(pathlib.Path)
    | st.builds(range, st.integers(-3, 3), st.integers(-3, 3) | _integers, st.sampled_from([-2, 1, 2]))
    | _text.map(SafeString)
    | _integers.map(Number)
    | st.sampled_from([int, type, Point, Colour, OtherKeyed.Inner, collections.OrderedDict])
    | st.just(ABSENT)
)
_hashable = st.recursive(
    _hashable_scalars,
    lambda inner: (
        st.tuples(inner, inner)
        | st.frozensets(inner, max_size=2)
        | st.builds(Pair, inner, inner)
        | st.builds(Vector, inner, inner)
        | st.builds(Spot, inner, inner)
    ),
    max_leaves=3,
)
_scalars = (
    _hashable_scalars
    | _decimals
    | _lengths.map(lambda length: "x" * length)
    | _lengths.map(lambda length: b"x" * length)
    | st.binary(max_size=3).map(bytearray)
    | st.decimals(allow_nan=False).map(Price)
    | st.builds(Moment, st.integers(1, 9999), st.just(1), st.just(2), tzinfo=_zones, fold=st.integers(0, 1))
    | st.builds(Day, st.integers(1, 9999), st.just(1), st.just(2))
    | st.integers(-5, 5).map(Span)
    | st.builds(
        stored, st.sampled_from([Author, Writer, Article]), _integers, st.sampled_from(["default", "b"])
    )
    | st.builds(stored, st.just(Document), st.uuids() | _text)
    | _text.map(lazystr)
)
_views = st.binary(max_size=3).map(memoryview) | st.builds(
    lambda four, cast: memoryview(four).cast(*cast),
    st.binary(min_size=4, max_size=4),
    st.sampled_from([("I",), ("h",), ("f",), ("B", (2, 2)), ("b", (4, 1))]),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    dicts = st.dictionaries(_hashable, inner, max_size=3)
    strategy = (
        lists
        | st.builds(lambda item, count: [item] * count, _small, st.sampled_from([127, 128]))
        | lists.map(tuple)
        | dicts
        | st.sets(_hashable, max_size=3)
        | st.frozensets(_hashable, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Vector, inner, inner)
        | st.builds(Spot, inner, inner)
        | st.builds(Marked, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Tagged, lists, inner)
        | st.builds(Noted, dicts, inner)
        | st.lists(st.tuples(_hashable, inner), max_size=3).map(collections.OrderedDict)
        | st.builds(collections.defaultdict, st.sampled_from([None, int, list]), dicts)
        | st.builds(Keyed, inner)
        | st.builds(OtherKeyed.Inner, inner)
        | st.builds(Foreign, inner)
        | st.builds(OtherForeign, inner)
        | inner.map(lambda value: SimpleLazyObject(lambda: value))
    )
    return strategy | st.builds(form, inner, inner, inner)


values = st.recursive(_scalars | _views, _containers, max_leaves=6)
copyable = st.recursive(_scalars, _containers, max_leaves=6)


def identity(value: Any) -> Any:
    """What makes values the same argument, said in another way than the package says it."""
    kind = type(value)
    if issubclass(kind, LazyObject):
        return identity(value.__reduce__()[1][0])
    if issubclass(kind, Promise):
        return identity(str(value))
    if issubclass(kind, type):
        return "class", value.__module__, value.__qualname__
    if kind is Opaque:
        return f"{value.module}.{value.name}", identity(value.state)
    if issubclass(kind, Model):
        return value._meta.label, identity((value._state.db, value.pk))
    return f"{kind.__module__}.{kind.__qualname__}", *_content(value)


def _content(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.name, value.value
        case Keyed():
            return (identity(value.key),)
        case Foreign():
            return (identity(value.state),)
        case float():
            return struct.pack("d", value), _carried(value)
        case complex():
            return (struct.pack("dd", value.real, value.imag),)
        case decimal.Decimal():
            return decimal.Decimal.as_tuple(value), _carried(value)
        case datetime.datetime() | datetime.time():
            return repr(value), _carried(value)
        case list() | tuple() | collections.OrderedDict():
            items = value.items() if isinstance(value, dict) else value
            return tuple(identity(item) for item in items), _carried(value)
        case dict():
            factory = identity(value.default_factory) if hasattr(value, "default_factory") else None
            return factory, _unordered(value.items()), _carried(value)
        case set() | frozenset():
            return _unordered(value), _carried(value)
        case bytearray():
            return bytes(value), _carried(value)
        case memoryview():
            return value.tobytes(), value.format, value.shape
        case pathlib.PurePath():
            return (str(value),)
        case range():
            return value.start, value.stop, value.step
        case str() | bytes() | int() | uuid.UUID() | datetime.date() | datetime.timedelta():
            return value, _carried(value)
        case pydantic.BaseModel():
            parts = value.__dict__, value.__pydantic_extra__, value.__pydantic_private__
            return *(identity(part) for part in parts), frozenset(value.__pydantic_fields_set__)
        case _:
            return (_carried(value),)


def _unordered(items: Any) -> Any:
    return frozenset(collections.Counter(identity(item) for item in items).items())


def _carried(value: Any) -> Any:
    """What an object has in `__dict__` and in slots."""
    found = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        for name, attribute in vars(cls).items():
            if isinstance(attribute, types.MemberDescriptorType) and hasattr(value, name):
                found[name] = getattr(value, name)
    return _unordered(found.items())
