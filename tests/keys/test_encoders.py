"""`register_key_encoder`: keys for the classes of others."""

import abc
import decimal
import enum
import gc
import weakref

import pytest
from django.db import models
from django.utils.functional import SimpleLazyObject

from cache_result import ABSENT, ArgsKeyField, UnkeyableArgument, register_key_encoder
from tests.app.models import Author
from tests.keys.wrapping import wrapped


@pytest.fixture
def function():
    return wrapped(lambda value: value, ArgsKeyField("value"))


class Point:
    """Equal by nothing but its address."""

    def __init__(self, x, y=0):
        self.x, self.y = x, y


class Point3(Point):
    pass


class Other:
    def __init__(self, x):
        self.x = x


def by_x(value):
    return value.x


register_key_encoder(Point, by_x)
register_key_encoder(Other, by_x)


def test_what_the_encoder_returns_stands_for_the_value(function):
    assert function.get_cache_key(Point(1, 2)) == function.get_cache_key(Point(1, 3))
    keys = {function.get_cache_key(Point(x)) for x in (1, "1", True, 1.0, None, (1,), [1])}
    assert len(keys) == 7


def test_the_class_counts_too(function):
    values = [Point(1), Point3(1), Other(1), 1, (1,), "Point"]
    assert len({function.get_cache_key(value) for value in values}) == len(values)


def test_encoders_reach_into_containers(function):
    assert function.get_cache_key([{"a": Point(1, 2)}]) == function.get_cache_key([{"a": Point(1, 3)}])
    assert function.get_cache_key([Point(1)]) != function.get_cache_key([Point(2)])


def test_an_encoder_may_return_what_has_a_key_of_its_own(function):
    nested = Point(Point(Other(1)))
    assert function.get_cache_key(nested) == function.get_cache_key(Point(Point(Other(1))))
    assert function.get_cache_key(nested) != function.get_cache_key(Point(Other(1)))
    assert function.get_cache_key(Point(ABSENT)) != function.get_cache_key(Point(None))


def test_the_nearest_base_decides(function):
    class Base:
        x, y = 1, 2

    class Left(Base):
        pass

    class Right(Base):
        pass

    class Both(Left, Right):
        pass

    seen = []

    def noting(name):
        return lambda value: seen.append(name)

    def who(value):
        seen.clear()
        function.get_cache_key(value)
        return seen

    register_key_encoder(Base, noting("base"))
    register_key_encoder(Right, noting("right"))
    assert [who(Base())[0], who(Left())[0], who(Right())[0], who(Both())[0]] == [
        "base",
        "base",
        "right",
        "right",
    ]
    register_key_encoder(Left, noting("left"))
    assert [who(Left())[0], who(Both())[0]] == ["left", "left"]
    register_key_encoder(Both, noting("both"))
    assert [who(Both())[0], who(Left())[0], who(Base())[0]] == ["both", "left", "base"]


def test_an_encoder_is_replaced(function):
    class Thing:
        pass

    register_key_encoder(Thing, lambda value: 1)
    before = function.get_cache_key(Thing())
    register_key_encoder(Thing, lambda value: 2)
    assert function.get_cache_key(Thing()) != before
    register_key_encoder(Thing, lambda value: 1)
    assert function.get_cache_key(Thing()) == before


def test_it_goes_before_the_values_own_form(function):
    class Colour(enum.Enum):
        RED = 1
        CRIMSON = 2

    class Money(decimal.Decimal):
        pass

    class Name(str):
        pass

    class Keyed:
        def __cache_key__(self):
            return object()

    for cls, one, other in [
        (Colour, Colour.RED, Colour.CRIMSON),
        (Money, Money("1.0"), Money("2.00")),
        (Name, Name("a"), Name("b")),
        (Keyed, Keyed(), Keyed()),
    ]:
        register_key_encoder(cls, lambda value: "one")
        assert function.get_cache_key(one) == function.get_cache_key(other)


def test_unsaved_rows_can_be_told_how(function):
    class Draft(Author):
        class Meta:
            proxy = True
            app_label = "app"

    with pytest.raises(UnkeyableArgument, match="not saved"):
        function.get_cache_key(Draft(name="ada"))
    register_key_encoder(Draft, lambda draft: draft.name)
    assert function.get_cache_key(Draft(name="ada")) != function.get_cache_key(Draft(name="bob"))


def local_class():
    class Local:
        def __init__(self, x):
            self.x = x

    return Local


