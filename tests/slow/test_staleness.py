"""Promise 1 under fire: processes that write, invalidate and read, and every read audited."""

import contextlib

import pytest

from tests.app.models import Author
from tests.backends import on
from tests.slow import children

WRITERS, READERS = 2, 3


@pytest.fixture
def hammer(cache_alias, unique_name, processes):
    """`hammer(write, read, rounds, *more)`: what the readers saw while each writer made its rounds."""

    def hammer(write, read, rounds, *more):
        name = unique_name()
        with contextlib.closing(children.shared_state()) as state:
            state.flushdb()
            state.set(f"{name}:writing", WRITERS)
        writers = [processes(write, cache_alias, name, each, rounds, *more) for each in range(WRITERS)]
        readers = [processes(read, cache_alias, name, each, WRITERS, *more) for each in range(READERS)]
        for child in [*readers, *writers]:
            child.expect("ready")
        for child in [*readers, *writers]:
            child.say("start")
        for writer in writers:
            writer.result()
        return [reader.result() for reader in readers]

    return hammer


def check(audits):
    assert [stale for _, _, stale in audits] == [[]] * READERS
    # It was a fight: every reader was served from the cache, and had to fill it.
    assert all(0 < hits < reads for reads, hits, _ in audits)


@pytest.mark.django_db(transaction=True)
@on("redis", "db")
def test_no_read_is_older_than_an_invalidation_that_returned(hammer, redis_server):
    check(hammer(children.change_versions, children.read_versions, 200))


@pytest.mark.django_db(transaction=True)
@on("redis", "db")
def test_no_read_is_older_than_a_commit_that_returned(hammer, redis_server):
    pks = [Author.objects.create(name="0").pk for _ in range(3)]
    check(hammer(children.change_rows, children.read_rows, 120, pks))


@pytest.mark.django_db(transaction=True)
@on("redis")
def test_no_read_is_older_than_what_the_database_has_shown(hammer, redis_server):
    # Fails when scopes are not closed before the COMMIT, or a bulk statement.
    pks = [Author.objects.create(name="0").pk for _ in range(WRITERS)]
    check(hammer(children.change_own_rows, children.read_rows_beside, 400, pks))
