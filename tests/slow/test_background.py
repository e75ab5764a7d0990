"""Runs in the background and PostgreSQL: they leave no connection behind."""

import asyncio
import threading

import pytest
from django.core.signals import request_finished, request_started
from django.db import connection

from cache_result import background
from tests.backends import on
from tests.freshness.conftest import asettle, settle
from tests.waiting import DEADLINE

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "memory", "redis")]

TTL, WINDOW, KEYS = 10, 1000, 40


def sessions():
    """How many clients the server has, this connection among them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return cursor.fetchone()[0]


def query(key):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [key])
        return cursor.fetchone()[0]


@pytest.mark.parametrize("max_age", [0, None], ids=["closed after each request", "persistent"])
def test_threads_leave_no_connection(cached, clock, monkeypatch, max_age):
    # Fails (more sessions) without `close_old_connections` or, persistent, without the last act of a thread.
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", max_age)
    monkeypatch.setattr(background, "_pool", background.Pool())
    if max_age is None:  # otherwise no thread ends before they are counted
        monkeypatch.setattr(background, "IDLE_SECONDS", 0.05)
    threads = set()

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function(key):
        threads.add(threading.get_ident())
        return query(key)

    for key in range(KEYS):
        function(key)
    before = sessions()
    clock.advance(TTL + 1)
    for key in range(KEYS):
        assert function(key) == key
    settle()
    if max_age is None:
        pool = background._pool
        with pool._changed:
            assert pool._changed.wait_for(lambda: pool._threads == 0, DEADLINE)
    assert len(threads) > 1
    assert _settled(before) == before
    background._pool.close()


async def test_tasks_leave_no_connection(cached, clock):
    # Fails (as many more sessions as tasks) without closing what the task's own thread has opened.
    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function(key):
        return query(key)

    for key in range(KEYS):
        await function.aget_with_metadata(key)
    before = await asyncio.to_thread(_apart, sessions)
    clock.advance(TTL + 1)
    for key in range(KEYS):
        _, metadata = await function.aget_with_metadata(key)
        assert metadata["cache_status"].value == "STALE"
    await asettle()
    assert await asyncio.to_thread(_apart, _settled, before) <= before


def _apart(look, *args):
    """What is seen over a connection of this thread's own."""
    try:
        return look(*args)
    finally:
        connection.close()


def _settled(expected):
    """The server notices the end of a connection a moment later."""
    for _ in range(1000):
        if (found := sessions()) <= expected:
            return found
    return found


def test_requests_are_nobodys_business(cached, clock):
    """The signals of requests are for requests."""
    heard = []

    def hear(**kwargs):
        heard.append(kwargs["signal"])

    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        return query(1)

    function()
    clock.advance(TTL + 1)
    request_started.connect(hear)
    request_finished.connect(hear)
    try:
        function()
        settle()
    finally:
        request_started.disconnect(hear)
        request_finished.disconnect(hear)
    assert heard == []
