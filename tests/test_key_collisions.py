"""Pairs that look alike to a careless encoder, and values that look different and are not."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import gc
import logging
import os
import pathlib
import pickle
import sys
import time
import types
import uuid
import weakref
import xxsubtype  # type: ignore[import-not-found]
from typing import Any, ClassVar

import pytest

from cache_result import ArgsKeyField, UnkeyableArgument, cache_result
from cache_result._core import canonical_bytes


@cache_result(cache="locmem")
def function(value):
    return value


@dataclasses.dataclass
class Point:
    x: int


class Marked(Point):
    """A subclass that is no dataclass itself, and carries more."""

    def __init__(self, x, mark):
        super().__init__(x)
        self.mark = mark


class Tagged(list):
    __slots__ = ("__tag",)

    def __init__(self, tag):
        self.__tag = tag


class _(list):
    """Python leaves the private names of a class as they are whose own name is all underscores."""

    __slots__ = ("__tag",)

    def __init__(self, tag):
        self.__tag = tag


def renamed(cls):
    cls.__name__ = cls.__qualname__ = "Renamed"
    globals()["Renamed"] = cls
    return cls


@renamed
class Other(list):
    """Its private name is made of the name that it had."""

    __slots__ = ("__tag",)

    def __init__(self, tag):
        self.__tag = tag


class Generated(list):
    __slots__ = (name for name in ["tag"])  # nothing is left of it

    def __init__(self, tag):
        self.tag = tag


class Quiet(set):
    def __iter__(self):
        return iter(())


class Someday(datetime.datetime):
    def isoformat(self, *args):
        return "someday"


class Unfolded(datetime.datetime):
    fold = 0


class Unzoned(datetime.time):
    tzinfo = None


class Empty(datetime.timedelta):
    days = seconds = microseconds = 0


class Blank(uuid.UUID):
    bytes = b""


def moved_to_the_end():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    return ordered


def moment(zone):
    """A tuple, and what only its attributes tell."""
    return time.struct_time((2026, 1, 1, 0, 0, 0, 3, 1, 0, zone, 0))


def status(nanoseconds):
    here = pathlib.Path(__file__).stat()
    make, (shown, hidden) = here.__reduce__()
    return make(shown, {**hidden, "st_mtime_ns": nanoseconds})


ZONE = datetime.timezone(datetime.timedelta(0), "zone")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (collections.OrderedDict(a=1, b=2), moved_to_the_end()),
        (Marked(1, "a"), Marked(1, "b")),
        (Tagged("a"), Tagged("b")),
        (_("a"), _("b")),
        (Other("a"), Other("b")),
        (Generated("a"), Generated("b")),
        (Quiet([1]), Quiet([2])),
        (Someday(2026, 1, 1), Someday(2026, 1, 2)),
        (Unfolded(2026, 1, 1, fold=0), Unfolded(2026, 1, 1, fold=1)),
        (Unzoned(0), Unzoned(0, tzinfo=ZONE)),
        (Empty(1), Empty(2)),
        (Blank(int=1), Blank(int=2)),
        (moment("CET"), moment("UTC")),
        (status(1), status(2)),
    ],
    ids=[
        *("order", "attribute of a subclass", "private slot", "slot of _", "slot of a renamed class"),
        *("slots from a generator", "own __iter__", "own isoformat", "own fold", "own tzinfo", "own days"),
        *("own bytes", "zone of a struct_time", "nanoseconds of a stat_result"),
    ],
)
def test_different_values_have_different_keys(one, two):
    assert function.get_cache_key(one) != function.get_cache_key(two)


def test_what_only_C_knows_of_a_value_is_not_forgotten():
    """As the nanoseconds of a pandas.Timestamp; this list of CPython's has a number beside its items."""
    one, two = xxsubtype.spamlist(), xxsubtype.spamlist()
    two.setstate(1)
    keys = []
    with contextlib.suppress(UnkeyableArgument):  # which would do as well
        keys = [function.get_cache_key(one), function.get_cache_key(two)]
    assert len(set(keys)) == len(keys)


class Equal(type):
    def __eq__(cls, other):
        return True

    def __hash__(cls):
        return 1


class Unhashable(type):
    __hash__ = None


@pytest.mark.parametrize("meta", [type, Equal, Unhashable])
def test_local_classes_that_are_taken_for_each_other_are_apart(meta):
    def make():
        class Local(metaclass=meta):
            def __cache_key__(self):
                return 1

        return Local()

    one, two = make(), make()
    assert function.get_cache_key(one) != function.get_cache_key(two)
    assert function.get_cache_key(one) == function.get_cache_key(one)


