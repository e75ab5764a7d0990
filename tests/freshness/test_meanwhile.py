"""What comes in between while an entry is made anew: its end, tags, rules, a refresh, the end of the pool."""

import asyncio

import pytest
from django.db import transaction

from cache_result import CACHE_MISSING, InvalidationRule, add_tags, background, invalidate_tags
from cache_result.background import Pool
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle
from tests.waiting import DEADLINE, all_of

WINDOW = 20
QUICK = on("locmem", "memory", "redis", "memcached")


# --- the end of the entry


def test_the_end_during_a_refresh(scripted, clock, script, threads):
    # Fails (runs == 3) if a run of the background does not see that a refresh is under way.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    gate = script.stop_at(2)
    refresh = threads(function.refresh)
    gate.wait_until_reached()
    assert seen(function) == ([1], "HIT")
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 2
    gate.open()
    assert refresh.result() == [2]
    assert seen(function) == ([2], "HIT")
    assert script.runs == 2


async def test_the_end_during_a_refresh_async(ascripted, clock, script):
    function = ascripted(stale_while_revalidate=WINDOW)
    await function()
    gate = script.stop_at(2)
    refresh = asyncio.create_task(function.arefresh())
    await asyncio.to_thread(gate.wait_until_reached)
    clock.advance(TTL + 1)
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert script.runs == 2
    gate.open()
    assert await refresh == [2]
    assert await aseen(function) == ([2], "HIT")


def test_the_end_during_a_refresh_that_fails(scripted, clock, script, threads):
    """Who waits for it gets the old result, as if the run had been his own."""
    function = scripted(stale_if_error=WINDOW)
    function()
    gate = script.stop_at(2)
    script.error = ValueError("no price")
    refresh = threads(function.refresh)
    gate.wait_until_reached()
    clock.advance(TTL + 1)
    late = threads(seen, function)
    gate.open()
    assert refresh.exception() is script.error
    assert late.result() == ([1], "STALE")


def test_the_end_of_the_new_entry_during_the_run_of_the_next(scripted, clock, script):
    """Each entry has its windows from when it was stored, however long its run took."""
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    clock.advance(WINDOW - 2)
    assert seen(function) == ([1], "STALE")
    gate.open()
    settle()
    clock.advance(TTL - 1)
    assert seen(function) == ([2], "HIT")
    clock.advance(2)
    assert seen(function) == ([2], "STALE")
    settle()
    assert script.runs == 3


# --- errors, and what comes after them


async def test_an_error_of_the_run_backs_off_and_recovers_async(ascripted, clock, script, caplog):
    # Fails (a run for each reader) without the backoff.
    function = ascripted(stale_while_revalidate=1000)
    await function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    for _ in range(3):
        assert await aseen(function) == ([1], "STALE")
        await asettle()
    assert script.runs == 2
    assert "raised in the background" in caplog.text
    clock.advance(1.5)
    script.error = None
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert await aseen(function) == ([3], "HIT")


@on("locmem", "memory")  # real time goes by as well: no server is to take a part of it
async def test_tries_are_spaced_out_async(ascripted, clock, script):
    function = ascripted(stale_if_error=1000)
    await function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    runs = []
    for _ in range(8):
        assert await aseen(function) == ([1], "STALE")
        runs.append(script.runs - 1)
        clock.advance(0.7)
    assert runs == [1, 1, 2, 2, 2, 3, 3, 3]
    script.error = None
    clock.advance(4)
    assert await aseen(function) == ([5], "MISS")


@QUICK
def test_what_cannot_be_pickled_ends_the_old_result(cached, clock, caplog):
    """The new state is known, and cannot be kept: the old one is no answer any more."""
    results = [1, lambda: None, 3]

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        return results.pop(0)

    function()
    clock.advance(TTL + 1)
    assert seen(function) == (1, "STALE")
    settle()
    assert "cannot be pickled" in caplog.text
    assert seen(function) == (3, "MISS")


@QUICK
def test_a_ttl_of_nothing_ends_the_old_result(cached, clock):
    results = [1, None, 3]

    @cached(ttl=lambda found: 0 if found is None else TTL, stale_while_revalidate=WINDOW)
    def function():
        return results.pop(0)

    function()
    clock.advance(TTL + 1)
    assert seen(function) == (1, "STALE")
    settle()
    assert function.get_cache_only() is CACHE_MISSING
    assert seen(function) == (3, "MISS")


@QUICK
def test_the_windows_of_a_ttl_that_the_result_tells(cached, clock):
    """ "Not found" is kept for five seconds, and its windows begin there."""
    results = [None, "found", "again"]

    @cached(ttl=lambda found: 5 if found is None else 600, stale_while_revalidate=WINDOW)
    def find(key):
        return results.pop(0)

    assert seen(find, 1) == (None, "MISS")
    clock.advance(4)
    assert seen(find, 1) == (None, "HIT")
    clock.advance(2)
    assert seen(find, 1) == (None, "STALE")
    settle()
    clock.advance(500)
    assert seen(find, 1) == ("found", "HIT")
    clock.advance(150)
    assert seen(find, 1) == ("again", "MISS")


