"""Two functions never meet by accident, and a function keeps its id where it should."""

import functools
import importlib
import operator
import re

import pytest

from cache_result import (
    ArgsKeyField,
    CacheResultWarning,
    ConstantKeyField,
    InlineKeyConstructor,
    KeyConstructor,
    cache_result,
)


def make_plain():
    """The same code without captured variables, as often as it is defined."""

    @cache_result(cache="locmem")
    def plain(x):
        return x

    return plain


def make_closure(answer):
    @cache_result(cache="locmem")
    def closure(x):
        return answer

    return closure


def test_the_id_is_module_and_qualified_name(unique_name):
    assert make_plain().get_cache_key(1).startswith(f"{__name__}.make_plain.<locals>.plain:")
    name = unique_name()
    assert cache_result(name=name)(lambda x: x).get_cache_key(1).startswith(f"{name}:")


def test_the_same_code_keeps_its_id():
    """A module that is loaded again finds its entries."""
    assert make_plain().get_cache_key(1) == make_plain().get_cache_key(1)


def test_functions_of_a_factory_do_not_meet():
    # Fails (both say "one") when the qualified name alone decides.
    # The first one is warned of too: which one is the first may differ from process to process.
    with pytest.warns(CacheResultWarning, match=r"closure.*key_identifier"):
        one = make_closure("one")
    with pytest.warns(CacheResultWarning, match=r"closure.*key_identifier"):
        two = make_closure("two")
    assert [one(1), two(1), one(1), two(1)] == ["one", "two", "one", "two"]
    one.invalidate_all()
    assert two.get_cache_only(1) == "two"


def test_lambdas_on_one_line_do_not_meet():
    one = cache_result(cache="locmem")(lambda x: "one")
    with pytest.warns(CacheResultWarning, match="lambda"):
        two = cache_result(cache="locmem")(lambda x: "two")
    assert [one(1), two(1)] == ["one", "two"]


def test_defaults_tell_functions_apart():
    def make(default):
        namespace = {}
        exec(f"def function(x={default!r}): return x", namespace)
        return namespace["function"]

    one = cache_result(cache="locmem")(make(1))
    with pytest.warns(CacheResultWarning):
        two = cache_result(cache="locmem")(make(2))
    assert [one(), two()] == [1, 2]


@pytest.mark.parametrize(
    "options",
    [
        lambda name: {"name": name},
        lambda name: {"key_constructor": InlineKeyConstructor({"x": ArgsKeyField("x")}, key_identifier=name)},
    ],
    ids=["name", "key_identifier"],
)
def test_functions_under_one_given_name_meet_with_a_warning(options, unique_name):
    """That is what an explicit name is for, and what happens when it is copied along with a decorator."""
    name = unique_name()
    one = cache_result(**options(name), cache="locmem")(lambda x: "one")
    with pytest.warns(CacheResultWarning, match=re.escape(name)):
        two = cache_result(**options(name), cache="locmem")(lambda x: "two")
    assert [one(1), two(1)] == ["one", "one"]


class Adder:
    def __init__(self, number):
        self.number = number

    def __call__(self, x):
        return x + self.number

    def add(self, x):
        return x + self.number


@pytest.mark.parametrize(
    "make",
    [lambda n: functools.partial(operator.add, n), Adder, lambda n: Adder(n).add],
    ids=["partial", "callable object", "bound method"],
)
def test_callables_that_share_their_code_do_not_meet(make):
    # Fails (6, 6) when whatever is no function counts as the same code.
    with pytest.warns(CacheResultWarning):
        one = cache_result({"x": ConstantKeyField("k", 1)}, cache="locmem")(make(1))
    with pytest.warns(CacheResultWarning):
        two = cache_result({"x": ConstantKeyField("k", 1)}, cache="locmem")(make(2))
    assert [one(5), two(5)] == [6, 7]


def test_namespaces_keep_functions_apart(unique_name):
    name = unique_name()

    def make(namespace):
        constructor = {"fields": {"x": ArgsKeyField("x")}, "namespace": namespace, "key_identifier": name}
        return cache_result(constructor, cache="locmem")(lambda x: namespace)

    one, two = make("one"), make("two")
    assert one.get_cache_key(1).startswith("one:")
    assert [one(1), two(1)] == ["one", "two"]


def test_a_version_leaves_older_entries_behind(unique_name):
    runs = []

    def function(x):
        runs.append(x)
        return len(runs)

    def make(version):
        class Key(KeyConstructor):
            x = ArgsKeyField("x")

            class Meta:
                key_identifier = name

        Key.Meta.version = version
        return cache_result(type("Versioned", (Key,), {"Meta": Key.Meta}), cache="locmem")(function)

    name = unique_name()
    one, two = make(1), make("2")
    assert [one(1), two(1), one(1), two(1)] == [1, 2, 1, 2]
    # Workers of the old and the new release run side by side: both hear of an invalidation.
    two.invalidate_all()
    assert [one(1), two(1)] == [3, 4]


def test_a_module_that_is_loaded_again_finds_its_entries():
    from tests.app import cached

    before = cached.country_name.get_cache_key("DE")
    assert importlib.reload(cached).country_name.get_cache_key("DE") == before
