"""`rewarm=True`: after a commit the calls that the change concerns are computed before anybody asks."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from cache_result import CACHE_MISSING, CacheKeyField, CacheStatus
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "redis", "memcached")]


@pytest.fixture
def warm(following):
    runs = []

    @following(Author, {"author_id": "pk"}, rewarm=True)
    def warm(author_id):
        runs.append(author_id)
        return Author.objects.get(pk=author_id).name

    return warm, runs


def test_a_save_computes_the_new_value(warm):
    function, runs = warm
    author = Author.objects.create(name="old")
    assert function(author.pk) == "old"
    author.name = "new"
    author.save()
    assert function.get_cache_only(author.pk) == "new"
    assert function.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.HIT
    assert len(runs) == 2


def test_a_creation_does_not(warm):
    function, runs = warm
    author = Author.objects.create(name="new")
    assert runs == []
    assert function.get_cache_only(author.pk) is CACHE_MISSING


def test_a_deletion_does_not(warm):
    function, runs = warm
    author = Author.objects.create(name="old")
    function(author.pk)
    author.delete()
    assert len(runs) == 1


def test_a_rewarm_that_fails_disturbs_nobody(following, caplog):
    broken = False

    @following(Author, {"author_id": "pk"}, rewarm=True)
    def function(author_id):
        if broken:
            raise LookupError("cannot rewarm")
        return "fine"

    author = Author.objects.create()
    assert function(author.pk) == "fine"
    broken = True
    author.save()
    assert "cannot rewarm" in caplog.text
    assert function.get_cache_only(author.pk) is CACHE_MISSING


def test_a_key_that_cannot_be_built_disturbs_nobody(following, caplog):
    # Raises into the caller's `save()` when only unkeyable values are expected.
    class Broken(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            raise LookupError("no key")

    @following(Author, {"author_id": "pk"}, rewarm=True, key_constructor={"fields": {"broken": Broken()}})
    def function(author_id):
        return author_id

    Author.objects.create().save()
    assert "no key" in caplog.text


def test_arguments_without_names_are_not_rewarmed(following, caplog):
    # Fails (an error in the log at every save) when the call is made by names all the same.
    @following(Author, {"author_id": "pk"}, rewarm=True)
    def function(author_id, /):
        return author_id

    Author.objects.create().save()
    assert not caplog.records


def test_what_the_mapping_cannot_fill_is_not_rewarmed(following):
    runs = []

    @following(Author, {"author_id": "pk"}, rewarm=True)
    def function(author_id, language):
        runs.append(language)
        return len(runs)

    author = Author.objects.create()
    assert function(author.pk, "en") == 1
    author.save()
    assert runs == ["en"]
    assert function(author.pk, "en") == 2


def test_rewarming_an_async_function(following):
    runs = []

    @following(Author, {"author_id": "pk"}, rewarm=True)
    async def function(author_id):
        runs.append(author_id)
        return len(runs)

    author = Author.objects.create()
    assert async_to_sync(function)(author.pk) == 1
    author.save()
    assert async_to_sync(function.aget_cache_only)(author.pk) == 2


def test_rewarm_waits_for_the_commit(following, author):
    runs = []

    @following(Author, {"author_id": "pk"}, rewarm=True)
    def function(author_id):
        runs.append(connection.in_atomic_block)
        return Author.objects.get(pk=author_id).name

    assert function(author.pk) == "old"
    with transaction.atomic():
        rename(author)
        rename(author, "newer")
        assert len(runs) == 1
    assert function.get_cache_only(author.pk) == "newer"
    assert runs == [False, False]
    with rolled_back():
        rename(author, "never")
    assert len(runs) == 2
