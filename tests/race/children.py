"""What the second processes of `test_processes.py` run; `parent` is the conversation with the test."""

import contextlib
import itertools
import os
import threading

import redis
from django.core.cache import caches
from django.test import override_settings

from cache_result import ArgsKeyField, InvalidationRule, cache_result
from tests.app.models import Author
from tests.settings import redis_url
from tests.waiting import Threads, wait

LEASE = "cr:l:"  # how keys of leases begin
PARTITIONED = {"fields": {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b")}}


def shared_state():
    """A Redis database beside the caches: what all processes read as the truth, and count in."""
    return redis.Redis.from_url(redis_url("redis", 9), decode_responses=True)


def make(alias, name, inside=None, **options):
    """The same cached function in every process: it reads the truth, and may stop after that."""

    @cache_result(PARTITIONED, name=name, cache=alias, **options)
    def function(a, b):
        with contextlib.closing(shared_state()) as state:
            state.incr(f"{name}:runs")
            value = state.get(f"{name}:value")
        if inside is not None:
            inside()
        return value

    return function


def stop_once(parent):
    """Tell the parent that the function is running, and wait for its leave; later runs pass."""
    first = itertools.count()

    def stop():
        if next(first) == 0:
            parent.say("inside")
            parent.expect("go on")

    return stop


def fill(parent, alias, name, settings=None):
    """Call the function, stopping inside it."""
    with override_settings(CACHE_RESULT=settings or {}):
        return make(alias, name, stop_once(parent))(1, 2)


def fill_hesitantly(parent, alias, name):
    """Call the function, stopping between the two writes that precede a run: the lease, and the token."""
    hesitate, backend = stop_once(parent), type(caches[alias])
    add = backend.add

    def slow_add(self, *args, **kwargs):
        won = add(self, *args, **kwargs)
        if args[0].startswith(LEASE):
            hesitate()
        return won

    backend.add = slow_add
    return make(alias, name)(1, 2)


def call(parent, alias, name, settings=None):
    """Announce the call, and make it."""
    function = make(alias, name)
    with override_settings(CACHE_RESULT=settings or {}):
        parent.say("calling")
        return function(1, 2)


def ask(parent, alias, name):
    """Call whenever the parent says so."""
    function = make(alias, name)
    parent.say("ready")
    parent.expect("call")
    values = [function(1, 2)]
    parent.say(values[0])
    parent.expect("call")
    return function(1, 2)


def herd(parent, alias, name, size):
    """Threads that call at once, when all processes are ready; the results of all."""
    threads, announced = Threads(), threading.Event()
    barrier = threading.Barrier(size + 1)

    def hold():
        # The function ends when every thread of every process is about to call: the parent says so.
        wait(announced)
        parent.say("inside")
        parent.expect("go on")

    function = make(alias, name, hold)

    def one():
        caches[alias].get("connect")
        barrier.wait()
        return function(1, 2)

    outcomes = [threads(one) for _ in range(size)]
    parent.say("ready")
    parent.expect("start")
    barrier.wait()
    parent.say("calling")
    announced.set()
    results = [outcome.result() for outcome in outcomes]
    threads.join()
    return results


def save(parent, pk, alias, name):
    """Save an author in a process that has the rule but never called the function."""
    rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})

    @cache_result(name=name, cache=alias, invalidates_on=[rule])
    def author_name(author_id):
        raise AssertionError("never called")

    author = Author.objects.get(pk=pk)
    author.name = "new"
    author.save()


def fork_during_a_fill(parent, alias):
    """A forked child must not wait for flights that only its parent can land. Returns its exit status."""
    threads, inside, go_on = Threads(), threading.Event(), threading.Event()
    pid = os.getpid()

    @cache_result(name="fork-during-a-fill", cache=alias, single_flight="process")
    def function(key):
        if os.getpid() == pid:
            inside.set()
            wait(go_on)
        return "value"

    filling = threads(function, 1)
    wait(inside)
    child = os.fork()
    if child == 0:
        # Whatever happens, this must not return into the interpreter of the parent.
        os._exit(0 if function(1) == "value" else 1)
    _, status = os.waitpid(child, 0)
    go_on.set()
    assert filling.result() == "value"
    return os.waitstatus_to_exitcode(status)
