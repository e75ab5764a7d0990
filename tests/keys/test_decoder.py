"""Canonical bytes can be read back, so no two values share them."""

import inspect
import itertools
import re
from collections import Counter

import pytest
from django.http import HttpRequest, QueryDict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cache_result import (
    ABSENT,
    ArgsKeyField,
    CacheKeyField,
    ConstantKeyField,
    DjangoModelKeyField,
    QueryParamsKeyField,
    RequestValueKeyField,
    ViewKwargsKeyField,
    cache_result,
)
from cache_result._core import canonical_bytes
from tests.app.models import Author
from tests.keys.decoder import Malformed, Opaque, decode, decode_all, decode_call
from tests.property.values import ALIKE, TRICKY, Keyed, Pair, Point, Spot, Vector, identity, stored, values

# Under load a single example may take long.
given_time = settings(deadline=None)


def _shown(value):
    """The same in every process, so that several can share the tests out among themselves."""
    return f"{type(value).__name__}-{re.sub(' at 0x[0-9a-f]+', '', repr(value)):.40}"


@pytest.mark.parametrize("value", TRICKY, ids=_shown)
def test_a_tricky_value_is_read_back(value):
    assert identity(decode(canonical_bytes(value))) == identity(value)


@given_time
@given(values)
def test_any_value_is_read_back(value):
    assert identity(decode(canonical_bytes(value))) == identity(value)


@given_time
@given(st.lists(values, max_size=4))
def test_every_value_says_where_it_ends(several):
    written = b"".join(canonical_bytes(value) for value in several)
    assert [identity(value) for value in decode_all(written)] == [identity(value) for value in several]


@pytest.mark.parametrize(("left", "right"), ALIKE, ids=[type(pair[1]).__name__ for pair in ALIKE])
def test_what_is_the_same_is_written_alike(left, right):
    assert canonical_bytes(left) == canonical_bytes(right)


@given_time
@given(st.lists(values, max_size=4), st.randoms())
def test_sorted_lists_have_no_order_and_lose_nothing(items, random):
    shuffled = random.sample(items, len(items))
    written = canonical_bytes(items, sort_lists=True)
    assert written == canonical_bytes(shuffled, sort_lists=True)
    # A list in any order; what is inside an item is sorted as well.
    alone = Counter(identity(decode(canonical_bytes(item, sort_lists=True))) for item in items)
    assert Counter(identity(item) for item in decode(written)) == alone
    assert written != canonical_bytes(items)


@given_time
@given(values, st.data())
def test_bytes_that_are_cut_or_longer_are_no_value(value, data):
    """No value's bytes are the beginning of another's."""
    written = canonical_bytes(value)
    end = data.draw(st.integers(0, len(written) - 1))
    with pytest.raises((Malformed, ValueError)):
        decode(written[:end])


@pytest.mark.parametrize(
    "malformed",
    [
        b"?",
        b"i1234567",
        b"s\x81\x00a",
        b"s\x05abcd",
        b"NN",
        b"I\x01\x05",
        b"I\x0a" + b"\x01" * 9 + b"\x00",
        b"I\x0a" + b"\x00" * 8 + b"\x80\xff",
        b"<\x02TF",
        b"{\x02s\x01bNs\x01aN",
        b"S?N",
        b"O?\x0cbuiltins:intN",
    ],
)
def test_the_decoder_takes_nothing_else(malformed):
    with pytest.raises((Malformed, ValueError)):
        decode(malformed)


# --- whole calls


class Payload(CacheKeyField):
    def get_key_payload(self, func, args, kwargs):
        return {"args": args, **kwargs}


FIELDS = {
    "all": ArgsKeyField("*"),
    "first": ArgsKeyField("a", partition=True),
    "several": ArgsKeyField(["rest", "a", "b"], hash_value=True),
    "entry": ArgsKeyField(["x", "missing"]),
    "normal": ArgsKeyField("b", normalizer=repr),
    "constant": ConstantKeyField("schema", {"version": [3, 1]}),
    "payload": Payload(),
}


@cache_result({"fields": FIELDS}, name="test-decoder.call")
def call(a, /, b=7, *rest, c=None, **kwargs):
    raise AssertionError("never called")


ORDER = ["a", "b", "rest", "c", "kwargs"]
calls = st.tuples(
    st.lists(values, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["b", "c", "x", "y", "a", "\ud800"]), values, max_size=3),
).filter(lambda call: len(call[0]) < 2 or "b" not in call[1])


