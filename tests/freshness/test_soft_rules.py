"""Soft rules: what they invalidate is served while it is made anew, in a window from the change on."""

from datetime import datetime

import pytest
from django.core.cache import caches

from cache_result import CACHE_MISSING, InvalidationRule, _core, invalidate_for
from tests.app.models import Article, Author
from tests.backends import on
from tests.freshness.conftest import AGE, LONG, WINDOW, aseen, asettle, seen, settle
from tests.waiting import Threads

pytestmark = pytest.mark.django_db(transaction=True)

SHARED = on("file", "db", "redis", "django_redis_json", "memcached")


def test_a_change_makes_it_stale(soft, author, clock, script):
    function = soft()
    other = Author.objects.create(name="other")
    assert (seen(function, author.pk), seen(function, other.pk)) == (([1], "MISS"), ([2], "MISS"))
    clock.advance(AGE)
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([3], "HIT")
    assert seen(function, other.pk) == ([2], "HIT")
    assert script.runs == 3


async def test_a_change_makes_it_stale_async(ascripted, author, clock, script):
    rule = InvalidationRule(Author, field_mapping={"key": "pk"}, soft=True)
    function = ascripted(ttl=LONG, stale_while_revalidate=WINDOW, invalidates_on=[rule])
    assert await aseen(function, author.pk) == ([1], "MISS")
    clock.advance(AGE)
    await author.asave()
    assert await function(author.pk) == [1]
    await asettle()
    assert await aseen(function, author.pk) == ([2], "HIT")
    await author.asave()
    assert await aseen(function, author.pk) == ([2], "STALE")
    await asettle()
    assert await aseen(function, author.pk) == ([3], "HIT")
    assert script.runs == 3


def test_a_herd_after_a_change_waits_for_nobody(soft, author, clock, script):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    gate = script.stop_at(2)
    herd = Threads()
    outcomes = [herd(seen, function, author.pk) for _ in range(30)]
    assert [outcome.result() for outcome in outcomes] == [([1], "STALE")] * 30
    gate.wait_until_reached()
    gate.open()
    settle()
    herd.join()
    assert seen(function, author.pk) == ([2], "HIT")
    assert script.runs == 2


@pytest.mark.parametrize("ttl", [LONG, None])
def test_the_window_begins_with_the_change(soft, author, clock, script, ttl):
    function = soft(ttl=ttl)
    function(author.pk)
    clock.advance(AGE)
    before = _core.clock_now()
    author.save()
    metadata = function.get_cached_metadata(author.pk)
    assert metadata["cache_status"] == "STALE"
    reset_at = datetime.fromisoformat(metadata["cache_reset_at"]).timestamp() * 1000
    assert before <= round(reset_at) <= _core.clock_now()
    clock.advance(WINDOW - 1)
    assert function.get_cache_only(author.pk) == [1]
    clock.advance(1)
    assert function.get_cache_only(author.pk) is CACHE_MISSING
    assert function.get_cached_metadata(author.pk) is None
    assert seen(function, author.pk) == ([2], "MISS")
    assert seen(function, author.pk) == ([2], "HIT")
    assert script.runs == 2


def test_it_begins_with_the_first_of_several_changes(soft, author, clock):
    # Fails (gone too early) if a later change takes the place of what is known of the first one.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    for _ in range(2):
        clock.advance(10)
        author.save()
    clock.advance(WINDOW - 20 - 1)
    assert function.get_cache_only(author.pk) == [1]
    clock.advance(1)
    author.save()
    assert function.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(function, author.pk) == ([2], "MISS")


def test_a_window_after_the_other(soft, author, clock):
    # Fails (a MISS) if what is known of a change is not replaced when it is of no use any more.
    function = soft()
    function(author.pk)
    for run in range(1, 4):
        clock.advance(AGE)
        author.save()
        assert seen(function, author.pk) == ([run], "STALE")
        settle()
        assert seen(function, author.pk) == ([run + 1], "HIT")


def test_changes_in_a_row(soft, author, clock, script):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([2], "HIT")
    assert script.runs == 2


def test_a_change_during_the_run(soft, author, clock, script):
    # Fails ([2] is a HIT) if soft scopes are no part of the fence.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    gate = script.stop_at(2)
    assert seen(function, author.pk) == ([1], "STALE")
    gate.wait_until_reached()
    author.save()
    gate.open()
    settle()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([3], "HIT")


def test_a_refresh_from_before_the_change_does_not_keep_out_the_run(soft, author, clock, script, threads):
    # Fails ([1] or [2], STALE) if whatever was stored in between counts as newer.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    refreshing = script.stop_at(2)
    refresh = threads(function.refresh, author.pk)
    refreshing.wait_until_reached()
    author.save()
    renewing = script.stop_at(3)
    assert seen(function, author.pk) == ([1], "STALE")
    renewing.wait_until_reached()
    refreshing.open()
    assert refresh.result() == [2]
    assert seen(function, author.pk)[1] == "STALE"
    renewing.open()
    settle()
    assert seen(function, author.pk) == ([3], "HIT")


