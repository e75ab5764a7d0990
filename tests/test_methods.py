"""Inherited methods of every kind have results of their own."""

from cache_result import ArgsKeyField, ConstantKeyField, cache_result

BY_X = {"fields": {"x": ArgsKeyField("x")}}
runs: list[str] = []


class Parent:
    kind = "parent"

    @cache_result(BY_X, cache="locmem")
    def method(self, x):
        runs.append("method")
        return self.kind

    @classmethod
    @cache_result(BY_X, cache="locmem")
    def by_class(cls, x):
        return cls.kind

    @cache_result(BY_X, cache="locmem")
    @classmethod
    def of_class(cls, x):
        return cls.kind

    @property
    @cache_result({"fields": {"k": ConstantKeyField("k", 1)}}, cache="locmem")
    def attribute(self):
        return self.kind


class Child(Parent):
    kind = "child"


def test_an_heir_does_not_get_its_parents_results():
    # Fails ("parent" for both) when the class on which a method is called is no part of the key.
    for owner in (Parent, Child):
        assert owner().method(1) == owner.kind
        assert owner.by_class(1) == owner.kind
        assert owner.of_class(1) == owner.kind
        assert owner().attribute == owner.kind


def test_the_methods_of_a_classmethod_know_the_class():
    # Fails on Python 3.13 (too few arguments) with a plain classmethod around the wrapper.
    assert Child.of_class.refresh(2) == "child"
    assert Child.of_class.get_cache_only(2) == "child"
    Child().of_class.delete_cache(2)
    assert Parent.of_class.get_cache_key(2) != Child.of_class.get_cache_key(2)


def test_a_class_attribute_does_not_change_the_key_of_a_function():
    before = function.get_cache_key(1)

    class Holder:
        held = function

    assert Holder.held.get_cache_key(1) == function.get_cache_key(1) == before


@cache_result(cache="locmem")
def function(x):
    return x


def test_a_bound_method_says_of_itself_what_its_function_says():
    class Page:
        @cache_result(name="tests.documented_page")
        def body(self):
            """The text."""

        @cache_result(name="tests.undocumented_page")
        def bare(self):
            pass

    assert Page().body.__doc__ == Page.body.__doc__ == "The text."
    assert Page().bare.__doc__ is None
