"""The background: a few threads, tasks that outlive their caller, and what neither has in common with him."""

import asyncio
import contextvars
import gc
import threading

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connection, connections, transaction
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import translation

from cache_result import InvalidationRule, background, driving, fills, no_invalidation
from cache_result.background import QUEUE, TASKS, THREADS, Pool
from cache_result.transaction import reads_from_snapshot
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import TTL, aseen, asettle, seen, settle
from tests.waiting import DEADLINE, wait

WINDOW = 1000


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


def test_few_threads_do_all_the_work(pool):
    done, names = [], set()
    for number in range(QUEUE):
        assert pool.submit(lambda number=number: (done.append(number), names.add(threading.get_ident())))
        pool.settle(DEADLINE) if number % 8 == 0 else None
    assert pool.settle(DEADLINE)
    assert sorted(done) == list(range(QUEUE))
    assert len(names) <= THREADS


def test_too_much_work_is_refused(pool):
    go_on = threading.Event()
    running = [threading.Event() for _ in range(THREADS)]
    for started in running:
        assert pool.submit(lambda started=started: (started.set(), wait(go_on)))
    for started in running:
        wait(started)
    assert all(pool.submit(lambda: None) for _ in range(QUEUE))
    assert not pool.submit(lambda: None)
    go_on.set()
    assert pool.settle(DEADLINE)
    assert pool.submit(lambda: None)


def test_work_that_fails_is_logged_and_ends_no_thread(pool, caplog):
    def fail():
        raise ValueError("in the background")

    for _ in range(3 * THREADS):
        assert pool.submit(fail)
    assert pool.settle(DEADLINE)
    assert caplog.text.count("ValueError: in the background") == 3 * THREADS


def test_idle_threads_end(pool, monkeypatch):
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.01)
    assert pool.submit(lambda: None)
    with pool._changed:
        assert pool._changed.wait_for(lambda: pool._threads == 0, DEADLINE)
    assert pool.submit(lambda: None)
    assert pool.settle(DEADLINE)


@on("memcached")
def test_clients_of_the_cache_are_closed_with_their_thread(scripted, clock, monkeypatch):
    # Fails (nothing closed) if a thread of the background leaves its client to the garbage collector.
    closed, before = [], set(threading.enumerate())
    backend = type(caches["memcached"])
    original = backend.close

    def close(cache, **kwargs):
        closed.append(threading.current_thread().name)
        original(cache, **kwargs)

    monkeypatch.setattr(backend, "close", close)
    monkeypatch.setattr(background, "_pool", Pool())
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.01)
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    assert seen(function) == ([1], "STALE")
    settle()
    pool = background._pool
    with pool._changed:
        assert pool._changed.wait_for(lambda: pool._threads == 0, DEADLINE)
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE)
    assert "cache_result" in closed


@on("locmem", "memory", "redis")
def test_a_full_queue_drops_the_run_and_the_next_reader_tries(scripted, clock, script, monkeypatch):
    # Fails (runs == 1 in the end) if a run that was refused keeps its key.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    monkeypatch.setattr(background, "submit", lambda work: False)
    assert seen(function) == ([1], "STALE")
    assert script.runs == 1
    monkeypatch.undo()
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 2


@on("locmem", "memory", "redis")
def test_the_run_has_the_context_of_its_caller(cached, clock):
    colour = contextvars.ContextVar("colour", default="none")
    found = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        found.append((colour.get(), translation.get_language()))
        return 1

    function()
    clock.advance(TTL + 1)
    colour.set("green")
    with translation.override("de"):
        function()
        colour.set("none")
        settle()
    assert found[1] == ("green", "de")


@on("locmem", "memory", "redis")
def test_the_run_makes_the_urls_of_its_caller(cached, clock):
    # Fails (other URLs) if script prefix or URLconf stay behind in the caller's thread.
    found = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        found.append((get_script_prefix(), get_urlconf()))
        return 1

    function()
    clock.advance(TTL + 1)
    set_script_prefix("/shop/")
    set_urlconf("tests.responses.urls")
    try:
        function()
        settle()
    finally:
        set_urlconf(None)
        set_script_prefix("/")
    assert found == [("/", None), ("/shop/", "tests.responses.urls")]
    clock.advance(TTL + 1)
    function()
    settle()
    assert found[2] == ("/", None)


@on("locmem", "memory", "redis")
def test_a_run_that_cannot_begin_spoils_no_call(scripted, clock, script, monkeypatch, caplog):
    # Fails (the exception) if the caller hears of it.
    function = scripted(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)

    def fail(work):
        raise RuntimeError("no room")

    monkeypatch.setattr(background, "submit", fail)
    assert seen(function) == ([1], "STALE")
    assert "RuntimeError: no room" in caplog.text
    monkeypatch.undo()
    assert seen(function) == ([1], "STALE")
    settle()
    assert script.runs == 2


@on("locmem", "memory", "redis")
def test_a_run_that_is_begun_inside_a_fill_is_no_part_of_it(cached, clock):
    # Fails (two fills) if the run takes itself for a part of what has read the old result.
    inside = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def part():
        inside.append(len(fills._inside.get()))
        return 1

    @cached
    def whole():
        return part()

    part()
    clock.advance(TTL + 1)
    assert whole() == 1
    settle()
    assert inside == [1, 1]


@pytest.mark.django_db(transaction=True)
@on("locmem", "memory", "redis")
def test_connections_of_the_threads_are_closed(cached, clock):
    """As at the end of a request; CONN_MAX_AGE is 0 here."""
    # Fails (an open connection) without `close_old_connections` after the run.
    opened = []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        opened.append((threading.get_ident(), connections["default"]))
        return 1

    function()
    clock.advance(TTL + 1)
    function()
    settle()
    (main, _), (thread, of_thread) = opened
    assert thread != main
    assert of_thread.connection is None


