"""Entries of wrappers and Django's cache API: what either does to them, the other sees at once."""

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.test import override_settings

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, cache_result
from cache_result.backends import MemoryCache
from tests.memory.faces import at_once

BACKEND = "cache_result.backends.MemoryCache"


@pytest.fixture
def cache_alias():
    caches["memory"].clear()
    return "memory"


@pytest.fixture
def cache(cache_alias):
    return caches[cache_alias]


@pytest.fixture
def inc(make_inc):
    return make_inc(ttl=100)


class TestReading:
    def test_the_cache_api_sees_results(self, inc, cache):
        key = inc.get_cache_key(1)
        assert cache.get(key) is None
        assert inc(1) == 1
        assert cache.get(key) == 1
        assert key in cache
        assert cache.get_many([key, inc.get_cache_key(2)]) == {key: 1}
        assert at_once(cache.aget(key)) == 1
        assert cache.add(key, 2) is False
        assert cache.get_or_set(key, 2) == 1
        assert inc(1) == 1

    def test_only_while_they_are_valid(self, inc, cache, clock):
        key = inc.get_cache_key(1)
        for end in (
            lambda: inc.delete_cache(1),
            lambda: inc.delete_by_prefix(),
            inc.invalidate_all,
            lambda: clock.advance(101),
        ):
            inc(1)
            assert key in cache
            end()
            assert cache.get(key) is None
            assert key not in cache
            assert cache.get_many([key]) == {}
            assert cache.touch(key) is False
            assert cache.delete(key) is False
            with pytest.raises(ValueError, match="not found"):
                cache.incr(key)
            assert cache.add(key, "foreign") is True
            assert cache.get(key) == "foreign"

    def test_what_is_read_can_be_changed(self, cached, cache):
        @cached
        def function():
            return {"list": [1]}

        function()
        cache.get(function.get_cache_key())["list"].append(2)
        assert function() == {"list": [1]}
        function()["list"].append(3)
        assert cache.get(function.get_cache_key()) == {"list": [1]}


class TestWriting:
    @pytest.mark.parametrize(
        "delete",
        [
            lambda cache, key: cache.delete(key),
            lambda cache, key: cache.delete_many([key]),
            lambda cache, key: cache.set(key, "foreign", 0),
            lambda cache, key: cache.touch(key, 0),
            lambda cache, key: cache.incr_version(key),
            lambda cache, key: cache.clear(),
            lambda cache, key: at_once(cache.adelete(key)),
        ],
    )
    def test_deleted_results_are_made_anew(self, inc, cache, delete):
        assert [inc(1), inc(2)] == [1, 2]
        delete(cache, inc.get_cache_key(1))
        assert inc.get_cache_only(1) is CACHE_MISSING
        assert inc.get_cached_metadata(1) is None
        assert inc(1) == 3
        assert cache.get(inc.get_cache_key(1)) == 3

    def test_deleting_says_whether_there_was_a_result(self, inc, cache):
        inc(1)
        assert cache.delete(inc.get_cache_key(1)) is True
        assert cache.delete(inc.get_cache_key(1)) is False

    @pytest.mark.parametrize(
        "put",
        [
            lambda cache, key: cache.set(key, "foreign"),
            lambda cache, key: cache.set_many({key: "foreign"}),
            lambda cache, key: cache.incr(key, 41),
            lambda cache, key: at_once(cache.adecr(key, 41)),
        ],
    )
    def test_what_others_put_there_is_no_result(self, inc, cache, put):
        # Fails (for incr) when the new value takes over what makes an entry valid.
        key = inc.get_cache_key(1)
        assert inc(1) == 1
        put(cache, key)
        foreign = cache.get(key)
        assert foreign in ("foreign", 42, -40)
        assert inc.get_cache_only(1) is CACHE_MISSING
        assert inc.get_with_metadata(1)[1]["cache_status"] == CacheStatus.MISS
        assert inc(1) == 2
        assert cache.get(key) == 2

    def test_incr_of_a_result_keeps_its_end(self, inc, cache, clock):
        key = inc.get_cache_key(1)
        inc(1)
        cache.incr(key)
        assert cache.get(key) == 2
        clock.advance(101)
        assert cache.get(key) is None

    def test_touch_never_makes_a_result_last_longer(self, inc, cache, clock):
        inc(1)
        key = inc.get_cache_key(1)
        assert cache.touch(key, 1000) is True
        assert cache.touch(key, None) is True
        clock.advance(99)
        assert inc(1) == 1
        clock.advance(2)
        assert inc(1) == 2
        assert cache.touch(key, 10) is True
        clock.advance(11)
        assert inc(1) == 3
        reset = inc.get_cached_metadata(1)["cache_reset_at"]
        cache.touch(key, 5)
        assert inc.get_cached_metadata(1)["cache_reset_at"] < reset

    def test_another_version_of_the_text_is_another_key(self, inc, cache):
        inc(1)
        key = inc.get_cache_key(1)
        cache.set(key, "foreign", version=2)
        assert cache.delete(key, version=3) is False
        assert [cache.get(key), cache.get(key, version=2), inc(1)] == [1, "foreign", 1]


