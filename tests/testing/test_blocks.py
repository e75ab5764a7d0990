"""`cache_results_off`, `cache_results_on_commit`, `cache_results_shared`, the clock, and worlds."""

import asyncio
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.transaction import Atomic
from django.test import override_settings

from cache_result import CACHE_MISSING, CacheStatus, InvalidationRule, KeyConstructor, worlds
from cache_result.conf import get_settings
from cache_result.testing import (
    cache_clock,
    cache_results_off,
    cache_results_on_commit,
    cache_results_shared,
    forget_cache_results,
)
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back
from tests.waiting import Threads


@pytest.fixture(autouse=True)
def back_in_the_real_world():
    yield
    worlds.enter(worlds.REAL)


class TestOff:
    pytestmark = on("locmem", "memory", "redis")

    def test_every_call_runs(self, make_inc):
        inc = make_inc()
        assert inc() == 1
        with cache_results_off():
            assert inc() == 2
            assert inc.get_with_metadata()[1]["cache_status"] == CacheStatus.BYPASS
            assert inc.get_cache_only() is CACHE_MISSING
            assert inc.refresh() == 4
        assert inc() == 1

    def test_in_other_threads_too(self, make_inc, threads: Threads):
        inc = make_inc()
        with cache_results_off():
            assert [threads(inc).result() for _ in range(2)] == [1, 2]

    def test_the_rest_of_the_settings_stays(self, make_inc):
        with override_settings(CACHE_RESULT={"CACHE": "locmem", "CLOSE_TIMEOUT": 7}), cache_results_off():
            assert (get_settings().ENABLED, get_settings().CLOSE_TIMEOUT) == (False, 7)

    def test_as_a_decorator(self, make_inc, make_ainc):
        inc, ainc = make_inc(), make_ainc()

        @cache_results_off()
        def twice():
            return inc(), inc()

        @cache_results_off()
        async def atwice():
            return await ainc(), await ainc()

        assert (twice(), asyncio.run(atwice())) == ((1, 2), (1, 2))
        assert inc() == inc() == 3

    async def test_around_async_code(self, make_ainc):
        ainc = make_ainc()
        async with cache_results_off():
            assert [await ainc(), await ainc()] == [1, 2]
        assert await ainc() == await ainc() == 3

    def test_the_setting_does_the_same_in_the_middle_of_a_test(self, make_inc, settings):
        inc = make_inc()
        assert inc() == inc() == 1
        settings.CACHE_RESULT = {**settings.CACHE_RESULT, "ENABLED": False}
        assert [inc(), inc()] == [2, 3]
        with override_settings(CACHE_RESULT={"ENABLED": True}):
            assert inc() == 1
        assert inc() == 4


def test_classes_are_not_decorated():
    with pytest.raises(TypeError, match=r"cache_results_off\(\) is no decorator of classes such as Tests"):

        @cache_results_off()
        class Tests:
            pass


class Error(Exception):
    pass


@pytest.fixture
def told(cached):
    """What a custom invalidator was told."""
    told = []

    def tell(wrapper, instance):
        told.append(instance.name)
        if instance.name == "bad":
            raise Error

    rule = InvalidationRule(Author, invalidator=tell, raise_exception=True)
    cached(invalidates_on=[rule])(lambda author_id: author_id)
    return told


@pytest.fixture
def author():
    return Author.objects.create(name="old")


@pytest.fixture
def warm(cached):
    @cached(invalidates_on=[InvalidationRule(Author, field_mapping={"author_id": "pk"}, rewarm=True)])
    def warm(author_id):
        warm.runs += 1
        return Author.objects.get(pk=author_id).name

    warm.runs = 0
    return warm


