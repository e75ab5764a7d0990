"""Invalidations that a backend could not take."""

import logging
import threading

import pytest
from asgiref.sync import async_to_sync
from django.core.cache.backends.filebased import FileBasedCache

from cache_result import CACHE_MISSING, cache_result, pending
from cache_result.storage import get_storage
from tests.flaky import FlakyCache
from tests.invalidation.rows import rolled_back
from tests.waiting import wait


@pytest.fixture(autouse=True)
def outage(settings, tmp_path):
    """A cache that does not work while a test says so, and another alias of it that always does."""
    settings.CACHE_RESULT = {"BREAKER": (1000, 0.01)}
    file = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {
        **settings.CACHES,
        "flaky": {"BACKEND": "tests.flaky.FlakyCache", "LOCATION": str(tmp_path)},
        "healthy": {"BACKEND": file, "LOCATION": str(tmp_path)},
    }
    yield FlakyCache
    FlakyCache.broken = False
    pending = get_storage("flaky").pending
    pending.delivered(pending.snapshot())


@pytest.fixture
def attempts(monkeypatch):
    """Lets the thread that delivers try whenever the test says so; the delays that it wanted."""
    attempts = Attempts()
    monkeypatch.setattr(pending, "_sleep", attempts.sleep)
    yield attempts
    attempts.over = True
    attempts.turn.release(10)


class Attempts:
    def __init__(self):
        self.turn, self.waiting = threading.Semaphore(0), threading.Semaphore(0)
        self.delays = []
        self.over = False

    def sleep(self, seconds):
        if not self.over:
            self.delays.append(seconds)
            self.waiting.release()
            self.turn.acquire(timeout=60)

    def let_one_pass(self):
        """Let the thread try once, and have it come back for the next attempt."""
        assert self.waiting.acquire(timeout=60)
        self.turn.release()


def make(name, alias):
    """The function as this process sees it through one alias."""

    @cache_result(name=name, cache=alias)
    def function(key):
        return key

    return function


@pytest.fixture
def pair(unique_name):
    """A writer that meets the outage, and a reader elsewhere that does not."""
    name = unique_name()
    writer, reader = make(name, "flaky"), make(name, "healthy")
    assert writer(1) == 1
    assert reader.get_cache_only(1) == 1
    return writer, reader


def test_it_is_delivered_without_another_call(pair, outage, attempts):
    # Fails when only the next operation of the process delivers.
    writer, reader = pair
    outage.broken = True
    writer.invalidate_all()
    attempts.let_one_pass()  # in vain
    assert attempts.waiting.acquire(timeout=60)
    assert reader.get_cache_only(1) == 1
    outage.broken = False
    done = threading.Event()
    kept = writer.storage.pending
    before = kept.delivered
    kept.delivered = lambda snapshot: (before(snapshot), done.set())
    attempts.turn.release()
    wait(done)
    assert reader.get_cache_only(1) is CACHE_MISSING


def test_the_pauses_grow(pair, outage, attempts):
    writer, _ = pair
    outage.broken = True
    writer.invalidate_all()
    for _ in range(10):
        attempts.let_one_pass()
    assert attempts.delays[:4] == [0.5, 1, 2, 4]
    assert max(attempts.delays) == 30


def test_what_is_left_at_the_end_is_tried_once_more(pair, outage, attempts):
    writer, reader = pair
    outage.broken = True
    writer.delete_cache(1)
    outage.broken = False
    writer.storage.pending.give_up()
    assert reader.get_cache_only(1) is CACHE_MISSING


def test_what_is_given_up_is_logged_with_names(pair, outage, attempts, caplog):
    writer, _ = pair
    outage.broken = True
    writer.delete_by_prefix()
    with caplog.at_level(logging.ERROR, logger="cache_result"):
        writer.storage.pending.give_up()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "1 invalidations for the cache 'flaky'" in record.getMessage()
    assert writer.label in record.getMessage()


def test_memory_is_bounded(pair, outage, attempts, monkeypatch, caplog):
    # Fails (nothing is said, and all is kept) without the bound.
    monkeypatch.setattr(pending, "MOST", 3)
    writer, _ = pair
    outage.broken = True
    with caplog.at_level(logging.ERROR, logger="cache_result"):
        for key in range(5):
            writer.delete_cache(key)
    assert len(writer.storage.pending.snapshot()) == 3
    losses = [record.getMessage() for record in caplog.records if "given up" in record.getMessage()]
    assert len(losses) == 2
    assert all(writer.label in loss for loss in losses)


async def test_of_asyncio(pair, outage, attempts):
    writer, reader = pair
    outage.broken = True
    await writer.ainvalidate_all()
    outage.broken = False
    assert await writer.aget_cache_only(1) is CACHE_MISSING
    assert await reader.aget_cache_only(1) is CACHE_MISSING


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("call", [lambda f: f(1), lambda f: async_to_sync(f.aget_with_metadata)(1)])
def test_nothing_is_delivered_in_a_transaction_of_the_caller(unique_name, call):
    """On a cache that is a table it would be rolled back with the transaction."""
    # Fails (1, a hit) when every operation delivers.
    function = make(unique_name(), "db")
    function(1)
    function.storage.owe([function._function_scope()])
    with rolled_back():
        call(function)
    assert function.get_cache_only(1) is CACHE_MISSING


class Forgetful(FileBasedCache):
    """Does not write, and does not say so."""

    def set(self, *args, **kwargs):
        pass


def test_a_write_that_was_swallowed_is_found_out(settings, tmp_path, unique_name, attempts):
    # Fails (1, a hit) when it is enough that some generation is there.
    name = unique_name()
    writer = make(name, "healthy")
    writer(1)
    writer.invalidate_all()  # so that there is a generation
    writer(1)
    settings.CACHES = {
        **settings.CACHES,
        "forgetful": {"BACKEND": f"{__name__}.Forgetful", "LOCATION": str(tmp_path)},
    }
    forgetful = make(name, "forgetful")
    forgetful.invalidate_all()
    pending = forgetful.storage.pending
    assert len(pending.snapshot()) == 1
    pending.delivered(pending.snapshot())