def answering(name):
    """A function of its own: the same code for each name, which is all that it returns."""

    def function(x):
        return [name, x]

    return function


class TestAliases:
    @pytest.mark.parametrize(
        "other",
        [
            {"KEY_PREFIX": "other"},
            {"VERSION": 2},
            {"KEY_FUNCTION": "tests.memory.test_keys.backwards"},
            {"KEY_PREFIX": "1:x", "VERSION": 2},
        ],
        ids=lambda other: "+".join(other),
    )
    def test_aliases_that_differ_never_meet(self, other, unique_name):
        one, two = {"BACKEND": BACKEND, "LOCATION": "meet"}, {"BACKEND": BACKEND, "LOCATION": "meet", **other}
        name = unique_name()
        with override_settings(CACHES={"default": one, "other": two}):
            wrappers = {}
            for alias in ("default", "other"):
                caches[alias].clear()
                wrappers[alias] = cache_result(cache=alias, name=name)(answering(alias))
            default, others = wrappers.values()
            for _ in range(2):
                assert [default(1)[0], others(1)[0]] == ["default", "other"]
            default.delete_cache(1)
            assert default.get_cache_only(1) is CACHE_MISSING
            assert others.get_cache_only(1) == ["other", 1]
            default(1)
            others.invalidate_all()
            assert default.get_cache_only(1) == ["default", 1]
            assert others.get_cache_only(1) is CACHE_MISSING

    def test_aliases_that_agree_are_one(self, unique_name):
        spec = {"BACKEND": BACKEND, "LOCATION": "agree", "KEY_PREFIX": "p"}
        with override_settings(CACHES={"default": spec, "other": {**spec, "TIMEOUT": 5}}):
            caches["default"].clear()

            @cache_result(cache="default", name=unique_name())
            def function():
                return "value"

            function()
            key = function.get_cache_key()
            assert caches["other"].get(key) == "value"
            assert caches["other"].delete(key) is True
            assert function.get_cache_only() is CACHE_MISSING


TENANT = "one"


def of_tenant(key, prefix, version):
    """As in multi-tenant projects: what the key is depends on who asks."""
    return f"{TENANT}:{prefix}:{version}:{key}"


class OfTenant(MemoryCache):
    def make_key(self, key, version=None):
        return f"{TENANT}-{super().make_key(key, version)}"


class Wrapping(MemoryCache):
    """Marks what is stored, and keeps count."""

    used: list[str]

    def get(self, key, default=None, version=None):
        self.used.append("get")
        return super().get(key, default, version)

    def set(self, key, value, timeout=300, version=None):
        self.used.append("set")
        super().set(key, value, timeout, version)


class TestOwnWays:
    @pytest.mark.parametrize(
        "spec",
        [
            {"BACKEND": BACKEND, "KEY_FUNCTION": f"{__name__}.of_tenant"},
            {"BACKEND": f"{__name__}.OfTenant"},
        ],
        ids=["KEY_FUNCTION", "make_key"],
    )
    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_results_of_tenants_stay_apart(self, spec, asynchronous, unique_name, monkeypatch):
        # Fails (one tenant gets the other's) when hits do not ask the function that makes keys.
        with override_settings(CACHES={"default": {**spec, "LOCATION": "tenants"}}):
            caches["default"].clear()

            @cache_result(cache="default", name=unique_name())
            def of_whom(x):
                return [TENANT, x]

            async def call():
                return await of_whom.aget_cache_only(1) if asynchronous else of_whom.get_cache_only(1)

            for tenant in ("one", "two"):
                monkeypatch.setitem(globals(), "TENANT", tenant)
                assert await call() is CACHE_MISSING
                assert of_whom(1) == of_whom(1) == [tenant, 1]
            for tenant in ("one", "two"):
                monkeypatch.setitem(globals(), "TENANT", tenant)
                assert await call() == [tenant, 1]
                of_whom(1).append("spoiled")
                assert await call() == of_whom(1) == [tenant, 1]
            of_whom.invalidate_all()
            assert await call() is CACHE_MISSING
            of_whom(1)
            caches["default"].clear()
            assert await call() is CACHE_MISSING

    async def test_overridden_methods_are_called(self, unique_name):
        with override_settings(
            CACHES={"default": {"BACKEND": f"{__name__}.Wrapping", "LOCATION": "wrapping"}}
        ):
            Wrapping.used = []

            @cache_result(cache="default", name=unique_name())
            def function():
                return "value"

            assert function() == "value"
            assert "set" in Wrapping.used
            Wrapping.used = []
            assert function() == "value"
            assert await function.aget_cache_only() == "value"
            assert Wrapping.used == ["get", "get"]


