"""Pairs that look alike to a careless encoder."""

import collections
import dataclasses
import datetime

import pytest

from cache_result import UnkeyableArgument, cache_result


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


class Quiet(set):
    def __iter__(self):
        return iter(())


class Someday(datetime.datetime):
    def isoformat(self, *args):
        return "someday"


def moved_to_the_end():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    return ordered


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (collections.OrderedDict(a=1, b=2), moved_to_the_end()),
        (Marked(1, "a"), Marked(1, "b")),
        (Tagged("a"), Tagged("b")),
        (Quiet([1]), Quiet([2])),
        (Someday(2026, 1, 1), Someday(2026, 1, 2)),
    ],
    ids=["order", "attribute of a subclass", "private slot", "own __iter__", "own isoformat"],
)
def test_different_values_have_different_keys(one, two):
    assert function.get_cache_key(one) != function.get_cache_key(two)


class Nameless(datetime.tzinfo):
    def utcoffset(self, moment):
        return datetime.timedelta(0)


def test_a_zone_that_only_its_address_names_is_refused():
    with pytest.raises(UnkeyableArgument, match="Nameless"):
        function(datetime.datetime(2026, 1, 1, tzinfo=Nameless()))
