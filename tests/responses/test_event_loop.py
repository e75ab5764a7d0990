"""An async view's event loop does none of the cache's I/O, and nothing else that may block."""

import asyncio
import threading

import pytest
import redis.connection
from django.core.cache.backends.filebased import FileBasedCache
from django.http import HttpResponse
from django.test import AsyncClient

from tests.backends import on


@pytest.fixture
def talking(monkeypatch):
    """The threads that talk with Redis or look into files, by what they did."""
    seen = []

    def watch(cls, name):
        original = getattr(cls, name)

        def watched(*args, **kwargs):
            seen.append((name, threading.current_thread()))
            return original(*args, **kwargs)

        monkeypatch.setattr(cls, name, watched)

    for name in ("connect", "send_packed_command", "read_response"):
        watch(redis.connection.AbstractConnection, name)
    for name in ("get", "set", "_write_content", "_is_expired", "delete"):
        watch(FileBasedCache, name)
    return seen


async def everything(respond, serve, cache):
    """Misses, hits, variants, refreshes, private responses, HEAD, and all of a wrapper's methods."""

    @respond(cache=cache)
    async def view(request):
        response = HttpResponse("page", headers={"Vary": "X-Name"})
        if "private" in request.GET:
            response.set_cookie("a", "b")
        return response

    serve(view)
    client = AsyncClient()
    for path in ("/", "/?private"):
        for headers in ({}, {"X-Name": "a"}, {"X-Name": "a", "Cache-Control": "no-cache"}):
            for _ in range(2):
                assert (await client.get(path, headers=headers)).content == b"page"
        await client.head(path)
    responses = await asyncio.gather(*(client.get("/herd/") for _ in range(10)))
    assert {response.content for response in responses} == {b"page"}
    request = responses[0].asgi_request
    for method in ("get_with_metadata", "get_cache_only", "refresh", "bypass_cache", "delete_cache"):
        await getattr(view, f"a{method}")(request)
    await view.ainvalidate_all()


@on("redis", "django_redis", "file")
async def test_io_is_done_elsewhere(respond, serve, cache_alias, talking):
    # Fails when a plain method of the backend is called on the loop.
    await everything(respond, serve, cache_alias)
    assert talking
    on_the_loop = [name for name, thread in talking if thread is threading.current_thread()]
    assert on_the_loop == []


@on("locmem", "memory")
async def test_memory_needs_no_thread(respond, serve, cache_alias, monkeypatch):
    """What cannot block costs no hop to another thread: the view and its cache stay on the loop."""
    import cache_result.storage.shared

    hops = []
    monkeypatch.setattr(
        cache_result.storage.shared, "sync_to_async", lambda *args, **kwargs: hops.append(args)
    )
    await everything(respond, serve, cache_alias)
    assert hops == []


async def test_waiting_for_another_does_not_block(respond, serve):
    """The loop turns while somebody waits for a response that another makes."""
    inside, leave, turns = asyncio.Event(), asyncio.Event(), []

    @respond
    async def view(request):
        inside.set()
        await leave.wait()
        return HttpResponse("page")

    serve(view)
    client = AsyncClient()
    asking = [asyncio.ensure_future(client.get("/")) for _ in range(5)]
    await inside.wait()
    for _ in range(100):
        await asyncio.sleep(0)
        turns.append(sum(task.done() for task in asking))
    assert turns == [0] * 100
    leave.set()
    assert {response.content for response in await asyncio.gather(*asking)} == {b"page"}
