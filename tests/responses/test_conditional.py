"""Conditional requests (RFC 9110, 13) and HEAD, answered by the cache."""

import functools
import itertools

import pytest
from django.http import HttpResponse, HttpResponsePermanentRedirect
from django.test import Client
from django.utils.http import http_date

from cache_result import CACHE_MISSING

KEPT_IN_304 = {"Cache-Control", "ETag", "Last-Modified", "Vary", "Age", "Content-Location", "Expires", "Date"}


@pytest.fixture
def get(respond, serve):
    """A page of 1 January 2024, whose runs are counted."""
    runs = itertools.count(1)

    @respond
    def view(request):
        assert "If-None-Match" not in request.headers, "the view answers for everybody"
        response = HttpResponse(f"run {next(runs)}", headers={"X-Own": "yes", "Content-Location": "/page"})
        response.headers["Last-Modified"] = http_date(1704067200)
        return response

    get = functools.partial(serve(view))
    get.view = view
    return get


def ask(get, **headers):
    response = get("/", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response.content if response.status_code == 200 else response.status_code


def test_the_etag_is_strong_and_depends_on_the_content(get, counted, serve):
    tags = {get("/").headers["ETag"] for _ in range(2)}
    get.view.invalidate_all()
    tags.add(get("/").headers["ETag"])
    assert len(tags) == 2
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)


@pytest.mark.parametrize("cold", [True, False])
def test_if_none_match(get, cold):
    """A view that is asked with a condition runs for everybody, whatever this client has."""
    tag = get("/").headers["ETag"]
    if cold:
        get.view.invalidate_all()
        assert ask(get, If_None_Match='"other"') == b"run 2"
        get.view.invalidate_all()
        assert ask(get, If_None_Match='"other"') == b"run 3"
        tag = get("/").headers["ETag"]
    for matching in (tag, f"W/{tag}", "*", f'"a", {tag}', f'W/"b",{tag} , "c"'):
        assert ask(get, If_None_Match=matching) == 304
    for other in ('"other"', 'W/"other"', tag.strip('"'), "", '"a", "b"'):
        assert ask(get, If_None_Match=other) not in (304, 412)


def test_a_miss_that_matches_is_304_and_stores_the_whole(get):
    tag = get("/").headers["ETag"]
    get.view.invalidate_all()
    first = get("/", headers={"If-None-Match": "*"})
    assert (first.status_code, first.content) == (304, b"")
    assert first.headers["ETag"] != tag
    assert ask(get) == b"run 2"


def test_the_headers_of_304(get):
    tag = get("/").headers["ETag"]
    for _ in range(2):
        whole, response = get("/"), get("/", headers={"If-None-Match": tag})
        assert response.status_code == 304
        assert response.content == b""
        names = response.headers.keys() - {"Content-Language", "Content-Length"}  # of Django's middleware
        assert names <= KEPT_IN_304
        for name in ("Cache-Control", "ETag", "Last-Modified", "Age", "Content-Location"):
            assert response.headers[name] == whole.headers[name]
        assert set(response.headers["Vary"].split(", ")) == set(whole.headers["Vary"].split(", "))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_Modified_Since": http_date(1704067200)}, 304),
        ({"If_Modified_Since": http_date(1704067201)}, 304),
        ({"If_Modified_Since": http_date(1704067199)}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Unmodified_Since": http_date(1704067200)}, 200),
        ({"If_Unmodified_Since": http_date(1704067199)}, 412),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"other"'}, 412),
        # The tag goes before the date.
        ({"If_None_Match": '"other"', "If_Modified_Since": http_date(1704067201)}, 200),
        ({"If_Match": "*", "If_Unmodified_Since": http_date(1704067199)}, 200),
        # Who asks for a part may get the whole.
        ({"Range": "bytes=0-1"}, 200),
        ({"Range": "bytes=0-1", "If_Range": '"other"'}, 200),
    ],
)
def test_conditions(get, headers, status):
    for _ in range(2):
        assert ask(get, **headers) == (b"run 1" if status == 200 else status)
    assert ask(get) == b"run 1"


def test_a_view_that_answers_ranges_itself(respond, serve):
    """What the cache keeps is whole, whoever asked first."""

    def view(request):
        if "Range" in request.headers:
            return HttpResponse("pa", status=206, headers={"Content-Range": "bytes 0-1/4"})
        return HttpResponse("page")

    get = serve(respond(view))
    assert get("/", headers={"Range": "bytes=0-1"}).content == b"page"
    assert get("/").content == b"page"


