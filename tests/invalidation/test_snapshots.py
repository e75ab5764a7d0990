"""A transaction that goes on seeing its first statement's rows stores nothing that has changed since."""

import contextlib

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import OperationalError, connection, connections, transaction

from cache_result import CacheStatus, _core, isolation
from tests.app.models import Article, Author
from tests.backends import on
from tests.invalidation.rows import is_cached, rename

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "file", "redis")]


@pytest.fixture(autouse=True)
def readers_of_sqlite_see_snapshots(transactional_db):
    """PostgreSQL is told so transaction by transaction; SQLite's readers do in WAL mode."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")
    with _deferred():
        yield
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=DELETE")


@contextlib.contextmanager
def _deferred():
    """Transactions of this thread do not begin as a writer's."""
    connection.ensure_connection()
    mode, connection.transaction_mode = getattr(connection, "transaction_mode", None), None
    yield
    connection.transaction_mode = mode


@contextlib.contextmanager
def snapshot(level="REPEATABLE READ", *, opened=True):
    """A transaction of the caller that goes on seeing what is there now."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        if opened:
            Article.objects.count()
        yield


@pytest.fixture
def settled(clock):
    """`settled()`: some time passes, after which nobody's clock says otherwise."""
    return lambda: clock.advance(60)


def status(wrapper, *args):
    return wrapper.get_with_metadata(*args)[1]["cache_status"]


def drop(wrapper, *args):
    """The entry is evicted; its generations stay."""
    wrapper.storage.cache.delete(wrapper.get_cache_key(*args))


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_rows_are_not_stored_as_current(author_name, author, threads, settled, level):
    # Fails ("old", a hit) without the question to `sees` in `fill`, and that in `get`.
    author_name(author.pk)
    settled()
    with snapshot(level):
        threads(rename, author).result()
        assert author_name(author.pk) == "old"
        assert not is_cached(author_name, author.pk)
    assert author_name(author.pk) == "new"


def test_nor_after_somebody_has_looked_at_the_new_generation(author_name, author, threads, settled):
    author_name(author.pk)
    settled()
    with snapshot():
        threads(rename, author).result()
        assert threads(author_name, author.pk).result() == "new"
        drop(author_name, author.pk)
        assert author_name(author.pk) == "old"
    assert author_name(author.pk) == "new"


def test_nor_by_a_refresh(author_name, author, threads, settled):
    author_name(author.pk)
    settled()
    with snapshot():
        threads(rename, author).result()
        assert author_name.refresh(author.pk) == "old"
    assert author_name(author.pk) == "new"


def test_nor_where_the_change_came_without_a_rule(unrelated, author, threads, settled):
    unrelated(author.pk)
    settled()

    def change():
        rename(author)
        unrelated.delete_cache(author.pk)

    with snapshot():
        threads(change).result()
        assert unrelated(author.pk) == "old"
    assert unrelated(author.pk) == "new"


def test_nor_once_a_generation_is_gone(author_name, author, threads, settled):
    """What an invalidation wrote goes after CLOSE_TIMEOUT, and what is missing may have changed."""
    author_name(author.pk)
    settled()
    with snapshot():
        threads(rename, author).result()
        cache = author_name.storage.cache
        _, own, scopes = author_name._parts((author.pk,), {})
        cache.delete_many([_core.generation_key(scope) for scope in [*scopes, own[:16]]])
        assert author_name(author.pk) == "old"
        assert author_name(author.pk) == "old"
    assert author_name(author.pk) == "new"


def test_others_do_not_share_what_is_old(cached, author, threads, settled):
    meanwhile = []

    @cached
    def author_name(author_id):
        found = Author.objects.get(pk=author_id).name
        if not meanwhile:
            meanwhile.append("")
            meanwhile[:] = [threads(author_name, author_id).result()]
        return found

    with snapshot():
        threads(rename, author).result()
        assert author_name(author.pk) == "old"
    assert meanwhile == ["new"]


def test_hits_stay_hits(author_name, author, threads):
    with snapshot():
        assert threads(author_name, author.pk).result() == "old"
        assert status(author_name, author.pk) == CacheStatus.HIT
        threads(rename, author).result()
        assert threads(author_name, author.pk).result() == "new"
        assert author_name(author.pk) == "new"  # newer than the snapshot


def test_what_has_not_changed_for_a_while_is_stored(author_name, author, settled):
    author_name(author.pk)
    settled()
    drop(author_name, author.pk)
    with snapshot():
        assert status(author_name, author.pk) == CacheStatus.MISS
        assert status(author_name, author.pk) == CacheStatus.HIT
    assert status(author_name, author.pk) == CacheStatus.HIT


def test_a_margin_for_the_clocks_of_other_hosts(author_name, author, clock):
    author_name(author.pk)
    drop(author_name, author.pk)
    clock.advance(1)
    with snapshot():
        assert status(author_name, author.pk) == CacheStatus.BYPASS
    clock.advance(2)
    with snapshot():
        assert status(author_name, author.pk) == CacheStatus.MISS


def test_a_cold_key_is_stored_by_later_transactions(author_name, author, settled):
    with snapshot():
        assert status(author_name, author.pk) == CacheStatus.BYPASS
    settled()
    with snapshot():
        assert status(author_name, author.pk) == CacheStatus.MISS
        assert status(author_name, author.pk) == CacheStatus.HIT


def test_a_transaction_that_has_seen_nothing_yet(author_name, author, threads, settled):
    author_name(author.pk)
    settled()
    with snapshot(opened=False):
        settled()
        threads(rename, author).result()
        settled()
        author_name(author.pk)
    assert author_name(author.pk) == "new"


def test_after_the_transaction(author_name, author):
    with snapshot():
        pass
    assert status(author_name, author.pk) == CacheStatus.MISS
    with contextlib.suppress(LookupError), snapshot():
        raise LookupError
    drop(author_name, author.pk)
    assert status(author_name, author.pk) == CacheStatus.MISS


def test_a_transaction_inside_the_function(cached, author, threads):
    """Its generations were read before, so that its snapshot holds all that they stand for."""

    @cached
    def author_name(author_id):
        with snapshot():
            return Author.objects.get(pk=author_id).name

    assert status(author_name, author.pk) == CacheStatus.MISS
    assert status(author_name, author.pk) == CacheStatus.HIT


async def test_async(following, author, threads, settled):
    @following(Author, {"author_id": "pk"})
    async def author_name(author_id):
        return (await Author.objects.aget(pk=author_id)).name

    def inside():
        with _deferred(), snapshot():
            threads(rename, author).result()
            assert async_to_sync(author_name)(author.pk) == "old"

    await author_name(author.pk)
    settled()
    await sync_to_async(inside)()
    assert await author_name(author.pk) == "new"
    await sync_to_async(connections.close_all)()


def test_what_cannot_be_found_out_is_asked_again(cache_alias, monkeypatch):
    """As in a transaction that has failed, whose connection lives on."""
    # Fails (True, so that nothing is stored inside of transactions any more) when that answer is kept.
    answers = ["READ COMMITTED", OperationalError]

    def ask(*args):
        answer = answers.pop()
        if answer is OperationalError:
            raise answer
        return answer

    session = connections["default"]
    isolation.connected(session)
    monkeypatch.setattr(isolation, "_ask", ask)
    found = [isolation.reads_from_snapshot(session) for _ in range(3)]
    isolation.connected(session)
    assert found == [True, False, False]
