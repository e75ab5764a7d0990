"""Promise 5: a transaction is respected. Nothing uncommitted is stored or shared; COMMIT invalidates."""

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections, transaction

from cache_result import CACHE_MISSING, CacheStatus
from tests.app.models import Article, Author
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back
from tests.waiting import Gate

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    # Not "db": SQLite has one writer, so other threads could not write to the cache table meanwhile.
    on("locmem", "file", "redis", "memcached"),
]

BYPASSED = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}


def test_others_see_the_change_with_the_commit(author_name, author, threads):
    assert author_name(author.pk) == "old"
    with transaction.atomic():
        rename(author)
        assert threads(author_name, author.pk).result() == "old"
        # An open transaction costs nobody a hit.
        assert threads(author_name.get_cache_only, author.pk).result() == "old"
    assert threads(author_name, author.pk).result() == "new"
    assert author_name(author.pk) == "new"


def test_own_writes_are_seen(author_name, author):
    assert author_name(author.pk) == "old"
    with transaction.atomic():
        rename(author)
        assert author_name.get_with_metadata(author.pk) == ("new", BYPASSED)
        assert author_name.get_cache_only(author.pk) is CACHE_MISSING
        assert author_name.get_cached_metadata(author.pk) is None
    assert author_name(author.pk) == "new"


def test_a_rollback_leaves_nothing_behind(author_name, unrelated, author):
    """Fails when fills of a dirty transaction are stored."""
    assert author_name(author.pk) == "old"
    with rolled_back():
        rename(author)
        assert [author_name(author.pk), unrelated(author.pk)] == ["new", "new"]
        assert [author_name.refresh(author.pk), unrelated.refresh(author.pk)] == ["new", "new"]
    assert unrelated.get_cache_only(author.pk) is CACHE_MISSING
    assert author_name.get_cache_only(author.pk) in ("old", CACHE_MISSING)
    assert [author_name(author.pk), unrelated(author.pk)] == ["old", "old"]


@pytest.mark.parametrize(
    "write",
    [
        lambda author: Author.objects.filter(pk=author.pk).update(name="new"),
        lambda author: rename(author),
        lambda author: _raw("UPDATE app_author SET name = 'new'"),
        lambda author: _raw("WITH x AS (SELECT 1) UPDATE app_author SET name = 'new'"),
        lambda author: _raw("/* note */ UPDATE app_author SET name = 'new'"),
    ],
    ids=["update", "save", "raw", "with", "comment"],
)
def test_any_write_makes_a_transaction_dirty(unrelated, author, write):
    with rolled_back():
        write(author)
        assert unrelated.get_with_metadata(author.pk) == ("new", BYPASSED)
    assert unrelated(author.pk) == "old"


