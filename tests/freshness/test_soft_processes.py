"""Soft rules among processes: what one changes is stale in all."""

import contextlib

import pytest

from tests.backends import on
from tests.freshness import children
from tests.freshness.conftest import seen, settle
from tests.race.children import shared_state
from tests.race.test_processes import Truth

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def truth(cache_alias, unique_name, clock):
    with contextlib.closing(shared_state()) as state:
        state.flushdb()
        yield Truth(state, unique_name())


@on("redis", "django_redis", "memcached")
@pytest.mark.usefixtures("redis_server")
def test_a_change_there_is_one_run_of_all(cache_alias, truth, author, processes):
    # Fails (three runs) if runs in the background take no lease, or another one each.
    function = children.make_soft(cache_alias, truth.name)
    assert function(author.pk, 2) == "old"
    writer = processes(children.change, cache_alias, truth.name, author.pk)
    writer.expect("ready")
    writer.say("change")
    writer.result()
    truth.value = "new"
    reader = processes(children.read_changed, cache_alias, truth.name, author.pk)
    reader.expect(("old", "STALE"), "inside")
    assert seen(function, author.pk, 2) == ("old", "STALE")
    settle()
    assert truth.runs == 2
    reader.say("go on")
    assert reader.result() == "new"
    assert seen(function, author.pk, 2) == ("new", "HIT")
    assert truth.runs == 2
