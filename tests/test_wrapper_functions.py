"""A wrapper behaves as the function it replaces: attributes, pickling, methods, response headers."""

import inspect
import pickle
import typing

import asgiref.sync
import pytest
from django.http import HttpResponse

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    CachedWrapper,
    CacheStatus,
    DefaultKeyConstructor,
    cache_result,
    set_response_cache_header,
)
from cache_result._core import Wrapper

BY_X = {"fields": {"x": ArgsKeyField("x")}}


@cache_result
def bare(x: int, *, y: int = 2) -> int:
    """Adds."""
    return x + y


@cache_result(name="test-wrapper-functions.renamed", ttl=60)
async def asynchronous(x: int) -> int:
    return x


class Base:
    """Methods of every kind; `self` is not part of the key."""

    factor = 2

    @cache_result(BY_X)
    def scaled(self, x):
        return x * self.factor

    @cache_result(BY_X)
    async def ascaled(self, x):
        return x * self.factor

    @classmethod
    @cache_result
    def of_class(cls, x):
        return cls.__name__, x

    @staticmethod
    @cache_result
    def static(x):
        return x + 1

    @property
    @cache_result({"fields": {}})
    def kind(self):
        return object.__repr__(self).split(" ")[0]


class Child(Base):
    factor = 10


class Keyed:
    """An object with a stable identity, so that `self` may be part of the key."""

    def __init__(self, number):
        self.number = number

    def __cache_key__(self):
        return self.number

    @cache_result
    def plus(self, x):
        return self.number + x


@pytest.fixture(autouse=True)
def forget_the_functions_of_this_module():
    for function in (bare, Base.scaled, Base.static, Base.of_class, Keyed.plus):
        function.invalidate_all()


def test_bare_and_called_decorators_make_wrappers():
    assert isinstance(bare, CachedWrapper)
    assert isinstance(asynchronous, CachedWrapper)
    assert bare.is_cached_function
    assert bare(1) == bare(1, y=2) == 3


def test_attributes_are_those_of_the_function():
    assert bare.__name__ == "bare"
    assert bare.__qualname__ == "bare"
    assert bare.__module__ == __name__
    assert bare.__doc__ == "Adds."
    assert bare.__wrapped__ is bare.func
    assert str(inspect.signature(bare)) == "(x: int, *, y: int = 2) -> int"
    assert typing.get_type_hints(bare) == {"x": int, "y": int, "return": int}
    assert isinstance(bare.key_constructor, DefaultKeyConstructor)
    assert "bare" in repr(bare)


def test_the_class_can_be_used_directly():
    wrapper = CachedWrapper(lambda x: x, DefaultKeyConstructor, 60, [])
    assert wrapper(4) == wrapper(4) == 4


