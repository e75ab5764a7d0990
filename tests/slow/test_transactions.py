"""Promise 5 where transactions really overlap: processes with connections of their own to one PostgreSQL."""

import contextlib

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from cache_result import CACHE_MISSING, CacheStatus
from tests.app.models import Article, Author, Country
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back
from tests.slow import children
from tests.waiting import Gate

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    on("redis"),
]
AFTER = {"commit": "new", "rollback": "old"}
endings = pytest.mark.parametrize("ending", AFTER)


@pytest.fixture
def author():
    assert connection.vendor == "postgresql"
    return Author.objects.create(name="old")


@pytest.fixture
def name(unique_name):
    return unique_name()


@pytest.fixture
def author_name(cache_alias, name):
    return children.make_author_name(cache_alias, name)


@pytest.fixture
def unruled(cached):
    """Reads authors although no rule says so."""

    @cached
    def unruled(author_id):
        return Author.objects.get(pk=author_id).name

    return unruled


@endings
def test_others_see_a_change_with_its_commit(cache_alias, name, author_name, author, processes, ending):
    assert author_name(author.pk) == "old"
    writer = processes(children.rename, cache_alias, name, author.pk, ending)
    writer.expect("written")
    assert author_name.get_cache_only(author.pk) == "old"
    assert author_name.refresh(author.pk) == "old"
    writer.say("go on")
    assert writer.result() == ("new", "new")  # its own writes
    assert author_name(author.pk) == AFTER[ending]
    assert author_name.get_cache_only(author.pk) == AFTER[ending]


def test_a_rollback_costs_nobody_a_hit(cache_alias, name, author_name, author, processes):
    assert author_name(author.pk) == "old"
    writer = processes(children.rename, cache_alias, name, author.pk, "rollback")
    writer.expect("written")
    writer.say("go on")
    writer.result()
    assert author_name.get_cache_only(author.pk) == "old"


@endings
@pytest.mark.parametrize("started", ["before the write", "after the write"])
@pytest.mark.parametrize("landed", ["before the end", "after the end"])
def test_a_fill_that_races_a_writer(cache_alias, name, author, threads, processes, started, landed, ending):
    """A fill reads the old row. However it overlaps with the transaction, nobody gets it after COMMIT."""
    gate = Gate()
    author_name = children.make_author_name(cache_alias, name, gate.stop_here)

    def start():
        filling = threads(author_name, author.pk)
        gate.wait_until_reached()
        return filling

    def land(filling):
        gate.open()
        assert filling.result() == "old"

    filling = start() if started == "before the write" else None
    writer = processes(children.rename, cache_alias, name, author.pk, ending)
    writer.expect("written")
    filling = filling or start()
    if landed == "before the end":
        land(filling)
    writer.say("go on")
    writer.result()
    if landed == "after the end":
        if ending == "commit":
            assert author_name(author.pk) == "new"  # does not join the fill that began before
        land(filling)
    assert author_name(author.pk) == AFTER[ending]
    assert author_name.get_cache_only(author.pk) == AFTER[ending]


def test_a_fill_in_another_process_races_a_writer(cache_alias, name, author_name, author, processes):
    filling = processes(children.fill, cache_alias, name, author.pk)
    filling.expect("inside")
    with transaction.atomic():
        rename(author)
    assert author_name(author.pk) == "new"
    filling.say("go on")
    assert filling.result() == "old"
    # What it stored may take the place of the new entry, and is not valid.
    assert author_name.get_cache_only(author.pk) in ("new", CACHE_MISSING)
    assert author_name(author.pk) == "new"


@pytest.fixture
def commits_that_wait():
    """`with commits_that_wait() as wait_for_one`: a COMMIT lasts to the end of the block."""

    @contextlib.contextmanager
    def commits_that_wait():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(1)")

            def wait_for_one():
                cursor.execute("SELECT pg_advisory_lock(2)")

            yield wait_for_one
            cursor.execute("SELECT pg_advisory_unlock_all()")

    statements = """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_unlock(2); PERFORM pg_advisory_lock(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON app_author
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()
    """
    with connection.cursor() as cursor:
        cursor.execute(statements)
    yield commits_that_wait
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION wait CASCADE")


def test_a_fill_that_races_a_commit(author_name, author, threads, commits_that_wait):
    """Fails when the generations change before the COMMIT: until it is done everybody reads the old row."""
    gate = Gate()

    def write():
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SELECT pg_advisory_lock(2)")
            rename(author)
            gate.stop_here()

    assert author_name(author.pk) == "old"
    with commits_that_wait() as wait_for_one:
        writing = threads(write)
        gate.wait_until_reached()
        gate.open()
        wait_for_one()
        assert author_name(author.pk) == "old"
        assert author_name.refresh(author.pk) == "old"
    writing.result()
    assert author_name(author.pk) == "new"


