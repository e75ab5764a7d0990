"""What a store keeps alive: the values in it, and no wrapper, argument or cache object."""

import gc
import weakref

import pytest
from django.core.cache import caches
from django.test import override_settings

from cache_result import cache_result
from cache_result.backends import MemoryCache
from tests.test_gc import Probe, is_collected


@pytest.fixture(autouse=True)
def _empty():
    caches["memory"].clear()


def test_a_wrapper_goes_though_its_results_stay(unique_name):
    keys = []

    def make(probe):
        @cache_result(name=unique_name(), cache="memory")
        def function(x):
            return probe and [x, function.__name__]

        assert [function(x)[0] for x in range(100)] == list(range(100))
        keys.extend(function.get_cache_key(x) for x in range(100))

    assert is_collected(make)
    assert len(caches["memory"].get_many(keys)) == 100


def test_arguments_and_results_are_not_kept(unique_name):
    wrapper = cache_result({"fields": {}}, name=unique_name(), cache="memory")(lambda x: [1])
    assert is_collected(lambda probe: wrapper(probe))


def test_a_value_that_is_pickled_is_not_kept():
    def make(probe):
        caches["memory"].set("key", probe)
        caches["memory"].add("other", [probe])
        assert isinstance(caches["memory"].get("key"), Probe)

    assert is_collected(make)


def test_a_value_that_is_copied_is_not_kept():
    class List(list):
        pass

    value = [1, [2]]
    caches["memory"].set("key", value)
    assert gc.get_referrers(value[1]) == [value]


def test_shared_values_go_with_their_entries(make_memory):
    memory = make_memory()
    gone = []
    for number in range(3):
        value = frozenset({f"value {number}"})
        gone.append(weakref.ref(value))
        memory.set(number, (value,))
        del value
    assert [ref() is None for ref in gone] == [False] * 3
    memory.delete(0)
    memory.set(1, "other")
    assert [ref() is None for ref in gone] == [True, True, False]
    memory.clear()
    assert [ref() is None for ref in gone] == [True] * 3


def test_values_that_are_evicted_go(make_memory):
    memory = make_memory(OPTIONS={"MAX_ENTRIES": 10})
    gone = []
    for number in range(1000):
        value = frozenset({number})
        gone.append(weakref.ref(value))
        memory.set(number, value)
        del value
    assert sum(ref() is not None for ref in gone) <= 10


def test_a_default_is_not_kept(memory):
    assert is_collected(lambda probe: memory.get("missing", probe))


def test_cache_objects_go(make_memory):
    def make(probe):
        memory = make_memory(KEY_PREFIX="p")
        memory.probe = probe
        memory.set("key", 1)

    # Fails without `__traverse__` of the view: it holds the cache's methods.
    assert is_collected(make)
    assert make_memory(KEY_PREFIX="p").get("key") == 1


def test_cache_objects_with_functions_of_their_own_go(make_memory):
    def make(probe):
        memory = make_memory(KEY_FUNCTION=lambda key, prefix, version: probe and str(key))
        memory.set("key", 1)
        assert memory.get("key") == 1

    assert is_collected(make)


def test_the_cache_object_of_a_thread_that_ended(threads, unique_name):
    """The wrapper was bound there, and goes on."""
    spec = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "ended", "KEY_PREFIX": "p"}
    with override_settings(CACHES={"default": spec}):
        wrapper = cache_result(name=unique_name(), cache="default")(lambda x: [x])
        assert threads(wrapper, 1).result() == [1]
        gc.collect()
        assert wrapper.get_cache_only(1) == [1]
        assert [wrapper(x) for x in range(100)] == [[x] for x in range(100)]
        wrapper.delete_cache(1)
        assert caches["default"].get(wrapper.get_cache_key(2)) == [2]


def test_a_finalizer_that_uses_the_cache(make_memory):
    """Nothing of the user's runs while the store is being changed."""
    memory = make_memory(OPTIONS={"MAX_ENTRIES": 2})

    class Finalized:
        def __reduce__(self):
            memory.set("reduced", 1)
            return (str, ("loaded",))

        def __del__(self):
            memory.set("deleted", [1])
            memory.clear()

    for number in range(20):
        memory.set(number, [Finalized()])
        assert memory.get(number) in (["loaded"], None)
        gc.collect()
    assert isinstance(memory, MemoryCache)