def test_a_task_ends_with_its_loop_and_the_next_reader_tries(cached, clock):
    # Fails (STALE, and no run) if a run that was cancelled keeps its key.
    runs, block, inside = [], [], asyncio.Event()

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    async def function():
        runs.append(1)
        if block:
            inside.set()
            await asyncio.Event().wait()
        return [len(runs)]

    async def read():
        value = await function()
        if block:
            await inside.wait()
        return value

    asyncio.run(read())
    clock.advance(TTL + 1)
    block.append(1)
    assert asyncio.run(read()) == [1]
    assert len(runs) == 2
    block.clear()

    async def read_and_wait():
        value = await function()
        await asettle()
        return value, await function()

    assert asyncio.run(read_and_wait()) == ([1], [3])


@on("locmem", "memory", "redis")
async def test_a_task_is_not_collected(cached, clock):
    inside, go_on, runs = asyncio.Event(), asyncio.Event(), []

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    async def function():
        runs.append(1)
        if len(runs) > 1:
            inside.set()
            await go_on.wait()
        return [len(runs)]

    await function()
    clock.advance(TTL + 1)
    # The caller's own task, as that of a request, is over at once.
    assert await asyncio.create_task(function()) == [1]
    await inside.wait()
    gc.collect()
    go_on.set()
    await asettle()
    assert await function() == [2]


@on("locmem", "memory", "redis", "memcached")
def test_behind_async_to_sync_a_thread_does_it(cached, clock, script, monkeypatch):
    """As in an async view under WSGI: its loop ends with the call."""
    # Fails (runs begin and are cancelled, call after call) if it is a task of that loop.
    monkeypatch.setattr(driving, "is_testing", lambda: False)

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    async def function():
        await asyncio.sleep(0)
        return script.run()

    call = async_to_sync(function)
    assert call() == [1]
    clock.advance(TTL + 1)
    gate = script.stop_at(2)
    assert [call(), call()] == [[1], [1]]
    gate.wait_until_reached()
    gate.open()
    settle()
    assert call() == [2]
    assert script.runs == 2


@pytest.mark.django_db(transaction=True)
@on("locmem", "memory", "redis")
def test_the_run_is_no_part_of_its_callers_transaction(scripted, clock, script):
    # Fails (runs == 1) if the run believes that it reads from the caller's snapshot, which the entry is too
    # young for.
    function = scripted(ttl=1, stale_while_revalidate=WINDOW)
    function()
    clock.advance(1.1)
    with transaction.atomic():
        reads_from_snapshot(connection)
        assert seen(function) == ([1], "STALE")
        settle()
    assert script.runs == 2


@pytest.mark.django_db(transaction=True)
@on("locmem", "memory", "redis")
def test_the_run_is_no_part_of_a_block_of_its_caller(cached, clock):
    # Fails (a hit) if what the run writes counts as written in the block.
    @cached(ttl=WINDOW, invalidates_on=[InvalidationRule(Author, field_mapping={})])
    def names():
        return [*Author.objects.values_list("name", flat=True)]

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        return Author.objects.create(name=f"number {Author.objects.count()}").name

    function()
    assert names() == ["number 0"]
    clock.advance(TTL + 1)
    with no_invalidation():
        assert seen(function) == ("number 0", "STALE")
        settle()
    assert names() == ["number 0", "number 1"]


@on("locmem", "memory", "redis")
async def test_few_tasks_work_at_once(cached, clock):
    # Fails (all of them do) if each begins at once: with as many threads, and connections to the database.
    running, full, go_on, peak = set(), asyncio.Event(), asyncio.Event(), 0

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    async def function(key):
        nonlocal peak
        if clock_moved:
            running.add(key)
            peak = max(peak, len(running))
            if len(running) == TASKS:
                full.set()
            await go_on.wait()
            running.discard(key)
        return [key, clock_moved]

    clock_moved, keys = False, range(TASKS + 10)
    for key in keys:
        await function(key)
    clock.advance(TTL + 1)
    clock_moved = True
    for key in keys:
        assert await function(key) == [key, False]
    await asyncio.wait_for(full.wait(), DEADLINE)
    for _ in range(100):
        await asyncio.sleep(0)
    go_on.set()
    await asettle()
    assert peak == TASKS
    for key in keys:
        assert await function.aget_cache_only(key) == [key, True]


@on("locmem", "memory", "redis")
async def test_too_many_tasks_are_refused_and_the_next_reader_tries(ascripted, clock, script, monkeypatch):
    # Fails (runs == 1 in the end) if a run that was refused keeps its key.
    function = ascripted(stale_while_revalidate=WINDOW)
    await function()
    clock.advance(TTL + 1)
    monkeypatch.setattr(background, "QUEUE", -TASKS)
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert script.runs == 1
    monkeypatch.undo()
    assert await aseen(function) == ([1], "STALE")
    await asettle()
    assert script.runs == 2


@on("locmem", "memory", "redis", "memcached", "file")
async def test_plain_functions_are_run_for_asyncio_too(scripted, clock, script):
    function = scripted(stale_while_revalidate=WINDOW)
    assert await function.aget_with_metadata() is not None
    clock.advance(TTL + 1)
    value, metadata = await function.aget_with_metadata()
    assert (value, metadata["cache_status"].value) == ([1], "STALE")
    await asettle()
    assert await function.aget_cache_only() == [2]