def _raw(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_hits_of_untouched_scopes_are_served_in_a_dirty_transaction(author_name, author):
    other = Author.objects.create(name="other")
    assert author_name(other.pk) == "other"
    with transaction.atomic():
        rename(author)
        value, metadata = author_name.get_with_metadata(other.pk)
        assert (value, metadata["cache_status"]) == ("other", CacheStatus.HIT)


def test_reading_does_not_make_dirty(author_name, author):
    with transaction.atomic():
        assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
    assert author_name.get_cache_only(author.pk) == "old"


def test_dirtiness_ends_with_the_transaction(unrelated, author):
    with transaction.atomic():
        rename(author)
    assert unrelated(author.pk) == "new"
    assert unrelated.get_cache_only(author.pk) == "new"
    with rolled_back():
        rename(author, "newer")
    unrelated.delete_cache(author.pk)
    assert unrelated(author.pk) == "new"
    assert unrelated.get_cache_only(author.pk) == "new"


def test_a_dirty_fill_is_not_shared(cached, author, threads):
    """Another thread that asks for the same key meanwhile runs the function itself."""
    gate = Gate()

    @cached
    def function(author_id):
        name = Author.objects.get(pk=author_id).name
        if name == "new":
            gate.stop_here()
        return name

    def dirty():
        with transaction.atomic():
            rename(author)
            assert function(author.pk) == "new"
            transaction.set_rollback(True)

    filling = threads(dirty)
    gate.wait_until_reached()
    assert function(author.pk) == "old"
    gate.open()
    filling.result()
    assert function(author.pk) == "old"


def test_a_dirty_caller_does_not_join_a_clean_fill(cached, author, threads):
    """It would not see its own write."""
    gate = Gate()

    @cached
    def function(author_id):
        name = Author.objects.get(pk=author_id).name
        if name == "old":
            gate.stop_here()
        return name

    filling = threads(function, author.pk)
    gate.wait_until_reached()
    with transaction.atomic():
        rename(author)
        assert function(author.pk) == "new"
    gate.open()
    assert filling.result() == "old"


def test_an_inner_rollback_is_respected(author_name, author):
    assert author_name(author.pk) == "old"
    with transaction.atomic():
        with rolled_back():
            rename(author)
        assert author_name(author.pk) == "old"
    assert author_name(author.pk) == "old"


def test_an_inner_block_is_no_commit(author_name, author, threads):
    assert author_name(author.pk) == "old"
    with transaction.atomic():
        with transaction.atomic():
            rename(author)
        assert threads(author_name.get_cache_only, author.pk).result() == "old"
    assert author_name(author.pk) == "new"


def test_targets_are_read_when_the_signal_fires(following, author):
    """What happens to the instance between save and commit changes nothing."""

    @following(Article, {"author_id": "author_id"})
    def titles(author_id):
        return sorted(Article.objects.filter(author=author_id).values_list("title", flat=True))

    other = Author.objects.create(name="other")
    assert [titles(author.pk), titles(other.pk)] == [[], []]
    with transaction.atomic():
        article = Article(author=author, title="a")
        article.save()
        article.author = other
        article.pk = None
    assert titles.get_cache_only(author.pk) is CACHE_MISSING
    assert titles(author.pk) == ["a"]


def test_a_deletion_in_a_transaction(author_name, author):
    """After `delete` the instance has no primary key any more."""
    pk = author.pk
    assert author_name(pk) == "old"
    with transaction.atomic():
        author.delete()
    with pytest.raises(Author.DoesNotExist):
        author_name(pk)


def test_a_failing_callback_of_the_project_does_not_stop_it(author_name, author):
    """Django drops the callbacks behind one that raises, although the COMMIT succeeded."""

    def fail():
        raise LookupError("callback of the project")

    assert author_name(author.pk) == "old"

    def save():
        with transaction.atomic():
            transaction.on_commit(fail)
            rename(author)

    with pytest.raises(LookupError):
        save()
    assert author_name(author.pk) == "new"


def test_a_closed_connection_ends_the_transaction(unrelated, author):
    connection.set_autocommit(False)
    rename(author)
    assert unrelated.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.BYPASS
    connections["default"].close()
    assert unrelated.get_with_metadata(author.pk)[0] == "old"
    assert unrelated.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.HIT


def test_manual_transactions(author_name, author):
    assert author_name(author.pk) == "old"
    transaction.set_autocommit(False)
    try:
        rename(author)
        transaction.rollback()
        assert author_name(author.pk) == "old"
        author.refresh_from_db()
        rename(author)
        transaction.commit()
        assert author_name(author.pk) == "new"
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


async def test_async_calls_see_the_transaction_around_them(following):
    """`async_to_sync` inside `atomic`: the loop is not in the block, yet the function reads its rows."""

    @following(Author, {"author_id": "pk"})
    async def author_name(author_id):
        return (await Author.objects.aget(pk=author_id)).name

    def view():
        author = Author.objects.create(name="old")
        assert async_to_sync(author_name)(author.pk) == "old"
        with rolled_back():
            rename(author)
            assert async_to_sync(author_name)(author.pk) == "new"
        assert async_to_sync(author_name)(author.pk) == "old"

    await sync_to_async(view)()
    await sync_to_async(connections.close_all)()
