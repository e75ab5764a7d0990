"""Soft rules: what they invalidate counts as expired, from the first change on."""

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.db import transaction
from django.http import HttpResponse

from cache_result import CACHE_MISSING, InvalidationRule, cache_response, invalidate_for
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import SOFT_WINDOW as WINDOW
from tests.freshness.conftest import aseen, asettle, seen, settle, softly
from tests.invalidation.rows import rename, rolled_back

SHARED = ["file", "redis", "django_redis", "django_redis_json", "memcached"]
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    on("locmem", "memory", *SHARED),
]


def test_the_old_value_until_there_is_a_new_one(name, names, author):
    other = Author.objects.create(name="other")
    assert (seen(name, author.pk), seen(name, other.pk)) == ((["first"], "MISS"), (["other"], "MISS"))
    gate = names.stop_at(3)
    rename(author, "second")
    assert seen(name, author.pk) == (["first"], "STALE")
    assert seen(name, other.pk) == (["other"], "HIT")
    gate.wait_until_reached()
    assert [seen(name, author.pk) for _ in range(5)] == [(["first"], "STALE")] * 5
    gate.open()
    settle()
    assert seen(name, author.pk) == (["second"], "HIT")
    assert names.runs == 3


async def test_the_same_on_a_loop(cached, names, author):
    @cached(invalidates_on=[softly()], ttl=3600, stale_while_revalidate=WINDOW)
    async def name(author_id):
        return await sync_to_async(names)(author_id)

    assert await aseen(name, author.pk) == (["first"], "MISS")
    await sync_to_async(rename)(author, "second")
    assert await aseen(name, author.pk) == (["first"], "STALE")
    await asettle()
    assert await aseen(name, author.pk) == (["second"], "HIT")


def test_peeking(name, names, author, clock):
    name(author.pk)
    rename(author, "second")
    assert name.get_cache_only(author.pk) == ["first"]
    assert name.get_cached_metadata(author.pk)["cache_status"] == "STALE"
    clock.advance(WINDOW + 1)
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    assert name.get_cached_metadata(author.pk) is None
    assert names.runs == 1


def test_the_window_begins_with_the_first_change(name, names, author, clock):
    """Fails when the last change counts: nobody reads, so nobody makes a new one."""
    name(author.pk)
    clock.advance(1000)
    rename(author, "second")
    clock.advance(WINDOW - 10)
    rename(author, "third")
    clock.advance(9)
    assert name.get_cache_only(author.pk) == ["first"]
    clock.advance(2)
    rename(author, "fourth")
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(name, author.pk) == (["fourth"], "MISS")
    assert names.runs == 2


def test_what_was_over_stays_over(name, author, clock):
    """Fails when a later change notes that it replaces what was replaced before."""
    name(author.pk)
    rename(author, "second")
    clock.advance(WINDOW + 1)
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    rename(author, "third")
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    clock.advance(1)
    rename(author, "fourth")
    assert name.get_cache_only(author.pk) is CACHE_MISSING


def test_changes_far_from_each_other(name, author, clock):
    name(author.pk)
    for text in ("second", "third", "fourth"):
        before = name(author.pk)
        clock.advance(WINDOW * 2)
        rename(author, text)
        assert seen(name, author.pk) == (before, "STALE")
        settle()
        assert seen(name, author.pk) == ([text], "HIT")


def test_changes_in_quick_succession(name, names, author, clock):
    """What was made in between is served as well."""
    name(author.pk)
    clock.advance(1000)
    rename(author, "second")
    name(author.pk)
    settle()
    assert seen(name, author.pk) == (["second"], "HIT")
    clock.advance(5)
    rename(author, "third")
    gate = names.stop_at(3)
    assert seen(name, author.pk) == (["second"], "STALE")
    gate.wait_until_reached()
    clock.advance(5)
    rename(author, "fourth")
    assert seen(name, author.pk) == (["second"], "STALE")
    gate.open()
    settle()
    # What was read before a change is not taken for fresh after it, nor stored over what was read since.
    assert seen(name, author.pk) == (["fourth"], "HIT")


def test_hard_ways_are_hard(name, author):
    """Never stale across a wipe or a deletion."""
    ways = [
        lambda: name.delete_cache(author.pk),
        lambda: name.delete_by_prefix(author.pk),
        name.invalidate_all,
        caches[name._alias].clear,
    ]
    for number, way in enumerate(ways):
        name(author.pk)
        settle()
        rename(author, f"name {number}")
        assert name.get_cache_only(author.pk) is not CACHE_MISSING
        way()
        assert name.get_cache_only(author.pk) is CACHE_MISSING
        rename(author, f"again {number}")
        assert seen(name, author.pk) == ([f"again {number}"], "MISS")


def test_a_hard_rule_beside_it(decorate, author):
    hard = InvalidationRule(Author, watch_fields=["email"], field_mapping={"author_id": "pk"})
    name = decorate(softly(watch_fields=["name"]), hard)
    name(author.pk)
    rename(author, "second")
    assert name.get_cache_only(author.pk) == ["first"]
    author.email = "a@example.org"
    author.save()
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    assert seen(name, author.pk) == (["second"], "MISS")


