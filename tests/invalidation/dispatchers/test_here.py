"""Dispatchers that stay in the process: inline, threads, the running loop."""

import asyncio
import os
import threading
import warnings

import pytest
from django.db import connections, transaction

from cache_result import (
    CACHE_MISSING,
    Dispatcher,
    ThreadPoolDispatcher,
    cache_rewarmed,
)
from cache_result.invalidation.dispatchers import here, threadpool
from tests.backends import on
from tests.invalidation.dispatchers.test_invalidators import rename

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


@pytest.fixture
def ended():
    """Who has heard of which rewarmed calls, and of their errors."""
    told = []
    heard = threading.Semaphore(0)

    def receiver(sender, wrapper, args, kwargs, error, **extra):
        told.append((wrapper, args, kwargs, error, threading.current_thread()))
        heard.release()

    cache_rewarmed.connect(receiver)
    receiver.told, receiver.heard = told, heard
    yield receiver
    cache_rewarmed.disconnect(receiver)


def test_inline_works_in_the_thread_of_the_writer(rewarmed, parcel, ended):
    function = rewarmed(dispatcher="inline")
    rename(parcel)
    call = (function.wrapper, (), {"pk": parcel.pk}, None, threading.current_thread())
    assert ended.told == [call]
    assert function.wrapper.get_cache_only(parcel.pk) == "new"


def test_a_failing_receiver_is_logged(rewarmed, parcel, caplog):
    def receiver(**kwargs):
        raise LookupError("bad receiver")

    cache_rewarmed.connect(receiver)
    try:
        function = rewarmed()
        rename(parcel)
    finally:
        cache_rewarmed.disconnect(receiver)
    assert "bad receiver" in caplog.text
    assert function.wrapper.get_cache_only(parcel.pk) == "new"


def test_a_rewarm_is_tried_again(rewarmed, parcel, ended):
    function = rewarmed()
    function.broken = 1
    rename(parcel)
    assert len(function.runs) == 2
    assert [told[3] for told in ended.told] == [None]
    function.broken = 2
    rename(parcel, "newer")
    assert isinstance(ended.told[1][3], LookupError)
    assert function.wrapper.get_cache_only(parcel.pk) is CACHE_MISSING


def test_a_rewarm_that_raises_does_not_stop_the_others(rewarmed, parcel):
    broken, fine = rewarmed(raise_exception=True), rewarmed()
    broken.broken = 2
    with pytest.raises(LookupError, match="cannot rewarm"), transaction.atomic():
        rename(parcel)
    assert fine.wrapper.get_cache_only(parcel.pk) == "new"
    assert broken.wrapper.get_cache_only(parcel.pk) is CACHE_MISSING


def test_the_users_own_error_is_not_replaced(rewarmed, parcel):
    # Fails without `raising=done` in transaction.py.
    broken = rewarmed(raise_exception=True)
    broken.broken = 2

    def callback():
        raise ZeroDivisionError("of the user's callback")

    with pytest.raises(ZeroDivisionError, match="of the user"), transaction.atomic():
        rename(parcel)
        transaction.on_commit(callback)
    assert len(broken.runs) == 2


class TestThreadPool:
    def test_it_works_in_a_thread_and_the_writer_goes_on(self, rewarmed, parcel, ended):
        function = rewarmed(dispatcher="threadpool")
        assert function.wrapper(parcel.pk) == "old"
        go_on = threading.Event()
        function.runs = Blocking(go_on)
        rename(parcel)
        # The generation has changed although the work has not ended.
        assert function.wrapper.get_cache_only(parcel.pk) is CACHE_MISSING
        go_on.set()
        assert ended.heard.acquire(timeout=30)
        assert ended.told[0][4] is not threading.current_thread()
        assert function.wrapper.get_cache_only(parcel.pk) == "new"

    def test_pools_are_shared_by_size(self, cache_alias):
        assert threadpool._pool(2) is threadpool._pool(2)
        assert threadpool._pool(2) is not threadpool._pool(3)

    def test_a_child_process_has_threads_of_its_own(self, cache_alias):
        parents = threadpool._pool(2)
        parents.submit(int).result()
        readable, writable = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of forking with threads, from Python 3.12 on
            child = os.fork()
        if child == 0:
            try:
                threadpool._pool(2).submit(os.write, writable, b"worked").result(timeout=30)
            finally:
                os._exit(0)
        os.close(writable)
        assert os.read(readable, 10) == b"worked"  # nothing, were it the parent's pool: see `_after_fork`
        os.waitpid(child, 0)
        os.close(readable)

    def test_its_connections_are_closed(self, custom, parcel):
        from django.db import connection

        found, ready = [], threading.Event()

        def invalidator(wrapper, instance):
            instance.refresh_from_db()
            found.append(connection.connection)

        custom(invalidator=invalidator, dispatcher=ThreadPoolDispatcher(max_workers=1))
        rename(parcel)
        threadpool._pool(1).submit(ready.set)
        assert ready.wait(30)
        with pytest.raises(Exception, match="closed"):
            found[0].cursor()


