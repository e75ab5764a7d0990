"""The cache in a table of the very database whose rows it caches: its writes are part of transactions."""

import threading

import pytest
from django.db import IntegrityError, connection, connections, transaction
from psycopg.pq import TransactionStatus

from cache_result import CacheStatus
from cache_result.exceptions import CloseError
from cache_result.invalidation.receivers import invalidate_for
from tests.app.models import Article, Author
from tests.invalidation.rows import rename, rolled_back
from tests.race.children import PARTITIONED
from tests.slow import children
from tests.waiting import Gate

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.parametrize("cache_alias", ["db"], indirect=True),
]


@pytest.fixture(autouse=True)
def nothing_is_left(transactional_db, caplog):
    """No transaction on the caller's connection by what the package does around a COMMIT; no complaint."""
    assert connection.vendor == "postgresql"
    yield
    opened = [each.connection for each in connections.all(initialized_only=True) if each.connection]
    states = {each.info.transaction_status for each in opened}
    connections.close_all()
    assert states <= {TransactionStatus.IDLE}
    assert [record.getMessage() for record in caplog.records if record.name == "cache_result"] == []


@pytest.fixture
def author():
    return Author.objects.create(name="old")


@pytest.fixture
def name(unique_name):
    return unique_name()


@pytest.fixture
def author_name(cache_alias, name):
    return children.make_author_name(cache_alias, name)


class Source:
    """A function of (a, b) that returns what it is told to."""

    def __init__(self, cached, inside=None):
        self.value = "old"

        @cached(key_constructor=PARTITIONED)
        def function(a, b):
            value = self.value
            if inside is not None:
                inside()
            return value

        self.function = function


@pytest.fixture
def source(cached):
    return Source(cached)


INVALIDATIONS = {
    "delete_cache": lambda f: f.delete_cache(1, 2),
    "delete_by_prefix": lambda f: f.delete_by_prefix(1),
    "invalidate_all": lambda f: f.invalidate_all(),
}
invalidations = pytest.mark.parametrize("invalidate", INVALIDATIONS.values(), ids=INVALIDATIONS)


