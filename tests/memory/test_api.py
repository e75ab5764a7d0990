"""Django's cache API: what `LocMemCache` answers, `MemoryCache` and its async methods answer, too."""

import pytest

from cache_result import _core

MISSING = object()


class TestOneKey:
    def test_what_is_set_is_there(self, cache):
        assert cache.get("key") is None
        assert cache.set("key", "value") is None
        assert cache.get("key") == "value"
        assert cache.set("key", "other") is None
        assert cache.get("key") == "other"

    def test_the_default_is_for_what_is_not_there(self, cache):
        assert cache.get("key", MISSING) is MISSING
        assert cache.get("key", default=MISSING) is MISSING
        cache.set("key", None)
        assert cache.get("key", MISSING) is None

    def test_add(self, cache):
        assert cache.add("key", "first") is True
        assert cache.add("key", "second") is False
        assert cache.get("key") == "first"
        assert cache.add("none", None) is True
        assert cache.add("none", 1) is False

    def test_delete(self, cache):
        assert cache.delete("key") is False
        cache.set("key", None)
        assert cache.delete("key") is True
        assert cache.delete("key") is False
        assert cache.get("key", MISSING) is MISSING

    def test_has_key_and_in(self, cache):
        assert cache.has_key("key") is False
        assert "key" not in cache
        cache.set("key", None)
        assert cache.has_key("key") is True
        assert "key" in cache

    def test_clear(self, cache, make):
        other = make(KEY_PREFIX="other", VERSION=3)
        cache.set_many({"one": 1, "two": 2})
        other.set("one", 3)
        assert cache.clear() is None
        assert cache.get_many(["one", "two"]) == {}
        assert other.get("one") is None
        cache.set("one", 4)
        assert cache.get("one") == 4

    def test_close_keeps_everything(self, cache):
        cache.set("key", 1)
        assert cache.close() is None
        assert cache.close(sender=1) is None
        assert cache.get("key") == 1


class TestNumbers:
    def test_incr_and_decr(self, cache):
        cache.set("number", 40)
        assert cache.incr("number") == 41
        assert cache.incr("number", 10) == 51
        assert cache.incr("number", -1) == 50
        assert cache.decr("number") == 49
        assert cache.decr("number", delta=9) == 40
        assert cache.get("number") == 40

    @pytest.mark.parametrize("number", [0, -1, 2**31, 2**63 - 1, 2**64, -(2**200), 1.5, True])
    def test_numbers_of_all_sizes(self, cache, number):
        cache.set("number", number)
        result = cache.incr("number")
        assert (result, type(result)) == (number + 1, type(number + 1))
        assert cache.get("number") == number + 1

    @pytest.mark.parametrize("method", ["incr", "decr"])
    def test_what_is_not_there_is_an_error(self, cache, method):
        with pytest.raises(ValueError, match=r"Key '.*missing' not found"):
            getattr(cache, method)("missing")
        assert cache.get("missing", MISSING) is MISSING

    def test_what_cannot_be_added_stays(self, cache):
        cache.set("text", "text")
        with pytest.raises(TypeError):
            cache.incr("text")
        assert cache.get("text") == "text"

    def test_what_adds_in_its_own_way(self, cache):
        cache.set("list", [1])
        assert cache.incr("list", [2]) == [1, 2]
        assert cache.get("list") == [1, 2]

    def test_incr_leaves_the_end_where_it_is(self, cache, time):
        cache.set("number", 1, 10)
        time.passes(9)
        assert cache.incr("number") == 2
        time.passes(2)
        with pytest.raises(ValueError, match="not found"):
            cache.incr("number")
        assert cache.get("number") is None

    def test_incr_of_what_has_no_end(self, cache, time):
        cache.set("number", 1, None)
        cache.incr("number")
        time.passes(10**6)
        assert cache.get("number") == 2


