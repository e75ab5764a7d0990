"""Django's `TestCase` wraps every test in transactions that no user opened: tests see what users do."""

import pytest
from django.core.cache import caches
from django.db import transaction
from django.test import TestCase, TransactionTestCase

from cache_result import CACHE_MISSING, CacheStatus, InvalidationRule, cache_result
from tests.app.models import Author
from tests.invalidation.rows import rolled_back


@cache_result(
    name="test-testcase.author-name",
    cache="locmem",
    invalidates_on=[InvalidationRule(Author, field_mapping={"author_id": "pk"})],
)
def author_name(author_id):
    return Author.objects.get(pk=author_id).name


@cache_result(name="test-testcase.unrelated", cache="locmem")
def unrelated(author_id):
    return Author.objects.get(pk=author_id).name


class Promises:
    """The same statements hold in a `TestCase` and in a `TransactionTestCase`."""

    def setUp(self):
        caches["locmem"].clear()
        self.author = Author.objects.create(name="old")

    def rename(self, name):
        self.author.name = name
        self.author.save()

    def test_results_are_cached(self):
        assert author_name.get_with_metadata(self.author.pk)[1]["cache_status"] == CacheStatus.MISS
        assert author_name.get_with_metadata(self.author.pk)[1]["cache_status"] == CacheStatus.HIT
        assert unrelated(self.author.pk) == "old"
        assert unrelated.get_cache_only(self.author.pk) == "old"

    def test_a_save_invalidates_at_once(self):
        assert author_name(self.author.pk) == "old"
        self.rename("new")
        assert author_name(self.author.pk) == "new"
        assert author_name.get_cache_only(self.author.pk) == "new"

    def test_a_block_invalidates_when_it_ends(self):
        assert author_name(self.author.pk) == "old"
        with transaction.atomic():
            self.rename("new")
            status = author_name.get_with_metadata(self.author.pk)[1]["cache_status"]
            assert status == CacheStatus.BYPASS
        assert author_name(self.author.pk) == "new"
        assert author_name.get_cache_only(self.author.pk) == "new"

    def test_a_rollback_leaves_nothing(self):
        assert author_name(self.author.pk) == "old"
        with rolled_back():
            self.rename("new")
            assert [author_name(self.author.pk), unrelated(self.author.pk)] == ["new", "new"]
        assert [author_name(self.author.pk), unrelated(self.author.pk)] == ["old", "old"]

    def test_dirtiness_ends_with_the_block(self):
        with transaction.atomic():
            self.rename("new")
            assert unrelated(self.author.pk) == "new"
            assert unrelated.get_cache_only(self.author.pk) is CACHE_MISSING
        assert unrelated(self.author.pk) == "new"
        assert unrelated.get_cache_only(self.author.pk) == "new"


class InTestCase(Promises, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.before = Author.objects.create(name="before")

    def test_rows_of_the_class(self):
        assert author_name(self.before.pk) == "before"
        self.before.name = "after"
        self.before.save()
        assert author_name(self.before.pk) == "after"

    def test_callbacks_that_are_captured(self):
        assert author_name(self.author.pk) == "old"
        with self.captureOnCommitCallbacks(execute=True):
            self.rename("new")
        assert author_name(self.author.pk) == "new"


class InTransactionTestCase(Promises, TransactionTestCase):
    pass


@pytest.mark.django_db
def test_the_fixture_of_pytest_is_a_testcase():
    caches["locmem"].clear()
    author = Author.objects.create(name="old")
    assert author_name(author.pk) == "old"
    author.name = "new"
    author.save()
    assert author_name(author.pk) == "new"
    assert author_name.get_cache_only(author.pk) == "new"
