"""Soft rules while a change is being made: transactions, closed scopes, errors, rewarming."""

import pytest
from django.db import IntegrityError, transaction

from cache_result import CACHE_MISSING, InvalidationRule, background
from tests.app.models import Article, Author
from tests.backends import on
from tests.freshness.conftest import AGE, LONG, WINDOW, seen, settle
from tests.freshness.test_soft_rules import WIPES

pytestmark = pytest.mark.django_db(transaction=True)

# A cache that is a table has no marks: its generations are committed with the rows.
closable = on("locmem", "memory", "file", "redis", "django_redis_json", "memcached")


@pytest.fixture
def look(threads, author):
    """What another thread gets, and how."""
    return lambda function: lambda: threads(seen, function, author.pk).result()


class Held(list):
    """Runs in the background that have not begun."""

    submit = staticmethod(background.submit)

    def begin(self):
        self.submit(self.pop())
        settle()


@pytest.fixture
def held(monkeypatch):
    held = Held()
    monkeypatch.setattr(background, "submit", lambda work: bool(held.append(work)) or True)
    return held


@closable
def test_while_it_is_committed_it_is_stale_and_nothing_is_begun(
    soft, author, clock, script, look, at_opening, held
):
    # Fails (one) if runs are begun that could store nothing.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    seen_then = at_opening(lambda: (look(function)(), len(held)))
    with transaction.atomic():
        author.save()
    assert seen_then == [(([1], "STALE"), 0)]
    assert seen(function, author.pk) == ([1], "STALE")
    assert len(held) == 1


@closable
def test_a_run_that_comes_to_begin_while_it_is_committed(soft, author, clock, script, at_opening, held):
    # Fails (2 runs) if it runs although it could store nothing.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    runs_then = at_opening(lambda: (held.begin(), script.runs))
    author.save()
    assert runs_then == [(None, 1)]
    assert seen(function, author.pk) == ([1], "STALE")
    held.begin()
    assert seen(function, author.pk) == ([2], "HIT")


@closable
def test_while_it_is_committed_a_cold_call_runs_and_stores_nothing(soft, author, look, at_opening):
    # Fails (a MISS that is stored) if soft scopes are not closed.
    function = soft()
    seen_then = at_opening(look(function))
    author.save()
    assert seen_then == [([1], "BYPASS")]
    assert function.get_cache_only(author.pk) is CACHE_MISSING


@closable
def test_a_scope_that_is_closed_during_the_run(soft, author, clock, script, at_opening):
    """The run ends before the change does: its result is not stored."""
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    gate = script.stop_at(2)
    assert seen(function, author.pk) == ([1], "STALE")
    gate.wait_until_reached()

    def go_on():
        gate.open()
        settle()
        return function.get_cache_only(author.pk)

    assert at_opening(go_on) == []
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([3], "HIT")


def test_own_changes_are_seen_in_their_transaction(soft, author, clock, script):
    # Fails (STALE, or a HIT) if soft scopes are not among those that a transaction touches.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    with transaction.atomic():
        author.save()
        assert seen(function, author.pk) == ([2], "BYPASS")
        assert function.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(function, author.pk) == ([1], "STALE")


def test_nothing_is_stale_in_a_transaction_that_has_written(soft, author, clock):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    with transaction.atomic():
        Author.objects.create(name="another")  # of whom the call is not
        assert seen(function, author.pk) == ([2], "BYPASS")
    assert seen(function, author.pk) == ([1], "STALE")


def test_several_changes_in_a_transaction(soft, author, clock):
    # Fails (a MISS) if what is merged forgets that it is soft.
    function = soft()
    other = Author.objects.create(name="other")
    assert [function(author.pk), function(other.pk)] == [[1], [2]]
    clock.advance(AGE)
    with transaction.atomic():
        author.save()
        with transaction.atomic():
            other.save()
    assert [seen(function, author.pk), seen(function, other.pk)] == [([1], "STALE"), ([2], "STALE")]


def test_a_rollback_changes_nothing(soft, author, clock):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    with pytest.raises(IntegrityError), transaction.atomic():
        author.save()
        raise IntegrityError
    assert seen(function, author.pk) == ([1], "HIT")


# Those aside after which callers wait for a run that is under way, as LocMem's `clear`.
INVALIDATIONS = {name: wipe for name, wipe in WIPES.items() if name != "clear"}


@pytest.mark.parametrize("wipe", INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_a_wipe_during_the_run(soft, author, clock, script, wipe):
    function = soft([InvalidationRule(Article, field_mapping={"key": "author_id"})])
    function(author.pk)
    clock.advance(AGE)
    author.save()
    gate = script.stop_at(2)
    assert seen(function, author.pk) == ([1], "STALE")
    gate.wait_until_reached()
    wipe(function, author)
    assert seen(function, author.pk) == ([3], "MISS")
    gate.open()
    settle()
    assert seen(function, author.pk) == ([3], "HIT")


@pytest.mark.parametrize("ttl", [LONG, None])
def test_it_is_served_until_the_run_ends(soft, author, clock, script, ttl):
    # Fails (a MISS, on Redis) if what has no end cannot have its life prolonged.
    function = soft(ttl=ttl)
    function(author.pk)
    clock.advance(AGE)
    author.save()
    gate = script.stop_at(2)
    assert seen(function, author.pk) == ([1], "STALE")
    gate.wait_until_reached()
    assert seen(function, author.pk) == ([1], "STALE")
    gate.open()
    settle()
    assert seen(function, author.pk) == ([2], "HIT")


def test_without_closing(soft, author, clock, settings):
    settings.CACHE_RESULT = {"CLOSE_SCOPES": False}
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([2], "HIT")
    clock.advance(AGE)
    author.save()
    clock.advance(WINDOW)
    assert seen(function, author.pk) == ([3], "MISS")


def test_it_stands_in_for_an_error(soft, author, clock, script):
    function = soft(ttl=None, stale_while_revalidate=None, stale_if_error=WINDOW)
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert function.get_cache_only(author.pk) is CACHE_MISSING
    script.error = ValueError("no database")
    assert seen(function, author.pk) == ([1], "STALE")
    clock.advance(WINDOW)
    with pytest.raises(ValueError, match="no database"):
        function(author.pk)
    script.error = None
    clock.advance(WINDOW)
    assert seen(function, author.pk)[1] == "MISS"


@closable
def test_it_stands_in_for_an_error_while_it_is_committed(soft, author, clock, script, look, at_opening):
    function = soft(stale_while_revalidate=None, stale_if_error=WINDOW)
    function(author.pk)
    clock.advance(AGE)
    script.error = ValueError("no database")
    seen_then = at_opening(look(function))
    author.save()
    assert seen_then == [([1], "STALE")]


@closable
def test_with_a_time_to_settle_it_is_stale_until_then(soft, author, clock, script):
    function = soft(rule={"settle": 20})
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([1], "STALE")
    assert script.runs == 1
    clock.advance(WINDOW)
    assert seen(function, author.pk)[0] == [2]


def test_it_is_stale_until_it_is_rewarmed(soft, author, clock, script, threads):
    function = soft(rule={"rewarm": True})
    function(author.pk)
    clock.advance(AGE)
    gate = script.stop_at(2)
    saved = threads(author.save)
    gate.wait_until_reached()
    assert function.get_cached_metadata(author.pk)["cache_status"] == "STALE"
    assert function.get_cache_only(author.pk) == [1]
    gate.open()
    saved.result()
    assert seen(function, author.pk) == ([2], "HIT")
    assert script.runs == 2
