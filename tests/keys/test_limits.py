"""However deep, large or tangled an argument is: a key or a clear error, soon and in little memory."""

import collections
import contextlib
import dataclasses
import gc
import re
import resource
import threading
import warnings
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from cache_result import (
    ArgsKeyField,
    CacheResultWarning,
    ConstantKeyField,
    UnkeyableArgument,
    cache_result,
    register_key_encoder,
    registry,
)
from cache_result.keys import identity as function_ids
from cache_result.keys.constructors import InlineKeyConstructor
from tests.property.values import Foreign, Keyed, Noted, Pair, Point, Tagged, Vector

MIB = 2**20


@cache_result(name="test-limits.one")
def one(value):
    return value


@cache_result(
    {"part": ArgsKeyField("a", partition=True), "rest": ArgsKeyField("b", sort_lists=True)},
    name="test-limits.two",
)
def two(a, b):
    return a, b


# One level of each, around what is inside.
NESTINGS = {
    "list": lambda inner: [inner],
    "list of two": lambda inner: [0, inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {"key": inner},
    "frozenset": lambda inner: frozenset({inner}),
    "named tuple": lambda inner: Pair(inner, 0),
    "subclass of list": lambda inner: Tagged([inner], 0),
    "attribute of a dict": lambda inner: Noted({}, inner),
    "ordered dict": lambda inner: collections.OrderedDict(key=inner),
    "default dict": lambda inner: collections.defaultdict(int, key=inner),
    "dataclass": Point,
    "frozen dataclass": Vector,
    "__cache_key__": Keyed,
    "encoder": Foreign,
    "lazy object": lambda inner: SimpleLazyObject(lambda: inner),
}


def nested(name: str, depth: int) -> Any:
    value: Any = "inside"
    for _ in range(depth):
        value = NESTINGS[name](value)
    return value


def key_or_refusal(value: Any) -> str:
    try:
        return one.get_cache_key(value)
    except UnkeyableArgument as error:
        return str(error)


TOO_DEEP = r"argument 'value' of tests\.keys\.test_limits\.one .*nested too deeply, or contains itself; pass"


def is_refused(outcome: str) -> bool:
    return re.search(TOO_DEEP, outcome) is not None


@pytest.mark.parametrize("name", NESTINGS)
def test_depth_is_bounded(name):
    outcomes = [key_or_refusal(nested(name, depth)) for depth in (40, 10_000)]
    assert [is_refused(outcome) for outcome in outcomes] == [False, True]


@pytest.mark.parametrize("name", NESTINGS)
def test_whatever_has_a_key_can_be_explained(name):
    """Deep ones too."""
    for depth in range(40, 105):
        value = nested(name, depth)
        key = key_or_refusal(value)
        assert is_refused(key) or one.explain_key(value).key == key


def outcomes_on_a_small_stack(parent):
    """512 KiB, which is what threads have on macOS."""
    # Made and freed by this thread: to free a deep defaultdict takes CPython a deep stack.
    values = {name: [nested(name, depth) for depth in (40, 10_000)] for name in NESTINGS}
    outcomes = {}

    def run():
        for name, pair in values.items():
            outcomes[name] = [is_refused(key_or_refusal(value)) for value in pair]

    threading.stack_size(512 * 1024)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcomes


def test_a_deep_value_does_not_overflow_a_small_stack(processes):
    assert processes(outcomes_on_a_small_stack).result() == {name: [False, True] for name in NESTINGS}


# --- what contains itself


@dataclasses.dataclass
class Link:
    to: Any = None


class Chain:
    def __cache_key__(self):
        return self


class Ring:
    def __cache_key__(self):
        return [{"again": (self,)}]


class Mirror:
    pass


register_key_encoder(Mirror, lambda value: value)


def _tangled() -> dict[str, Any]:
    listed: list[Any] = []
    listed.append(listed)
    mapped: dict[str, Any] = {}
    mapped["key"] = mapped
    through: list[Any] = []
    through.append((frozenset(), (through,)))
    ordered: Any = collections.OrderedDict()
    ordered["key"] = [ordered]
    defaults: Any = collections.defaultdict(list)
    defaults["key"].append(defaults)
    link = Link()
    link.to = link
    tagged = Tagged([], 0)
    tagged.append(tagged)
    noted = Noted({}, None)
    noted.note = noted
    key = Keyed(None)
    key.key = {"key": key}
    lazy: Any = SimpleLazyObject(lambda: [lazy])
    return {
        "list": listed,
        "dict": mapped,
        "tuple": through,
        "ordered dict": ordered,
        "default dict": defaults,
        "dataclass": link,
        "subclass of list": tagged,
        "attribute": noted,
        "__cache_key__": key,
        "its own key": Chain(),
        "within its own key": Ring(),
        "its own encoder": Mirror(),
        "lazy object": lazy,
    }


@pytest.mark.parametrize("name", _tangled())
def test_what_contains_itself_is_refused(name):
    value = _tangled()[name]
    assert is_refused(key_or_refusal(value))
    with pytest.raises(UnkeyableArgument, match=r"argument 'b' .*contains itself"):
        two.get_cache_key(1, [value])


# --- size


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(range(10**6)),
        lambda: tuple(range(10**6)),
        lambda: set(range(10**6)),
        lambda: frozenset(range(10**6)),
        lambda: dict.fromkeys(range(10**6)),
        lambda: [[]] * 10**6,
        lambda: "x" * MIB,
        lambda: b"x" * MIB,
        lambda: bytearray(MIB),
        lambda: memoryview(bytes(MIB)),
        lambda: "\ud800" * MIB,
        lambda: "\U0001f600" * MIB,
        lambda: 1 << (8 * MIB),
        lambda: range(1 << (8 * MIB)),
    ],
    ids=[
        *("list", "tuple", "set", "frozenset", "dict", "empty lists", "text", "bytes", "bytearray"),
        *("memoryview", "surrogates", "smileys", "integer", "range"),
    ],
)
def test_a_large_value_has_a_key_of_its_own(make):
    value = make()
    keys = {one.get_cache_key(value), one.get_cache_key([value]), two.get_cache_key(value, 0)}
    assert len(keys) == 3
    assert all(len(key) <= 200 for key in keys)
    assert one.get_cache_key(make()) in keys


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(range(2 * 10**6)),
        lambda: tuple(range(2 * 10**6)),
        lambda: set(range(2 * 10**6)),
        lambda: dict.fromkeys(range(2 * 10**6)),
        lambda: {str(number): number for number in range(10**6)},
        lambda: [None] * (17 * MIB),
        lambda: "x" * (17 * MIB),
        lambda: "\u20ac" * (6 * MIB),
        lambda: "\ud800" * (6 * MIB),
        lambda: b"x" * (17 * MIB),
        lambda: bytearray(17 * MIB),
        lambda: memoryview(bytearray(17 * MIB)),
        lambda: 1 << (8 * 17 * MIB),
        lambda: ["x" * (9 * MIB), "y" * (9 * MIB)],
        lambda: Keyed("x" * (17 * MIB)),
        lambda: Point("x" * (17 * MIB)),
    ],
    ids=[
        *(
            "list",
            "tuple",
            "set",
            "dict",
            "dict of texts",
            "nothings",
            "text",
            "euros",
            "surrogates",
            "bytes",
        ),
        *("bytearray", "memoryview", "integer", "two texts", "__cache_key__", "dataclass"),
    ],
)
def test_a_value_that_is_too_large_is_refused(make):
    with pytest.raises(UnkeyableArgument, match=r"argument 'value' .*too large to be a key.*pass"):
        one.get_cache_key(make())


