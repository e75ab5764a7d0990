"""Values that are easily taken for each other, and strategies for more of them."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
import zoneinfo
from typing import Any, NamedTuple

from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import SafeString
from hypothesis import strategies as st

from tests.app.models import Article, Author, Document, Writer


class Colour(enum.Enum):
    RED = 1
    TEXT = "1"


class Shape(enum.Enum):
    ROUND = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    ONE = "1"


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True)
class Vector:
    x: Any
    y: Any = 0


class Pair(NamedTuple):
    x: Any
    y: Any


class Couple(NamedTuple):
    x: Any
    y: Any


class Keyed:
    def __init__(self, key: Any) -> None:
        self.key = key

    def __cache_key__(self) -> Any:
        return self.key


class OtherKeyed(Keyed):
    pass


def _stored(model: Any, pk: Any, using: str = "default") -> Any:
    instance = model(pk=pk)
    instance._state.db = using
    instance._state.adding = False
    return instance


UTC = datetime.UTC
CET = datetime.timezone(datetime.timedelta(hours=1))
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
SOME_UUID = uuid.UUID(int=1)

# No two of these are the same argument.
TRICKY: list[Any] = [
    # nothing, and what looks like it
    *(None, "None", "null", "", b"", (), [], {}, set(), frozenset(), bytearray(), range(0)),
    # ones and zeros
    *(0, False, 0.0, -0.0, 0j, "0", b"0", "False", decimal.Decimal(0), decimal.Decimal("-0")),
    *(
        1,
        True,
        1.0,
        1 + 0j,
        "1",
        b"1",
        "True",
        "1.0",
        Colour.RED,
        Shape.ROUND,
        Level.LOW,
        Word.ONE,
        Colour.TEXT,
    ),
    *(decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("1E0") * 10),
    *(bytearray(b"1"), memoryview(b"1"), SafeString("1"), SafeString("")),
    # large and odd numbers
    *(2**63 - 1, 2**63, 2**64, 2**64 + 1, -(2**63), -(2**64), 10**16, 1e16, str(2**64), 2**2000, -(2**2000)),
    *(float("inf"), float("-inf"), float("nan"), decimal.Decimal("NaN"), decimal.Decimal("Infinity"), "nan"),
    *(complex(0, 1), complex(0, -0.0), 0.1, 0.1 + 2**-55, 255, 256, 65535, 65536, -1, -255, -256, -128, 128),
    # separators and encodings within text
    *("a::b", "a||b", "a:b", "a,b", "a\x00b", "a\x00", "\x00a", "\x00", "a", "A", "a ", " a", "\uff41"),
    *("é", "e\u0301", "\ud800", "\U0001f600", b"\xc3\xa9", "a" * 1000, "a" * 1001, b"a", b"a\x00"),
    # where one value ends and the next begins
    *(["ab", "c"], ["a", "bc"], ["abc"], ["a", "b", "c"], ["a,b"], ["a", "b"], [["a"], "b"], [["a", "b"]]),
    *([1, 2], (1, 2), {1, 2}, frozenset({1, 2}), [[1, 2]], [(1, 2)], ([1, 2],), [1, [2]], [[1], 2], [2, 1]),
    *([[]], [()], [{}], [None], [[], []], [[[]]], [""], ["", ""], [b""], (None,), ((),), (0,), [0]),
    # mappings
    *({"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 1}}, {"a": 1, "b": None}),
    *(
        {1: "a"},
        {"1": "a"},
        {True: "a"},
        {1.0: "a"},
        {None: "a"},
        {(): "a"},
        [("a", 1)],
        (("a", 1),),
        {("a", 1)},
    ),
    *(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), collections.OrderedDict()),
    # named containers
    *(
        Pair(1, 2),
        Couple(1, 2),
        Point(1, 2),
        Vector(1, 2),
        Point(1, "2"),
        Point(2, 1),
        Point(1),
        {"x": 1, "y": 2},
    ),
    # time
    *(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), "2024-01-01", "2024-01-01T00:00:00"),
    *(datetime.datetime(2024, 1, 1, tzinfo=UTC), datetime.datetime(2024, 1, 1, 1, tzinfo=CET)),
    *(datetime.datetime(2024, 1, 1, 1, tzinfo=BERLIN), datetime.datetime(2024, 1, 1, tzinfo=CET)),
    *(datetime.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)),
    *(datetime.datetime(2024, 1, 1, 0, 0, 0, 1), datetime.datetime(2024, 1, 1, fold=1)),
    *(datetime.time(0), datetime.time(0, tzinfo=UTC), datetime.time(0, 0, 1), datetime.time(0, 0, 0, 1)),
    *(datetime.timedelta(0), datetime.timedelta(1), datetime.timedelta(-1), datetime.timedelta(0, 1)),
    # identifiers and paths
    *(SOME_UUID, str(SOME_UUID), SOME_UUID.hex, SOME_UUID.bytes, uuid.UUID(int=2)),
    *(
        pathlib.PurePosixPath("a"),
        pathlib.PureWindowsPath("a"),
        pathlib.Path("a"),
        pathlib.PurePosixPath("/a"),
    ),
    # ranges
    *(range(3), range(0, 3, 2), range(1, 3), [0, 1, 2], (0, 1, 2)),
    # classes
    *(int, str, type, dict, Point, Vector, "int", "builtins.int"),
    # rows
    *(_stored(Author, 1), _stored(Author, 2), _stored(Author, 1, "other"), _stored(Article, 1)),
    *(_stored(Document, SOME_UUID), ("app.author", 1), ("app.author", 1, "default")),
    # objects that say what they are
    *(Keyed(1), Keyed("1"), Keyed((1,)), OtherKeyed(1), [Keyed(1)]),
]

# Pairs that are the same argument.
ALIKE: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({3, 1, 2}, {2, 3, 1}),
    (frozenset("abc"), frozenset("cba")),
    (datetime.timedelta(1), datetime.timedelta(0, 86400)),
    (lazystr("text"), "text"),
    (SimpleLazyObject(lambda: [1, 2]), [1, 2]),
    (SimpleLazyObject(lambda: _stored(Author, 1)), _stored(Author, 1)),
    (_stored(Writer, 1), _stored(Writer, 1)),
    (Point(1, [2]), Point(1, [2])),
    (Keyed({"a": 1, "b": 2}), Keyed({"b": 2, "a": 1})),
]

_text = st.text(st.sampled_from("ab1:,|\x00é\U0001f600"), max_size=3)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers()
    | st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("nan")])
    | st.floats(allow_nan=False)
    | _text
    | st.binary(max_size=2)
    | st.decimals(allow_nan=False, places=2)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(CET))
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Colour, *Shape, *Level, *Word])
    | st.complex_numbers(allow_nan=False)
)
_hashable = _text | st.integers(-2, 2) | st.booleans() | st.none() | st.binary(max_size=2)

values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(_hashable, inner, max_size=3)
        | st.sets(_hashable, max_size=3)
        | st.frozensets(_hashable, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=6,
)


def identity(value: Any) -> Any:
    """What makes values the same argument, said in another way than the package says it."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    match value:
        case enum.Enum():
            return name, value.name
        case float() | complex() | decimal.Decimal():
            return name, repr(value)
        case datetime.datetime() | datetime.time():
            return name, repr(value)
        case Point():
            return name, identity(value.x), identity(value.y)
        case list() | tuple():
            return name, *(identity(item) for item in value)
        case dict():
            return name, frozenset((identity(key), identity(item)) for key, item in value.items())
        case set() | frozenset():
            return name, frozenset(identity(item) for item in value)
        case _:
            return name, value
