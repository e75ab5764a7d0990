"""Tests live in worlds of their own: what is invalidated in one is not seen in another."""

import pytest

from cache_result import CACHE_MISSING, _core, add_tags, invalidate_tags
from tests.backends import on


@pytest.fixture
def enter():
    before = _core.current_world()
    yield _core.enter_world
    _core.enter_world(before)


@on("locmem", "memory", "redis")
@pytest.mark.parametrize("tag", ["fixed", "x:1", "called", "added"])
def test_tags_of_a_world(cached, cache_alias, enter, tag):
    @cached(tags=["fixed", "x:{key}", lambda key: "called"])
    def f(key):
        add_tags("added")
        return [key]

    enter(5)
    f(1)
    enter(6)
    f(1)
    invalidate_tags(tag, cache=cache_alias)
    assert f.get_cache_only(1) is CACHE_MISSING
    enter(5)
    assert f.get_cache_only(1) == [1]
    assert _core.tags_scope().startswith(bytes(8))  # written before any other
