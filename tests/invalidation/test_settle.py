"""`settle=`: calls stay closed after a commit, while the read replicas of the database catch up."""

import pytest
from django.db import OperationalError, connection, transaction

from cache_result import CacheStatus, InvalidationRule, _core
from cache_result.invalidation.targets import Targets
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import is_cached, rename

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "file", "redis", "memcached")]


@pytest.fixture
def author_name(cached, author):
    """Cached already. No rule has seen the author's creation."""

    rule = InvalidationRule(Author, field_mapping={"author_id": "pk"}, settle=30)

    @cached(invalidates_on=[rule])
    def author_name(author_id):
        return Author.objects.get(pk=author_id).name

    author_name(author.pk)
    assert is_cached(author_name, author.pk)
    return author_name


@pytest.fixture
def pass_time(author_name, author, clock):
    """`pass_time(seconds, over)`: as the index counts them, and the cache when it is over."""

    def pass_time(seconds, *, over):
        clock.advance(seconds)
        if over:
            scopes = author_name._fired_scopes({"author_id": author.pk})
            author_name.storage.cache.delete_many([_core.generation_key(scope) for scope in scopes])

    return pass_time


def status(wrapper, *args):
    return wrapper.get_with_metadata(*args)[1]["cache_status"]


def save(author):
    rename(author)


def save_in_a_transaction(author):
    with transaction.atomic():
        rename(author)


def update(author):
    Author.objects.filter(pk=author.pk).update(name="new")


changes = pytest.mark.parametrize("change", [save, save_in_a_transaction])


@changes
def test_calls_stay_closed(author_name, author, pass_time, change):
    # Fails (a miss, stored) without `_keep_closed` in `Targets.invalidate`.
    change(author)
    assert status(author_name, author.pk) == CacheStatus.BYPASS
    pass_time(29, over=False)
    assert status(author_name, author.pk) == CacheStatus.BYPASS
    assert not is_cached(author_name, author.pk)
    pass_time(2, over=True)
    assert status(author_name, author.pk) == CacheStatus.MISS
    assert author_name.get_cache_only(author.pk) == "new"


def test_a_bulk_statement(author_name, author):
    update(author)
    assert status(author_name, author.pk) == CacheStatus.BYPASS


@changes
def test_without_closing_before_the_commit(author_name, author, settings, change):
    settings.CACHE_RESULT = {"CLOSE_SCOPES": False}
    change(author)
    assert status(author_name, author.pk) == CacheStatus.BYPASS


def test_a_commit_in_doubt(author_name, author, monkeypatch, pass_time):
    """It may have happened: as if it had."""
    commit = connection._commit

    def lost():
        commit()
        raise OperationalError("the connection was lost")

    with pytest.raises(OperationalError), transaction.atomic():
        rename(author)
        monkeypatch.setattr(connection, "_commit", lost)
    monkeypatch.undo()
    pass_time(29, over=False)
    assert status(author_name, author.pk) == CacheStatus.BYPASS


def test_a_rollback(author_name, author):
    with transaction.atomic():
        rename(author)
        transaction.set_rollback(True)
    assert status(author_name, author.pk) == CacheStatus.HIT


def test_many_scopes_are_the_whole_function(author_name, author, settings):
    settings.CACHE_RESULT = {"MAX_SCOPES_PER_TRANSACTION": 2}
    with transaction.atomic():
        for _ in range(3):
            Author.objects.create()
    assert status(author_name, author.pk) == CacheStatus.BYPASS


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"settle": -1}, ValueError),
        ({"settle": float("inf")}, ValueError),
        ({"settle": float("nan")}, ValueError),
        ({"settle": True}, TypeError),
        ({"settle": "2"}, TypeError),
        ({"settle": 2, "rewarm": True}, ValueError),
    ],
)
def test_what_it_cannot_be(cache_alias, options, error):
    with pytest.raises(error, match="settle="):
        InvalidationRule(Author, **options)


def test_another_writer_who_does_not_settle(cache_alias, author_name, author):
    """He opens what he has closed himself; where there is one mark for all, he opens that."""
    save(author)
    targets = Targets()
    targets.add(author_name, author_name._fired_scopes({"author_id": author.pk}))
    targets.close()
    targets.invalidate()
    expected = CacheStatus.BYPASS if cache_alias in {"locmem", "redis"} else CacheStatus.MISS
    assert status(author_name, author.pk) == expected
