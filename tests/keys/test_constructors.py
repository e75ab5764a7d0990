"""Key constructors: inheritance, options, inline ones, and which functions they keep apart."""

import functools
import gc
import importlib
import itertools
import operator
import types
import weakref

import pytest
from django.core.cache import caches

from cache_result import (
    ArgsKeyField,
    CacheKeyField,
    CacheResultWarning,
    ConstantKeyField,
    InlineKeyConstructor,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    cache_result,
)
from tests.keys.wrapping import wrapped


def function(a=1, b=2, c=3):
    return (a, b, c)


def counting(constructor, **options):
    runs = itertools.count(1)
    return wrapped(lambda a=1, b=2, c=3: next(runs), constructor, **options)


def counted(constructor):
    """Which of the arguments a, b and c count."""
    wrapper = wrapped(function, constructor)
    return {name for name in "abc" if wrapper.get_cache_key(**{name: 0}) != wrapper.get_cache_key()}


A, B, C = (ArgsKeyField(name) for name in "abc")


class Parent(KeyConstructor):
    first = A
    second = B

    class Meta:
        namespace = "parent"
        version = 3


class Mixin:
    third = C

    class Meta:
        version = 5


# --- inheritance


class Child(Parent):
    second = C


class Dropping(Parent):
    first = None


class Again(Dropping):
    first = C


class WithMixin(Mixin, Parent):
    pass


class OfTwo(Again, Child):
    pass


class DroppingMixed(WithMixin):
    third = None


class DroppingTwice(Dropping):
    first = None
    second = None


@pytest.mark.parametrize(
    ("constructor", "fields"),
    [
        (Parent, {"first": A, "second": B}),
        (Child, {"first": A, "second": C}),
        (Dropping, {"second": B}),
        (Again, {"first": C, "second": B}),
        (WithMixin, {"first": A, "second": B, "third": C}),
        (OfTwo, {"first": C, "second": C}),
        (DroppingMixed, {"first": A, "second": B}),
        (DroppingTwice, {}),
    ],
)
def test_fields_are_inherited(constructor, fields):
    assert constructor().fields == constructor().get_fields() == fields
    assert list(constructor().fields) == list(fields)
    assert counted(constructor) == {"abc"[[A, B, C].index(field)] for field in fields.values()}


def test_a_mixins_field_is_dropped_where_it_is_mixed_in():
    class Mixed(Mixin, Parent):
        third = None

    # failed once: the field stays
    assert list(Mixed().fields) == ["first", "second"]


def test_replacing_a_field_keeps_its_place():
    class Replacing(Parent):
        third = C
        first = ConstantKeyField("a", 1)

    assert list(Replacing().fields) == ["first", "second", "third"]


def test_inherited_partitions_are_wiped_in_their_order():
    class Pages(KeyConstructor):
        country = ArgsKeyField("a", partition=True)
        page = ArgsKeyField("b")

    class PagesOfLanguage(Pages):
        language = ArgsKeyField("c", partition=True)

    wrapper = counting(PagesOfLanguage)
    assert [wrapper("de", 1, "en"), wrapper("de", 1, "fr"), wrapper("at", 1, "en")] == [1, 2, 3]
    wrapper.delete_by_prefix(a="de")
    assert [wrapper("at", 1, "en"), wrapper("de", 1, "en"), wrapper("de", 1, "fr")] == [3, 4, 5]
    wrapper.delete_by_prefix(a="de", c="en")
    assert [wrapper("de", 1, "fr"), wrapper("de", 1, "en")] == [5, 6]
    with pytest.raises(ValueError, match=r"takes \(a\) or \(a, c\)"):
        wrapper.delete_by_prefix(c="en")
    assert not PagesOfLanguage().has_only_partition_fields


def options(constructor):
    made = constructor()
    return made.namespace, made.get_version(), made.key_identifier


def test_options_are_inherited_one_by_one():
    class Named(Parent):
        class Meta:
            key_identifier = "child"

    class Extending(Parent):
        class Meta(Parent.Meta):
            version = 4

    class Grandchild(Extending, Named):
        pass

    class Mixed(Mixin, Parent):
        pass

    assert options(Parent) == ("parent", 3, None)
    assert options(Named) == ("parent", 3, "child")
    assert options(Extending) == ("parent", 4, None)
    assert options(Grandchild) == ("parent", 4, "child")
    assert options(Mixed) == ("parent", 5, None)
    assert options(Child) == ("parent", 3, None)


