"""Promise 2: no two different calls share a key."""

import copy
import itertools
import os
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache_result import ArgsKeyField, UnkeyableArgument, cache_result
from tests.property.values import ALIKE, TRICKY, Keyed, copyable, identity, values

# Under load a single example may take long.
given_time = settings(deadline=None)


@cache_result(name="test-keys.one")
def one(value):
    return value


@cache_result(
    {"fields": {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b")}}, name="test-keys.two"
)
def two(a, b):
    return a, b


@cache_result(name="test-keys.any")
def anything(*args, **kwargs):
    return args, kwargs


def test_tricky_values_are_pairwise_distinct():
    assert len(TRICKY) >= 100
    seen = {}
    for value in TRICKY:
        key = one.get_cache_key(value)
        assert key not in seen, f"{value!r} has the key of {seen[key]!r}"
        seen[key] = value


def test_tricky_values_are_distinct_partitions():
    keys = {two.get_cache_key(value, 0) for value in TRICKY}
    assert len(keys) == len(TRICKY)


@pytest.mark.parametrize(("left", "right"), ALIKE, ids=[type(pair[1]).__name__ for pair in ALIKE])
def test_what_is_the_same_has_one_key(left, right):
    assert one.get_cache_key(left) == one.get_cache_key(right)


@given_time
@given(values, values)
def test_different_values_have_different_keys(left, right):
    same = identity(left) == identity(right)
    assert (one.get_cache_key(left) == one.get_cache_key(right)) == same


@given_time
@given(copyable)
def test_a_copy_has_the_key_of_its_original(value):
    assert one.get_cache_key(value) == one.get_cache_key(copy.deepcopy(value))


@given_time
@given(values, values, values, values)
def test_arguments_do_not_run_into_each_other(a, b, c, d):
    same = (identity(a), identity(b)) == (identity(c), identity(d))
    assert (two.get_cache_key(a, b) == two.get_cache_key(c, d)) == same


arguments = st.tuples(
    st.lists(st.integers(0, 1) | st.just("a"), max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["a", "args", "kwargs"]), st.integers(0, 1), max_size=2),
)


@given_time
@given(arguments, arguments)
def test_calls_do_not_run_into_each_other(left, right):
    keys = [anything.get_cache_key(*args, **kwargs) for args, kwargs in (left, right)]
    assert (keys[0] == keys[1]) == (left == right)


@given_time
@given(values, values)
def test_keys_suit_every_backend(a, b):
    """At most 200 characters, no spaces, no control characters, nothing beyond ASCII."""
    key = two.get_cache_key(a, b)
    assert len(key) <= 200
    assert set(key) <= set(string.ascii_letters + string.digits + string.punctuation)


@given_time
@given(st.text())
def test_any_text_of_a_developer_suits_every_backend(text):
    wrapper = cache_result(
        {
            "fields": {"a": ArgsKeyField("a", partition=True)},
            "namespace": text,
            "key_identifier": f"{text}-id",
        }
    )(lambda a: a)
    key = wrapper.get_cache_key(text)
    assert len(key) <= 200
    assert re.fullmatch(r"[!-~]+", key)


def test_the_function_is_part_of_the_key():
    assert one.get_cache_key(1) != anything.get_cache_key(1)
    assert one.get_cache_key(1).startswith("test-keys.one")


def test_a_partition_can_be_read():
    assert ":DE:" in two.get_cache_key("DE", 5)
    assert two.get_cache_key("DE", 5).rsplit(":", 1)[0] == two.get_cache_key("DE", 6).rsplit(":", 1)[0]


def keys_of_a_process(parent):
    """Sets and dicts iterate in another order under another hash seed."""
    return [one.get_cache_key(value) for value in TRICKY]


def test_keys_are_the_same_in_every_process(processes, monkeypatch):
    children = []
    for seed in ("1", "2"):
        monkeypatch.setitem(os.environ, "PYTHONHASHSEED", seed)
        children.append(processes(keys_of_a_process))
    assert [child.result() for child in children] == [keys_of_a_process(None)] * 2


def test_depth_is_bounded():
    deep = itertools.accumulate(range(100_000), lambda value, _: [value], initial=0)
    with pytest.raises(UnkeyableArgument, match="value"):
        one.get_cache_key(list(deep)[-1])


def test_a_key_that_leads_to_itself_is_refused():
    endless = Keyed(None)
    endless.key = endless
    with pytest.raises(UnkeyableArgument):
        one.get_cache_key(endless)
