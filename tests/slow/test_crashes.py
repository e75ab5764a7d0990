"""kill -9 of a writer at every step of a change: no stale read at any time, and the scope is usable again."""

import pytest
from django.core.cache import caches
from django.db import transaction

from cache_result import CACHE_MISSING, CacheStatus, _core
from tests.app.models import Author
from tests.backends import on
from tests.slow import children
from tests.waiting import Gate

pytestmark = [pytest.mark.django_db(transaction=True), on("redis")]


@pytest.fixture
def author():
    return Author.objects.create(name="old")


def committed(author):
    """The row, once PostgreSQL has noticed the death of whoever had locked it."""
    with transaction.atomic():
        return Author.objects.select_for_update().get(pk=author.pk).name


@pytest.mark.parametrize("atomic", [True, False], ids=["transaction", "autocommit"])
@pytest.mark.parametrize("filling", [False, True], ids=["at rest", "during a fill"])
@pytest.mark.parametrize("step", children.STEPS)
def test_a_writer_that_is_killed(cache_alias, unique_name, author, processes, threads, step, filling, atomic):
    """Fails, in the step before opening, when scopes are not closed before the COMMIT."""
    name, gate = unique_name(), Gate()
    author_name = children.make_author_name(cache_alias, name)
    assert author_name(author.pk) == "old"
    reader = processes(children.ask_for_the_name, cache_alias, name, author.pk)
    if filling:
        slow_name = children.make_author_name(cache_alias, name, gate.stop_here)
        outcome = threads(slow_name.refresh, author.pk)
        gate.wait_until_reached()

    writer = processes(children.rename_up_to, cache_alias, name, author.pk, step, atomic)
    writer.expect(step)
    truth = "new" if step in children.COMMITTED else "old"

    def nobody_is_misled():
        assert author_name.get_cache_only(author.pk) in (truth, CACHE_MISSING)
        assert author_name(author.pk) == truth
        reader.say("call")
        reader.expect(truth)
        assert author_name.get_cache_only(author.pk) in (truth, CACHE_MISSING)

    nobody_is_misled()
    writer.kill()
    nobody_is_misled()
    assert committed(author) == truth
    if filling:
        gate.open()
        assert outcome.result() == "old"
    nobody_is_misled()

    let_the_marks_go(cache_alias, author_name, author)
    nobody_is_misled()
    assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.HIT
    author.name = "newer"
    author.save()
    truth = "newer"
    nobody_is_misled()
    reader.say("end")
    reader.result()


def let_the_marks_go(alias, author_name, author):
    """What CLOSE_TIMEOUT does: the tokens that the dead writer has left are gone."""
    scopes = author_name._fired_scopes({"author_id": author.pk})
    caches[alias].delete_many([_core.generation_key(scope) for scope in scopes])