def test_local_classes_of_one_name_do_not_meet(function):
    one, two = local_class(), local_class()
    with pytest.raises(UnkeyableArgument, match="Local"):
        function.get_cache_key(one(1))
    register_key_encoder(one, by_x)
    register_key_encoder(two, by_x)
    assert function.get_cache_key(one(1)) == function.get_cache_key(one(1)) != function.get_cache_key(two(1))


def test_classes_that_say_that_they_are_equal_do_not_meet(function):
    class Equal(type):
        def __eq__(cls, other):
            return True

        def __hash__(cls):
            return 1

    def make():
        class Local(metaclass=Equal):
            def __cache_key__(self):
                return 1

        return Local

    one, two = make(), make()
    # failed once: tokens of classes are kept in a mapping that compares classes by ==
    assert function.get_cache_key(one()) != function.get_cache_key(two())


def test_a_lazy_object_is_what_it_wraps(function):
    lazy = SimpleLazyObject(lambda: Point(5))
    assert function.get_cache_key(lazy) == function.get_cache_key(Point(5))


# --- encoders that fail


@pytest.mark.parametrize("error", [LookupError("gone"), ValueError("bad"), RecursionError("deep")])
def test_an_error_of_an_encoder_keeps_its_type(function, error):
    class Failing:
        pass

    def fail(value):
        raise error

    register_key_encoder(Failing, fail)
    with pytest.raises(type(error)) as caught:
        function.get_cache_key([Failing()])
    assert caught.value is error
    assert any("argument 'value'" in note and "<lambda>" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    "returned", [object(), [object()], lambda: 1, Author(name="new"), Author.objects.none()]
)
def test_an_encoder_that_returns_what_has_no_key(function, returned):
    class Returning:
        pass

    register_key_encoder(Returning, lambda value: returned)
    with pytest.raises(UnkeyableArgument, match="argument 'value'"):
        function.get_cache_key(Returning())


def test_an_encoder_that_returns_its_value(function):
    class Looping:
        pass

    register_key_encoder(Looping, lambda value: value)
    with pytest.raises(UnkeyableArgument, match=r"Looping.*contains itself"):
        function.get_cache_key(Looping())


def test_a_value_without_an_encoder_names_the_way_out(function):
    with pytest.raises(
        UnkeyableArgument, match=r"(?s)'value'.*<object>.*__cache_key__.*register_key_encoder\(\)"
    ):
        function.get_cache_key(object())


# --- wrong use


async def aencoder(value):
    return 1


class AsyncEncoder:
    async def __call__(self, value):
        return 1


@pytest.mark.parametrize(
    "cls", [3, "Point", None, Point(1), list[int]], ids=["number", "text", "None", "instance", "generic"]
)
def test_only_classes_have_encoders(cls):
    with pytest.raises(TypeError, match=r"register_key_encoder\(.*give a class"):
        register_key_encoder(cls, by_x)


@pytest.mark.parametrize(
    "encoder",
    [None, "x", 3, aencoder, AsyncEncoder()],
    ids=["None", "text", "number", "async", "async object"],
)
def test_an_encoder_is_a_plain_function(function, encoder):
    class Refused:
        pass

    # failed once for an object with an async __call__: every key would be a coroutine
    with pytest.raises(TypeError, match=r"register_key_encoder\(Refused, .*give a plain function"):
        register_key_encoder(Refused, encoder)
    with pytest.raises(UnkeyableArgument, match="Refused"):
        function.get_cache_key(Refused())


BUILT_IN = [
    object,
    type,
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    tuple,
    list,
    dict,
    set,
    frozenset,
]


@pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.__name__)
def test_built_in_types_are_encoded_already(function, cls):
    with pytest.raises(ValueError, match=rf"register_key_encoder\({cls.__name__}, .*subclass.*normalizer"):
        register_key_encoder(cls, lambda value: 1)


@pytest.mark.parametrize("cls", [SimpleLazyObject, abc.ABCMeta, models.base.ModelBase, type(ABSENT)])
def test_types_whose_encoder_would_never_be_asked(cls):
    """Lazy objects stand for others, classes for themselves."""
    # failed once: accepted, and ignored
    with pytest.raises(ValueError, match=rf"register_key_encoder\({cls.__name__}"):
        register_key_encoder(cls, lambda value: 1)


def test_a_class_with_an_encoder_can_go():
    cls = local_class()
    register_key_encoder(cls, by_x)
    gone = weakref.ref(cls)
    del cls
    gc.collect()
    # failed once: the list of encoders holds the class
    assert gone() is None