def test_a_change_during_the_first_run(soft, author, clock, script, threads):
    function = soft()
    gate = script.stop_at(1)
    first = threads(seen, function, author.pk)
    gate.wait_until_reached()
    author.save()
    gate.open()
    assert first.result() == ([1], "MISS")
    status = seen(function, author.pk)
    assert status in (([1], "STALE"), ([2], "MISS"))  # where the store refuses what is outdated
    settle()
    assert seen(function, author.pk) == ([2], "HIT")


WIPES = {
    "delete_cache": lambda function, author: function.delete_cache(author.pk),
    "delete_by_prefix": lambda function, author: function.delete_by_prefix(author.pk),
    "invalidate_all": lambda function, author: function.invalidate_all(),
    "clear": lambda function, author: function.storage.cache.clear(),
    "a hard rule": lambda function, author: Article.objects.create(author=author, title="new"),
}


@pytest.mark.parametrize("wipe", WIPES.values(), ids=WIPES)
def test_what_is_wiped_is_never_served(soft, author, clock, wipe):
    function = soft([InvalidationRule(Article, field_mapping={"key": "author_id"})])
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert function.get_cache_only(author.pk) == [1]
    wipe(function, author)
    assert function.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(function, author.pk) == ([2], "MISS")


def test_what_has_been_wiped_is_not_served_after_a_soft_change(soft, author, clock):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    function.invalidate_all()
    author.save()
    assert seen(function, author.pk) == ([2], "MISS")


def test_a_hard_rule_of_the_same_change_wins(soft, author, clock):
    function = soft([InvalidationRule(Author, field_mapping={"key": "pk"}, watch_fields=["name"])])
    function(author.pk)
    clock.advance(AGE)
    author.save()
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    clock.advance(AGE)
    author.name = "new"
    author.save()
    assert seen(function, author.pk) == ([3], "MISS")


def test_of_an_old_entry_nobody_knows_since_when_it_is_stale(soft, author, clock, monkeypatch):
    # Fails (STALE) if it is taken for stale since now.
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    monkeypatch.setattr(type(function.storage), "remember", lambda *args: False)
    author.save()
    assert function.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(function, author.pk) == ([2], "MISS")


@on("locmem", "file", "db", "redis", "memcached")  # the generations of MemoryCache are older than entries
def test_of_a_young_entry_its_age_tells(soft, author, clock, monkeypatch):
    function = soft()
    function(author.pk)
    clock.advance(WINDOW - 2)
    monkeypatch.setattr(type(function.storage), "remember", lambda *args: False)
    author.save()
    assert function.get_cache_only(author.pk) == [1]
    clock.advance(2)
    assert function.get_cache_only(author.pk) is CACHE_MISSING


@SHARED
def test_what_is_known_of_the_change_is_lost(soft, author, clock):
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    (scope, _) = function._fired_scopes({"key": author.pk}, True)
    cache, key = caches[function.storage.alias], _core.grace_key(scope)
    assert cache.get(key) is not None
    cache.delete(key)
    assert seen(function, author.pk) == ([2], "MISS")


@SHARED
def test_a_generation_that_is_not_there_is_a_changed_one(soft, author, clock):
    """As the short-lived ones of writers are after a while."""
    function = soft()
    function(author.pk)
    clock.advance(AGE)
    author.save()
    (scope, _) = function._fired_scopes({"key": author.pk}, True)
    caches[function.storage.alias].delete(_core.generation_key(scope))
    assert seen(function, author.pk) == ([1], "STALE")
    settle()
    assert seen(function, author.pk) == ([2], "HIT")


def test_changes_that_name_no_call(soft, author, clock):
    function = soft()
    assert [function(author.pk), function(None)] == [[1], [2]]
    clock.advance(AGE)
    author.save()
    # Any author may be among those that it is about.
    for key, number in (author.pk, 1), (None, 2):
        assert seen(function, key) == ([number], "STALE")
        settle()  # one after the other: SQLite has one writer
    clock.advance(AGE)
    invalidate_for(Author)
    assert [seen(function, author.pk)[1], seen(function, None)[1]] == ["STALE"] * 2


def test_both_kinds_of_rules_beyond_so_many_scopes(soft, author, clock, settings):
    settings.CACHE_RESULT = {"MAX_SCOPES_PER_TRANSACTION": 1}
    function = soft()
    other = Author.objects.create(name="other")
    assert [function(author.pk), function(other.pk)] == [[1], [2]]
    clock.advance(AGE)
    author.save()
    assert [seen(function, author.pk)[1], seen(function, other.pk)[1]] == ["STALE"] * 2


def test_scopes_of_soft_rules_are_shown(soft, author):
    names = [scope.name for scope in soft().explain_key(author.pk).scopes]
    assert names == [
        "every entry of the function",
        "rules that map key",
        "every entry of the function, for soft rules",
        "soft rules that map key",
        "this entry",
    ]
