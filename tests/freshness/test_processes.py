"""The windows among processes that share a cache, and at the end of one."""

import contextlib
import threading

import pytest

from cache_result import background, driving
from tests.backends import on
from tests.freshness import children
from tests.freshness.conftest import settle
from tests.process import next_word
from tests.race.children import make, shared_state
from tests.race.test_processes import Truth
from tests.waiting import DEADLINE, wait

SHARED = on("redis", "django_redis")
OPTIONS = {"stale_while_revalidate": children.WINDOW}


@pytest.fixture
def truth(cache_alias, unique_name, clock):
    with contextlib.closing(shared_state()) as state:
        state.flushdb()
        yield Truth(state, unique_name())


def status(function):
    value, metadata = function.get_with_metadata(1, 2)
    return value, metadata["cache_status"].value


@SHARED
def test_one_process_makes_it_anew(cache_alias, truth, processes, clock):
    # Fails (three runs) if runs of the background take no lease.
    function = make(cache_alias, truth.name, ttl=children.TTL, **OPTIONS)
    assert function(1, 2) == "old"
    other = processes(children.read_stale, cache_alias, truth.name, OPTIONS)
    other.expect(("old", "STALE"), "inside")
    truth.value = "new"
    clock.advance(children.TTL + 1)
    for _ in range(3):
        assert status(function) == ("old", "STALE")
        settle()
        clock.advance(1)  # longer than it leaves another process alone
    assert truth.runs == 2
    other.say("go on")
    assert other.result() == "old"
    assert status(function)[1] == "HIT"


@SHARED
def test_a_herd_of_processes_waits_for_nobody(cache_alias, truth, processes, clock):
    """All threads of all processes have their results before the one run ends."""
    # Fails (four runs) if runs of the background take no lease; never ends if a reader waits for the run.
    function = make(cache_alias, truth.name, ttl=children.TTL, **OPTIONS)
    assert function(1, 2) == "old"
    truth.value = "new"
    herd = [processes(children.herd_at_expiry, cache_alias, truth.name, OPTIONS, 50) for _ in range(4)]
    for child in herd:
        child.expect("ready")
    for child in herd:
        child.say("start")
    found, inside = [], []
    while len(found) < len(herd) or not inside:
        child, word = next_word(herd)
        if word == "inside":
            inside.append(child)
        else:
            found.append(word)
    assert found == [{("old", "STALE")}] * len(herd)
    assert truth.runs == 2
    inside[0].say("go on")
    for child in herd:
        child.say("end")
    assert "new" in [child.result() for child in herd]
    assert truth.runs == 2


@SHARED
def test_a_killed_process_is_replaced(cache_alias, truth, processes, clock, settings):
    # Fails (STALE for ever) if the lease of who was killed has no end.
    settings.CACHE_RESULT = {"LEASE_TIMEOUT": 1}
    function = make(cache_alias, truth.name, ttl=children.TTL, **OPTIONS)
    assert function(1, 2) == "old"
    other = processes(children.read_stale, cache_alias, truth.name, OPTIONS, {"LEASE_TIMEOUT": 1})
    other.expect(("old", "STALE"), "inside")
    other.kill()
    truth.value = "new"
    clock.advance(children.TTL + 1)
    seen = set()
    while truth.runs == 2:
        seen.add(status(function))
        assert background.settle(DEADLINE)
        clock.advance(0.3)
    assert seen == {("old", "STALE")}
    assert status(function) == ("new", "HIT")
    assert truth.runs == 3


@SHARED
def test_who_waits_a_little_waits_for_a_run_there(cache_alias, truth, processes, clock, threads, monkeypatch):
    # Fails (the old result at once) if it does not wait for who has the lease.
    options = {"stale_if_error": children.WINDOW, "fill_timeout": DEADLINE}
    function = make(cache_alias, truth.name, ttl=children.TTL, **options)
    assert function(1, 2) == "old"
    other = processes(children.read_stale, cache_alias, truth.name, OPTIONS)
    other.expect(("old", "STALE"), "inside")
    paused, pause = threading.Event(), driving.InThread.pause

    async def pausing(shell, seconds):
        paused.set()
        await pause(shell, seconds)

    monkeypatch.setattr(driving.InThread, "pause", pausing)
    clock.advance(children.TTL + 1)
    call = threads(function, 1, 2)
    wait(paused)
    other.say("go on")
    other.result()
    assert call.result() == "old"  # which is what the run there has read
    assert truth.runs == 2
    assert status(function) == ("old", "HIT")


@SHARED
def test_an_invalidation_here_during_a_run_there(cache_alias, truth, processes, clock):
    # Fails ("old") if runs of the background are not fenced.
    function = make(cache_alias, truth.name, ttl=children.TTL, **OPTIONS)
    assert function(1, 2) == "old"
    other = processes(children.read_stale, cache_alias, truth.name, OPTIONS)
    other.expect(("old", "STALE"), "inside")
    truth.value = "new"
    function.invalidate_all()
    assert function(1, 2) == "new"
    other.say("go on")
    other.result()
    assert function(1, 2) == "new"


@on("locmem", "memory", "redis")
def test_the_end_of_a_process_waits_for_nothing(cache_alias, processes):
    child = processes(children.end_during_a_run, cache_alias)
    assert child.result() == "value"  # and the process has ended, with 0


@on("locmem", "memory", "redis")
def test_a_forked_child_has_a_pool_of_its_own(cache_alias, processes):
    # Fails (the child waits for threads that it does not have) without the handler of forks.
    assert processes(children.fork_during_a_run, cache_alias).result() == 0