@pytest.mark.parametrize("meta", [{"namespace": None, "version": None}, {"namespace": "", "version": 1}])
def test_an_option_is_set_back_to_its_default(meta):
    class Back(Parent):
        Meta = type("Meta", (), meta)

    class Further(Back):
        pass

    assert options(Back) == options(Further) == options(KeyConstructor) == ("", 1, None)
    name = "set back"
    assert counted(Back) == {"a", "b"}
    plain = type("Plain", (KeyConstructor,), {"first": A, "second": B})
    keys = {wrapped(function, one, name=name).get_cache_key(1) for one in (Back, plain)}
    assert len(keys) == 1


@pytest.mark.parametrize("version", [2, "2", "02"])
def test_a_version_of_digits(version):
    class Versioned(KeyConstructor):
        first = A

        class Meta:
            pass

    Versioned.Meta.version = version
    of_text = type("Versioned", (Versioned,), {"Meta": Versioned.Meta})
    assert of_text().get_version() == 2
    assert ":v2:" in wrapped(function, of_text).get_cache_key(1)


# --- what is no field


@pytest.mark.parametrize(
    "name",
    ["fields", "namespace", "version", "wipe", "style", "compile", "Meta", "_own", "get_fields", "__doc__"],
)
def test_fields_may_have_any_name(name):
    own = type(KeyConstructor)("Own", (KeyConstructor,), {name: A})
    assert counted(own) == {"a"}
    assert list(own().fields) == [name]
    # failed once for "Meta": the field is lost, so that all calls have one key
    assert counted({"fields": {name: A}}) == {"a"}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("user", (A,)), ("user", ArgsKeyField), ("fields", {"user": A})],
    ids=["trailing comma", "class", "dict named fields"],
)
def test_what_was_meant_to_be_a_field_is_an_error(attribute, value):
    """Or all users share one result."""
    # failed once: there are no fields, and all calls have one key
    with pytest.raises(TypeError, match=rf"(?s)Lost.*{attribute}.*field"):
        wrapped(function, type(KeyConstructor)("Lost", (KeyConstructor,), {attribute: value}))


def test_a_field_that_is_defined_twice():
    with pytest.raises(ValueError, match="'user' is defined twice"):

        class Twice(KeyConstructor):
            user = A
            user = B

    class Once(InlineKeyConstructor):
        user = A

    with pytest.raises(ValueError, match="'user' is defined twice"):
        Once({"user": B})
    assert counted(Once({"other": B})) == {"a", "b"}


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("namespace", 3, TypeError),
        ("namespace", b"shop", TypeError),
        ("namespace", ["shop"], TypeError),
        ("key_identifier", 3, TypeError),
        ("version", "two", TypeError),
        ("version", "-2", TypeError),
        ("version", "²", TypeError),
        ("version", "", TypeError),
        ("version", 2.0, TypeError),
        ("version", True, TypeError),
        ("version", 2**63, ValueError),
        ("max_key_suffix_length", "40", TypeError),
        ("max_key_suffix_length", True, TypeError),
        ("max_key_suffix_length", 2.5, TypeError),
        ("max_key_suffix_length", 0, ValueError),
        ("max_key_suffix_length", -1, ValueError),
        ("hash_suffix_on_overflow", 1, TypeError),
        ("hash_suffix_on_overflow", "yes", TypeError),
        ("verison", 2, TypeError),
    ],
    ids=str,
)
def test_wrong_options(option, value, error):
    with pytest.raises(error, match=rf"Wrong\.Meta\.{option}"):
        type("Wrong", (KeyConstructor,), {"Meta": type("Meta", (), {option: value})})
    # failed once for a list as namespace: "unhashable type"
    with pytest.raises(error, match=option):
        cache_result({"fields": {"a": A}, option: value})(function)


@pytest.mark.parametrize("meta", [{"version": 2}, 3, "version = 2"])
def test_options_that_are_no_class(meta):
    # failed once: they are ignored
    with pytest.raises(TypeError, match=r"Wrong\.Meta"):
        type("Wrong", (KeyConstructor,), {"Meta": meta})


def test_equal_values_of_other_types_are_checked_too():
    fields = {"a": A}
    kept = InlineKeyConstructor(fields, version=1, hash_suffix_on_overflow=True)
    # failed once: the constructor made before is returned
    for options in (
        {"version": True, "hash_suffix_on_overflow": True},
        {"version": 1, "hash_suffix_on_overflow": 1},
    ):
        with pytest.raises(TypeError, match=r"(version|hash_suffix_on_overflow) must be"):
            InlineKeyConstructor(fields, **options)
    assert kept.get_version() == 1


