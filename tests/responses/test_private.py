"""What is for one client alone is never stored, and never reaches another."""

import io

import pytest
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie, requires_csrf_token

from cache_result import CACHE_MISSING


def with_header(name, value):
    def make(request):
        response = HttpResponse("page")
        response.headers[name] = value
        return response

    return make


def with_cookie(request):
    response = HttpResponse("page")
    response.set_cookie("seen", "1")
    return response


def without_cookie(request):
    response = HttpResponse("page")
    response.delete_cookie("seen")
    return response


def writing_session(request):
    request.session["seen"] = 1
    return HttpResponse("page")


def ending_session(request):
    request.session.flush()
    return HttpResponse("page")


def adding_message(request):
    messages.info(request, "hello")
    return HttpResponse("page")


def csp_nonce(request):
    request._csp_nonce = "as django-csp does"
    return HttpResponse("page")


def unrendered_form(request):
    return TemplateResponse(request, "form.html", {"run": 1})


PRIVATE = {
    "cookie": with_cookie,
    "deleted cookie": without_cookie,
    "Set-Cookie": with_header("Set-Cookie", "a=b"),
    "private": with_header("Cache-Control", "private"),
    "no-store": with_header("Cache-Control", "max-age=60, no-store"),
    "no-cache": with_header("Cache-Control", "no-cache"),
    "no-cache for a field": with_header("Cache-Control", 'no-cache="Set-Cookie"'),
    "PRIVATE": with_header("Cache-Control", "PRIVATE, max-age=60"),
    "max-age 0": with_header("Cache-Control", "max-age=0"),
    "s-maxage 0": with_header("Cache-Control", "max-age=60, s-maxage=0"),
    "max-age that is no number": with_header("Cache-Control", "max-age=soon"),
    "expired": with_header("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    "Expires that is no date": with_header("Expires", "0"),
    "never_cache": never_cache(lambda request: HttpResponse("page")),
    "cache_control": cache_control(private=True, max_age=60)(lambda request: HttpResponse("page")),
    "streaming": lambda request: StreamingHttpResponse(iter([b"pa", b"ge"])),
    "file": lambda request: FileResponse(io.BytesIO(b"page")),
    "token in the page": lambda request: render(request, "form.html", {"run": 1}),
    "token in an unrendered page": unrendered_form,
    "token": lambda request: HttpResponse(get_token(request)),
    "ensure_csrf_cookie": ensure_csrf_cookie(lambda request: HttpResponse("page")),
    "csrf_protect": csrf_protect(unrendered_form),
    "requires_csrf_token": requires_csrf_token(unrendered_form),
    "session written": writing_session,
    "session ended": ending_session,
    "message added": adding_message,
    "nonce": csp_nonce,
}


@pytest.fixture(params=PRIVATE.values(), ids=PRIVATE)
def make(request):
    return request.param


def test_never_stored(respond, serve, make):
    runs = []

    @respond
    def view(request):
        runs.append(1)
        return make(request)

    get = serve(view)
    kept = []
    for _ in range(3):
        response = get("/")
        assert response.status_code == 200
        assert response.getvalue()
        assert "Age" not in response.headers
        kept.append(dict(response.headers))
    assert len(runs) == 3
    assert view.get_cache_only(response.wsgi_request) is CACHE_MISSING
    assert view.get_cached_metadata(response.wsgi_request) is None


def test_the_first_response_is_as_the_later_ones_are(respond, serve, make):
    """The first is made for the cache, the later ones past it."""
    get = serve(respond(make))
    first, later = get("/"), get("/")

    def about(response):
        changing = {"Expires", "Last-Modified", "Date"}
        return {name: value for name, value in response.headers.items() if name not in changing}

    assert about(first) == about(later)
    assert sorted(first.cookies) == sorted(later.cookies)


def test_what_is_private_is_so_under_public_too(respond, serve, make):
    runs = []

    @respond(public=True)
    def view(request):
        runs.append(1)
        return make(request)

    get = serve(view)
    for _ in range(2):
        get("/").getvalue()
    assert len(runs) == 2


async def test_never_stored_of_async_views(respond, serve, make):
    runs = []

    @respond
    async def view(request):
        runs.append(1)
        return make(request)

    serve(view)
    for _ in range(2):
        response = await AsyncClient().get("/")
        assert response.status_code == 200
    assert len(runs) == 2


async def test_async_streams_pass_unchanged(respond, serve):
    async def parts():
        yield b"pa"
        yield b"ge"

    @respond
    async def view(request):
        return StreamingHttpResponse(parts())

    serve(view)
    for _ in range(2):
        response = await AsyncClient().get("/")
        assert response.is_async
        assert b"".join([part async for part in response.streaming_content]) == b"page"


def test_files_are_closed(respond, serve):
    file = io.BytesIO(b"page")
    get = serve(respond(lambda request: FileResponse(file)))
    assert get("/").getvalue() == b"page"
    assert file.closed


def test_nobody_gets_anothers_token(respond, serve):
    serve(respond(lambda request: HttpResponse(get_token(request))))
    one, other = Client(), Client()
    assert one.get("/").content != other.get("/").content
    assert one.cookies["csrftoken"].value != other.cookies["csrftoken"].value
    # Each of the two is good for its own client.
    protected = Client(enforce_csrf_checks=True)
    token = protected.get("/").content.decode()
    assert protected.post("/", {"csrfmiddlewaretoken": token}).status_code == 200


def test_logging_in_by_a_get(respond, serve, client_of):
    client_of("alice")

    @respond
    def view(request):
        login(request, User.objects.get(username=request.GET["name"]))
        return HttpResponse("welcome")

    serve(view)
    for _ in range(2):
        client = Client()
        client.get("/?name=alice")
        assert "sessionid" in client.cookies


def test_private_for_a_while_only(respond, serve, clock):
    """A view whose response is private once is stored again soon."""
    runs = []

    @respond
    def view(request):
        runs.append(1)
        response = HttpResponse(f"run {len(runs)}")
        if len(runs) == 1:
            response.set_cookie("first", "1")
        return response

    get = serve(view)
    assert [get("/").content for _ in range(2)] == [b"run 1", b"run 2"]
    clock.advance(11)
    assert [get("/").content for _ in range(2)] == [b"run 3", b"run 3"]


# --- Authorization


def test_requests_with_authorization_go_past_the_cache(counted, serve):
    get = serve(counted(lambda request: request.headers.get("Authorization", "")))
    assert get("/").content == b"run 1"
    token = {"headers": {"Authorization": "Bearer a"}}
    assert get("/", **token).content == b"run 2 Bearer a"
    assert get("/", **token).content == b"run 3 Bearer a"
    assert get("/").content == b"run 1"


def test_authorization_on_a_view_that_declares_it(counted, serve, client_of):
    serve(counted(lambda request: str(request.user), authorization=True))
    token = {"headers": {"Authorization": "Bearer a"}}
    alice, nobody = client_of("alice"), Client()
    assert [alice.get("/", **token).content for _ in range(2)] == [b"run 1 alice"] * 2
    # Who is nobody has said something that was not understood.
    assert nobody.get("/", **token).content == b"run 2 AnonymousUser"
    assert nobody.get("/", **token).content == b"run 3 AnonymousUser"


def test_authorization_on_a_public_view(counted, serve):
    get = serve(counted(public=True))
    assert get("/").content == get("/", headers={"Authorization": "Basic YTpi"}).content == b"run 1"