@pytest.mark.parametrize("wrapper", [bare, asynchronous, Base.scaled], ids=["sync", "async", "method"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_by_qualified_name(wrapper, protocol):
    assert pickle.loads(pickle.dumps(wrapper, protocol)) is wrapper


def test_wrong_arguments_are_the_functions_own_error():
    with pytest.raises(TypeError, match="'x'"):
        bare()
    with pytest.raises(TypeError, match="z"):
        bare(1, z=3)
    with pytest.raises(TypeError, match="positional"):
        bare(1, 2)


def test_coroutine_functions_are_recognised():
    """Django asks both before it awaits a view."""
    for is_async in (inspect.iscoroutinefunction, asgiref.sync.iscoroutinefunction):
        assert is_async(asynchronous)
        assert is_async(Base().ascaled)
        assert not is_async(bare)
        assert not is_async(Base().scaled)


def test_methods_bind():
    child = Child()
    assert Base().scaled(3) == 6
    assert Base.scaled(Base(), 3) == 6
    assert Base().static(1) == Base.static(1) == 2
    assert Base.of_class(1) == ("Base", 1)
    assert child.of_class(1) == ("Child", 1)
    assert "Base" in Base().kind


def test_inherited_methods_have_keys_of_their_own():
    """A subclass may change what the method means, so its results are not its parent's."""
    assert Base().scaled(3) == 6
    assert Child().scaled(3) == 30
    assert Base().scaled(3) == 6
    assert Child().scaled.get_cache_key(3) != Base().scaled.get_cache_key(3)


def test_the_methods_of_bound_wrappers_are_bound():
    base = Base()
    assert base.scaled.refresh(4) == 8
    assert base.scaled.get_cache_only(4) == 8
    assert base.scaled.get_with_metadata(4)[1]["cache_status"] == CacheStatus.HIT
    assert base.scaled.get_cached_metadata(4)["cache_status"] == CacheStatus.HIT
    assert base.scaled.bypass_cache(4) == 8
    base.scaled.delete_cache(4)
    assert base.scaled.get_cache_only(4) is CACHE_MISSING
    assert base.scaled(5) == 10
    base.scaled.invalidate_all()
    assert base.scaled.get_cache_only(5) is CACHE_MISSING


async def test_async_methods_bind():
    base = Base()
    assert await base.ascaled(3) == 6
    assert await base.ascaled.arefresh(3) == 6
    assert await base.ascaled.aget_cache_only(3) == 6
    await base.ascaled.adelete_cache(3)
    assert await base.ascaled.aget_cache_only(3) is CACHE_MISSING


def test_objects_with_a_cache_key_tell_themselves_apart():
    one, two = Keyed(1), Keyed(2)
    assert [one.plus(1), two.plus(1), Keyed(1).plus(1)] == [2, 3, 2]
    assert one.plus.get_cache_key(1) == Keyed(1).plus.get_cache_key(1) != two.plus.get_cache_key(1)


def test_var_arguments_are_part_of_the_key(cached_locally):
    @cached_locally
    def function(a, /, *args, b=1, **kwargs):
        return a, args, b, kwargs

    calls = [
        ((1,), {}),
        ((1, 2), {}),
        ((1, 2, 3), {}),
        ((1,), {"b": 2}),
        ((1,), {"c": 2}),
        ((1,), {"a": 2}),
        ((1,), {"args": (2,)}),
        ((1,), {"kwargs": 1}),
    ]
    keys = [function.get_cache_key(*args, **kwargs) for args, kwargs in calls]
    assert len(set(keys)) == len(calls)
    for args, kwargs in calls:
        assert function(*args, **kwargs) == (args[0], args[1:], kwargs.get("b", 1), _rest(kwargs))


def _rest(kwargs):
    return {name: value for name, value in kwargs.items() if name != "b"}


@pytest.fixture
def cached_locally(unique_name):
    return cache_result(name=unique_name())


def test_headers_tell_how_a_response_was_made(clock):
    response = HttpResponse()
    _, metadata = bare.get_with_metadata(1)
    assert set_response_cache_header(response, metadata) is response
    assert response["X-Cache-status"] == "MISS"
    assert response["X-Cached-at"] == metadata["cached_at"]
    assert response["X-Cache-reset-at"] == metadata["cache_reset_at"]
    bare.set_response_cache_header(response, bare.get_with_metadata(1)[1])
    assert response["X-Cache-status"] == "HIT"


@pytest.mark.parametrize("metadata", [None, {}])
def test_no_metadata_no_headers(metadata):
    response = HttpResponse()
    assert set_response_cache_header(response, metadata) is response
    assert not [name for name in response.headers if name.startswith("X-")]


def test_unknown_times_have_no_header():
    response = HttpResponse()
    set_response_cache_header(
        response, {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}
    )
    assert dict(response.headers) == {**HttpResponse().headers, "X-Cache-status": "BYPASS"}


def test_status_is_text():
    assert [str(status.value) for status in CacheStatus] == ["HIT", "MISS", "STALE", "BYPASS", "REFRESH"]
    assert CacheStatus.HIT == "HIT"
    assert isinstance(CacheStatus.HIT, str)


def test_the_sentinel_is_one_object():
    assert pickle.loads(pickle.dumps(CACHE_MISSING)) is CACHE_MISSING
    assert "CACHE_MISSING" in repr(CACHE_MISSING)


def test_the_key_takes_arguments_as_a_call_does():
    @cache_result()
    def total(a: int, b: int = 2, *rest: int, c: int = 3, **more: int) -> int:
        raise AssertionError("never called")

    @cache_result()
    def pair(a: int, b: int = 2, *, c: int = 3) -> int:
        raise AssertionError("never called")

    for function in (total, pair):
        key = function.get_cache_key(1, 2)
        assert key == function.get_cache_key(1) == function.get_cache_key(1, b=2, c=3)
        assert key == function.get_cache_key(**{"c": 3, "b": 2, "a": 1})
        assert key != function.get_cache_key(1, 3)
        assert key != function.get_cache_key(1, c=4)
        with pytest.raises(TypeError, match="missing a required argument: 'a'"):
            function.get_cache_key()
        with pytest.raises(TypeError, match="multiple values for argument 'a'"):
            function.get_cache_key(1, a=1)
    assert total.get_cache_key(1, 2, 3) != total.get_cache_key(1, 2, 3, d=4)
    with pytest.raises(TypeError, match="too many positional"):
        pair.get_cache_key(1, 2, 3)


def test_the_key_method_is_described_and_bound_like_others():
    method = Wrapper.get_cache_key
    assert str(inspect.signature(method)) == "(self, /, *args, **kwargs)"
    assert (method.__name__, method.__qualname__) == ("get_cache_key", "Wrapper.get_cache_key")
    assert method.__doc__.startswith("The key under which")
    with pytest.raises(TypeError, match="Wrapper"):
        method(object(), 1)
    with pytest.raises(TypeError):
        method()