class TestMany:
    def test_functions_do_not_meet(self, cached, cache):
        def make():
            return cached(lambda *args, **kwargs: [args, kwargs])

        one, two = make(), make()
        calls = [
            ((), {}),
            ((1,), {}),
            (("1",), {}),
            ((1.0,), {}),
            ((True,), {}),
            ((None,), {}),
            ((1,), {"a": 2}),
        ]
        for args, kwargs in calls:
            one(*args, **kwargs).append("spoiled")
            two(*args, **kwargs)
        for args, kwargs in calls:
            assert one(*args, **kwargs) == two(*args, **kwargs) == [args, kwargs]
        texts = {f.get_cache_key(*args, **kwargs) for f in (one, two) for args, kwargs in calls}
        assert len(texts) == len(cache.get_many(texts)) == 2 * len(calls)

    def test_eviction_is_a_miss(self, unique_name):
        spec = {"BACKEND": BACKEND, "LOCATION": "small", "OPTIONS": {"MAX_BYTES": 100_000}}
        with override_settings(CACHES={"default": spec}):

            @cache_result(cache="default", name=unique_name())
            def function(x):
                return [x] * 50

            for _ in range(2):
                for x in range(1000):
                    assert function(x) == [x] * 50
            texts = {function.get_cache_key(x): x for x in range(1000)}
            found = caches["default"].get_many(texts)
            assert 20 < len(found) < 500
            assert all(value == [texts[text]] * 50 for text, value in found.items())
            for text, x in texts.items():
                assert (function.get_cache_only(x) is not CACHE_MISSING) == (text in found)

    def test_a_result_that_is_too_large(self, unique_name, caplog):
        spec = {"BACKEND": BACKEND, "LOCATION": "tiny", "OPTIONS": {"MAX_BYTES": 10_000}}
        with override_settings(CACHES={"default": spec}):
            runs = iter(range(1, 10))

            @cache_result(cache="default", name=unique_name())
            def function():
                return [next(runs)] * 10_000

            assert function()[0] == 1
            value, metadata = function.get_with_metadata()
            assert (value[0], metadata["cached_at"], metadata["cache_status"]) == (2, None, CacheStatus.MISS)
            assert function.refresh()[0] == 3
            assert function.get_cache_only() is CACHE_MISSING
        (said,) = caplog.messages  # once for each function
        assert f"the result of {function.label} takes 80" in said
        assert "MAX_BYTES" in said


def test_nothing_of_a_hit_goes_through_python(inc, cache, monkeypatch):
    """DESIGN.md 10: a wrapper on it skips the Python cache API altogether."""
    inc(1)
    for name in ("get", "get_many", "set", "add", "delete", "make_key", "validate_key"):
        for kind in (MemoryCache, BaseCache):
            monkeypatch.setattr(kind, name, None)
    assert inc(1) == 1
    assert inc(2) == 2
    assert inc.get_cache_only(2) == 2
    assert inc.get_with_metadata(2)[1]["cache_status"] == CacheStatus.HIT
    inc.invalidate_all()
    assert inc(1) == 3


def test_partitions(cached, cache):
    fields = {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b")}

    @cached(key_constructor={"fields": fields})
    def function(a, b):
        return [a, b]

    keys = {(a, b): function.get_cache_key(a, b) for a in range(3) for b in range(3)}
    for call in keys:
        function(*call)
    function.delete_by_prefix(1)
    assert {call for call, key in keys.items() if key in cache} == {call for call in keys if call[0] != 1}