def test_all_arguments_together_are_bounded():
    with pytest.raises(UnkeyableArgument, match=r"argument 'b' .*too large"):
        two.get_cache_key("x" * (9 * MIB), "y" * (9 * MIB))


# --- few objects, and more ways through them than there is time

BOMBS = {
    "list": lambda inner: [inner, inner],
    "tuple": lambda inner: (inner, inner),
    "dict": lambda inner: {1: inner, 2: inner},
    "named tuple": lambda inner: Pair(inner, inner),
    "dataclass": lambda inner: Point(inner, inner),
    "subclass of list": lambda inner: Tagged([inner], inner),
    "default dict": lambda inner: collections.defaultdict(int, a=inner, b=inner),
    "lazy object": lambda inner: SimpleLazyObject(lambda: (inner, inner)),
    "__cache_key__": lambda inner: (Keyed(inner), Keyed(inner)),
    "a thousand": lambda inner: [inner] * 1000,
}


def explode(parent, name):
    """Seconds and MiB that it takes to refuse a value of 2 ** 45 leaves or more."""
    value: Any = ()
    for _ in range(45):
        value = BOMBS[name](value)
    with pytest.raises(UnkeyableArgument, match=r"too large|nested too deeply"):
        two.get_cache_key(0, value)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_maxrss / 1024


def idle(parent):
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_shared_references_are_bounded(processes):
    children = {name: processes(explode, name) for name in BOMBS}
    nothing = processes(idle).result()
    for name, child in children.items():
        seconds, mib = child.result()
        assert seconds < 30, name
        assert mib < nothing + 128, name


# --- nothing stays behind


def _class_with_a_key(number):
    class Local:
        def __cache_key__(self):
            return number

    one.get_cache_key(Local())


def _class(number):
    class Local:
        held = number

    with contextlib.suppress(UnkeyableArgument):
        one.get_cache_key(Local)
    with contextlib.suppress(UnkeyableArgument):
        one.get_cache_key(Local())


def _function(number):
    with contextlib.suppress(UnkeyableArgument):
        one.get_cache_key(lambda: number)


def _closure(number):
    cache_result(lambda: number).get_cache_key()


def _constructor(number):
    fields = {"n": ConstantKeyField("n", number), "a": ArgsKeyField("a", partition=True)}
    cache_result(fields)(lambda a: number).get_cache_key(1)


def _failure(number):
    with contextlib.suppress(ZeroDivisionError):
        one.get_cache_key(SimpleLazyObject(lambda: number / 0))


def _text(number):
    two.get_cache_key(f"text {number}", {number: str(number)})


def _containers(number):
    for name in NESTINGS:
        one.get_cache_key(NESTINGS[name](number))
    two.get_cache_key([[number], {number}], [[number], (number,)])


def sizes() -> dict[str, int]:
    gc.collect()
    return {
        "ids": len(function_ids._taken),
        "tokens": len(function_ids._tokens),
        "wrappers": len(registry._wrappers),
        "constructors": len(InlineKeyConstructor._made),
        "subclasses": len(InlineKeyConstructor.__subclasses__()),
    }


@pytest.mark.parametrize(
    "use", [_class_with_a_key, _class, _function, _closure, _constructor, _failure, _text, _containers]
)
def test_nothing_stays_of_what_had_a_key(use):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheResultWarning)  # functions of one name
        for number in range(100):  # what is imported or made once
            use(number)
        before, objects = sizes(), len(gc.get_objects())
        for number in range(20_000):
            use(number)
    assert sizes() == before
    assert len(gc.get_objects()) - objects < 1_000
