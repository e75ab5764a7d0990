"""Connections that PostgreSQL gives snapshots to, however they came to that."""

import pytest
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import IsolationLevel

from cache_result import CacheStatus
from tests.app.models import Article, Author
from tests.backends import on
from tests.slow import children

pytestmark = [pytest.mark.django_db(transaction=True), on("redis")]

REPEATABLE_READ = {
    "OPTIONS isolation_level": {"isolation_level": IsolationLevel.REPEATABLE_READ},
    "OPTIONS options": {"options": r"-c default_transaction_isolation=repeatable\ read"},
}


@pytest.fixture
def connected(monkeypatch):
    """`connected(options)`: this thread's connection is made anew with them."""

    def connected(options):
        connection.close()
        for name, value in options.items():
            monkeypatch.setitem(connection.settings_dict["OPTIONS"], name, value)

    yield connected
    connection.close()


@pytest.fixture
def name(unique_name):
    return unique_name()


@pytest.fixture
def author():
    return Author.objects.create(name="old")


def set_for_the_session():
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")


@pytest.mark.parametrize("how", [*REPEATABLE_READ, "a statement"])
def test_another_process_writes(cache_alias, name, author, processes, connected, how):
    # Fails ("old", a hit) where the connection is not known as one that reads from snapshots.
    author_name = children.make_author_name(cache_alias, name)
    author_name(author.pk)
    connected(REPEATABLE_READ.get(how, {}))
    if how not in REPEATABLE_READ:
        set_for_the_session()
    with transaction.atomic():
        Article.objects.count()
        writer = processes(children.rename, cache_alias, name, author.pk, "commit")
        writer.expect("written")
        writer.say("go on")
        writer.result()
        value, metadata = author_name.get_with_metadata(author.pk)
        assert (value, metadata["cache_status"]) == ("old", CacheStatus.BYPASS)
    assert author_name(author.pk) == "new"


def test_each_statement_sees_what_is_committed(cache_alias, name, author, processes):
    """READ COMMITTED, the default: there is nothing to mind."""
    author_name = children.make_author_name(cache_alias, name)
    with transaction.atomic():
        Article.objects.count()
        writer = processes(children.rename, cache_alias, name, author.pk, "commit")
        writer.expect("written")
        writer.say("go on")
        writer.result()
        value, metadata = author_name.get_with_metadata(author.pk)
        assert (value, metadata["cache_status"]) == ("new", CacheStatus.MISS)
    assert author_name.get_cache_only(author.pk) == "new"


def test_another_session(cache_alias, name, author):
    """A new session has settings of its own."""
    author_name = children.make_author_name(cache_alias, name)
    set_for_the_session()
    connection.close()
    with transaction.atomic():
        Article.objects.count()
        assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