@on("locmem", "memory")
@pytest.mark.django_db
class TestOnCommitInsideATestCase:
    """pytest-django's `db` is a TestCase's transaction."""

    @pytest.fixture(autouse=True)
    def block(self):
        with cache_results_on_commit():
            yield

    @pytest.mark.parametrize("savepoint", [True, False])
    def test_invalidators_run_when_the_outermost_block_ends(self, told, author, savepoint):
        told.clear()
        with transaction.atomic(savepoint=savepoint):
            with transaction.atomic():
                rename(author, "one")
            rename(author, "two")
            assert told == []
        assert told == ["one", "two"]

    def test_rewarming_too(self, warm, author):
        with transaction.atomic():
            rename(author, "new")
        assert warm.get_cache_only(author.pk) == "new"

    def test_what_djangos_own_blocks_do_is_told(self, told, author):
        told.clear()
        author.delete()
        assert told == ["old"]

    def test_a_rollback_tells_nothing(self, told, warm, author):
        told.clear()
        assert warm(author.pk) == "old"
        with rolled_back():
            rename(author, "new")
        with transaction.atomic():
            rename(author, "new")
            transaction.set_rollback(True)
        assert told == []
        assert warm.get_cache_only(author.pk) == "old"
        assert warm.runs == 1

    def test_errors_reach_the_writer(self, told, author):
        with pytest.raises(Error), transaction.atomic():
            rename(author, "bad")
        rename(author, "good")
        assert told[-1] == "good"


@on("locmem")
@pytest.mark.django_db
def test_without_it_they_wait_for_the_next_call(told, warm, author):
    told.clear()
    with transaction.atomic():
        rename(author, "new")
    assert told == []
    assert warm(author.pk) == "new"
    assert told == ["new"]


@on("locmem")
@pytest.mark.django_db(transaction=True)
def test_a_real_commit_tells_once(told, author):
    told.clear()
    with cache_results_on_commit(), transaction.atomic():
        rename(author, "new")
    assert told == ["new"]


def test_djangos_class_is_as_it_was():
    before = Atomic.__exit__
    with cache_results_on_commit(), cache_results_on_commit():
        assert Atomic.__exit__ is not before
    assert Atomic.__exit__ is before


@on("locmem", "redis")
class TestTheWorld:
    def test_forgetting_empties_the_cache(self, make_inc):
        inc = make_inc()
        assert inc() == 1
        forget_cache_results()
        assert inc.get_cache_only() is CACHE_MISSING
        assert inc() == 2
        forget_cache_results(keep_entries=True)
        assert inc.cache_info().misses == 0
        assert inc() == 2

    def test_what_was_closed_elsewhere_is_not_closed_here(self, make_inc):
        inc = make_inc()
        inc.storage.close([inc._function_scope()], 1)
        assert inc.get_with_metadata()[1]["cache_status"] == CacheStatus.BYPASS
        forget_cache_results()
        assert inc.get_with_metadata()[1]["cache_status"] == CacheStatus.MISS

    def test_keys_are_those_of_production_where_it_is_shared(self, make_inc):
        inc = make_inc()
        inc()
        key, explained = inc.get_cache_key(), str(inc.explain_key())
        forget_cache_results()
        assert inc.get_cache_key() != key
        assert inc() == 2
        with cache_results_shared():
            assert (inc.get_cache_key(), str(inc.explain_key())) == (key, explained)
            assert inc() == 1
        assert inc() == 2

    def test_versions_of_other_worlds_are_not_deleted(self, cached):
        def function():
            return 1

        class Key(KeyConstructor):
            class Meta:
                namespace, key_identifier = "worlds", "versions-in-worlds"

        class Newer(Key):
            class Meta:
                version = 2

        old = cached(key_constructor=Key, name=None)(function)
        old()
        forget_cache_results()
        new = cached(key_constructor=Newer, name=None)(function)
        assert new.key_constructor.delete_previous_versions() == 0
        with cache_results_shared():
            assert old.get_cache_only() == 1
        old()
        assert new.key_constructor.delete_previous_versions() == 1


class TestClock:
    pytestmark = on("locmem", "memory", "redis")

    def test_entries_expire(self, make_inc):
        inc = make_inc(ttl=60)
        with cache_clock() as clock:
            assert inc() == 1
            clock.advance(59)
            assert inc() == 1
            clock.advance(timedelta(seconds=2))
            assert inc() == 2
            clock.advance(0.5)
            assert inc() == 2


def test_the_clock_does_not_go_back():
    with cache_clock() as clock, pytest.raises(ValueError, match="cannot be advanced by -1 seconds"):
        clock.advance(-1)