def test_classes_whose_names_are_joined_alike_are_apart(monkeypatch):
    outer, inner = types.ModuleType("outer"), types.ModuleType("outer:inner")
    one = type("inner:Class", (), {"__module__": "outer"})
    two = type("Class", (), {"__module__": "outer:inner"})
    setattr(outer, "inner:Class", one)
    inner.Class = two
    monkeypatch.setitem(sys.modules, "outer", outer)
    monkeypatch.setitem(sys.modules, "outer:inner", inner)
    # No import statement finds either of them.
    for cls in (one, two):
        with pytest.raises(UnkeyableArgument, match="cannot be imported"):
            function.get_cache_key(cls)


class Nameless(datetime.tzinfo):
    def utcoffset(self, moment):
        return datetime.timedelta(0)


def test_a_zone_that_only_its_address_names_is_refused():
    with pytest.raises(UnkeyableArgument, match="Nameless"):
        function(datetime.datetime(2026, 1, 1, tzinfo=Nameless()))


# --- one value, one key


class OwnPath(type(pathlib.Path())):
    pass


class OwnToken(uuid.UUID):
    pass


class Referable(list):
    __slots__ = ("__weakref__",)


def used(path):
    """It remembers what it was asked for."""
    hash(path), str(path), path.parts, path < path
    return path


def kept_weakly(value):
    value_and_reference.append((value, weakref.ref(value)))
    return value


value_and_reference: list[Any] = []


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (lambda: OwnPath("a/b"), lambda: used(OwnPath("a/b"))),
        (lambda: OwnToken(int=1), lambda: kept_weakly(OwnToken(int=1))),
        (lambda: Referable([1]), lambda: kept_weakly(Referable([1]))),
        (lambda: Point(1), lambda: pickle.loads(pickle.dumps(Point(1)))),
    ],
    ids=["a path that was used", "a UUID with a weak reference", "a list with one", "pickled"],
)
def test_what_was_done_to_a_value_does_not_change_its_key(one, two):
    value = two()
    gc.collect()
    assert function.get_cache_key(one()) == function.get_cache_key(value)


def keys_of_paths(parent):
    return canonical_bytes(used(OwnPath("a/b"))).hex()


def test_a_path_of_ones_own_class_has_one_key_in_all_processes(processes, monkeypatch):
    children = []
    for seed in ("1", "2"):
        monkeypatch.setitem(os.environ, "PYTHONHASHSEED", seed)
        children.append(processes(keys_of_paths))
    assert children[0].result() == children[1].result()


def test_the_context_of_decimals_does_not_change_keys():
    value = decimal.Decimal("1E+10")
    key = function.get_cache_key(value)
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert function.get_cache_key(value) == key


# --- what has a key


@dataclasses.dataclass
class Logged:
    x: int
    log: ClassVar[Any] = logging.getLogger(__name__)


def test_a_dataclass_may_have_class_variables():
    """They are no part of the value, whatever they are."""
    assert function.get_cache_key(Logged(1)) == function.get_cache_key(Logged(1))
    assert function.get_cache_key(Logged(1)) != function.get_cache_key(Logged(2))


class Shop:
    @cache_result(cache="locmem")
    @staticmethod
    def price(item=None):
        return item


@pytest.mark.parametrize("item", [None, ..., NotImplemented, 1, "a", [1]], ids=repr)
def test_a_static_method_takes_what_a_function_takes(item):
    """Its first argument is no class's instance."""
    try:
        function.get_cache_key(item)
    except UnkeyableArgument:
        with pytest.raises(UnkeyableArgument, match="argument 'item'"):
            Shop.price(item)
    else:
        assert Shop.price(item) == item


class KeyedClass(type):
    """The class has a key, its instances have not."""

    def __cache_key__(cls):
        return cls.__name__


@dataclasses.dataclass
class OfKeyedClass(metaclass=KeyedClass):
    x: int


def test_the_key_of_a_class_is_not_that_of_its_instances():
    assert function.get_cache_key(OfKeyedClass(1)) != function.get_cache_key(OfKeyedClass(2))


class Number(int):
    pass


def test_a_large_number_of_ones_own_class_may_be_a_partition():
    by = cache_result({"value": ArgsKeyField("value", partition=True)}, cache="locmem", name="large")(
        lambda value: value
    )
    assert by(Number(10**5000)) == by(Number(10**5000))
    assert by.get_cache_key(Number(10**5000)) != by.get_cache_key(10**5000)