@given_time
@given(calls)
@example(([1, 2, 3], {}))
@example(([1], {"b": 2, "a": 3}))
def test_what_every_field_contributes_is_read_back(made):
    args, kwargs = made
    bound = inspect.signature(call.func).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    heir, contributions = decode_call(call._canonical(*args, **kwargs), len(FIELDS))
    assert heir is None
    found = dict(zip(FIELDS, contributions, strict=True))
    expected = {
        "all": tuple(given[name] for name in ORDER),
        "first": (given["a"],),
        "several": (given["rest"], given["a"], given["b"]),
        "entry": (given["kwargs"].get("x", ABSENT), ABSENT),
        "normal": (_normal(given["b"]),),
        "payload": {"args": bound.args, **bound.kwargs},
    }
    assert decode(found.pop("constant")) == {"version": [3, 1]}
    assert {name: identity(value) for name, value in found.items()} == {
        name: identity(value) for name, value in expected.items()
    }


def _normal(value):
    try:
        return repr(value)
    except Exception:
        return value


@cache_result({"fields": {"deep": ArgsKeyField("a", path="x.1")}}, name="test-decoder.path")
def deep(a):
    raise AssertionError("never called")


@given_time
@given(values)
def test_what_is_at_the_end_of_a_path_is_read_back(value):
    holding = [(0, value), [0, value], {"1": value}, {"2": 1, "1": value}]
    lacking = [(value,), [], {"2": value}, {1: value}, "a"]
    cases = [(inner, value) for inner in holding] + [(inner, ABSENT) for inner in lacking]
    for inner, found in cases:
        for outer in (Point(inner), Vector(inner), Spot(inner), Pair(inner, 0), {"x": inner}):
            _, (contributed,) = decode_call(deep._canonical(outer), 1)
            assert identity(contributed) == identity((found,))


VIEW_FIELDS = {
    "user": RequestValueKeyField("user.pk"),
    "some": QueryParamsKeyField(["page", "tag"], sort_lists=False),
    "every": QueryParamsKeyField(partition=True),
    "url": ViewKwargsKeyField("*"),
    "shape": DjangoModelKeyField(Author),
}


@cache_result({"fields": VIEW_FIELDS}, name="test-decoder.view")
def view(request, pk, slug=None):
    raise AssertionError("never called")


_parameters = st.text(st.sampled_from("pageté&=+ \ud800"), max_size=3) | st.sampled_from(["page", "tag"])
queries = st.dictionaries(_parameters, st.lists(_parameters, max_size=3), max_size=3)


@given_time
@given(queries, st.none() | st.integers(1, 3), values, values)
def test_what_the_fields_of_a_view_contribute_is_read_back(query, user, pk, slug):
    request = HttpRequest()
    request.GET = QueryDict(mutable=True)
    for name, listed in query.items():
        request.GET.setlist(name, listed)
    if user is not None:
        request.user = stored(Author, user)
    heir, (who, some, every, url, shape) = decode_call(view._canonical(request, pk, slug), len(VIEW_FIELDS))
    assert heir is None
    assert who == (user or ABSENT)
    assert some == tuple(query.get(name, ABSENT) for name in ("page", "tag"))
    assert every == {name: sorted(listed, key=canonical_bytes) for name, listed in query.items()}
    assert identity(url) == identity((pk, slug))
    assert isinstance(shape, bytes)
    assert len(shape) == 32


def test_nothing_is_read_back_where_there_is_no_request():
    _, (who, some, every, *_) = decode_call(view._canonical(None, 1), len(VIEW_FIELDS))
    assert (who, some, every) == (ABSENT, (ABSENT, ABSENT), ABSENT)


class Shop(Keyed):
    @cache_result(name="test-decoder.method")
    def price(self, item):
        raise AssertionError("never called")

    @cache_result(name="test-decoder.classmethod")
    @classmethod
    def opened(cls, year):
        raise AssertionError("never called")


class Branch(Shop):
    pass


@given_time
@given(values, values)
def test_the_class_of_an_inherited_method_is_read_back(key, item):
    for owner, heir in ((Shop, None), (Branch, Branch)):
        shop = owner(key)
        found, ((self, given),) = decode_call(Shop.price._canonical(shop, item), 1)
        assert found is heir
        assert identity((self, given)) == identity((shop, item))
        found, (contributed,) = decode_call(owner.opened._canonical(owner, item), 1)
        assert found is heir
        assert identity(contributed) == identity((owner, item))


@given_time
@given(values, values)
def test_a_key_can_be_explained(a, b):
    explained = call.explain_key(a, b)
    assert explained.key == call.get_cache_key(a, b)
    assert [part.field for part in explained.parts] == list(FIELDS)


def test_one_way_objects_are_read_as_class_and_state():
    here = Keyed.__module__
    assert decode(canonical_bytes(Keyed([1]))) == Opaque("k", here, "Keyed", [1])
    row = decode(canonical_bytes(stored(Author, 5, "other")))
    assert row == Opaque("M", "app", "Author", ("other", 5))


def test_tricky_values_are_written_apart():
    written = {canonical_bytes(value): value for value in TRICKY}
    assert len(written) == len(TRICKY)
    for (one, left), (two, right) in itertools.combinations(written.items(), 2):
        assert not one.startswith(two), f"{left!r} begins like {right!r}"
        assert not two.startswith(one), f"{right!r} begins like {left!r}"