class TestMany:
    def test_set_many_and_get_many(self, cache):
        assert cache.set_many({"one": 1, "two": None, "three": 3}) == []
        assert cache.get_many(["one", "two", "four"]) == {"one": 1, "two": None}
        assert cache.get_many(iter(["three", "one"])) == {"three": 3, "one": 1}
        assert list(cache.get_many(["three", "one"])) == ["three", "one"]
        assert cache.get_many([]) == {}
        assert cache.set_many({}) == []

    def test_delete_many(self, cache):
        cache.set_many({"one": 1, "two": 2, "three": 3})
        assert cache.delete_many(key for key in ("one", "two", "four")) is None
        assert cache.get_many(["one", "two", "three"]) == {"three": 3}

    def test_the_timeout_is_for_all(self, cache, time):
        cache.set_many({"one": 1, "two": 2}, 10)
        time.passes(11)
        assert cache.get_many(["one", "two"]) == {}

    def test_the_version_is_for_all(self, cache):
        cache.set_many({"one": 1, "two": 2}, version=2)
        assert cache.get_many(["one", "two"]) == {}
        assert cache.get_many(["one", "two"], version=2) == {"one": 1, "two": 2}
        cache.delete_many(["one"], version=2)
        assert cache.get_many(["one", "two"], version=2) == {"two": 2}

    def test_keys_are_given_back_as_they_came(self, cache):
        cache.set_many({1: "one", "2": "two"})
        assert cache.get_many([1, "1", 2]) == {1: "one", "1": "one", 2: "two"}


class TestGetOrSet:
    def test_a_value(self, cache):
        assert cache.get_or_set("key", 1) == 1
        assert cache.get_or_set("key", 2) == 1
        assert cache.get("key") == 1

    def test_a_callable_is_called_where_it_is_needed(self, cache):
        calls = []

        def default():
            calls.append(1)
            return "made"

        assert cache.get_or_set("key", default) == "made"
        assert cache.get_or_set("key", default) == "made"
        assert len(calls) == 1

    @pytest.mark.parametrize("default", [None, lambda: None], ids=["value", "callable"])
    def test_none_is_a_value(self, cache, default):
        assert cache.get_or_set("key", default) is None
        assert cache.get("key", MISSING) is None
        assert cache.get_or_set("key", "other") is None

    def test_timeout_and_version(self, cache, time):
        assert cache.get_or_set("key", 1, 10, version=2) == 1
        assert cache.get("key") is None
        assert cache.get("key", version=2) == 1
        time.passes(11)
        assert cache.get_or_set("key", 3, 0, version=2) == 3
        assert cache.get("key", version=2) is None

    def test_who_was_faster_is_heard(self, cache):
        def slow():
            cache.set("key", "of another")
            return "mine"

        assert cache.get_or_set("key", slow) == "of another"


class TestTime:
    @pytest.mark.parametrize("store", ["set", "add", "set_many"])
    def test_a_timeout(self, cache, time, store):
        if store == "set_many":
            cache.set_many({"key": 1}, 10)
        else:
            getattr(cache, store)("key", 1, 10)
        time.passes(9)
        assert cache.get("key") == 1
        assert cache.add("key", 2) is False
        time.passes(2)
        assert cache.get("key") is None
        assert "key" not in cache
        assert cache.get_many(["key"]) == {}
        assert cache.add("key", 2) is True
        assert cache.get("key") == 2

    def test_fractions_of_a_second(self, cache, time):
        cache.set("key", 1, 1.5)
        time.passes(1.4)
        assert cache.get("key") == 1
        time.passes(0.2)
        assert cache.get("key") is None

    def test_none_never_ends(self, cache, time):
        cache.set("set", 1, None)
        assert cache.add("add", 1, timeout=None) is True
        cache.set("touched", 1, 10)
        assert cache.touch("touched", None) is True
        time.passes(100 * 365 * 24 * 3600)
        assert cache.get_many(["set", "add", "touched"]) == {"set": 1, "add": 1, "touched": 1}

    @pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, -(10**12), False])
    def test_nothing_is_kept_for_no_time(self, cache, timeout):
        cache.set("key", "old")
        cache.set("key", 1, timeout)
        assert cache.get("key") is None
        assert cache.add("key", 1, timeout) is True
        assert cache.get("key") is None
        cache.set_many({"key": 1}, timeout)
        assert cache.get("key") is None
        cache.set("key", 1)
        assert cache.touch("key", timeout) is True
        assert cache.get("key") is None

    @pytest.mark.parametrize("timeout", [10**12, 1e18, float("inf")])
    def test_very_long_ones(self, cache, time, timeout):
        cache.set("key", 1, timeout)
        time.passes(10**8)
        assert cache.get("key") == 1

    @pytest.mark.parametrize("timeout", ["10", [], object()])
    def test_what_is_no_timeout(self, cache, timeout):
        with pytest.raises(TypeError):
            cache.set("key", 1, timeout)

    def test_touch(self, cache, time):
        assert cache.touch("key") is False
        cache.set("key", 1, 10)
        time.passes(9)
        assert cache.touch("key", 20) is True
        time.passes(19)
        assert cache.get("key") == 1
        time.passes(2)
        assert cache.touch("key", 20) is False
        assert cache.get("key") is None

    def test_touch_takes_the_default(self, make, time):
        cache = make(TIMEOUT=50)
        cache.set("key", 1, 10)
        assert cache.touch("key") is True
        time.passes(49)
        assert cache.get("key") == 1
        time.passes(2)
        assert cache.get("key") is None

    @pytest.mark.parametrize(
        ("timeout", "lasts"), [(50, 50), ("60", 60), (1.9, 1), ("nonsense", 300), (None, None), (0, 0)]
    )
    def test_the_default(self, make, time, timeout, lasts):
        cache = make(TIMEOUT=timeout)
        cache.set("key", 1)
        if lasts is None:
            time.passes(10**7)
        elif lasts:
            time.passes(lasts - 0.5)
        assert cache.get("key") == (None if lasts == 0 else 1)
        if lasts:
            time.passes(1)
            assert cache.get("key") is None

    def test_without_one_it_is_five_minutes(self, cache, time):
        cache.set("key", 1)
        time.passes(299)
        assert cache.get("key") == 1
        time.passes(2)
        assert cache.get("key") is None

    def test_time_that_is_over_takes_no_room_when_it_is_met(self, memory, clock):
        memory.set("key", 1, 10)
        clock.advance(11)
        assert memory.get("key") is None
        assert len(memory.store) == 0


