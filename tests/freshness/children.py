"""What the second processes of these tests run; `parent` is the conversation with the test."""

import atexit
import os
import sys
import threading
import time

from django.conf import settings
from django.core.cache import caches
from django.test import override_settings

from cache_result import CACHE_MISSING, InvalidationRule, _core, background, cache_result
from cache_result.backends import host
from tests.app.models import Author
from tests.freshness.conftest import SOFT_WINDOW, seen
from tests.race.children import make, stop_once
from tests.waiting import DEADLINE, Threads, wait

TTL = 10
WINDOW = 100_000


def read_stale(parent, alias, name, options, settings=None):
    """Reads an entry past its time, whose run in the background stops; its result in the end."""
    with override_settings(CACHE_RESULT=settings or {}):
        _core.clock_advance(TTL + 1)
        function = make(alias, name, stop_once(parent), ttl=TTL, **options)
        value, metadata = function.get_with_metadata(1, 2)
        parent.say((value, metadata["cache_status"].value))
        assert background.settle(DEADLINE)
        return function.get_cache_only(1, 2)


def herd_at_expiry(parent, alias, name, options, size):
    """Threads that read an entry past its time at once, whose run in the background stops, wherever that is.
    Says what they have got, and returns what the next reader gets."""
    _core.clock_advance(TTL + 1)
    function = make(alias, name, stop_once(parent), ttl=TTL, **options)
    threads, barrier = Threads(), threading.Barrier(size)

    def read():
        caches[alias].get("connect")
        barrier.wait()
        value, metadata = function.get_with_metadata(1, 2)
        return value, metadata["cache_status"].value

    parent.say("ready")
    parent.expect("start")
    outcomes = [threads(read) for _ in range(size)]
    found = {outcome.result() for outcome in outcomes}
    threads.join()
    parent.say(found)
    assert background.settle(DEADLINE)
    parent.expect("end")
    return function.get_cache_only(1, 2)


def end_during_a_run(parent, alias):
    """Ends while a run in the background goes on and on; the parent waits for the end."""
    inside = threading.Event()

    @cache_result(name="end-during-a-run", cache=alias, ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            time.sleep(10 * DEADLINE)
        return "value"

    function()
    _core.clock_advance(TTL + 1)
    assert function() == "value"
    wait(inside)
    atexit.register(sys.stdout.flush)
    return "value"


def fork_during_a_run(parent, alias):
    """A forked child has a pool of its own. Returns its exit status."""
    inside, go_on = threading.Event(), threading.Event()
    pid, runs = os.getpid(), []

    @cache_result(
        name="fork-during-a-run",
        cache=alias,
        ttl=TTL,
        stale_while_revalidate=WINDOW,
        single_flight="process",  # the parent has the lease
    )
    def function():
        runs.append(os.getpid())
        if len(runs) == 2 and os.getpid() == pid:
            inside.set()
            wait(go_on)
        return len(runs)

    function()
    _core.clock_advance(TTL + 1)
    assert function() == 1
    wait(inside)
    child = os.fork()
    if child == 0:
        # Whatever happens, this must not return into the interpreter of the parent.
        good = function() == 1 and background.settle(DEADLINE) and runs[-1] == os.getpid()
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    go_on.set()
    assert background.settle(DEADLINE)
    return os.waitstatus_to_exitcode(status)


def read_softly(parent, path, name):
    """Reads what another process of the host changes softly."""
    host.is_testing = lambda: False
    spec = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": str(path)}
    spec["OPTIONS"] = {"HOST_INDEX": path}
    with override_settings(CACHES={**settings.CACHES, "hosted": spec}):
        values = ["old"]
        function = softly_invalidated(name, lambda key: [values[-1]])
        parent.say(seen(function, 1))
        parent.expect("changed")
        values.append("new")
        parent.say([seen(function, 1), seen(function, 2)])
        assert background.settle(DEADLINE)
        parent.say(seen(function, 1))
        _core.clock_advance(SOFT_WINDOW + 1)
        parent.expect("changed again")
        _core.clock_advance(SOFT_WINDOW + 1)
        return function.get_cache_only(1) is CACHE_MISSING


def softly_invalidated(name, function):
    """A function in the cache "hosted" with a soft rule."""
    rule = InvalidationRule(Author, field_mapping={"key": "pk"}, soft=True)
    options = {"ttl": None, "stale_while_revalidate": SOFT_WINDOW, "invalidates_on": [rule]}

    @cache_result(cache="hosted", name=name, **options)
    def softly(key):
        return function(key)

    return softly


def change(parent, alias, name, pk):
    """A second process that knows the rule changes the row; `parent` decides when."""
    make_soft(alias, name)
    parent.say("ready")
    parent.expect("change")
    Author.objects.get(pk=pk).save()


def make_soft(alias, name, inside=None):
    """The same function with a soft rule in every process."""
    rule = InvalidationRule(Author, field_mapping={"a": "pk"}, soft=True)
    options = {"ttl": None, "stale_while_revalidate": WINDOW, "invalidates_on": [rule]}
    return make(alias, name, inside, **options)


def read_changed(parent, alias, name, pk):
    """Reads a stale entry, whose run in the background stops; its result in the end."""
    function = make_soft(alias, name, stop_once(parent))
    value, metadata = function.get_with_metadata(pk, 2)
    parent.say((value, metadata["cache_status"].value))
    assert background.settle(DEADLINE)
    return function.get_cache_only(pk, 2)
