"""Promise 1: a fill that began before an invalidation is never served after it. Threads.

The interleaving is always the same: a fill reads the source and stops, somebody changes the source and
invalidates, the fill ends and stores. Whoever calls after the invalidation must see the new source, whether
he calls while the old fill is still running or after it has ended.
"""

import pytest
from django.core.cache import caches

from cache_result import CACHE_MISSING, ArgsKeyField, InvalidationRule
from tests.app.models import Author
from tests.backends import on
from tests.waiting import Gate

PARTITIONED = {"fields": {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b")}}

INVALIDATIONS = {
    "delete_cache": lambda f: f.delete_cache(1, 2),
    "delete_by_prefix": lambda f: f.delete_by_prefix(1),
    "invalidate_all": lambda f: f.invalidate_all(),
    "refresh": lambda f: f.refresh(1, 2),
}


class Source:
    """What the function reads: the fill that began first stops at the gate, after it has read."""

    def __init__(self):
        self.value = "old"
        self.gate = Gate()
        self.runs = 0

    def read(self):
        self.runs += 1
        value = self.value
        self.gate.stop_here()
        return value


@pytest.fixture
def source():
    return Source()


@pytest.fixture(params=INVALIDATIONS)
def invalidate(request):
    return INVALIDATIONS[request.param]


@pytest.fixture
def function(cached, source):
    @cached(key_constructor=PARTITIONED)
    def function(a, b):
        return source.read()

    return function


def test_a_fill_invalidated_half_way_is_not_served(function, source, invalidate, threads):
    # Fails when the entry is stored with the generations that are current after the function ran.
    filling = threads(function, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate(function)
    source.gate.open()
    assert filling.result() == "old"
    assert function.get_cache_only(1, 2) in ("new", CACHE_MISSING)
    assert [function(1, 2), function(1, 2)] == ["new", "new"]


def test_later_callers_do_not_wait_for_the_old_fill(function, source, invalidate, threads):
    # Fails when waiters join a flight without comparing generations.
    filling = threads(function, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate(function)
    assert function(1, 2) == "new"
    source.gate.open()
    assert filling.result() == "old"
    assert function(1, 2) == "new"


def test_entries_made_before_are_fenced_too(function, source, invalidate, threads):
    """The same with scopes that exist: the function has been filled and wiped before."""
    source.gate.open()
    assert [function(1, 2), function(1, 3)] == ["old", "old"]
    function.invalidate_all()
    source.gate = Gate()
    filling = threads(function, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate(function)
    source.gate.open()
    assert filling.result() == "old"
    assert function(1, 2) == "new"


def test_a_refresh_that_is_invalidated_half_way(function, source, threads):
    source.gate.open()
    assert function(1, 2) == "old"
    source.gate = Gate()
    refreshing = threads(function.refresh, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    function.delete_by_prefix(1)
    source.gate.open()
    assert refreshing.result() == "old"
    assert function(1, 2) == "new"


def test_a_fill_during_which_the_cache_is_cleared(function, source, threads, cache_alias):
    filling = threads(function, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    caches[cache_alias].clear()
    source.gate.open()
    assert filling.result() == "old"
    assert function(1, 2) == "new"


def test_other_calls_are_not_touched(function, source, threads):
    """Narrow invalidation: a fill of another partition is stored although this one was wiped."""
    filling = threads(function, 7, 2)
    source.gate.wait_until_reached()
    function.delete_by_prefix(1)
    function.delete_cache(7, 3)
    source.gate.open()
    assert filling.result() == "old"
    assert function.get_cache_only(7, 2) == "old"


def test_of_two_refreshes_the_later_start_wins(function, source, threads):
    earlier = threads(function.refresh, 1, 2)
    source.gate.wait_until_reached()
    source.value = "new"
    assert function.refresh(1, 2) == "new"
    source.gate.open()
    assert earlier.result() == "old"
    assert function(1, 2) == "new"


@pytest.mark.django_db(transaction=True)
class TestRules:
    @pytest.fixture
    def author_name(self, cached, source):
        rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})

        @cached(invalidates_on=[rule])
        def author_name(author_id):
            name = Author.objects.get(pk=author_id).name
            source.read()
            return name

        return author_name

    @pytest.mark.parametrize("called_before_the_end", [False, True])
    def test_a_save_during_a_fill(self, author_name, source, threads, called_before_the_end):
        author = Author.objects.create(name="old")
        filling = threads(author_name, author.pk)
        source.gate.wait_until_reached()
        author.name = "new"
        author.save()
        if called_before_the_end:
            assert author_name(author.pk) == "new"
        source.gate.open()
        assert filling.result() == "old"
        assert author_name(author.pk) == "new"
        assert author_name.get_cache_only(author.pk) == "new"


@on("locmem", "file", "redis", "memcached")
def test_readers_never_fall_behind_the_writer(cached, threads):
    """No interleaving by hand: what a wipe has made visible stays visible, at full speed."""
    state = {"source": 0, "wiped": 0}

    @cached
    def function():
        return state["source"]

    def write():
        for number in range(1, 301):
            state["source"] = number
            function.invalidate_all()
            state["wiped"] = number

    def read():
        for _ in range(300):
            at_least = state["wiped"]
            assert function() >= at_least

    outcomes = [threads(read) for _ in range(4)]
    write()
    for outcome in outcomes:
        outcome.result()
