"""Every method of a wrapper, on a view; and its asyncio twins, of plain and async views."""

import inspect
import itertools

import pytest
from django.http import HttpResponse

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, KeyConstructor, RequestValueKeyField
from cache_result.keys.constructors import InlineKeyConstructor

METHODS = [
    "get_with_metadata",
    "get_cache_only",
    "get_cached_metadata",
    "refresh",
    "bypass_cache",
    "delete_cache",
    "delete_by_prefix",
    "invalidate_all",
    "get_cache_key",
    "explain_key",
]


def body(response):
    return response if response is CACHE_MISSING else response.content.decode()


@pytest.fixture(params=["plain", "plain by asyncio", "async"])
def calling(request, respond):
    """`call = calling(**options)`: `await call(method, *args)` on a view that counts its runs per page."""

    def calling(**options):
        runs = {}

        def answer(page):
            runs[page] = runs.get(page, 0) + 1
            return HttpResponse(f"page {page} run {runs[page]}")

        if request.param == "async":

            @respond(**options)
            async def view(request, page=1):
                return answer(page)

        else:

            @respond(**options)
            def view(request, page=1):
                return answer(page)

        async def call(method, *args, **kwargs):
            if method == "call":
                found = view(*args, **kwargs)
            else:
                method = method if request.param == "plain" else f"a{method}"
                found = getattr(view, method)(*args, **kwargs)
            return await found if inspect.isawaitable(found) else found

        call.view = view
        return call

    return calling


async def test_what_is_there(calling, rf):
    call, request = calling(), rf.get("/")
    assert await call("get_cache_only", request) is CACHE_MISSING
    assert await call("get_cached_metadata", request) is None
    response, metadata = await call("get_with_metadata", request)
    assert (body(response), metadata["cache_status"]) == ("page 1 run 1", CacheStatus.MISS)
    response, hit = await call("get_with_metadata", request)
    assert (body(response), hit["cache_status"]) == ("page 1 run 1", CacheStatus.HIT)
    assert response.headers["Age"] == "0"
    assert await call("get_cached_metadata", request) == hit == {**metadata, "cache_status": CacheStatus.HIT}
    assert body(await call("get_cache_only", request)) == body(await call("call", request)) == "page 1 run 1"
    assert await call("get_cache_only", request, page=2) is CACHE_MISSING


async def test_running_it(calling, rf):
    call, request = calling(), rf.get("/")
    assert body(await call("bypass_cache", request)) == "page 1 run 1"
    assert await call("get_cache_only", request) is CACHE_MISSING
    assert body(await call("refresh", request)) == "page 1 run 2"
    assert body(await call("bypass_cache", request)) == "page 1 run 3"
    assert body(await call("call", request)) == "page 1 run 2"
    assert body(await call("refresh", request)) == "page 1 run 4"
    assert body(await call("call", request)) == "page 1 run 4"


@pytest.mark.parametrize(
    ("method", "one", "other"),
    [("delete_cache", 2, 1), ("delete_by_prefix", 2, 1), ("invalidate_all", 2, 2)],
)
async def test_invalidating(calling, rf, method, one, other):
    call, request = calling(), rf.get("/")
    for page in (1, 2):
        await call("call", request, page)
    arguments = {"delete_cache": [request, 1], "delete_by_prefix": [], "invalidate_all": []}[method]
    await call(method, *arguments, **({"page": 1} if method == "delete_by_prefix" else {}))
    assert body(await call("call", request, 1)) == f"page 1 run {one}"
    assert body(await call("call", request, 2)) == f"page 2 run {other}"


async def test_deleting_for_one_user_or_for_all(calling, rf):
    class User:
        is_authenticated = True

        def __init__(self, pk):
            self.pk = pk

    def asking(pk):
        request = rf.get("/")
        request.user = User(pk)
        return request

    call = calling()
    for pk in (1, 2):
        await call("call", asking(pk))
    await call("delete_cache", asking(1))
    assert body(await call("call", asking(1))) == "page 1 run 3"
    assert body(await call("call", asking(2))) == "page 1 run 2"
    await call("delete_by_prefix", page=1)
    assert [body(await call("call", asking(pk))) for pk in (1, 2)] == ["page 1 run 4", "page 1 run 5"]


async def test_keys(calling, rf):
    call = calling()
    one, again, other = rf.get("/?a=1"), rf.get("/?a=1"), rf.get("/?a=2")
    key = await call("get_cache_key", one)
    assert key == await call("get_cache_key", again) != await call("get_cache_key", other)
    assert key != await call("get_cache_key", one, 2)
    explained = await call("explain_key", one)
    assert explained.key == key
    text = str(explained)
    for part in ("scheme = 'http'", "host = 'testserver", "user = None", "path = '/'", "page = 1"):
        assert part in text


