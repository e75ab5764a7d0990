"""Cached views on every backend that is promised to work."""

import itertools

import pytest
from django.http import HttpResponse
from django.test import AsyncClient
from django.views.decorators.vary import vary_on_headers

from cache_result import CACHE_MISSING, CacheStatus
from tests.backends import on

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def page(respond, cache_alias):
    runs = itertools.count(1)

    @respond(cache=cache_alias)
    @vary_on_headers("X-Name")
    def view(request, pk=1):
        return HttpResponse(
            CONTENT, content_type="image/png", reason="Fine", headers={"X-Run": next(runs), "X-Text": "ü"}
        )

    return view


def test_a_hit(page, rf):
    responses = [page(rf.get("/", headers={"X-Name": "a"})) for _ in range(3)]
    for response in responses:
        assert (response.content, response.reason_phrase) == (CONTENT, "Fine")
        assert (response.headers["X-Run"], response.headers["X-Text"]) == ("1", "ü")
    assert ["Age" in response.headers for response in responses] == [False, True, True]


def test_variants_and_invalidation(page, rf):
    def ask():
        return [page(rf.get("/", headers={"X-Name": name})).headers["X-Run"] for name in ("a", "b", "c")]

    assert ask() == ask() == ["1", "2", "3"]
    page.delete_cache(rf.get("/", headers={"X-Name": "b"}))
    assert ask() == ask() == ["4", "5", "6"]
    page.delete_by_prefix(pk=1)
    assert ask() == ask() == ["7", "8", "9"]
    page.invalidate_all()
    assert page.get_cache_only(rf.get("/")) is CACHE_MISSING


def test_metadata(page, rf):
    request = rf.get("/")
    _, missed = page.get_with_metadata(request)
    assert missed["cached_at"]
    assert page.get_cached_metadata(request) == {**missed, "cache_status": CacheStatus.HIT}


def test_expiry(page, rf, clock):
    page(rf.get("/"))
    clock.advance(61)
    assert page(rf.get("/")).headers["X-Run"] == "2"


def test_private_responses(respond, cache_alias, rf):
    runs = itertools.count(1)

    @respond(cache=cache_alias)
    def view(request):
        response = HttpResponse(str(next(runs)))
        response.set_cookie("run", response.content.decode())
        return response

    said = [view(rf.get("/")) for _ in range(3)]
    assert [response.cookies["run"].value for response in said] == ["1", "2", "3"]
    assert view.get_cache_only(rf.get("/")) is CACHE_MISSING


@on("locmem", "memory", "file", "redis", "django_redis", "django_redis_json", "memcached")
async def test_async_views(respond, cache_alias, serve):
    runs = itertools.count(1)

    @respond(cache=cache_alias)
    async def view(request):
        return HttpResponse(CONTENT, headers={"X-Run": next(runs)})

    serve(view)
    responses = [await AsyncClient().get("/") for _ in range(3)]
    assert [response.headers["X-Run"] for response in responses] == ["1"] * 3
    assert all(response.content == CONTENT for response in responses)
    await view.ainvalidate_all()
    assert (await AsyncClient().get("/")).headers["X-Run"] == "2"


@pytest.mark.parametrize(
    "alias", ["redis_down", "memcached_down", "django_redis_down", "django_redis_silent"]
)
def test_servers_that_are_down(respond, alias, rf):
    runs = itertools.count(1)
    view = respond(lambda request: HttpResponse(str(next(runs))), cache=alias)
    assert [view(rf.get("/")).content for _ in range(3)] == [b"1", b"2", b"3"]
    assert view.get_cache_only(rf.get("/")) is CACHE_MISSING


def test_what_a_backend_refuses_to_keep(respond, rf):
    """More than Memcached takes, which says so by an error or by nothing."""
    view = respond(lambda request: HttpResponse(b"x" * 10), cache="dummy")
    assert "Age" not in [view(rf.get("/")) for _ in range(2)][1].headers
