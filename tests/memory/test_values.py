"""What comes out is what LocMem gives back, type for type, and his own who gets it."""

import collections
import copy
import datetime as dt
import decimal
import enum
import pickle
import uuid

import pytest
from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from tests.app.models import Author

Point = collections.namedtuple("Point", "x y")


class Color(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


class Thing:
    def __init__(self, parts):
        self.parts = parts

    def __eq__(self, other):
        return type(other) is Thing and other.parts == self.parts

    __hash__ = None


class Dict(dict):
    pass


def shared():
    one = [1]
    return [one, one]


VALUES = {
    "none": None,
    "true": True,
    "zero": 0,
    "big": 10**100,
    "float": -0.0,
    "complex": 1j,
    "text": "text",
    "unicode": "Iñtërnâtiônàlizætiøn \U0001f600",
    "surrogate": "\ud800",
    "nul": "\0",
    "bytes": b"\x00\xff\x80",
    "bytearray": bytearray(b"bytes"),
    "empty": [(), [], {}, set(), frozenset(), "", b""],
    "nested": {"list": [1, {"tuple": (1, [2], {3})}], 5: None, (1, 2): frozenset({1})},
    "shared": shared(),
    "ordered": collections.OrderedDict(b=1, a=2),
    "default": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, [2]], maxlen=3),
    "subclass": Dict(a=1),
    "namedtuple": Point([1], 2),
    "enum": [Color.RED, Number.ONE],
    "str subclass": Text("text"),
    "safe": mark_safe("<b>"),
    "dates": [
        dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 2),
        dt.date(2024, 1, 2),
        dt.time(1, 2),
        dt.timedelta(1),
    ],
    "decimal": decimal.Decimal("1.00"),
    "uuid": uuid.UUID(int=5),
    "range": range(3),
    "object": Thing([1]),
    "class": Thing,
    "function": copy.deepcopy,
    "exception": ValueError,
    "memory of pickles": pickle.dumps([1]),
}


def shape(value):
    """A value with all its types, and the order of what has one."""
    if isinstance(value, dict):
        items = [(shape(key), shape(item)) for key, item in value.items()]
        return type(value), items, getattr(value, "default_factory", None)
    if isinstance(value, (list, tuple, collections.deque)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(repr, value))
    if isinstance(value, Thing):
        return Thing, shape(value.parts)
    return type(value), repr(value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_way_in_and_out(cache, value):
    expected = shape(value)
    cache.set("set", value)
    assert cache.add("add", value) is True
    cache.set_many({"many": value})
    assert shape(cache.get_or_set("made", lambda: value)) == expected
    found = cache.get_many(["set", "add", "many", "made"])
    assert list(found) == ["set", "add", "many", "made"]
    for key, result in found.items():
        assert shape(result) == shape(cache.get(key)) == expected


MUTABLE = {
    "list": [1, [2]],
    "dict": {"a": {"b": [1]}},
    "tuple": ([1], 2),
    "set": {1},
    "object": Thing([1]),
    "shared": shared(),
    "bytearray": bytearray(b"a"),
}


def spoil(value):
    """Changes whatever in it can be changed."""
    match value:
        case dict():
            for item in list(value.values()):
                spoil(item)
            value["spoiled"] = 1
        case list() | tuple():
            for item in value:
                spoil(item)
            if isinstance(value, list):
                value.append("spoiled")
        case set():
            value.add("spoiled")
        case Thing():
            spoil(value.parts)
        case bytearray():
            value.append(0)


@pytest.mark.parametrize("value", MUTABLE.values(), ids=MUTABLE)
def test_nobody_changes_what_others_get(cache, value):
    value = copy.deepcopy(value)
    expected = shape(value)
    cache.set("key", value)
    spoil(value)
    for _ in range(2):
        spoil(cache.get("key"))
        spoil(cache.get_many(["key"])["key"])
        spoil(cache.get_or_set("key", None))
    assert shape(cache.get("key")) == expected


def test_what_is_shared_inside_stays_shared(cache):
    cache.set("key", shared())
    first, second = cache.get("key")
    assert first is second
    loop = []
    loop.append(loop)
    cache.set("loop", loop)
    result = cache.get("loop")
    assert result[0] is result


def test_lazy_values_come_out_as_from_any_backend(cache):
    cache.set("lazy", gettext_lazy("text"))
    assert str(cache.get("lazy")) == "text"
    assert type(cache.get("lazy")).__name__ == type(gettext_lazy("text")).__name__
    cache.set("object", SimpleLazyObject(lambda: Thing([1])))
    assert cache.get("object") == Thing([1])


def test_models_and_responses(cache):
    cache.set("author", Author(pk=1, name="Ann"))
    author = cache.get("author")
    assert (author.pk, author.name, author._state.adding) == (1, "Ann", True)
    cache.set("response", HttpResponse("text", headers={"X-A": "b"}))
    response = cache.get("response")
    assert (response.content, response["X-A"]) == (b"text", "b")


class Refuses:
    def __reduce__(self):
        raise LookupError("no pickle of this")


class Unloadable:
    def __reduce__(self):
        return (Unloadable, (1, 2, 3))


@pytest.mark.parametrize(
    "value", [lambda: 1, [Refuses()], (i for i in ())], ids=["lambda", "own", "generator"]
)
@pytest.mark.parametrize("store", ["set", "add", "get_or_set"])
def test_what_cannot_be_pickled_is_an_error(cache, value, store):
    default = (lambda: value) if store == "get_or_set" else value
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError, LookupError)) as ours:
        getattr(cache, store)("key", default)
    with pytest.raises(type(ours.value)):
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    assert "key" not in cache


def test_what_cannot_be_pickled_leaves_the_old_value(cache):
    cache.set("key", "old")
    with pytest.raises(LookupError):
        cache.set("key", Refuses())
    with pytest.raises(LookupError):
        cache.set_many({"first": 1, "key": Refuses(), "last": 1})
    assert cache.get_many(["first", "key", "last"]) == {"first": 1, "key": "old"}


def test_what_does_not_unpickle_is_an_error(cache):
    cache.set("key", Unloadable())
    for read in (cache.get, lambda key: cache.get_many([key]), cache.incr):
        with pytest.raises(TypeError):
            read("key")
    assert cache.has_key("key") is True
    assert cache.delete("key") is True


def test_results_of_incr_that_cannot_be_pickled(cache):
    class Unpicklable:
        def __radd__(self, other):
            return lambda: other

    cache.set("number", 1)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        cache.incr("number", Unpicklable())
    assert cache.get("number") == 1