class Blocking(list):
    """Has whoever adds to it wait."""

    def __init__(self, go_on):
        super().__init__()
        self._go_on = go_on

    def append(self, item):
        super().append(item)
        assert self._go_on.wait(30)


class TestAsyncIO:
    def test_without_a_loop_it_works_at_once(self, rewarmed, parcel):
        function = rewarmed(dispatcher="asyncio")
        rename(parcel)
        assert function.wrapper.get_cache_only(parcel.pk) == "new"

    def test_with_a_loop_it_is_a_task(self, monkeypatch, custom, parcel):
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        told = []

        async def invalidator(wrapper, instance):
            told.append(instance.name)

        custom(invalidator=invalidator, dispatcher="asyncio")
        failing = custom(dispatcher="asyncio", raise_exception=True)
        failing.broken = 2

        async def main():
            rename(parcel)
            assert told == []
            assert len(here._tasks) == 2  # held until they are done
            await asyncio.gather(*here._tasks, return_exceptions=True)
            assert told == ["new"]
            connections.close_all()  # tasks have connections of their own

        asyncio.run(main())
        assert not here._tasks


class TestBatching:
    """One dispatch for the work of a transaction."""

    @pytest.fixture
    def recording(self):
        calls = []

        class Recording(Dispatcher):
            name = "recording"

            def dispatch(self, **told):
                calls.append(told)

        Recording.calls = calls
        return Recording

    def test_batched(self, rewarmed, recording, parcel):
        first = rewarmed(dispatcher=recording, batch=True)
        second = rewarmed(dispatcher=recording, batch=True)
        other = type(parcel).objects.create()
        recording.calls.clear()
        with transaction.atomic():
            rename(parcel)
            rename(other)
            rename(parcel, "again")
        [call] = recording.calls
        assert call["model_label"] == "app.Parcel"
        assert call["pk"] is None
        assert call["signal_type"] == "POST_SAVE"
        assert len(call["rule_ids"]) == 2
        assert {len(jobs) for jobs in call["rule_kwargs"].values()} == {2}
        assert [first.runs, second.runs] == [[], []]

    def test_not_batched(self, rewarmed, recording, parcel):
        rewarmed(dispatcher=recording)
        other = type(parcel).objects.create()
        with transaction.atomic():
            rename(parcel)
            rename(other)
        assert [call["pk"] for call in recording.calls] == [str(parcel.pk), str(other.pk)]

    def test_another_configuration_is_another_batch(self, rewarmed, recording, parcel):
        for queue in ("a", "b"):
            rewarmed(dispatcher=recording, dispatcher_config={"queue": queue}, batch=True)
        with transaction.atomic():
            rename(parcel)
        assert len(recording.calls) == 2

    def test_a_dispatcher_that_fails_is_logged(self, rewarmed, recording, parcel, monkeypatch, caplog):
        def dispatch(self, **told):
            raise ConnectionError("the broker is down")

        monkeypatch.setattr(recording, "dispatch", dispatch)
        function, fine = rewarmed(dispatcher=recording), rewarmed()
        assert function.wrapper(parcel.pk) == "old"
        rename(parcel)
        assert "the broker is down" in caplog.text
        assert function.wrapper(parcel.pk) == "new"
        assert len(fine.runs) == 1