def test_without_field_mapping(decorate, cached, names, author):
    @cached(invalidates_on=[softly(mapping=False)], ttl=3600, stale_while_revalidate=WINDOW)
    def everybody():
        return list(Author.objects.values_list("name", flat=True))

    assert everybody() == ["first"]
    rename(author, "second")
    assert seen(everybody) == (["first"], "STALE")
    settle()
    assert seen(everybody) == (["second"], "HIT")


def test_by_hand(name, author):
    name(author.pk)
    with transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="second")
    settle()
    invalidate_for(author)
    assert name.get_cache_only(author.pk) == ["first"]
    invalidate_for(Author)
    assert name.get_cache_only(author.pk) == ["first"]
    assert seen(name, author.pk)[1] == "STALE"
    settle()
    assert seen(name, author.pk) == (["second"], "HIT")


def test_own_writes_are_seen(name, author, threads):
    name(author.pk)
    with transaction.atomic():
        rename(author, "second")
        assert seen(name, author.pk) == (["second"], "BYPASS")
        assert name.get_cache_only(author.pk) is CACHE_MISSING
        assert threads(seen, name, author.pk).result() == (["first"], "HIT")
    assert seen(name, author.pk) == (["first"], "STALE")


def test_not_in_a_transaction_that_has_written(name, author):
    """Whatever it has written, what is stale is not served in it."""
    other = Author.objects.create(name="other")
    name(author.pk)
    rename(author, "second")
    with transaction.atomic():
        rename(other, "changed")
        assert seen(name, author.pk) == (["second"], "BYPASS")


def test_rolled_back(name, author):
    name(author.pk)
    with rolled_back():
        rename(author, "second")
    settle()
    assert name(author.pk) == ["first"]


def test_while_it_is_committed(name, names, author, threads, at_opening):
    """Others get the old value, and nothing is run that could not be stored."""
    look = at_opening(lambda: threads(seen, name, author.pk).result())
    name(author.pk)
    rename(author, "second")
    assert look == [(["first"], "STALE")]
    settle()
    assert names.runs == 1
    assert seen(name, author.pk) == (["first"], "STALE")


def test_while_it_is_committed_and_nothing_is_there(name, author, threads, at_opening):
    look = at_opening(lambda: threads(seen, name, author.pk).result())
    rename(author, "second")
    assert look == [(["second"], "BYPASS")]
    assert name.get_cache_only(author.pk) is CACHE_MISSING


def test_without_closing(name, author, settings):
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "CLOSE_SCOPES": False}
    name(author.pk)
    rename(author, "second")
    assert seen(name, author.pk) == (["first"], "STALE")
    settle()
    assert seen(name, author.pk) == (["second"], "HIT")


def test_results_that_never_expire(decorate, author, clock):
    name = decorate(ttl=None)
    name(author.pk)
    clock.advance(10**7)
    assert seen(name, author.pk) == (["first"], "HIT")
    rename(author, "second")
    assert seen(name, author.pk) == (["first"], "STALE")
    settle()
    rename(author, "third")
    clock.advance(WINDOW + 1)
    assert seen(name, author.pk) == (["third"], "MISS")


def test_in_place_of_errors(decorate, names, author, clock):
    """As for what has expired."""
    name = decorate(stale_while_revalidate=None, stale_if_error=WINDOW)
    name(author.pk)
    rename(author, "second")
    assert seen(name, author.pk) == (["second"], "MISS")
    rename(author, "third")
    key = author.pk
    author.delete()
    assert seen(name, key) == (["second"], "STALE")


def test_with_rewarm(decorate, author):
    name = decorate(softly(rewarm=True))
    name(author.pk)
    rename(author, "second")
    assert seen(name, author.pk) == (["second"], "HIT")


def test_more_targets_than_are_named_apart(decorate, author, settings):
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "MAX_SCOPES_PER_TRANSACTION": 2}
    name = decorate()
    others = [Author.objects.create(name="other") for _ in range(5)]
    name(author.pk)
    untouched = Author.objects.create(name="untouched")
    name(untouched.pk)
    with transaction.atomic():
        for each in (author, *others):
            rename(each, "second")
    assert seen(name, untouched.pk) == (["untouched"], "STALE")
    assert seen(name, author.pk) == (["first"], "STALE")


def test_many_at_once(name, author):
    others = [Author.objects.create(name=f"other {number}") for number in range(3)]
    keys = [each.pk for each in (author, *others)]
    name.get_many(keys)
    for each in others:
        rename(each, "changed")
    assert name.get_many(keys) == [["first"], ["other 0"], ["other 1"], ["other 2"]]
    assert name.cache_info().stale == 3
    settle()
    assert name.get_many(keys) == [["first"], ["changed"], ["changed"], ["changed"]]


def test_responses(cache_alias, unique_name, author, clock, rf):
    @cache_response(
        cache=cache_alias,
        name=unique_name(),
        ttl=3600,
        stale_while_revalidate=WINDOW,
        public=True,
        set_cache_headers=True,
        invalidates_on=[softly()],
    )
    def view(request, author_id):
        return HttpResponse(Author.objects.get(pk=author_id).name)

    def get():
        response = view(rf.get("/"), author.pk)
        response.close()
        return response

    assert get().content == b"first"
    clock.advance(100)
    rename(author, "second")
    stale = get()
    assert (stale.content, stale["X-Cache-status"], stale["Age"]) == (b"first", "STALE", "100")
    settle()
    fresh = get()
    assert (fresh.content, fresh["X-Cache-status"], fresh["Age"]) == (b"second", "HIT", "0")
