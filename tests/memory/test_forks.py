"""A server that loads the application and then forks its workers: each has a copy of what was cached."""

import os
import sys
import threading
from contextlib import ExitStack

import pytest
from django.core.cache import caches
from django.db import connections
from django.db.transaction import atomic

from cache_result import CACHE_MISSING, InvalidationRule, forks, invalidation_deferred, signals
from cache_result.backends import MemoryCache
from cache_result.invalidation import receivers
from cache_result.invalidation.dispatchers import threadpool
from tests.app.models import Author, Country
from tests.memory.forking import in_a_child, joined
from tests.waiting import DEADLINE, Gate, wait


@pytest.fixture
def cache_alias():
    caches["memory"].clear()
    return "memory"


@pytest.fixture
def cache(cache_alias):
    return caches[cache_alias]


def test_workers_begin_with_what_was_there(cached, cache):
    pids = []

    @cached
    def function(x):
        pids.append(os.getpid())
        return [x, os.getpid()]

    parent = os.getpid()
    for x in range(100):
        function(x)
    cache.set("key", "value")

    def work():
        me = os.getpid()
        assert [function(x) for x in range(100)] == [[x, parent] for x in range(100)]
        assert cache.get("key") == "value"
        function.invalidate_all()
        assert [function(x) for x in range(100)] == [[x, me] for x in range(100)]
        assert function(1000) == function(1000) == [1000, me]
        cache.set("key", me)
        assert cache.incr("key") == me + 1
        cache.clear()
        assert function.get_cache_only(1) is CACHE_MISSING
        assert cache.get("key") is None

    children = [in_a_child(work) for _ in range(4)]
    function.delete_cache(0)
    cache.set("key", "of the parent")
    for child in children:
        joined(child)
    assert function(0) == [0, parent]
    assert [function(x) for x in range(1, 100)] == [[x, parent] for x in range(1, 100)]
    assert cache.get("key") == "of the parent"
    assert function.get_cache_only(1000) is CACHE_MISSING
    assert len(pids) == 101


def test_children_of_children(cached, cache):
    runs = []
    function = cached(lambda: runs.append(1) or len(runs))

    def work(generation):
        assert function() == generation
        function.invalidate_all()
        assert function() == generation + 1
        if generation < 3:
            joined(in_a_child(work, generation + 1))
        assert function() == generation + 1

    function()
    joined(in_a_child(work, 1))
    assert function() == 1


def test_a_fork_during_a_fill(cached, cache, threads):
    """Nobody leads the parent's fill in the child: it fills for itself."""
    gate, parent = Gate(), os.getpid()

    @cached
    def function():
        if os.getpid() == parent:
            gate.stop_here()
        return os.getpid()

    def work():
        assert function() == function() == os.getpid()

    filling = threads(function)
    gate.wait_until_reached()
    joined(in_a_child(work))
    gate.open()
    assert filling.result() == function() == parent


def locks_of(modules):
    """Those that are in modules, and in classes of theirs."""
    kinds = (type(threading.Lock()), type(threading.RLock()))
    for name, module in modules.items():
        if name.startswith("cache_result"):
            classes = [vars(value) for value in vars(module).values() if isinstance(value, type)]
            for names in (vars(module), *classes):
                yield from (value for value in names.values() if isinstance(value, kinds))


def test_every_lock_is_renewed():
    assert len(set(locks_of(sys.modules))) >= 6
    assert set(locks_of(sys.modules)) <= set(forks._locks)


@pytest.mark.django_db(transaction=True)
def test_a_fork_while_another_thread_holds_every_lock(cached, cache, threads, monkeypatch):
    # Fails (the child hangs) where a lock comes to it as it was.
    rule = InvalidationRule(Author, field_mapping={"x": "pk"})
    function = cached(invalidates_on=[rule])(lambda x: [x])
    storage = function.storage
    deferred = invalidation_deferred()
    assert {storage.pending._lock, storage._breaker._lock, deferred._lock} <= set(forks._locks)
    held, over = threading.Event(), threading.Event()

    def hold():
        with ExitStack() as stack:
            for lock in [signals.cache_invalidated.lock, *forks._locks]:
                stack.enter_context(lock)
            held.set()
            wait(over)

    def work():
        assert function(1) == [1]
        function.invalidate_all()
        connections.close_all()  # of the parent
        with atomic():
            Author.objects.create(name="new")
        assert function(1) == [1]
        with deferred:
            Author.objects.create(name="newer")
        # What is defined, and what is bound, for the first time.
        monkeypatch.setattr(receivers, "_connected", set())
        rule = InvalidationRule("app.Country", field_mapping={"x": "pk"})
        other = cached(invalidates_on=[rule])(lambda x: [x])
        assert rule.resolved_model is Country
        threadpool._pool(1).submit(str).result(DEADLINE)
        other.key_constructor.wipe()
        assert MemoryCache("another", {}).memory.get("key") is None
        # What a backend that fails has to do with.
        storage._breaker.failed(OSError("down"))
        storage._breaker.succeeded()
        storage.pending.keep([bytes(16)], ("function",))
        assert storage.pending.snapshot()

    holding = threads(hold)
    wait(held)
    child = in_a_child(work)
    try:
        joined(child)
    finally:
        over.set()
    holding.result()


def test_a_fork_while_others_are_busy(cached, cache, threads):
    """Whatever the other threads were at, the child can go on, and so can they."""
    over = threading.Event()

    @cached
    def function(x):
        return [x]

    def busy(number):
        at = 0
        while not over.is_set():
            at += 1
            x = at * number % 500
            assert function(x) == [x]
            cache.set(f"key{x}", [x])
            cache.get_many([f"key{n}" for n in range(5)])
            cache.add(f"added{x}", x, 0.01)
            cache.incr("number")
            if at % 97 == 0:
                function.invalidate_all()
            if at % 503 == 0:
                cache.delete_many([f"key{n}" for n in range(500)])
        return at

    def work():
        assert cache.incr("number") > 0
        for x in range(200):
            assert function(x) == [x]
            cache.set(f"key{x}", x)
            assert cache.get(f"key{x}") == x
        function.invalidate_all()
        assert function(1) == [1]
        cache.clear()
        assert cache.get("number") is None

    cache.set("number", 0)
    workers = [threads(busy, number) for number in range(1, 5)]
    try:
        for _ in range(15):
            joined(in_a_child(work))
    finally:
        over.set()
    assert all(worker.result() for worker in workers)
    assert cache.get("number") > 0