@pytest.mark.parametrize(
    ("constructor", "message"),
    [
        ({"fields": None}, "None.*dict of key fields"),
        ({"fields": [A]}, "dict of key fields"),
        ({"fields": {"a": "a"}}, "'a' is 'a'.*ArgsKeyField"),
        ({"a": ArgsKeyField}, "'a' is <class.*ArgsKeyField"),
        ({"fields": {"a": A}, "partition": True}, "partition"),
        # failed once: "'int' object is not an instance of 'str'"
        ({1: A}, "field.* 1 "),
        (A, "Invalid KeyConstructor.*fields"),
        ([A], "Invalid KeyConstructor.*fields"),
        ("a", "Invalid KeyConstructor.*fields"),
        (CacheKeyField, "Invalid KeyConstructor.*fields"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_constructor(constructor, message):
    with pytest.raises((TypeError, ValueError), match=rf"(?s){message}"):
        cache_result(constructor)(function)


# --- the text of keys


def styled(partition, **meta):
    constructor = InlineKeyConstructor({"a": ArgsKeyField("a", partition=True)}, **meta)
    return wrapped(function, constructor, name="styled").get_cache_key(partition).split(":")


def test_a_long_partition_is_shortened_or_hashed():
    text = "0123456789" * 4
    assert styled(text)[:-1] == ["styled", text]
    assert styled("x" * 500)[1].startswith("x" * 30)
    assert len(styled("x" * 500)[1]) <= 48
    assert styled(text, max_key_suffix_length=20)[1] == f"{text[:18]}.."
    assert styled("0123456789", max_key_suffix_length=10)[1] == "0123456789"
    hashed = styled(text, max_key_suffix_length=20, hash_suffix_on_overflow=True)[1]
    assert len(hashed) <= 20
    assert "0123" not in hashed
    assert styled("short", max_key_suffix_length=20, hash_suffix_on_overflow=True)[1] == "short"


def test_the_limits_of_keys_hold_whatever_is_given():
    for length in (1, 250, 10**30):  # failed once for the last: OverflowError
        key = wrapped(
            function,
            InlineKeyConstructor(
                {"a": ArgsKeyField("a", partition=True)}, namespace="n" * 300, max_key_suffix_length=length
            ),
        ).get_cache_key("x" * 1000)
        assert len(key) <= 200


def test_what_a_key_stands_for_does_not_depend_on_its_text():
    keys = [
        styled("0123456789" * 4),
        styled("0123456789" * 4, max_key_suffix_length=20),
        styled("0123456789" * 4, max_key_suffix_length=20, hash_suffix_on_overflow=True),
    ]
    assert len({key[-1] for key in keys}) == 1
    texts = {styled("x" * 500 + end, max_key_suffix_length=20)[-1] for end in "ab"}
    assert len(texts) == 2


def test_namespace_and_identifier_are_what_a_key_begins_with():
    made = InlineKeyConstructor({"a": A}, namespace="geo", key_identifier="city", version=2)
    assert cache_result(made)(function).get_cache_key(1).startswith("geo:city:v2:")


def test_nothing_in_a_name_takes_a_key_for_another_ones():
    """Namespace, identifier, version and partition are written one after the other."""
    field = {"a": ArgsKeyField("a", partition=True)}
    names = [
        {"namespace": "x", "key_identifier": "y:z"},
        {"namespace": "x:y", "key_identifier": "z"},
        {"namespace": "", "key_identifier": "x:y:z"},
        {"namespace": "x:y:z", "key_identifier": "v2"},
        {"namespace": "x", "key_identifier": "y z"},
        {"namespace": "x", "key_identifier": "y_z"},
        {"namespace": "x", "key_identifier": "y:z", "version": 2},
        {"namespace": "x", "key_identifier": "y:z:v2"},
    ]
    keys = {cache_result({"fields": field, **name})(function).get_cache_key("v2") for name in names}
    assert len(keys) == len(names)


# --- inline constructors


def test_the_same_fields_and_options_are_the_same_constructor():
    fields = {"a": A, "b": B}
    one = InlineKeyConstructor(fields, namespace="n")
    assert InlineKeyConstructor(dict(fields), namespace="n") is one
    assert wrapped(function, {"fields": fields, "namespace": "n"}).key_constructor is one
    others = [
        InlineKeyConstructor(fields),
        InlineKeyConstructor(fields, namespace="m"),
        InlineKeyConstructor(fields, namespace="n", version=2),
        InlineKeyConstructor({"a": A}, namespace="n"),
        InlineKeyConstructor({"a": A, "c": B}, namespace="n"),
        InlineKeyConstructor({"a": A, "b": ArgsKeyField("b")}, namespace="n"),
    ]
    assert len({id(constructor) for constructor in (one, *others)}) == 7


def test_an_inline_constructor_goes_with_its_last_function():
    field = ArgsKeyField("a")
    functions = [wrapped(function, {"a": field}) for _ in range(2)]
    constructor = weakref.ref(functions[0].key_constructor)
    made = weakref.ref(type(constructor()))
    functions.pop()
    gc.collect()
    assert constructor() is functions[0].key_constructor
    functions.pop()
    caches["locmem"].clear()
    gc.collect()
    assert constructor() is made() is None


def test_a_class_an_instance_and_a_subclass_are_taken():
    class Of(KeyConstructor):
        def __init__(self, name="a"):
            self.name = name

        def get_fields(self):
            return {"field": ArgsKeyField(self.name)}

    class OfB(Of):
        def __init__(self):
            super().__init__("b")

    assert [counted(Of), counted(Of("c")), counted(OfB), counted(OfB())] == [{"a"}, {"c"}, {"b"}, {"b"}]
    assert counted(InlineKeyConstructor({"a": A})) == {"a"}


# --- the same function under two constructors


def getter(name):
    return operator.attrgetter(name)


def of(a, b=None):
    """Something with attributes a and b."""
    return types.SimpleNamespace(a=a, b=b)


class Scaled(CacheKeyField):
    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def get_key_payload(self, func, args, kwargs):
        return {"scaled": args[0] * self.factor}

    def describe(self):
        return f"{super().describe()} {self.factor}"


def normalizers():
    return [lambda value: value % 2, lambda value: value % 3]


@pytest.mark.parametrize(
    ("one", "call", "other", "other_call"),
    [
        (ArgsKeyField("a"), (1, 0), ArgsKeyField("b"), (0, 1)),
        (ArgsKeyField(["a", "b"]), (1, 2), ArgsKeyField(["b", "a"]), (2, 1)),
        (ArgsKeyField("a"), (1,), ArgsKeyField("a", partition=True), (1,)),
        (ArgsKeyField("a"), ([1],), ArgsKeyField("a", sort_lists=True), ([1],)),
        (ArgsKeyField("a", path="a"), (of(1, 2),), ArgsKeyField("a", path="b"), (of(2, 1),)),
        (ArgsKeyField("a"), (1,), ArgsKeyField("a", path="a"), (of(1),)),
        # failed once: no path and the path "None" are described alike
        (ArgsKeyField("a"), (1,), ArgsKeyField("a", path="None"), ({"None": 1},)),
        (ArgsKeyField("a", normalizer=abs), (-1,), ArgsKeyField("a"), (1,)),
        (ArgsKeyField("a", normalizer=abs), (-1,), ArgsKeyField("a", normalizer=round), (1.1,)),
        # failed once: normalizers are told apart by their own name, or by that of their class
        (
            ArgsKeyField("a", normalizer=getter("a")),
            (of(1, 2),),
            ArgsKeyField("a", normalizer=getter("b")),
            (of(2, 1),),
        ),
        # failed once: likewise
        (
            ArgsKeyField("a", normalizer=normalizers()[0]),
            (3,),
            ArgsKeyField("a", normalizer=normalizers()[1]),
            (4,),
        ),
        (ConstantKeyField("k", 1), (1,), ConstantKeyField("l", 1), (1,)),
        (ConstantKeyField("k", 1), (1,), ConstantKeyField("k", True), (1,)),
        (RequestValueKeyField("a", "a"), (of(1, 2),), RequestValueKeyField("b", "a"), (of(2, 1),)),
        # failed once: the argument that is the request makes no difference
        (RequestValueKeyField("a", "a"), (of(1), of(2)), RequestValueKeyField("a", "b"), (of(2), of(1))),
        (QueryParamsKeyField(["x"], "a"), (None,), QueryParamsKeyField(["y"], "a"), (None,)),
        # failed once: likewise
        (QueryParamsKeyField(["x"], "a"), (None,), QueryParamsKeyField(["x"], "b"), (None,)),
        (Scaled(2), (2,), Scaled(4), (1,)),
        (ArgsKeyField("a"), ("x",), Scaled(1), ("x",)),
    ],
)
def test_two_constructors_on_one_function_do_not_meet(one, call, other, other_call):
    """What contributes equal values means another call."""
    name = "two constructors"
    wrappers = wrapped(function, {"field": one}, name=name), wrapped(function, {"field": other}, name=name)
    assert wrappers[0].get_cache_key(*call) != wrappers[1].get_cache_key(*other_call)


def test_fields_under_other_names_do_not_meet():
    name = "two names"
    assert len({wrapped(function, {key: A}, name=name).get_cache_key(1) for key in ("x", "y", "xy")}) == 3


def test_two_constructors_on_one_function_keep_their_results():
    runs = itertools.count(1)

    def twice(a, b):
        return next(runs)

    by_a, by_b = wrapped(twice, {"x": A}, name="twice"), wrapped(twice, {"x": B}, name="twice")
    assert [by_a(1, 2), by_b(2, 1), by_a(1, 3), by_b(3, 1)] == [1, 2, 1, 2]
    by_a.delete_cache(1, 9)
    assert [by_b(9, 1), by_a(1, 9), by_b(9, 1), by_a(1, 9)] == [2, 3, 2, 3]
    # Both are results of the function.
    by_b.invalidate_all()
    assert [by_a(1, 9), by_b(9, 1)] == [4, 5]


# --- functions


def repeated(func):
    """A decorator as projects write them."""

    @functools.wraps(func)
    def inner(*args, **kwargs):
        return func(*args, **kwargs)

    return inner


def defined(source):
    namespace = {"__name__": __name__}
    exec(source, namespace)
    return namespace["shown"]


def test_decorated_functions_of_one_name_do_not_meet():
    one = cache_result(cache="locmem")(repeated(defined("def shown(x): return 'one'")))
    # failed once (no warning, and "one" twice): the code of the other decorator is all that is looked at
    with pytest.warns(CacheResultWarning, match="shown"):
        two = cache_result(cache="locmem")(repeated(defined("def shown(x): return 'two'")))
    assert [one(1), two(1)] == ["one", "two"]


class Client:
    """Nothing in its text says which one it is."""

    def __init__(self, answer):
        self.answer = answer

    def __repr__(self):
        return "Client()"


def asking(client):
    @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
    def ask(x, client=client):
        return client.answer

    return ask


def test_functions_with_other_defaults_do_not_meet():
    # failed once (no warning, and "one" twice): defaults are compared by their text
    with pytest.warns(CacheResultWarning, match="ask"):
        one, two = asking(Client("one")), asking(Client("two"))
    assert [one(1), two(1)] == ["one", "two"]


@pytest.mark.parametrize("meta", [{"key_identifier": ""}, {"key_identifier": None}, {"namespace": ""}])
def test_an_empty_identifier_is_none(meta):
    def closure(answer):
        return cache_result({"fields": {"x": ArgsKeyField("x")}, **meta}, cache="locmem")(lambda x: answer)

    # failed once ("one" twice) for an empty identifier, as drf-restflow has it by default
    with pytest.warns(CacheResultWarning, match=r"lambda.*in this process only"):
        one = closure("one")
    with pytest.warns(CacheResultWarning, match=r"lambda.*in this process only"):
        two = closure("two")
    assert [one(1), two(1)] == ["one", "two"]


class Animal:
    @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
    def name(self, x):
        return type(self).__name__

    @classmethod
    @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
    def of_class(cls, x):
        return cls.__name__

    @staticmethod
    @cache_result({"x": ArgsKeyField("x", normalizer=int)}, cache="locmem")
    def plain(x):
        return x


class Cat(Animal):
    pass


class Dog(Animal):
    pass


def test_heirs_keep_their_results():
    classes = [Animal, Cat, Dog]
    for _ in range(2):
        assert [cls().name(1) for cls in classes] == ["Animal", "Cat", "Dog"]
        assert [cls.of_class(1) for cls in classes] == ["Animal", "Cat", "Dog"]
    assert len({cls().name.get_cache_key(1) for cls in classes}) == 3


def service_of(kind):
    """As projects make viewsets of their models."""

    class Service:
        rows = kind

        @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
        def method(self, x):
            return self.rows

        @classmethod
        @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
        def of_class(cls, x):
            return cls.rows

    return Service


IN_A_LOOP = """
services = []
for kind in ("one", "two"):
    class Service:
        rows = kind

        @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
        def method(self, x):
            return self.rows

    services.append(Service)
"""


def test_classes_of_a_factory_do_not_meet():
    services = [service_of("one"), service_of("two")]
    # failed once ("one" for both): a class is told from others by its name alone
    assert [service().method(1) for service in services] == ["one", "two"]
    assert [service.of_class(1) for service in services] == ["one", "two"]


def test_classes_of_a_loop_do_not_meet():
    module = {"__name__": __name__, "cache_result": cache_result, "ArgsKeyField": ArgsKeyField}
    exec(IN_A_LOOP, module)
    # failed once: likewise
    assert [service().method(1) for service in module["services"]] == ["one", "two"]


def test_normalizers_of_a_factory_do_not_meet():
    def modulo(number):
        @cache_result({"x": ArgsKeyField("x", normalizer=lambda x: x % number)}, cache="locmem")
        def identity(x):
            return x

        return identity

    even, third = modulo(2), modulo(3)
    assert even(3) == 3
    # failed once (3): what the normalizers capture makes no difference
    assert third(4) == 4


def test_a_static_method_has_no_heirs():
    assert Cat.plain.get_cache_key(5) == Animal.plain.get_cache_key(5)
    # failed once: the class of the first argument is taken for an heir's
    assert Animal.plain.get_cache_key("5") == Animal.plain.get_cache_key(5)


def test_one_function_in_two_classes_is_one_function():
    wrapper = wrapped(lambda self, x: x, {"x": ArgsKeyField("x")})
    one, two = (type(name, (), {"method": wrapper}) for name in ("One", "Two"))
    assert one().method.get_cache_key(1) == two().method.get_cache_key(1)


def test_a_partial_of_one_function_and_another_do_not_meet():
    def make(answer):
        return cache_result({"x": ArgsKeyField("x")}, cache="locmem")(
            functools.partial(lambda a, x: a, answer)
        )

    with pytest.warns(CacheResultWarning):
        one = make("one")
    with pytest.warns(CacheResultWarning):
        two = make("two")
    assert [one(1), two(1), one(1)] == ["one", "two", "one"]


def test_a_partial_that_has_a_name_keeps_it():
    one = cache_result(cache="locmem", name="named-partial")(functools.partial(function, 1))
    assert one.get_cache_key(b=5).startswith("named-partial:")


def test_a_method_of_a_built_in_type_can_be_cached():
    # failed once: "'None' is not an instance of 'str'", as it has no module
    assert cache_result(cache="locmem", name="built-in")([3, 4].index)(4) == 1


RELOADED = """
from cache_result import ArgsKeyField, cache_result

@cache_result({"x": ArgsKeyField("x")})
def function(x, y=(1, "a")):
    return [lambda: x, {1, 2}]

class Parent:
    @cache_result({"x": ArgsKeyField("x")})
    def method(self, x):
        return x

class Child(Parent):
    pass
"""


def test_a_reloaded_module_finds_its_entries(tmp_path, monkeypatch):
    (tmp_path / "reloaded_by_a_test.py").write_text(RELOADED)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_by_a_test")

    def keys():
        return [
            module.function.get_cache_key(1),
            *(c().method.get_cache_key(1) for c in (module.Parent, module.Child)),
        ]

    before = keys()
    importlib.reload(module)
    assert keys() == before
    assert len(set(before)) == 3


def make_plain():
    @cache_result({"a": ArgsKeyField("a")}, cache="locmem")
    def plain(a):
        return a

    return plain


def make_closure():
    extra = object()

    @cache_result({"fields": {"a": ArgsKeyField("a", normalizer=lambda a: a)}}, cache="locmem")
    def closure(a):
        return extra

    return closure


@pytest.mark.parametrize("make", [make_plain, make_closure])
@pytest.mark.filterwarnings("ignore::cache_result.CacheResultWarning")  # the same closure again and again
def test_nothing_grows_when_functions_are_defined_again_and_again(make):
    def objects():
        gc.collect()
        return len(gc.get_objects())

    kept = make()  # the last one defined is known by the name of its cache
    before = objects()
    for _ in range(5000):
        kept = make()
    assert objects() - before < 100
    assert kept.get_cache_key(1)
