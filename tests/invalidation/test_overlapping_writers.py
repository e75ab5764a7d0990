"""Two writers of the same scope, one of whom is done while the other is about to commit."""

import pytest
import redis

from cache_result import CacheStatus
from cache_result.invalidation.targets import Targets
from tests.app.models import Author
from tests.backends import on

pytestmark = pytest.mark.django_db(transaction=True)
# Elsewhere there is one mark for all: see the README.
atomically = on("locmem", "redis", "django_redis", "django_redis_json")


class Writer:
    """Who is about to commit a change of the author's calls."""

    def __init__(self, function, author):
        self.targets = Targets()
        self.targets.add(function, function._fired_scopes({"author_id": author.pk}))
        self.targets.close()

    def is_done(self):
        self.targets.invalidate()

    def gives_up(self):
        self.targets.release()


@pytest.fixture
def status(author_name, author):
    """`status()`: how a call resolves, which stores what it can."""
    return lambda: author_name.get_with_metadata(author.pk)[1]["cache_status"]


@atomically
@pytest.mark.parametrize("end", [Writer.is_done, Writer.gives_up])
@pytest.mark.parametrize("first_to_finish", [0, 1])
def test_the_scope_opens_when_the_last_of_them_is_done(author_name, author, status, first_to_finish, end):
    # Fails (MISS, whose value the other's COMMIT makes stale) when an opening erases the other's mark.
    writers = [Writer(author_name, author), Writer(author_name, author)]
    end(writers.pop(first_to_finish))
    assert status() == CacheStatus.BYPASS
    writers.pop().is_done()
    assert [status(), status()] == [CacheStatus.MISS, CacheStatus.HIT]


@atomically
@pytest.mark.parametrize(
    "invalidate",
    [
        lambda function, author: function.invalidate_all(),
        lambda function, author: Author.objects.filter(pk=author.pk).update(name="new"),
    ],
    ids=["by hand", "by a statement"],
)
def test_what_is_invalidated_meanwhile_opens_nothing(author_name, author, status, invalidate):
    writer = Writer(author_name, author)
    invalidate(author_name, author)
    assert status() == CacheStatus.BYPASS
    writer.is_done()
    assert [status(), status()] == [CacheStatus.MISS, CacheStatus.HIT]


@on("redis")
def test_a_writer_who_dies_keeps_nobody_out_for_ever(author_name, author, status):
    Writer(author_name, author)
    survivor = Writer(author_name, author)
    client = author_name.storage.cache._cache.get_client(None, write=True)
    kept = client.keys("*:w")
    for writers in kept:
        assert 0 < client.pttl(writers) <= 60_000
        assert 0 < client.pttl(writers.removesuffix(b":w")) <= 60_000
        # Everybody's time is over.
        client.zadd(writers, dict.fromkeys(client.zrange(writers, 0, -1), 1))
    survivor.is_done()
    assert [status(), status()] == [CacheStatus.MISS, CacheStatus.HIT]
    assert not client.exists(*kept)


@on("redis", "django_redis")
def test_a_server_without_scripts(author_name, author, status, monkeypatch):
    """There marks are what they are elsewhere."""
    monkeypatch.setattr(redis.Redis, "eval", _refuse)
    assert author_name(author.pk) == "old"
    writer = Writer(author_name, author)
    assert status() == CacheStatus.BYPASS
    writer.is_done()
    assert [status(), status()] == [CacheStatus.MISS, CacheStatus.HIT]


def _refuse(*args):
    raise redis.ResponseError("unknown command 'EVAL'")