def test_the_views_own_etag_stays(respond, serve):
    get = serve(respond(lambda request: HttpResponse("page", headers={"ETag": 'W/"own"'})))
    for _ in range(2):
        assert get("/").headers["ETag"] == 'W/"own"'
        assert get("/", headers={"If-None-Match": '"own"'}).status_code == 304


def test_conditions_are_for_successful_responses(respond, serve):
    get = serve(respond(lambda request: HttpResponsePermanentRedirect("/elsewhere/")))
    for _ in range(2):
        assert get("/", headers={"If-None-Match": "*"}).status_code == 301


def test_conditional_get_middleware_above(get, settings):
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware", *settings.MIDDLEWARE]
    tag = Client().get("/").headers["ETag"]
    for _ in range(2):
        response = Client().get("/", headers={"If-None-Match": tag})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == tag
    assert Client().get("/").content == b"run 1"


def test_behind_gzip_the_weak_tag_matches(get, settings, counted):
    get.view.invalidate_all()
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    client = Client(headers={"Accept-Encoding": "gzip"})
    tag = client.get("/").headers["ETag"]
    assert client.get("/", headers={"If-None-Match": tag}).status_code == 304


def test_the_request_has_its_headers_again(respond, serve):
    seen = []

    def middleware(get_response):
        def answer(request):
            assert "If-None-Match" in request.headers  # which Django keeps from now on
            response = get_response(request)
            seen.append((request.META.get("HTTP_IF_NONE_MATCH"), request.headers.get("If-None-Match")))
            return response

        return answer

    def view(request):
        seen.append((request.META.get("HTTP_IF_NONE_MATCH"), request.headers.get("If-None-Match")))
        return HttpResponse("page")

    above = middleware(respond(view))
    serve(above)("/", headers={"If-None-Match": '"a"'})
    assert seen == [(None, None), ('"a"', '"a"')]


def test_the_request_has_its_headers_again_after_an_exception(respond, rf):
    def view(request):
        raise ValueError("wrong")

    request = rf.get("/", headers={"If-None-Match": '"a"'})
    with pytest.raises(ValueError, match="wrong"):
        respond(view)(request)
    assert request.headers["If-None-Match"] == '"a"'


def test_unstored_responses_with_a_tag_of_their_own_are_conditional_too(respond, serve):
    """As the view below the cache did not see the condition."""

    def view(request):
        return HttpResponse("page", headers={"ETag": '"own"'})

    get = serve(respond(view, cache_if=lambda response: False))
    assert get("/", headers={"If-None-Match": '"own"'}).status_code == 304
    assert get("/").content == b"page"


# --- HEAD


def test_head_is_answered_from_the_entry_of_get(get):
    whole = get("/")
    head = Client().head("/")
    assert head.content == b""
    assert head.headers["Age"] == "0"
    for name in ("ETag", "Content-Length", "Content-Type", "X-Own", "Last-Modified"):
        assert head.headers[name] == whole.headers[name]
    assert Client().head("/", headers={"If-None-Match": head.headers["ETag"]}).status_code == 304


def test_head_stores_nothing(get, rf):
    # Fails (GET has no body) when what a view says to HEAD is kept for GET.
    assert Client().head("/").status_code == 200
    assert get.view.get_cache_only(rf.get("/")) is CACHE_MISSING
    assert ask(get) == b"run 2"


@pytest.mark.parametrize("directive", ["no-cache", "no-store"])
def test_head_with_directives_stores_nothing_either(respond, serve, directive):
    # Fails (GET gets what was made for HEAD) when HEAD refreshes.
    get = serve(respond(lambda request: HttpResponse(request.method)))
    assert get("/").content == b"GET"
    Client().head("/", headers={"Cache-Control": directive})
    assert get("/").content == b"GET"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_other_methods_go_to_the_view(counted, serve, method):
    get = serve(counted(lambda request: request.method))
    assert get("/").content == b"run 1 GET"
    response = getattr(Client(), method)("/")
    assert response.content == f"run 2 {method.upper()}".encode()
    assert not {"Age", "ETag", "Cache-Control"} & response.headers.keys()
    safe = method in {"options", "trace"}  # the others invalidate what they are sent to
    assert get("/").content == (b"run 1 GET" if safe else b"run 3 GET")


def test_refresh_with_another_method_stores_nothing(counted, rf):
    view = counted(lambda request: request.method)
    assert view.refresh(rf.post("/")).content == b"run 1 POST"
    assert view(rf.get("/")).content == b"run 2 GET"
    view.delete_cache(rf.post("/"))  # from the view that changed it
    assert view(rf.get("/")).content == b"run 3 GET"