def test_async_views_have_async_methods_only(respond, rf):
    @respond
    async def view(request):
        return HttpResponse()

    for method in METHODS:
        if method not in {"get_cache_key", "explain_key"}:
            with pytest.raises(TypeError, match=f"use a{method} instead"):
                getattr(view, method)(rf.get("/"))


async def test_what_has_no_key_is_not_there(calling, rf):
    """Requests that the cache does not answer: nothing is cached for them."""
    call = calling()
    await call("call", rf.get("/"))
    credentials = rf.get("/", headers={"Authorization": "Bearer a"})
    assert await call("get_cache_only", credentials) is CACHE_MISSING
    assert await call("get_cached_metadata", credentials) is None
    _, metadata = await call("get_with_metadata", credentials)
    assert metadata == {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}


@pytest.mark.parametrize("method", ["post", "delete"])
async def test_metadata_of_other_methods(calling, rf, method):
    call = calling()
    _, metadata = await call("get_with_metadata", getattr(rf, method)("/"))
    assert metadata["cache_status"] == CacheStatus.BYPASS


async def test_metadata_of_what_is_private_or_refused(calling, rf):
    call = calling(cache_if=lambda response: False)
    for _ in range(2):
        _, metadata = await call("get_with_metadata", rf.get("/"))
        assert (metadata["cached_at"], metadata["cache_status"]) == (None, CacheStatus.MISS)


async def test_switched_off(calling, rf, settings):
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "ENABLED": False}
    call = calling()
    for run in (1, 2):
        response, metadata = await call("get_with_metadata", rf.get("/"))
        assert (body(response), metadata["cache_status"]) == (f"page 1 run {run}", CacheStatus.BYPASS)
    assert await call("get_cache_only", rf.get("/")) is CACHE_MISSING


# --- constructors, partitions


def test_a_partition_of_users(counted, rf):
    class ByUser(KeyConstructor):
        user = RequestValueKeyField("user", partition=True)
        path = RequestValueKeyField("path")

    view = counted(key_constructor=ByUser)

    def asking(user, path="/"):
        request = rf.get(path)
        request.user = user
        return request

    for user, path in (("a", "/"), ("a", "/x/"), ("b", "/")):
        view(asking(user, path))
    view.delete_by_prefix(request=asking("a"))
    said = [body(view(asking(user, path))) for user, path in (("b", "/"), ("a", "/"), ("a", "/x/"))]
    assert said == ["run 3", "run 4", "run 5"]
    ByUser.wipe()
    assert body(view(asking("b"))) == "run 6"


def test_wiping_a_constructor_reaches_views_and_functions(respond, cached, rf):
    runs = itertools.count(1)
    constructor = InlineKeyConstructor({"page": ArgsKeyField("page", partition=True)})

    @respond(key_constructor=constructor)
    def view(request, page):
        return HttpResponse(str(next(runs)))

    @cached(key_constructor=constructor)
    def function(page):
        return next(runs)

    def ask():
        return body(view(rf.get("/"), page=1)), function(1), body(view(rf.get("/"), page=2))

    assert ask() == ask() == ("1", 2, "3")
    constructor.wipe(page=1)
    assert ask() == ("4", 5, "3")


def test_urls_that_only_some_routes_have(respond, serve):
    runs = itertools.count(1)

    @respond
    def view(request, *args, **kwargs):
        return HttpResponse(f"run {next(runs)} {args} {kwargs}")

    get = serve(view, "<int:a>/<slug:b>/")
    assert [body(get(f"/{url}/")) for url in ("1/x", "2/x", "1/x")] == [
        "run 1 () {'a': 1, 'b': 'x'}",
        "run 2 () {'a': 2, 'b': 'x'}",
        "run 1 () {'a': 1, 'b': 'x'}",
    ]
    view.invalidate_all()
    assert body(get("/1/x/")).startswith("run 3")


def test_custom_fields_get_the_view_itself(respond, rf):
    """Fails (a field gets the view that was decorated last) when all views share one function that fills."""
    from cache_result import CacheKeyField

    seen = []

    class Named(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            seen.append(func.__name__)
            return {"name": func.__name__}

    @respond(key_constructor={"name": Named()})
    def one(request):
        return HttpResponse("one")

    @respond(key_constructor={"name": Named()})
    def two(request):
        return HttpResponse("two")

    assert [body(view(rf.get("/"))) for view in (one, two, one, two)] == ["one", "two", "one", "two"]
    assert set(seen) == {"one", "two"}
