"""How long the cache of an async view keeps the event loop from everything else.

That it does no I/O there is shown by tests/responses/test_event_loop.py; here is what it computes. The time
is that of the loop's own thread, so that other work of the machine does not count.
"""

import asyncio
import gc
import itertools
import time

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from cache_result import cache_response
from tests.backends import on

LONGEST = 0.020  # seconds
BODY = b"x" * 200_000


@pytest.fixture
def turns(monkeypatch):
    """The time that each turn of the loop took."""
    seen = []
    run = asyncio.Handle._run

    def timed(self):
        began = time.thread_time()
        run(self)
        seen.append(time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    return seen


@on("memory", "locmem", "redis")
async def test_no_turn_of_the_loop_is_long(cache_alias, turns, unique_name):
    runs = itertools.count(1)

    @cache_response(cache=cache_alias, name=unique_name())
    async def view(request):
        await asyncio.sleep(0)
        return HttpResponse(BODY, headers={"X-Run": next(runs), "Vary": "X-Name"})

    def asking(n):
        return RequestFactory().get(f"/{n % 20}/", headers={"X-Name": str(n % 3)})

    await asyncio.gather(*(view(asking(n)) for n in range(5)))
    herds = [[asking(n) for n in range(120)] for _ in range(5)]
    gc.collect()
    gc.disable()
    try:
        await asyncio.sleep(0)
        turns.clear()
        for herd in herds:
            responses = await asyncio.gather(*map(view, herd))
            assert {len(response.content) for response in responses} == {len(BODY)}
        await asyncio.sleep(0)
    finally:
        gc.enable()
    assert next(runs) <= 61
    assert len(turns) > 600
    assert max(turns) < LONGEST
