"""More than one database: the commit that counts is that of the database that the row was written to."""

import pytest
from django.db import transaction

from cache_result import CacheStatus
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    on("locmem", "file", "redis", "memcached"),
]


@pytest.fixture
def other_name(following):
    @following(Author, {"author_id": "pk"})
    def other_name(author_id):
        return Author.objects.using("other").get(pk=author_id).name

    return other_name


def test_autocommit(other_name):
    author = Author.objects.using("other").create(name="old")
    assert other_name(author.pk) == "old"
    rename(author)
    assert other_name(author.pk) == "new"


def test_the_commit_that_counts_is_that_of_the_rows_database(other_name, threads):
    author = Author.objects.using("other").create(name="old")
    assert other_name(author.pk) == "old"
    with transaction.atomic("default"):
        with transaction.atomic("other"):
            rename(author)
            assert threads(other_name, author.pk).result() == "old"
        assert threads(other_name, author.pk).result() == "new"
        assert other_name(author.pk) == "new"


def test_the_commit_of_another_database_is_none(other_name, threads):
    author = Author.objects.using("other").create(name="old")
    assert other_name(author.pk) == "old"
    with transaction.atomic("other"):
        with transaction.atomic("default"):
            rename(author)
        assert threads(other_name.get_cache_only, author.pk).result() == "old"
    assert other_name(author.pk) == "new"


def test_a_rollback_there_only(other_name, author_name, author):
    there = Author.objects.using("other").create(name="old")
    assert [other_name(there.pk), author_name(author.pk)] == ["old", "old"]
    with transaction.atomic("default"):
        rename(author)
        with rolled_back("other"):
            rename(there)
    assert [other_name(there.pk), author_name(author.pk)] == ["old", "new"]


def test_instances_saved_to_another_database(author_name, other_name, author):
    """`save(using=...)`: the database is the one written to, not the one read from."""
    assert author_name(author.pk) == "old"
    rename(author, using="other")
    assert other_name(author.pk) == "new"
    with transaction.atomic("other"):
        rename(author, "newer", using="other")
    assert other_name(author.pk) == "newer"


def test_any_dirty_database_counts(unrelated, author):
    with transaction.atomic("other"):
        Author.objects.using("other").create(name="x")
        assert unrelated.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.BYPASS
    assert unrelated.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