def test_a_refused_result_does_not_end_a_newer_one(cached, clock, script):
    # Fails (nothing is left) if what a run of the background may not store ends whatever is there.
    refused = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW, cache_unless=lambda result: result in refused)
    def function():
        return script.run()

    function()
    clock.advance(TTL + 1)
    refused.append([2])
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    assert function.refresh() == [3]
    gate.open()
    settle()
    assert seen(function) == ([3], "HIT")


@pytest.mark.parametrize("flight", ["cluster", None])
def test_a_refresh_during_the_run_of_a_caller_is_not_overwritten(scripted, clock, script, threads, flight):
    # Fails ([2] in the end) if a run that replaces an old result does not look before it stores.
    function = scripted(stale_if_error=WINDOW, single_flight=flight)
    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    call = threads(function)
    gate.wait_until_reached()
    assert function.refresh() == [3]
    gate.open()
    assert call.result() == [2]
    assert seen(function) == ([3], "HIT")


# --- invalidations


@QUICK
def test_a_tag_is_invalidated_during_the_run(cached, cache_alias, clock, script):
    # Fails (the result of the run is a hit) if the background reads the generations of tags after the run.
    @cached(ttl=TTL, stale_while_revalidate=WINDOW, tags="price:{key}")
    def function(key):
        return script.run()

    function(1)
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function, 1) == ([1], "STALE")
    gate.wait_until_reached()
    invalidate_tags("price:1", cache=cache_alias)
    assert seen(function, 1) == ([3], "MISS")
    gate.open()
    settle()
    assert seen(function, 1) == ([3], "HIT")


@QUICK
def test_an_added_tag_is_invalidated_during_the_run(cached, cache_alias, clock, script):
    # Fails (STALE, then [2]) if what a run of the background adds is not watched.
    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        add_tags("price:1")
        return script.run()

    function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(function) == ([1], "STALE")
    gate.wait_until_reached()
    invalidate_tags("price:1", cache=cache_alias)
    assert function.get_cache_only() is CACHE_MISSING
    gate.open()
    settle()
    assert function.get_cache_only() is CACHE_MISSING
    assert seen(function) == ([3], "MISS")


@QUICK
def test_a_run_may_add_other_tags(cached, cache_alias, clock):
    tags = ["old", "new"]

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        add_tags(tags[0])
        return tags.pop(0)

    function()
    clock.advance(TTL + 1)
    assert seen(function) == ("old", "STALE")
    settle()
    invalidate_tags("old", cache=cache_alias)
    assert seen(function) == ("new", "HIT")
    invalidate_tags("new", cache=cache_alias)
    assert function.get_cache_only() is CACHE_MISSING


@pytest.mark.django_db(transaction=True)
@on("locmem", "memory", "redis", "file")
def test_a_rule_fires_during_the_run(cached, clock, script):
    # Fails (["old", 2]) if runs of the background are not fenced.
    @cached(
        ttl=TTL,
        stale_while_revalidate=WINDOW,
        stale_if_error=2 * WINDOW,
        invalidates_on=[InvalidationRule(Author, field_mapping={"pk": "pk"})],
    )
    def name_of(pk):
        name = Author.objects.get(pk=pk).name
        return [name, *script.run()]

    author = Author.objects.create(name="old")
    name_of(author.pk)
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert seen(name_of, author.pk) == (["old", 1], "STALE")
    gate.wait_until_reached()
    with transaction.atomic():
        author.name = "new"
        author.save()
        assert seen(name_of, author.pk) == (["new", 3], "BYPASS")
    assert seen(name_of, author.pk) == (["new", 4], "MISS")
    gate.open()
    settle()
    assert seen(name_of, author.pk) == (["new", 4], "HIT")


# --- the background itself goes away


def test_the_pool_is_closed_while_work_waits(scripted, clock, script, monkeypatch):
    """What has not begun is dropped, and left to the next reader who finds a pool."""
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    pool = Pool()
    monkeypatch.setattr(background, "_pool", pool)
    monkeypatch.setattr(background, "THREADS", 0)  # nobody takes it up
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    assert seen(function) == ([1], "STALE")
    assert len(pool._waiting) == 1
    pool.close()
    assert seen(function) == ([1], "STALE")
    assert script.runs == 1
    monkeypatch.undo()
    assert seen(function) == ([1], "STALE")
    settle()
    assert seen(function) == ([2], "HIT")


async def test_a_cancelled_task_is_replaced(ascripted, clock, script):
    # Fails (runs == 2 in the end) if a run that was cancelled keeps its key or its lease.
    function = ascripted(stale_while_revalidate=WINDOW)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert await aseen(function) == ([1], "STALE")
    await asyncio.to_thread(gate.wait_until_reached)
    for task in background._tasks:
        task.cancel()
    await asettle()
    gate.open()
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert await aseen(function) == ([3], "HIT")
    assert script.runs == 3


async def test_a_task_is_cancelled_while_one_waits_a_little(ascripted, clock, script):
    """Who waited gets the old result, and is not told of the cancellation."""
    function = ascripted(stale_if_error=WINDOW, fill_timeout=DEADLINE)
    await function()
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    callers = [asyncio.create_task(aseen(function)) for _ in range(3)]
    await asyncio.to_thread(gate.wait_until_reached)
    for task in background._tasks:
        task.cancel()
    assert await all_of(*callers) == [([1], "STALE")] * 3
    gate.open()
    await asettle()
