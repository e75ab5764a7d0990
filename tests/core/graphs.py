"""Values with a shape: random ones, how to compare two, and how to spoil one."""

import collections
import dataclasses
import datetime
import decimal
import enum
import uuid
import zoneinfo
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.utils.safestring import SafeString
from hypothesis import strategies as st


class Text(str):
    """Can carry attributes."""


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: Any
    y: Any = 0


@dataclasses.dataclass(eq=False)
class Box:
    content: Any


class Items(list[Any]):
    pass


ZONES = [
    None,
    datetime.UTC,
    datetime.timezone(datetime.timedelta(hours=2), "two"),
    zoneinfo.ZoneInfo("Europe/Paris"),
]
zones = st.sampled_from(ZONES)

atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.decimals(),
    st.datetimes(timezones=zones),
    st.times(timezones=zones),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(
        [..., NotImplemented, range(0), range(1, 9, 2), "\ud800", 10**40, decimal.Decimal("sNaN"), "é" * 70]
    ),
)
# Their own hash is asked for, and two of one value are one.
hashable = atoms.filter(lambda value: not (isinstance(value, decimal.Decimal) and value.is_snan()))
frozen = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
odd = st.one_of(
    st.text(max_size=3).map(Text),
    st.text(max_size=3).map(SafeString),
    st.just(Level.LOW),
    st.binary(max_size=3).map(bytearray),
    frozen.map(Point),
    st.lists(frozen, max_size=2).map(Items),
    st.lists(frozen, max_size=2).map(collections.deque),
    st.dictionaries(frozen, frozen, max_size=2).map(collections.OrderedDict),
    st.dictionaries(frozen, frozen, max_size=2).map(lambda items: collections.defaultdict(list, items)),
    frozen.map(Box),
)

trees = st.recursive(
    frozen | st.sets(frozen, max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(frozen, inner, max_size=4),
        # Rows that look alike.
        st.tuples(inner, st.integers(0, 5)).map(lambda row: [_again(row[0]) for _ in range(row[1])]),
    ),
    max_leaves=25,
)


def _again(value: Any) -> Any:
    """The same tree, of other containers."""
    if type(value) in (list, tuple, set):
        return type(value)(map(_again, value))
    return {key: _again(item) for key, item in value.items()} if type(value) is dict else value


@st.composite
def graphs(draw: st.DrawFn, leaves: st.SearchStrategy[Any], kinds: list[type]) -> Any:
    """Containers that hold each other in any way; where there are cycles, themselves included."""
    cyclic = draw(st.booleans())
    nodes: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5)):
        known = st.sampled_from(nodes) if nodes else st.nothing()
        content = draw(st.lists(known | leaves, max_size=3))
        if kind is tuple:
            nodes.append(tuple(content))
        else:
            nodes.append(Box(None) if kind is Box else kind())
            _fill(nodes[-1], content)
    for node in nodes if cyclic else ():
        _fill(node, draw(st.lists(st.sampled_from(nodes) | leaves, max_size=2)))
    return nodes[-1]


def _fill(node: Any, content: list[Any]) -> None:
    if type(node) is list:
        node.extend(content)
    elif type(node) is dict:
        node.update(enumerate(content, len(node)))
    elif type(node) is Box:
        node.content = content


values = st.one_of(
    trees,
    graphs(frozen, [list, dict, tuple]),
    graphs(frozen | odd | trees, [list, dict, tuple, Box]),
    odd,
)


def parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """What a value holds, in an order that two equal ones have in common."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ((None, key), (None, item))
    elif isinstance(value, set | frozenset):
        yield from ((None, item) for item in sorted(value, key=signature))
    elif isinstance(value, list | tuple | collections.deque):
        yield from ((None, item) for item in value)
    if hasattr(value, "__dict__") and not isinstance(value, enum.Enum | type):
        yield from sorted(vars(value).items())


def signature(value: Any) -> str:
    """Tells immutable values apart, whatever the order of the frozensets among them."""
    if isinstance(value, tuple):
        return f"({','.join(map(signature, value))})"
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(map(signature, value)))}}}"
    return f"{type(value).__name__}:{value!r}:{getattr(value, 'fold', '')}"


CONTAINERS = (dict, list, set, frozenset, tuple, collections.deque, bytearray, Box, Text)
ATOMIC = (datetime.datetime, datetime.time, decimal.Decimal, uuid.UUID, range, str, bytes, enum.Enum)


def same(left: Any, right: Any) -> bool:
    """Whether two values are alike, type for type, and whether where one holds the same container twice,
    the other does."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    kept = []  # so that no address is used again
    left_over = [(left, right)]
    while left_over:
        one, other = left_over.pop()
        if type(one) is not type(other):
            return False
        if not isinstance(one, CONTAINERS):
            if signature(one) != signature(other):
                return False
            continue
        if isinstance(one, str | bytearray) and one != other:
            return False
        if can_change(one):
            if id(one) in there or id(other) in back:
                if (there.get(id(one)), back.get(id(other))) != (id(other), id(one)):
                    return False
                continue
            there[id(one)], back[id(other)] = id(other), id(one)
            kept += [one, other]
        ours, theirs = list(parts(one)), list(parts(other))
        if [name for name, _ in ours] != [name for name, _ in theirs]:
            return False
        left_over += [(mine, yours) for (_, mine), (_, yours) in zip(ours, theirs, strict=True)]
    return True


def can_change(value: Any) -> bool:
    """Whether the value itself can be changed; what holds a thing that can, is another question."""
    return not isinstance(value, tuple | frozenset) and isinstance(value, CONTAINERS)


def spoil(value: Any) -> int:
    """Changes all that can be reached and changed; says how much that was."""
    found: dict[int, Any] = {}
    left_over = [value]
    while left_over:
        reached = left_over.pop()
        if isinstance(reached, CONTAINERS) and id(reached) not in found:
            found[id(reached)] = reached
            left_over += [part for _, part in parts(reached)]
    changed = 0
    for reached in found.values():
        if isinstance(reached, dict):
            for key in list(reached):
                reached[key] = "spoilt"
            reached["spoilt"] = 1
        elif isinstance(reached, set):
            reached.clear()
            reached.add("spoilt")
        elif isinstance(reached, bytearray):
            reached[:] = b"spoilt"
        elif isinstance(reached, list | collections.deque):
            for at in range(len(reached)):
                reached[at] = "spoilt"
            reached.append("spoilt")
        elif hasattr(reached, "__dict__"):
            reached.spoilt = reached.content = "spoilt"
        changed += can_change(reached)
    return changed