class TestVersions:
    def test_versions_are_apart(self, cache):
        cache.set("key", "one")
        cache.set("key", "two", version=2)
        assert [cache.get("key"), cache.get("key", version=1), cache.get("key", version=2)] == [
            "one",
            "one",
            "two",
        ]
        assert cache.add("key", 0, version=2) is False
        assert cache.add("key", "three", version=3) is True
        assert cache.has_key("key", version=3) is True
        assert cache.has_key("key", version=4) is False
        assert cache.touch("key", version=4) is False
        assert cache.delete("key", version=2) is True
        assert cache.get("key", version=2) is None
        assert cache.get("key") == "one"

    def test_version_zero_is_not_the_default(self, cache):
        cache.set("key", "zero", version=0)
        assert cache.get("key") is None
        assert cache.get("key", version=0) == "zero"

    def test_incr_of_a_version(self, cache):
        cache.set("number", 1, version=2)
        assert cache.incr("number", version=2) == 2
        assert cache.decr("number", 5, version=2) == -3
        with pytest.raises(ValueError, match="not found"):
            cache.incr("number")

    def test_the_default_version(self, make):
        one, two = make(), make(VERSION=2)
        two.set("key", "two")
        assert one.get("key") is None
        assert one.get("key", version=2) == two.get("key") == "two"
        two.set("key", "one", version=1)
        assert one.get("key") == "one"

    def test_moving_to_another_version(self, cache):
        cache.set("key", "value")
        assert cache.incr_version("key") == 2
        assert cache.get("key", MISSING) is MISSING
        assert cache.get("key", version=2) == "value"
        assert cache.incr_version("key", delta=3, version=2) == 5
        assert cache.get("key", version=5) == "value"
        assert cache.decr_version("key", version=5) == 4
        assert cache.decr_version("key", 3, version=4) == 1
        assert cache.get("key") == "value"

    def test_none_moves_as_well(self, cache):
        cache.set("key", None)
        assert cache.incr_version("key") == 2
        assert cache.get("key", MISSING, version=2) is None

    @pytest.mark.parametrize("method", ["incr_version", "decr_version"])
    def test_moving_what_is_not_there(self, cache, method):
        with pytest.raises(ValueError, match=r"Key '.*missing' not found"):
            getattr(cache, method)("missing")


def test_instances_of_one_name_share_everything(make):
    one, two = make(), make(TIMEOUT=5)
    one.set("key", 1)
    assert two.incr("key") == 2
    assert one.get("key") == 2
    two.clear()
    assert one.get("key") is None


def test_time_is_that_of_entries(memory, clock):
    before = _core.clock_now()
    memory.set("key", 1, 1)
    clock.advance(1.1)
    assert _core.clock_now() >= before + 1100
    assert memory.get("key") is None
