"""Promises 1 and 4 among real processes that share a Redis."""

import contextlib
import itertools
import threading

import pytest
from django.core.cache import caches

from cache_result import InvalidationRule, cache_result
from tests.app.models import Author
from tests.backends import on
from tests.process import first_to_say
from tests.race import children
from tests.waiting import wait

SHARED = on("redis", "django_redis")


@pytest.fixture
def truth(cache_alias, unique_name):
    """What the cached function reads, and how often it ran, in all processes together."""
    with contextlib.closing(children.shared_state()) as state:
        state.flushdb()
        yield Truth(state, unique_name())


class Truth:
    def __init__(self, state, name):
        self._state = state
        self.name = name
        self.value = "old"

    @property
    def value(self):
        return self._state.get(f"{self.name}:value")

    @value.setter
    def value(self, value):
        self._state.set(f"{self.name}:value", value)

    @property
    def runs(self):
        return int(self._state.get(f"{self.name}:runs") or 0)


INVALIDATIONS = {
    "delete_cache": lambda f: f.delete_cache(1, 2),
    "delete_by_prefix": lambda f: f.delete_by_prefix(1),
    "invalidate_all": lambda f: f.invalidate_all(),
    "refresh": lambda f: f.refresh(1, 2),
}


@SHARED
@pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_a_fill_there_is_invalidated_here(cache_alias, truth, processes, invalidate):
    function = children.make(cache_alias, truth.name)
    child = processes(children.fill, cache_alias, truth.name)
    child.expect("inside")
    truth.value = "new"
    invalidate(function)
    assert function(1, 2) == "new"  # does not wait for the child's lease either
    child.say("go on")
    assert child.result() == "old"
    assert function(1, 2) == "new"


@SHARED
def test_an_invalidation_here_is_seen_there(cache_alias, truth, processes):
    function = children.make(cache_alias, truth.name)
    child = processes(children.ask, cache_alias, truth.name)
    child.expect("ready")
    assert function(1, 2) == "old"
    child.say("call")
    child.expect("old")
    assert truth.runs == 1
    truth.value = "new"
    function.delete_by_prefix(1)
    child.say("call")
    assert child.result() == "new"
    assert function(1, 2) == "new"
    assert truth.runs == 2


class Looks:
    """The reads of a waiter in this process, one of which can be held up."""

    def __init__(self, monkeypatch, alias):
        self.held, self.go_on = threading.Event(), threading.Event()
        self.lease = None
        self._count, self._at = itertools.count(1), 0
        backend = type(caches[alias])
        get_many = backend.get_many

        def counted(cache, keys, *args, **kwargs):
            if self._at and next(self._count) == self._at:
                (self.lease,) = [key for key in keys if key.startswith(children.LEASE)]
                self.held.set()
                wait(self.go_on)
            return get_many(cache, keys, *args, **kwargs)

        monkeypatch.setattr(backend, "get_many", counted)

    def hold_at(self, number):
        """Hold up the look with this number, counted from now."""
        self._at = number


@SHARED
def test_a_herd_of_processes_runs_the_function_once(cache_alias, truth, processes):
    # Fails (one run per process) without the lease.
    herd = [processes(children.herd, cache_alias, truth.name, 10) for _ in range(4)]
    for child in herd:
        child.expect("ready")
    for child in herd:
        child.say("start")
    for child in herd:
        child.expect("calling")
    leader = first_to_say(herd, "inside")
    leader.say("go on")
    assert [child.result() for child in herd] == [["old"] * 10] * 4
    assert truth.runs == 1


@SHARED
def test_a_leader_that_hesitates_is_waited_for(cache_alias, truth, processes, threads, monkeypatch):
    """Descheduled before it could say which token its entry will carry, a leader looks like one in vain."""
    # Fails (two runs) when waiters trust two looks a few milliseconds apart.
    looks = Looks(monkeypatch, cache_alias)
    leader = processes(children.fill_hesitantly, cache_alias, truth.name)
    leader.expect("inside")
    looks.hold_at(12)
    waiting = threads(children.make(cache_alias, truth.name), 1, 2)
    wait(looks.held, "a waiter to look again and again")
    leader.say("go on")
    assert leader.result() == "old"
    looks.go_on.set()
    assert waiting.result() == "old"
    assert truth.runs == 1


@SHARED
def test_a_killed_leader_is_replaced(cache_alias, truth, processes):
    # Fails (the call never returns) when the lease has no end of its own.
    lease = {"LEASE_TIMEOUT": 1}
    leader = processes(children.fill, cache_alias, truth.name, lease)
    leader.expect("inside")
    truth.value = "new"  # before the lease can end, on however busy a machine
    waiting = processes(children.call, cache_alias, truth.name, lease)
    waiting.expect("calling")
    leader.kill()
    assert waiting.result() == "new"
    assert truth.runs == 2
    assert children.make(cache_alias, truth.name)(1, 2) == "new"
    assert truth.runs == 2


@on("redis")
def test_waits_for_another_process_are_bounded(cache_alias, truth, processes, settings):
    settings.CACHE_RESULT = {"FLIGHT_TIMEOUT": 0.1}
    leader = processes(children.fill, cache_alias, truth.name)
    leader.expect("inside")
    assert children.make(cache_alias, truth.name)(1, 2) == "old"
    assert truth.runs == 2
    leader.say("go on")
    assert leader.result() == "old"


@on("redis")
def test_flights_of_one_process_do_not_reach_others(cache_alias, truth, processes):
    """`single_flight="process"` takes no lease: every process may run once."""
    leader = processes(children.fill, cache_alias, truth.name)
    leader.expect("inside")
    assert children.make(cache_alias, truth.name, single_flight="process")(1, 2) == "old"
    assert truth.runs == 2
    leader.say("go on")
    assert leader.result() == "old"


@on("redis", "locmem")
def test_a_fork_leaves_flights_behind(cache_alias, processes):
    assert processes(children.fork_during_a_fill, cache_alias).result() == 0


@pytest.mark.django_db(transaction=True)
@on("redis", "file", "memcached")
def test_a_save_in_another_process(cache_alias, unique_name, processes):
    """The writer has the rule, and has never seen the function's entries."""
    name = unique_name()
    rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})

    @cache_result(name=name, cache=cache_alias, invalidates_on=[rule])
    def author_name(author_id):
        return Author.objects.get(pk=author_id).name

    one, two = Author.objects.create(name="old"), Author.objects.create(name="other")
    assert [author_name(one.pk), author_name(two.pk)] == ["old", "other"]
    processes(children.save, one.pk, cache_alias, name).result()
    assert author_name(one.pk) == "new"
    assert author_name.get_cache_only(two.pk) == "other"


@SHARED
def test_a_slow_leader_and_who_took_over_do_not_void_each_other(
    cache_alias, truth, processes, threads, monkeypatch
):
    # Fails (nothing is stored) when who takes over draws a new token for the entry.
    looks = Looks(monkeypatch, cache_alias)
    leader = processes(children.fill, cache_alias, truth.name)
    leader.expect("inside")
    looks.hold_at(3)
    impatient = threads(children.make(cache_alias, truth.name), 1, 2)
    wait(looks.held, "a waiter to look at the lease")
    caches[cache_alias].delete(looks.lease)  # as if its time were over
    looks.go_on.set()
    assert impatient.result() == "old"
    leader.say("go on")
    assert leader.result() == "old"
    assert children.make(cache_alias, truth.name).get_cache_only(1, 2) == "old"
    assert truth.runs == 2
