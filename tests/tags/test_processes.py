"""Tags among real processes that share a Redis."""

import contextlib

import pytest

from cache_result import CACHE_MISSING, invalidate_tags
from tests.backends import on
from tests.race.children import shared_state
from tests.race.test_processes import Truth
from tests.tags import children

pytestmark = on("redis", "django_redis")


@pytest.fixture
def truth(cache_alias, unique_name):
    with contextlib.closing(shared_state()) as state:
        state.flushdb()
        yield Truth(state, unique_name())


@pytest.mark.parametrize("tag", ["called:1", "added"])
def test_an_invalidation_there_is_seen_here(cache_alias, truth, processes, tag):
    function = children.make(cache_alias, truth.name, tags="called:{key}")
    assert [function(1), function(1)] == ["old", "old"]
    truth.value = "new"
    assert processes(children.invalidate, cache_alias, tag).result() == "done"
    assert function.get_cache_only(1) is CACHE_MISSING
    assert function(1) == "new"


def test_added_tags_are_read_from_the_entry(cache_alias, truth, processes):
    """It was made by a process that alone knows them."""
    function = children.make(cache_alias, truth.name)
    child = processes(children.fill, cache_alias, truth.name)
    child.expect("inside")
    child.say("go on")
    assert child.result() == "old"
    truth.value = "new"
    assert function(1) == "old"
    assert truth.runs == 1
    invalidate_tags("added", cache=cache_alias)
    assert function(1) == "new"


def test_a_fill_there_is_invalidated_here(cache_alias, truth, processes):
    """Before it has added the tag."""
    function = children.make(cache_alias, truth.name)
    child = processes(children.fill, cache_alias, truth.name)
    child.expect("inside")
    truth.value = "new"
    invalidate_tags("added", cache=cache_alias)
    child.say("go on")
    assert child.result() == "old"
    assert function.get_cache_only(1) is CACHE_MISSING
    assert [function(1), function(1)] == ["new", "new"]