def test_a_dirty_fill_is_neither_stored_nor_shared(cache_alias, name, author_name, author, processes):
    """While it runs, others do not wait for it; when it has run, nothing is left of it."""
    dirty = processes(children.fill_while_dirty, cache_alias, name, author.pk)
    dirty.expect("inside")
    assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
    assert author_name.get_cache_only(author.pk) == "old"
    author_name.delete_cache(author.pk)
    dirty.say("go on")
    assert dirty.result() == "never"
    assert author_name.get_cache_only(author.pk) is CACHE_MISSING
    assert author_name(author.pk) == "old"


def test_a_writer_does_not_wait_for_a_fill_that_waits_for_its_lock(
    cache_alias, name, author_name, author, processes
):
    """It would be a deadlock that neither PostgreSQL nor Redis could see."""
    with transaction.atomic():
        rename(author)
        filling = processes(children.fill_behind_a_lock, cache_alias, name, author.pk)
        filling.expect("inside")
        assert author_name(author.pk) == "new"
    assert filling.result() == "new"
    assert author_name(author.pk) == "new"


def test_writers_of_two_rows_at_once(cache_alias, name, author_name, author, processes):
    other = Author.objects.create(name="old")
    assert [author_name(author.pk), author_name(other.pk)] == ["old", "old"]
    with transaction.atomic():
        rename(author)
        writer = processes(children.rename, cache_alias, name, other.pk, "commit")
        writer.expect("written")
        # The other row: a hit, although this transaction and another one have written.
        assert author_name.get_cache_only(other.pk) == "old"
        writer.say("go on")
        writer.result()
        assert author_name(other.pk) == "new"
    assert [author_name(author.pk), author_name(other.pk)] == ["new", "new"]


def test_writers_of_one_row_take_turns(cache_alias, name, author_name, author, threads, processes):
    """The second writer waits for the lock of the first, and has the last word."""
    first = processes(children.rename, cache_alias, name, author.pk, "commit")
    first.expect("written")

    def write():
        with transaction.atomic():
            rename(Author(pk=author.pk), "newer")

    second = threads(write)
    first.say("go on")
    first.result()
    second.result()
    assert author_name(author.pk) == "newer"
    assert author_name.get_cache_only(author.pk) == "newer"


class TestSavepoints:
    def test_what_an_inner_block_rolls_back_never_was(self, author_name, unruled, author, threads):
        other = Author.objects.create(name="old")
        assert [author_name(author.pk), author_name(other.pk)] == ["old", "old"]
        with transaction.atomic():
            rename(author)
            with rolled_back():
                rename(other)
                assert [author_name(other.pk), unruled(other.pk)] == ["new", "new"]
            # Still dirty, by the outer block.
            assert [author_name(author.pk), unruled(author.pk)] == ["new", "new"]
            assert [author_name(other.pk), unruled(other.pk)] == ["old", "old"]
            assert threads(unruled.get_cache_only, author.pk).result() is CACHE_MISSING
        assert [author_name(author.pk), author_name(other.pk)] == ["new", "old"]
        assert [unruled(author.pk), unruled(other.pk)] == ["new", "old"]

    def test_the_outer_block_has_the_last_word(self, author_name, author, threads):
        assert author_name(author.pk) == "old"
        with rolled_back():
            with transaction.atomic():
                rename(author)
            assert author_name(author.pk) == "new"
            assert threads(author_name, author.pk).result() == "old"
        assert author_name(author.pk) == "old"

    def test_a_failed_statement(self, author_name, author):
        """Only a savepoint saves a transaction of PostgreSQL from it."""
        Country.objects.create(code="DE")
        assert author_name(author.pk) == "old"
        with transaction.atomic():
            rename(author)
            with pytest.raises(IntegrityError), transaction.atomic():
                Country.objects.create(code="DE")
            assert author_name(author.pk) == "new"
        assert author_name(author.pk) == "new"


def test_hits_are_served_in_a_transaction_that_has_failed(author_name, author):
    other = Author.objects.create(name="other")
    assert [author_name(author.pk), author_name(other.pk)] == ["old", "other"]
    with contextlib.suppress(IntegrityError), transaction.atomic():
        rename(author)
        try:
            Author.objects.create(pk=author.pk)
        finally:
            assert author_name(other.pk) == "other"
    assert author_name(author.pk) == "old"


