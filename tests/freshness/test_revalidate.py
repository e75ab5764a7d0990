"""`stale_while_revalidate`: after the ttl callers get the old result at once; one run makes the new one."""

import asyncio

import pytest
from django.db import transaction

from cache_result import CACHE_MISSING, InvalidationRule
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle
from tests.waiting import Threads, all_of

WINDOW = 20


def test_each_time_has_its_status(scripted, clock, script):
    function = scripted(stale_while_revalidate=WINDOW)
    assert seen(function) == ([1], "MISS")
    clock.advance(TTL - 1)
    assert seen(function) == ([1], "HIT")
    clock.advance(1.5)
    assert seen(function) == ([1], "STALE")
    settle()
    assert seen(function) == ([2], "HIT")
    clock.advance(TTL + WINDOW + 1)
    assert seen(function) == ([3], "MISS")
    assert script.runs == 3


async def test_each_time_has_its_status_async(ascripted, clock, script):
    function = ascripted(stale_while_revalidate=WINDOW)
    assert await aseen(function) == ([1], "MISS")
    clock.advance(TTL + 1)
    assert await function() == [1]
    await asettle()
    assert await aseen(function) == ([2], "HIT")
    clock.advance(TTL + 1)
    assert await aseen(function) == ([2], "STALE")
    await asettle()
    clock.advance(TTL + WINDOW + 1)
    assert await aseen(function) == ([4], "MISS")
    assert script.runs == 4


def test_a_herd_at_expiry_waits_for_nobody(scripted, clock, script):
    # Fails (most callers run the function, or wait for the gate) without the arbitration of renewals.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    herd = Threads()
    outcomes = [herd(seen, function) for _ in range(200)]
    assert [outcome.result() for outcome in outcomes] == [([1], "STALE")] * 200
    gate.wait_until_reached()
    assert script.runs == 2
    gate.open()
    settle()
    herd.join()
    assert seen(function) == ([2], "HIT")
    assert script.runs == 2
    info = function.cache_info()
    assert (info.stale, info.fills, info.waited) == (200, 2, 0)


@on("locmem", "memory", "redis", "file")
async def test_a_herd_of_tasks_at_expiry_waits_for_nobody(ascripted, clock, script):
    function = ascripted(stale_while_revalidate=WINDOW)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert await all_of(*(aseen(function) for _ in range(200))) == [([1], "STALE")] * 200
    await asyncio.to_thread(gate.wait_until_reached)
    assert script.runs == 2
    gate.open()
    await asettle()
    assert await aseen(function) == ([2], "HIT")


def test_the_times_of_metadata_stay_those_of_the_entry(scripted, clock):
    function = scripted(stale_while_revalidate=WINDOW)
    _, before = function.get_with_metadata()
    clock.advance(TTL + 1)
    assert function.get_cached_metadata() == {**before, "cache_status": "STALE"}
    _, after = function.get_with_metadata()
    assert after == {**before, "cache_status": "STALE"}


def test_looking_only_finds_it_and_runs_nothing(scripted, clock, script):
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    assert function.get_cache_only() == [1]
    settle()
    assert script.runs == 1
    clock.advance(WINDOW)
    assert function.get_cache_only() is CACHE_MISSING
    assert function.get_cached_metadata() is None


def test_what_is_given_out_cannot_be_spoiled(scripted, clock):
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    function().append("spoiled")
    assert function.get_cache_only() in ([1], [2])


INVALIDATIONS = {
    "delete_cache": lambda f: f.delete_cache(1),
    "invalidate_all": lambda f: f.invalidate_all(),
}


@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_what_is_invalidated_is_not_served(scripted, clock, invalidate):
    function = scripted(stale_while_revalidate=WINDOW)
    function(1)
    clock.advance(TTL + 1)
    invalidate(function)
    assert seen(function, 1) == ([2], "MISS")


@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_an_invalidation_during_the_run(scripted, clock, script, invalidate):
    # Fails (the result of the run is a hit) if runs of the background are not fenced.
    function = scripted(stale_while_revalidate=WINDOW)
    function(1)
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function, 1) == ([1], "STALE")
    gate.wait_until_reached()
    invalidate(function)
    assert seen(function, 1) == ([3], "MISS")
    gate.open()
    settle()
    assert seen(function, 1) == ([3], "HIT")


