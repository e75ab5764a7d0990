"""`CACHES`: options, LOCATION, aliases, threads, and what override_settings changes."""

import threading

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from cache_result import CACHE_MISSING, _core, cache_result
from cache_result.backends import MemoryCache, host, memory
from tests.memory.faces import at_once

BACKEND = "cache_result.backends.MemoryCache"


def configured(**aliases):
    """Settings with these caches, each of them a `MemoryCache`."""
    return override_settings(CACHES={alias: {"BACKEND": BACKEND, **spec} for alias, spec in aliases.items()})


class TestOptions:
    @pytest.mark.parametrize("option", ["MAX_BYTE", "max_bytes", "max_entries", "", 5])
    def test_unknown_ones(self, make_memory, option):
        with pytest.raises(ImproperlyConfigured, match=r"HOST_INDEX, MAX_BYTES, MAX_ENTRIES") as raised:
            make_memory(OPTIONS={option: 1}).get("key")
        assert repr(option) in str(raised.value)

    @pytest.mark.parametrize("option", ["MAX_BYTES", "MAX_ENTRIES"])
    @pytest.mark.parametrize("value", [0, -1, 1.5, "100", True, 2**64])
    def test_what_is_no_bound(self, make_memory, option, value):
        with pytest.raises(ImproperlyConfigured, match=rf"'{option}'.*{value!r}.*whole number"):
            make_memory(OPTIONS={option: value}).get("key")

    @pytest.mark.parametrize("value", [1, 100, 256, 4095])
    def test_what_has_no_room_for_anything(self, make_memory, value):
        with pytest.raises(ImproperlyConfigured, match=rf"'MAX_BYTES'.* {value}; give .* of bytes from 4096"):
            make_memory(OPTIONS={"MAX_BYTES": value}).get("key")

    def test_the_least_has_room_for_the_longest_key(self, make_memory, unique_name):
        cache = make_memory(OPTIONS={"MAX_BYTES": 4096}, KEY_PREFIX="p" * 100)
        cache.set("k" * 140, "v" * 3000)
        assert cache.get("k" * 140) == "v" * 3000

    def test_none_is_the_default(self, make_memory):
        cache = make_memory(OPTIONS={"MAX_BYTES": None, "MAX_ENTRIES": None})
        cache.set("key", "x" * 10**6)
        assert len(cache.get("key")) == 10**6

    @pytest.mark.parametrize("most", [2**40, 2**63, 2**64 - 1])
    def test_bounds_that_are_none(self, make_memory, most):
        cache = make_memory(OPTIONS={"MAX_BYTES": most, "MAX_ENTRIES": most})
        cache.set("key", 1)
        assert cache.get("key") == 1

    def test_those_of_locmem_are_taken(self, make_memory):
        cache = make_memory(OPTIONS={"MAX_ENTRIES": 50, "CULL_FREQUENCY": 2})
        cache.set("key", 1)
        assert cache.get("key") == 1

    @pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
    def test_max_entries(self, make_memory, most):
        cache = make_memory(OPTIONS={"MAX_ENTRIES": most})
        for number in range(5 * most + 5):
            cache.set(number, number)
            assert cache.get(number) == number
        left = [number for number in range(5 * most + 5) if number in cache]
        assert most / 2 <= len(left) <= most

    @pytest.mark.parametrize("size", [100_000, 10_000_000])
    def test_max_bytes(self, make_memory, size):
        cache = make_memory(OPTIONS={"MAX_BYTES": size})
        for number in range(200):
            cache.set(number, bytes(size // 100))
        left = [number for number in range(200) if number in cache]
        assert 30 <= len(left) <= 100
        assert cache.store.weight <= size

    def test_what_is_too_large_is_not_stored(self, make_memory, caplog):
        cache = make_memory(OPTIONS={"MAX_BYTES": 100_000})
        cache.set("key", "old")
        assert caplog.messages == []
        cache.set("key", bytes(100_000))
        assert cache.get("key") is None
        (said,) = caplog.messages
        assert "the value of the key ':1:key' takes 100" in said
        assert "at most 48500;" in said
        assert "MAX_BYTES" in said
        assert cache.add("key", bytes(100_000)) is False
        assert cache.get_or_set("key", lambda: bytes(100_000)) == bytes(100_000)
        assert cache.set_many({"key": bytes(100_000)}) == []
        assert caplog.messages == [said]  # once in each store

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_result_that_becomes_too_large(self, unique_name, asynchronous, caplog):
        """The old one is gone; those of other calls stay; other functions have a warning of their own."""
        with configured(default={"LOCATION": "grown", "OPTIONS": {"MAX_BYTES": 200_000}}):

            def make():
                def function(x):
                    return sizes[x] * "x"

                async def afunction(x):
                    return sizes[x] * "x"

                sizes = {1: 100, 2: 100}
                made = cache_result(cache="default", name=unique_name())(
                    afunction if asynchronous else function
                )
                return sizes, made

            def ask(name, x):
                method = getattr(function, f"a{name}" if asynchronous else name)
                return at_once(method(x)) if asynchronous else method(x)

            for number in (1, 2):
                sizes, function = make()
                for x in sizes:
                    ask("refresh", x)
                sizes[1] = 150_000
                for _ in range(2):
                    assert len(ask("refresh", 1)) == 150_000
                    assert ask("get_cache_only", 1) is CACHE_MISSING
                    assert caches["default"].get(function.get_cache_key(1)) is None
                assert len(ask("get_cache_only", 2)) == 100
                assert len(caplog.messages) == number


class TestStores:
    def test_aliases_of_one_location_share(self):
        with configured(one={"LOCATION": "shared"}, two={"LOCATION": "shared", "TIMEOUT": 5}, three={}):
            caches["one"].set("key", 1)
            assert caches["two"].get("key") == 1
            assert caches["three"].get("key") is None
            caches["two"].clear()
            assert caches["one"].get("key") is None

    def test_threads_share(self, threads):
        with configured(default={"LOCATION": "threads"}):
            instances = [threads(lambda: caches["default"]).result() for _ in range(3)]
            assert len({id(cache) for cache in (*instances, caches["default"])}) == 4
            threads(lambda: caches["default"].set("key", 1)).result()
            assert [cache.get("key") for cache in instances] == [1, 1, 1]
            caches["default"].clear()
            assert threads(lambda: caches["default"].get("key")).result() is None

    def test_threads_that_come_first_share(self, threads, monkeypatch):
        """All look for the store at the same time, and none of them makes it before all have missed it."""
        missed = threading.Barrier(4)
        MemoryStore = _core.MemoryStore

        def make_store(*options):
            missed.wait(30)
            return MemoryStore(*options)

        monkeypatch.setattr(_core, "MemoryStore", make_store)
        finding = [threads(memory._store_of, "contended", None, 10**6, None, None) for _ in range(4)]
        assert len({outcome.result() for outcome in finding}) == 1

    def test_a_change_of_user_changes_no_store(self, threads, monkeypatch, tmp_path):
        """A server that loads the project as root, and runs it as another user."""
        tmp_path.chmod(0o700)
        monkeypatch.setattr(host, "is_testing", lambda: False)
        monkeypatch.setattr(host, "_directory", lambda: tmp_path)
        with configured(default={"LOCATION": "preloaded", "OPTIONS": {"HOST_INDEX": True}}):
            caches["default"].set("key", 1)
            monkeypatch.setattr("os.geteuid", lambda: 4711)
            assert threads(lambda: caches["default"].get("key")).result() == 1
        assert len(list(tmp_path.iterdir())) == 1

    def test_one_location_has_one_size(self):
        with configured(one={"LOCATION": "size"}, two={"LOCATION": "size", "OPTIONS": {"MAX_BYTES": 10**6}}):
            assert caches["one"].get("key") is None
            with pytest.raises(ImproperlyConfigured, match=r"'size'.*OPTIONS"):
                caches["two"].get("key")

    def test_other_sizes_in_a_test(self, cached_here):
        """With other options it is another store; and the old one is back when they are gone."""
        with configured(default={"LOCATION": "resized"}):
            inc = cached_here()
            caches["default"].set("key", 1)
            assert [inc(), inc()] == [1, 1]
            with configured(default={"LOCATION": "resized", "OPTIONS": {"MAX_BYTES": 10**6}}):
                assert caches["default"].get("key") is None
                assert [inc(), inc()] == [2, 2]
            with configured(default={"LOCATION": "resized", "OPTIONS": {"MAX_BYTES": 10**6}}):
                assert caches["default"].get("key") is None
            caches["default"].clear()
            assert inc() == 3
            assert caches["default"].get(inc.get_cache_key()) == 3

    def test_caches_without_a_location_are_one(self):
        assert MemoryCache("", {}).store is MemoryCache("", {}).store


@pytest.fixture
def cached_here(unique_name):
    """A counting function on the alias "default"."""

    def make():
        runs = iter(range(1, 100))
        return cache_result(cache="default", name=unique_name())(lambda: next(runs))

    return make


class TestOverrides:
    def test_another_backend(self, cached_here):
        inc = cached_here()
        caches["default"].clear()  # locmem
        assert [inc(), inc()] == [1, 1]
        with configured(default={"LOCATION": "override"}):
            caches["default"].clear()
            assert [inc(), inc()] == [2, 2]
            assert caches["default"].get(inc.get_cache_key()) == 2
        assert inc() == 1
        with configured(default={"LOCATION": "override"}):
            assert inc() == 2

    @pytest.mark.parametrize(
        "other", [{"LOCATION": "elsewhere"}, {"KEY_PREFIX": "p"}, {"VERSION": 2}, {"KEY_FUNCTION": "x"}]
    )
    def test_another_configuration(self, cached_here, other):
        if "KEY_FUNCTION" in other:
            other = {"KEY_FUNCTION": "tests.memory.test_keys.backwards"}
        inc = cached_here()
        with configured(default={"LOCATION": "same"}):
            caches["default"].clear()
            assert [inc(), inc()] == [1, 1]
        with configured(default={"LOCATION": "same", **other}):
            assert [inc(), inc()] == [2, 2]
            assert caches["default"].get(inc.get_cache_key()) is not None
        with configured(default={"LOCATION": "same"}):
            assert inc() == 1

    def test_a_switch_and_back_in_threads(self, cached_here, threads):
        inc = cached_here()
        with configured(default={"LOCATION": "a"}):
            caches["default"].clear()
            assert threads(inc).result() == 1
        with configured(default={"LOCATION": "b"}):
            assert threads(inc).result() == 2
        with configured(default={"LOCATION": "a"}):
            assert [threads(inc).result(), inc()] == [1, 1]
