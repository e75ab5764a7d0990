"""Promise 1 among asyncio tasks: the interleavings of `test_fences.py` on one event loop."""

import asyncio

import pytest

from cache_result import CACHE_MISSING, InvalidationRule
from tests.app.models import Author
from tests.race.test_fences import PARTITIONED
from tests.waiting import AsyncGate, all_of

INVALIDATIONS = {
    "adelete_cache": lambda f: f.adelete_cache(1, 2),
    "adelete_by_prefix": lambda f: f.adelete_by_prefix(1),
    "ainvalidate_all": lambda f: f.ainvalidate_all(),
    "arefresh": lambda f: f.arefresh(1, 2),
}


class AsyncSource:
    def __init__(self):
        self.value = "old"
        self.gate = AsyncGate()

    async def read(self):
        value = self.value
        await self.gate.stop_here()
        return value


@pytest.fixture(params=INVALIDATIONS)
def invalidate(request):
    return INVALIDATIONS[request.param]


@pytest.fixture
def source():
    return AsyncSource()


@pytest.fixture
def function(cached, source):
    @cached(key_constructor=PARTITIONED)
    async def function(a, b):
        return await source.read()

    return function


async def test_a_fill_invalidated_half_way_is_not_served(function, source, invalidate):
    # Fails when the entry is stored with the generations that are current after the function ran.
    filling = asyncio.create_task(function(1, 2))
    await source.gate.wait_until_reached()
    source.value = "new"
    await invalidate(function)
    source.gate.open()
    assert await filling == "old"
    assert await function.aget_cache_only(1, 2) in ("new", CACHE_MISSING)
    assert [await function(1, 2), await function(1, 2)] == ["new", "new"]


async def test_later_callers_do_not_wait_for_the_old_fill(function, source, invalidate):
    # Fails when waiters join a flight without comparing generations.
    filling = asyncio.create_task(function(1, 2))
    await source.gate.wait_until_reached()
    source.value = "new"
    await invalidate(function)
    (value,) = await all_of(function(1, 2))
    assert value == "new"
    source.gate.open()
    assert await filling == "old"
    assert await function(1, 2) == "new"


async def test_a_refresh_that_is_invalidated_half_way(function, source):
    refreshing = asyncio.create_task(function.arefresh(1, 2))
    await source.gate.wait_until_reached()
    source.value = "new"
    await function.adelete_by_prefix(1)
    source.gate.open()
    assert await refreshing == "old"
    assert await function(1, 2) == "new"


async def test_of_two_refreshes_the_later_start_wins(function, source):
    earlier = asyncio.create_task(function.arefresh(1, 2))
    await source.gate.wait_until_reached()
    source.value = "new"
    assert await function.arefresh(1, 2) == "new"
    source.gate.open()
    assert await earlier == "old"
    assert await function(1, 2) == "new"


async def test_a_caller_that_gives_up_leaves_no_trace(function, source):
    """Cancelled in the middle of a fill: nothing is stored, the next caller runs."""
    filling = asyncio.create_task(function(1, 2))
    await source.gate.wait_until_reached()
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling
    source.value = "new"
    assert await function.aget_cache_only(1, 2) is CACHE_MISSING
    assert await function(1, 2) == "new"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("called_before_the_end", [False, True])
async def test_a_save_during_a_fill(cached, source, called_before_the_end):
    rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})

    @cached(invalidates_on=[rule])
    async def author_name(author_id):
        name = (await Author.objects.aget(pk=author_id)).name
        await source.read()
        return name

    author = await Author.objects.acreate(name="old")
    filling = asyncio.create_task(author_name(author.pk))
    await source.gate.wait_until_reached()
    author.name = "new"
    await author.asave()
    if called_before_the_end:
        assert await all_of(author_name(author.pk)) == ["new"]
    source.gate.open()
    assert await filling == "old"
    assert await author_name(author.pk) == "new"
    assert await author_name.aget_cache_only(author.pk) == "new"
