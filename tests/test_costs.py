"""Promise 3: what things cost, counted by the server. One read is one round trip, a wipe is one write."""

import contextlib

import pytest
import redis

from cache_result import ArgsKeyField, InvalidationRule
from tests.app.models import Author
from tests.backends import on
from tests.settings import redis_url

pytestmark = on("redis", "django_redis", "django_redis_json")

PARTITIONED = {
    "fields": {
        "a": ArgsKeyField("a", partition=True),
        "b": ArgsKeyField("b", partition=True),
        "c": ArgsKeyField("c"),
    }
}
# Connecting is not part of an operation.
_ASIDE = {"config|resetstat", "info", "select", "client|setinfo", "hello"}


class Server:
    """Counts the commands that the Redis server has executed."""

    def __init__(self, client):
        self._client = client

    @contextlib.contextmanager
    def executing(self, *expected):
        self._client.config_resetstat()
        yield
        stats = self._client.info("commandstats")
        counts = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        executed = sorted(name for name, calls in counts.items() if name not in _ASIDE for _ in range(calls))
        assert executed in [sorted(choice) for choice in expected], executed


@pytest.fixture
def server(cache_alias):
    with contextlib.closing(redis.Redis.from_url(redis_url("redis", 9), decode_responses=True)) as client:
        yield Server(client)


@pytest.fixture
def function(cached):
    @cached(key_constructor=PARTITIONED)
    def function(a, b, c):
        return c

    return function


def test_a_hit_is_one_round_trip(function, server):
    function(1, 2, 3)
    with server.executing(["mget"]):
        assert function(1, 2, 3) == 3
    with server.executing(["mget"]):
        assert function.get_cache_only(1, 2, 3) == 3
    with server.executing(["mget"]):
        function.get_with_metadata(1, 2, 3)


async def test_an_async_hit_is_one_round_trip(cached, server):
    @cached(key_constructor=PARTITIONED)
    async def function(a, b, c):
        return c

    await function(1, 2, 3)
    with server.executing(["mget"]):
        assert await function(1, 2, 3) == 3


def test_a_hit_with_rules_is_one_round_trip(cached, server):
    rules = [InvalidationRule(Author, field_mapping={"a": "pk"})]

    @cached(invalidates_on=rules)
    def function(a):
        return a

    function(1)
    with server.executing(["mget"]):
        function(1)


def test_a_bypass_and_a_key_cost_nothing(function, server):
    with server.executing([]):
        function.bypass_cache(1, 2, 3)
        function.get_cache_key(1, 2, 3)


@pytest.mark.parametrize("entries", [1, 1000])
def test_a_wipe_is_one_write_however_much_it_reaches(function, server, entries):
    for number in range(entries):
        function(1, 2, number)
    for wipe in (
        lambda: function.delete_by_prefix(1),
        lambda: function.delete_by_prefix(1, 2),
        function.invalidate_all,
    ):
        # A script, which looks whether a writer has the scope closed.
        with server.executing(["eval", "exists", "set"]):
            wipe()
    assert function.get_cached_metadata(1, 2, 0) is None


def test_a_deletion_is_a_write_and_a_deletion(function, server):
    function(1, 2, 3)
    with server.executing(["set", "del"], ["set", "unlink"]):
        function.delete_cache(1, 2, 3)


def test_a_key_without_a_call_is_pure(function, server):
    """Building keys does no I/O, however often."""
    with server.executing([]):
        assert len({function.get_cache_key(1, 2, number) for number in range(100)}) == 100
