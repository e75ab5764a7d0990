"""What a call that ends early, or a value that does not load, leaves behind: nothing."""

import asyncio
import contextlib

import pytest
import redis

from cache_result.storage import Storage
from tests.backends import on
from tests.race.test_flights import Herd
from tests.settings import redis_url


class Unloadable:
    """Pickles, and does not unpickle."""

    def __init__(self, one, two):
        pass

    def __reduce__(self):
        return (Unloadable, (1,))


@on("locmem", "redis")
def test_a_value_that_does_not_load_is_computed_by_everyone(cached, threads):
    # Fails (the waiters get a TypeError) when their copies must load.
    herd = Herd(4)

    @cached
    def function():
        herd.wait_for_all()
        return Unloadable(1, 2)

    def call():
        herd.announce()
        return function()

    outcomes = [threads(call) for _ in range(herd.size)]
    assert all(isinstance(outcome.result(), Unloadable) for outcome in outcomes)
    assert isinstance(function(), Unloadable)


@on("redis")
@pytest.mark.parametrize("moment", ["claim", "put", "store"])
async def test_a_call_that_is_cancelled_leaves_no_lease(cached, cache_alias, monkeypatch, moment):
    # Fails (a lease stays, and the next call waits for its end) when only the run gives it back.
    perform = Storage.aperform

    async def cancelled(self, name, *args):
        result = await perform(self, name, *args)
        if name == moment:
            raise asyncio.CancelledError
        return result

    @cached
    async def function():
        return "value"

    with monkeypatch.context() as cancelling:
        cancelling.setattr(Storage, "aperform", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await function()
    with contextlib.closing(redis.Redis.from_url(redis_url("redis", 0))) as client:
        assert not client.keys("*cr:l:*")
    assert await function() == "value"