class TestRules:
    def test_a_save(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        rename(author)
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["new"] * 2

    def test_a_commit(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        with transaction.atomic():
            rename(author)
            assert author_name(author.pk) == "new"
            assert threads(author_name, author.pk).result() == "old"
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["new"] * 2
        assert author_name.get_cache_only(author.pk) == "new"

    def test_a_rollback(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        with rolled_back():
            rename(author)
            assert author_name(author.pk) == "new"
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["old"] * 2

    def test_a_savepoint(self, author_name, author, threads):
        other = Author.objects.create(name="old")
        assert [author_name(author.pk), author_name(other.pk)] == ["old", "old"]
        with transaction.atomic():
            rename(author)
            with rolled_back():
                rename(other)
                assert author_name(other.pk) == "new"
            assert author_name(other.pk) == "old"
        assert threads(author_name, author.pk).result() == "new"
        assert threads(author_name, other.pk).result() == "old"

    def test_manual_transactions(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        transaction.set_autocommit(False)
        try:
            rename(author)
            transaction.commit()
            assert threads(author_name, author.pk).result() == "new"
            rename(author, "never")
            transaction.rollback()
            assert threads(author_name, author.pk).result() == "new"
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert author_name(author.pk) == "new"

    def test_rows_of_another_database(self, cache_alias, name, threads):
        author_name = children.make_author_name(cache_alias, name, using="other")
        author = Author.objects.using("other").create(name="old")
        assert author_name(author.pk) == "old"
        with transaction.atomic("other"):
            rename(author)
            assert threads(author_name, author.pk).result() == "old"
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["new"] * 2

    def test_a_commit_that_fails(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        with pytest.raises(IntegrityError), transaction.atomic():
            rename(author)
            Article.objects.create(author_id=author.pk + 1)
            assert author_name(author.pk) == "new"
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["old"] * 2
        rename(author)
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["new"] * 2

    def test_a_call_when_the_transaction_has_committed(self, author_name, author, threads):
        seen = []
        assert author_name(author.pk) == "old"
        with transaction.atomic():
            rename(author)
            transaction.on_commit(lambda: seen.append(author_name(author.pk)))
        assert [*seen, threads(author_name, author.pk).result()] == ["new"] * 2

    def test_rewarm(self, cached, author, threads):
        runs = []

        @cached(invalidates_on=[children.rule(rewarm=True)])
        def author_name(author_id):
            runs.append(Author.objects.get(pk=author_id).name)
            return runs[-1]

        assert author_name(author.pk) == "old"
        with transaction.atomic():
            rename(author)
        assert threads(author_name, author.pk).result() == "new"
        assert runs == ["old", "new"]

    @pytest.mark.parametrize("ending", ["commit", "rollback"])
    def test_a_writer_in_another_process(self, cache_alias, name, author_name, author, processes, ending):
        assert author_name(author.pk) == "old"
        writer = processes(children.rename, cache_alias, name, author.pk, ending)
        writer.expect("written")
        assert author_name(author.pk) == "old"
        assert author_name.refresh(author.pk) == "old"
        writer.say("go on")
        assert writer.result() == ("new", "new")
        assert author_name(author.pk) == {"commit": "new", "rollback": "old"}[ending]


class TestTheMomentOfCommit:
    """Nobody gets older data from COMMIT on: the generations are committed with the rows."""

    def test_a_call_in_another_thread(self, author_name, author, threads, at_opening):
        # Fails ("old") without `renew_inside` in `Targets.close`.
        assert author_name(author.pk) == "old"
        seen = at_opening(lambda: threads(author_name, author.pk).result())
        with transaction.atomic():
            rename(author)
            assert threads(author_name, author.pk).result() == "old"
        assert seen == ["new"]
        assert author_name.get_cache_only(author.pk) == "new"  # it was stored, and stays

    def test_a_call_in_another_process(self, cache_alias, name, author_name, author, processes, at_opening):
        assert author_name(author.pk) == "old"
        reader = processes(children.call, cache_alias, name, author.pk)
        reader.expect("ready")

        def look():
            reader.say("call")
            return reader.result()

        seen = at_opening(look)
        with transaction.atomic():
            rename(author)
        assert seen == ["new"]

    def test_manual_transactions(self, author_name, author, threads, at_opening):
        assert author_name(author.pk) == "old"
        seen = at_opening(lambda: threads(author_name, author.pk).result())
        transaction.set_autocommit(False)
        try:
            rename(author)
            transaction.commit()
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert seen == ["new"]

    @pytest.mark.parametrize(
        "change", [rename, lambda author: Author.objects.filter(pk=author.pk).update(name="new")]
    )
    def test_without_a_transaction(self, author_name, author, threads, at_opening, change):
        # Fails ("old") when caches that are tables are left out of closing.
        assert author_name(author.pk) == "old"
        seen = at_opening(lambda: threads(author_name.get_with_metadata, author.pk).result())
        change(author)
        assert [(value, metadata["cache_status"]) for value, metadata in seen] == [
            ("new", CacheStatus.BYPASS)
        ]
        assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
        assert author_name.get_cache_only(author.pk) == "new"

    def test_rows_of_another_database(self, cache_alias, name, threads, at_opening):
        author_name = children.make_author_name(cache_alias, name, using="other")
        author = Author.objects.using("other").create(name="old")
        assert author_name(author.pk) == "old"
        seen = at_opening(lambda: threads(author_name, author.pk).result())
        with transaction.atomic("other"):
            rename(author)
        assert seen == ["new"]

    def test_rows_of_another_database_while_a_transaction_is_open_on_the_table(
        self, cache_alias, name, threads
    ):
        """It is rolled back, and with it what was written in it; the rows have changed all the same."""
        author_name = children.make_author_name(cache_alias, name, using="other")
        author = Author.objects.using("other").create(name="old")
        assert author_name(author.pk) == "old"
        with rolled_back():
            with transaction.atomic("other"):
                rename(author)
            assert author_name(author.pk) == "new"
        # Fails ("old") without what `invalidate` records as owed.
        assert author_name(author.pk) == "new"
        assert threads(author_name, author.pk).result() == "new"

    def test_likewise_when_it_is_committed(self, cache_alias, name, threads):
        author_name = children.make_author_name(cache_alias, name, using="other")
        author = Author.objects.using("other").create(name="old")
        assert author_name(author.pk) == "old"
        with transaction.atomic(), transaction.atomic("other"):
            rename(author)
        assert [author_name(author.pk), threads(author_name, author.pk).result()] == ["new", "new"]

    def test_two_transactions_that_write_in_opposite_order(self, author_name, author, threads):
        """Both come to their COMMIT at the same moment. (PostgreSQL counts deadlocks when the scopes that are
        given to `renew_inside` are not sorted.)"""

        def deadlocks():
            with connection.cursor() as cursor:
                cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
                return cursor.fetchone()[0]

        before = deadlocks()
        authors = [author, *(Author.objects.create(name="old") for _ in range(5))]
        for one in authors:
            author_name(one.pk)
        start = threading.Barrier(2, timeout=30)
        mine, yours = [Article.objects.create(author=author) for _ in range(2)]

        def write(article, order):
            with transaction.atomic():
                for one in order:
                    # Not their rows, over which the database itself would have them meet.
                    invalidate_for(one)
                Article.objects.filter(pk=article.pk).update(title="new")
                start.wait()

        for _ in range(10):
            there = threads(write, mine, authors), threads(write, yours, authors[::-1])
            for outcome in there:
                outcome.result()
        assert set(Article.objects.values_list("title", flat=True)) == {"new"}
        assert deadlocks() == before


class TestFills:
    """Others need not wait for the transaction that a fill is part of, nor can it ruin theirs."""

    def test_in_a_transaction(self, source, threads):
        with transaction.atomic():
            assert source.function(1, 2) == "old"
            assert source.function(1, 2) == "old"
            # The same key elsewhere, meanwhile.
            assert threads(source.function, 1, 2).result() == "old"
        assert source.function(1, 2) == "old"
        assert threads(source.function.get_cache_only, 1, 2).result() == "old"

    def test_in_a_transaction_that_is_rolled_back(self, source, threads):
        with rolled_back():
            assert source.function(1, 2) == "old"
            assert threads(source.function, 1, 2).result() == "old"
        source.value = "new"
        source.function.delete_cache(1, 2)
        assert source.function(1, 2) == "new"

    def test_a_fill_in_a_transaction_of_what_another_one_has_filled(self, source, threads):
        """Both transactions are open to the end of the test."""
        gate = Gate()

        def fill(*keys):
            with transaction.atomic():
                for key in keys:
                    source.function(1, key)
                gate.stop_here()

        first = threads(fill, 1, 2)
        gate.wait_until_reached()
        with transaction.atomic():
            assert [source.function(1, key) for key in (2, 1)] == ["old", "old"]
            gate.open()
            first.result()
            Author.objects.create()
        assert Author.objects.count() == 1

    def test_two_transactions_that_fill_in_opposite_order(self, source, threads):
        """PostgreSQL would end a deadlock by ruining the transaction of one of them."""
        gates = {1: Gate(), 2: Gate()}

        def fill(first, second):
            with transaction.atomic():
                source.function(1, first)
                gates[first].stop_here()
                source.function(1, second)
                Author.objects.create()

        there = threads(fill, 1, 2), threads(fill, 2, 1)
        for gate in gates.values():
            gate.wait_until_reached()
        for gate in gates.values():
            gate.open()
        for outcome in there:
            outcome.result()
        assert Author.objects.count() == 2

    def test_a_killed_process(self, cache_alias, name, author_name, author, processes):
        dirty = processes(children.fill_while_dirty, cache_alias, name, author.pk)
        dirty.expect("inside")
        dirty.kill()
        assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
        assert author_name.get_cache_only(author.pk) == "old"


class TestInvalidations:
    @invalidations
    def test_in_a_transaction(self, source, threads, invalidate):
        assert source.function(1, 2) == "old"
        with transaction.atomic():
            source.value = "new"
            invalidate(source.function)
            assert source.function(1, 2) == "new"
        assert threads(source.function, 1, 2).result() == "new"
        assert source.function(1, 2) == "new"

    @invalidations
    def test_in_a_dirty_transaction(self, source, threads, invalidate):
        assert source.function(1, 2) == "old"
        with transaction.atomic():
            Author.objects.create()
            source.value = "new"
            invalidate(source.function)
            assert source.function(1, 2) == "new"
        source.function.delete_cache(1, 2)
        assert threads(source.function, 1, 2).result() == "new"

    @invalidations
    def test_in_a_transaction_that_is_rolled_back(self, source, threads, invalidate):
        assert source.function(1, 2) == "old"
        with rolled_back():
            invalidate(source.function)
        assert threads(source.function, 1, 2).result() == "old"

    @invalidations
    def test_of_a_fill_under_way(self, cached, threads, invalidate):
        gate = Gate()
        source = Source(cached, gate.stop_here)
        filling = threads(source.function, 1, 2)
        gate.wait_until_reached()
        source.value = "new"
        with transaction.atomic():
            invalidate(source.function)
        gate.open()
        assert filling.result() == "old"
        assert source.function(1, 2) == "new"

    @invalidations
    def test_two_transactions(self, source, threads, invalidate):
        """Each waits at most for the other's end."""
        gate = Gate()

        def first():
            with transaction.atomic():
                invalidate(source.function)
                gate.stop_here()
                Author.objects.create()

        def second():
            with transaction.atomic():
                invalidate(source.function)
                Author.objects.create()

        assert source.function(1, 2) == "old"
        outcomes = [threads(first)]
        gate.wait_until_reached()
        outcomes.append(threads(second))
        gate.open()
        for outcome in outcomes:
            outcome.result()
        assert Author.objects.count() == 2


def test_a_missing_table_does_not_ruin_the_transaction_of_the_caller(source, caplog):
    """A failed statement would; what it was good for can be had without a cache."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE cache_table RENAME TO moved")
    try:
        with transaction.atomic():
            assert source.function(1, 2) == "old"
            Author.objects.create()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE moved RENAME TO cache_table")
    assert Author.objects.count() == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()


class TestATableThatCannotBeWritten:
    @pytest.fixture(autouse=True)
    def table_is_gone_at_the_commit(self, author_name, author):
        assert author_name(author.pk) == "old"
        yield
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE IF EXISTS moved RENAME TO cache_table")

    def write(self, author):
        with transaction.atomic():
            rename(author)
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE cache_table RENAME TO moved")

    def test_the_commit_goes_on(self, author_name, author, caplog):
        self.write(author)
        assert Author.objects.get(pk=author.pk).name == "new"
        assert "could not be told of a change" in caplog.text
        caplog.clear()

    def test_or_is_stopped(self, author_name, author, caplog, settings):
        settings.CACHE_RESULT = {"ON_CLOSE_FAILURE": "raise"}
        with pytest.raises(CloseError):
            self.write(author)
        assert author_name(author.pk) == "old"
        assert Author.objects.get(pk=author.pk).name == "old"
        caplog.clear()