def test_a_commit_that_fails_is_a_rollback(author_name, unruled, author):
    """Foreign keys are checked at COMMIT: the saves have succeeded, the transaction has not."""
    assert author_name(author.pk) == "old"
    with pytest.raises(IntegrityError), transaction.atomic():
        rename(author)
        Article.objects.create(author_id=author.pk + 1)
        assert [author_name(author.pk), unruled(author.pk)] == ["new", "new"]
    assert [author_name(author.pk), unruled(author.pk)] == ["old", "old"]
    assert [author_name.get_cache_only(author.pk), unruled.get_cache_only(author.pk)] == ["old", "old"]


def test_a_connection_that_the_server_ends_is_a_rollback(author_name, unruled, author, threads):
    def end(pid):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    assert author_name(author.pk) == "old"
    with pytest.raises(OperationalError), transaction.atomic():
        rename(author)
        assert [author_name(author.pk), unruled(author.pk)] == ["new", "new"]
        threads(end, connection.connection.info.backend_pid).result()
        author_name(author.pk)
    assert [author_name(author.pk), unruled(author.pk)] == ["old", "old"]
    assert [author_name.get_cache_only(author.pk), unruled.get_cache_only(author.pk)] == ["old", "old"]


class TestTwoDatabases:
    @pytest.fixture
    def there(self):
        return Author.objects.using("other").create(name="old")

    @pytest.fixture
    def other_name(self, cache_alias, name):
        return children.make_author_name(cache_alias, f"{name}-other", using="other")

    @endings
    def test_the_end_that_counts_is_that_of_the_rows_database(
        self, cache_alias, name, other_name, there, processes, ending
    ):
        assert other_name(there.pk) == "old"
        with transaction.atomic("default"):
            Author.objects.create(name="something else")
            writer = processes(children.rename, cache_alias, f"{name}-other", there.pk, ending, "other")
            writer.expect("written")
            assert other_name.get_cache_only(there.pk) == "old"
            writer.say("go on")
            assert writer.result() == ("new", "new")
            assert other_name(there.pk) == AFTER[ending]
        assert other_name(there.pk) == AFTER[ending]

    def test_one_commits_and_one_rolls_back(self, author_name, other_name, author, there, threads):
        assert [author_name(author.pk), other_name(there.pk)] == ["old", "old"]
        with transaction.atomic("default"):
            rename(author)
            with rolled_back("other"):
                rename(there)
                assert [author_name(author.pk), other_name(there.pk)] == ["new", "new"]
            assert threads(author_name, author.pk).result() == "old"
            assert other_name(there.pk) == "old"
        assert [author_name(author.pk), other_name(there.pk)] == ["new", "old"]


class TestKilledProcesses:
    def test_a_writer(self, cache_alias, name, author_name, author, processes):
        """Its transaction never was, and neither was anything of it in the cache."""
        assert author_name(author.pk) == "old"
        writer = processes(children.rename, cache_alias, name, author.pk, "commit")
        writer.expect("written")
        writer.kill()
        assert author_name.get_cache_only(author.pk) == "old"
        with transaction.atomic():  # waits until PostgreSQL has let go of the dead writer's lock
            rename(author, "newer")
        assert author_name(author.pk) == "newer"

    def test_a_leader(self, cache_alias, name, author_name, author, processes):
        """Its lease ends by itself, and what it read is forgotten with it."""
        waiting = processes(children.call, cache_alias, name, author.pk, lease := {"LEASE_TIMEOUT": 1})
        waiting.expect("ready")
        leader = processes(children.fill, cache_alias, name, author.pk, lease)
        leader.expect("inside")
        leader.kill()
        # Past Django, so that no rule sees it: the generation stays, and with it the lease.
        connection.connection.execute("UPDATE app_author SET name = 'new' WHERE id = %s", [author.pk])
        waiting.say("call")
        assert waiting.result() == "new"
        assert author_name.get_cache_only(author.pk) == "new"

    def test_a_leader_in_a_dirty_transaction(self, cache_alias, name, author_name, author, processes):
        """It never had a lease: nobody has to wait for the end of one."""
        dirty = processes(children.fill_while_dirty, cache_alias, name, author.pk)
        dirty.expect("inside")
        dirty.kill()
        assert author_name.get_with_metadata(author.pk)[1]["cache_status"] == CacheStatus.MISS
        assert author_name.get_cache_only(author.pk) == "old"