@on("locmem", "memory", "redis", "memcached")
@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
async def test_an_invalidation_during_the_run_async(ascripted, clock, script, invalidate):
    function = ascripted(stale_while_revalidate=WINDOW)
    await function(1)
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert await aseen(function, 1) == ([1], "STALE")
    await asyncio.to_thread(gate.wait_until_reached)
    if invalidate is INVALIDATIONS["delete_cache"]:
        await function.adelete_cache(1)
    else:
        await function.ainvalidate_all()
    assert await aseen(function, 1) == ([3], "MISS")
    gate.open()
    await asettle()
    assert await aseen(function, 1) == ([3], "HIT")


def test_the_old_result_is_served_until_the_run_ends(scripted, clock, script):
    # Fails (a MISS) if the run draws a new token for the entry.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    assert seen(function) == ([1], "STALE")
    gate.open()
    settle()
    assert seen(function) == ([2], "HIT")


def test_the_window_ends_during_the_run(scripted, clock, script, threads):
    """Who comes after it waits for the run, and does not get the old result."""
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    clock.advance(WINDOW)
    late = threads(seen, function)
    gate.open()
    assert late.result()[0] == [2]
    assert script.runs == 2


def test_a_refresh_meanwhile_is_not_overwritten(scripted, clock, script):
    # Fails ([2]) if a run of the background does not look before it stores.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    function()
    gate.wait_until_reached()
    assert function.refresh() == [3]
    assert seen(function) == ([3], "HIT")
    gate.open()
    settle()
    assert seen(function) == ([3], "HIT")


def test_an_error_of_the_run_is_logged_and_backs_off(scripted, clock, script, caplog):
    function = scripted(stale_while_revalidate=1000)
    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    assert seen(function) == ([1], "STALE")
    settle()
    assert "raised in the background" in caplog.text
    assert "ValueError: no price" in caplog.text
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 2
    clock.advance(1.5)
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 3
    script.error = None
    clock.advance(2.5)
    assert seen(function) == ([1], "STALE")
    settle()
    assert seen(function) == ([4], "HIT")
    assert function.cache_info().errors == 2


def test_a_refused_result_ends_the_old_one(cached, clock, script):
    """As with `refresh`: what the predicate says of the new state counts."""
    refused = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW, cache_unless=lambda result: result in refused)
    def function():
        return script.run()

    function()
    clock.advance(TTL + 1)
    refused.append([2])
    assert function() == [1]
    settle()
    assert function.get_cache_only() is CACHE_MISSING
    assert function() == [3]


def test_the_caller_may_change_his_arguments(cached, clock):
    # Fails ([[1, 2]]) if the background is given the caller's own list.
    seen_arguments = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function(numbers):
        seen_arguments.append([*numbers])
        return sum(numbers)

    function([1])
    clock.advance(TTL + 1)
    numbers = [1]
    assert function(numbers) == 1
    numbers.append(2)
    settle()
    assert seen_arguments == [[1], [1]]
    assert function([1]) == 1


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_has_written_gets_no_old_result(scripted, clock):
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    with transaction.atomic():
        Author.objects.create(name="new")
        assert function.get_cache_only() is CACHE_MISSING
        assert seen(function) == ([2], "BYPASS")
    assert seen(function) == ([1], "STALE")


@pytest.mark.django_db(transaction=True)
@on("locmem", "memory", "redis", "file")
def test_a_rule_that_fires_ends_the_old_result(cached, clock):
    @cached(
        ttl=TTL,
        stale_while_revalidate=WINDOW,
        invalidates_on=[InvalidationRule(Author, field_mapping={"pk": "pk"})],
    )
    def name_of(pk):
        return Author.objects.get(pk=pk).name

    author = Author.objects.create(name="old")
    assert name_of(author.pk) == "old"
    clock.advance(TTL + 1)
    with transaction.atomic():
        author.name = "new"
        author.save()
    assert seen(name_of, author.pk) == ("new", "MISS")


def test_single_flight_none_has_one_run_in_the_background_too(scripted, clock, script):
    function = scripted(stale_while_revalidate=WINDOW, single_flight=None)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    for _ in range(5):
        assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    gate.open()
    settle()
    assert script.runs == 2
    assert seen(function) == ([2], "HIT")


def test_a_run_that_never_ends_is_given_up(scripted, clock, script, settings, caplog):
    # Fails (runs == 2) if a renewal that is lost keeps its key.
    settings.CACHE_RESULT = {"FLIGHT_TIMEOUT": 0.05}
    function = scripted(stale_while_revalidate=1000, single_flight=None)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    while script.runs == 2:
        assert function() in ([1], [3])
    settle_but_one = script.runs
    assert settle_but_one == 3
    assert "raised" not in caplog.text  # at the gate, for which the first run has not waited in vain
    gate.open()
    settle()
