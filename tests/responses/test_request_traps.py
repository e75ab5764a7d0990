"""What requests, sessions, messages and views within views can do to a cache of responses."""

import contextlib
import contextvars
import functools
import gc
import itertools
import operator
import threading
import weakref

import pytest
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.contrib.sessions.backends.base import SessionBase
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client

from cache_result import cache_result
from tests.waiting import all_of

SESSIONS = pytest.mark.parametrize(
    "engine",
    [
        "django.contrib.sessions.backends.signed_cookies",
        "django.contrib.sessions.backends.cache",
        "django.contrib.sessions.backends.file",
    ],
)


def body(response):
    assert response.status_code == 200
    return response.content.decode()


# --- sessions


@pytest.fixture
def basket(respond, settings):
    """`GET /` shows what is in the basket, `GET /?item=` puts something in. (A POST invalidates the page.)"""
    runs = itertools.count(1)

    @respond
    def view(request):
        if "item" in request.GET:
            request.session["basket"] = [*request.session.get("basket", []), request.GET["item"]]
            return HttpResponse("done")
        return HttpResponse(f"run {next(runs)} {request.session.get('basket')}")

    return view


@SESSIONS
def test_what_is_in_the_session_tells_requests_apart(basket, serve, settings, engine, tmp_path):
    # Fails (the basket stays empty) when a session counts by its key alone.
    settings.SESSION_ENGINE, settings.SESSION_FILE_PATH = engine, str(tmp_path)
    serve(basket)
    one, other, nobody = Client(), Client(), Client()
    assert body(nobody.get("/")) == body(one.get("/")) == "run 1 None"
    one.get("/?item=tea")
    assert [body(one.get("/")) for _ in range(2)] == ["run 2 ['tea']"] * 2
    other.get("/?item=milk")
    assert [body(other.get("/")) for _ in range(2)] == ["run 3 ['milk']"] * 2
    one.get("/?item=milk")
    assert [body(one.get("/")) for _ in range(2)] == ["run 4 ['tea', 'milk']"] * 2
    assert body(other.get("/")) == "run 3 ['milk']"
    assert body(nobody.get("/")) == "run 1 None"


@SESSIONS
def test_clients_are_told_that_the_session_counts(basket, serve, settings, engine, tmp_path):
    settings.SESSION_ENGINE, settings.SESSION_FILE_PATH = engine, str(tmp_path)
    get = serve(basket)
    for _ in range(3):
        assert "Cookie" in get("/").headers["Vary"]


def test_a_session_that_nobody_knows(basket, serve, settings, tmp_path):
    settings.SESSION_ENGINE, settings.SESSION_FILE_PATH = (
        "django.contrib.sessions.backends.file",
        str(tmp_path),
    )
    get = serve(basket)
    assert body(get("/")) == "run 1 None"
    client = Client()
    client.cookies["sessionid"] = "bogus"
    assert [body(client.get("/")) for _ in range(2)] == ["run 1 None"] * 2


def test_a_session_that_a_middleware_has_just_begun(respond, rf):
    """It has no key yet."""
    runs = itertools.count(1)

    class Session(SessionBase):
        def load(self):
            return {}

    @respond
    def view(request):
        return HttpResponse(f"run {next(runs)} {request.session.get('country')}")

    def asking(country):
        request = rf.get("/")
        request.session = Session()
        if country:
            request.session["country"] = country
        return request

    said = [body(view(asking(country))) for country in ("at", "de", None, "at", None)]
    assert said == ["run 1 at", "run 2 de", "run 3 None", "run 1 at", "run 3 None"]


def test_the_session_is_saved_as_without_the_cache(respond, serve):
    @respond
    def view(request):
        request.session["seen"] = request.session.get("seen", 0) + 1
        return HttpResponse(str(request.session["seen"]))

    serve(view)
    client = Client()
    assert [body(client.get("/")) for _ in range(3)] == ["1", "2", "3"]


def test_a_session_that_was_looked_at_before_the_view(respond, rf):
    """What a middleware did to it is neither the view's doing nor forgotten."""

    class Session(SessionBase):
        def load(self):
            return {"a": 1}

    view = respond(lambda request: HttpResponse("page"))
    request = rf.get("/")
    request.session = Session("12345678")
    request.session["b"] = 2
    assert "Age" not in view(request).headers
    assert "Age" in view(rf.get("/")).headers
    assert request.session.modified
    assert request.session.accessed


def test_what_the_session_said_before_the_view_counts(respond, rf):
    """A view that changes what is in it by mistake, so that it is not saved."""
    # Fails (the second gets the page of the first) when the session is looked at after the run.

    class Session(SessionBase):
        def load(self):
            return {"items": list(self.items_of_client)}

    @respond
    def view(request):
        items = request.session["items"]
        items.append("x")
        return HttpResponse(str(items))

    def asking(*items):
        request = rf.get("/")
        request.session = Session("12345678")
        request.session.items_of_client = items
        return request

    assert body(view(asking())) == "['x']"
    assert body(view(asking("x"))) == "['x', 'x']"


def test_a_session_that_cannot_be_saved(respond, rf):
    """A middleware keeps something in it for as long as the request lasts."""
    runs = itertools.count(1)

    class Session(SessionBase):
        def load(self):
            return {"object": object()}

    @respond
    def view(request):
        return HttpResponse(f"run {next(runs)} {len(request.session.keys())}")

    for run in (1, 2):
        request = rf.get("/")
        request.session = Session("12345678")
        assert body(view(request)) == f"run {run} 1"


# --- messages


@pytest.fixture
def serve_messages(respond, serve):
    """`serve_messages(show)`: serves `show(request, runs)`; `?save=1` saves a message."""

    def serve_messages(show):
        runs = itertools.count(1)

        @respond
        def view(request):
            if "save" in request.GET:
                messages.info(request, "saved")
                return HttpResponse()
            return show(request, runs)

        serve(view)

    return serve_messages


@pytest.mark.parametrize(
    "storage", ["cookie.CookieStorage", "session.SessionStorage", "fallback.FallbackStorage"]
)
@pytest.mark.parametrize("template", ["messages.html", "some.html"])
def test_messages_are_shown_once_and_to_one(serve_messages, settings, storage, template):
    # Fails (nobody sees the message) when a page without messages answers who has one.
    settings.MESSAGE_STORAGE = f"django.contrib.messages.storage.{storage}"

    def show(request, runs):
        shown = " ".join(map(str, get_messages(request))) if template == "some.html" else ""
        if shown or template == "some.html":
            return HttpResponse(f"run {next(runs)} {shown}".strip())
        return TemplateResponse(request, template, {"run": next(runs)})

    serve_messages(show)
    one, other = Client(), Client()
    assert body(one.get("/")) == body(other.get("/")) == "run 1"
    one.get("/?save=1")
    assert body(other.get("/")) == "run 1"
    assert body(one.get("/")) == "run 2 saved"
    assert body(other.get("/")) == "run 1"
    assert body(one.get("/")).startswith("run")
    assert "saved" not in body(one.get("/"))


def test_pages_that_ask_whether_there_are_messages(serve_messages):
    serve_messages(lambda request, runs: HttpResponse(f"run {next(runs)} {len(get_messages(request))}"))
    one, other = Client(), Client()
    assert body(other.get("/")) == "run 1 0"
    one.get("/?save=1")
    assert body(one.get("/")) == "run 2 1"
    assert body(other.get("/")) == "run 1 0"


# --- how a view is called


def test_the_request_as_a_keyword(respond, rf):
    runs = itertools.count(1)

    @respond
    def view(request, pk=1):
        return HttpResponse(f"run {next(runs)} {pk}")

    assert (
        body(view(request=rf.get("/")))
        == body(view(rf.get("/")))
        == body(view(rf.get("/"), pk=1))
        == "run 1 1"
    )
    assert body(view(pk=2, request=rf.get("/"))) == "run 2 2"
    view.delete_cache(request=rf.get("/"))
    assert body(view(rf.get("/"))) == "run 3 1"


@pytest.mark.parametrize("call", [(), ("not a request",), (None,)])
def test_no_request(respond, call):
    view = respond(lambda request=None: HttpResponse())
    with pytest.raises(TypeError, match="was called without a request; it is for views"):
        view(*call)


def test_partial_views(respond, rf):
    runs = itertools.count(1)

    def view(request, kind, pk):
        return HttpResponse(f"run {next(runs)} {kind} {pk}")

    posts, pages = (respond(functools.partial(view, kind=kind)) for kind in ("post", "page"))
    said = [body(v(rf.get("/"), pk=1)) for v in (posts, pages, posts, pages)]
    assert said == ["run 1 post 1", "run 2 page 1"] * 2
    around = functools.partial(respond(view), kind="own")
    assert [body(around(rf.get("/"), pk=1)) for _ in range(2)] == ["run 3 own 1"] * 2


def test_objects_as_views(respond, serve):
    class Feed:
        runs = itertools.count(1)

        def __call__(self, request):
            return HttpResponse(f"run {next(self.runs)}")

    get = serve(respond(Feed()))
    assert [body(get("/")) for _ in range(2)] == ["run 1"] * 2


def test_uploads_reach_the_view(respond, serve):
    view = respond(lambda request: HttpResponse(request.FILES["file"].read() if request.FILES else b"none"))
    serve(view)
    for content in (b"one", b"two"):
        assert Client().post("/", {"file": SimpleUploadedFile("f", content)}).content == content
    assert Client().get("/").content == b"none"


def test_context_variables_of_a_view(respond, rf):
    variable = contextvars.ContextVar("variable", default="unset")

    @respond
    def view(request):
        seen = variable.get()
        variable.set("by the view")
        return HttpResponse(seen)

    variable.set("by the caller")
    assert body(view(rf.get("/"))) == "by the caller"
    assert variable.get() == "by the view"


async def test_context_variables_of_an_async_view(respond, rf):
    variable = contextvars.ContextVar("variable", default="unset")

    @respond
    async def view(request):
        seen = variable.get()
        variable.set("by the view")
        return HttpResponse(seen)

    variable.set("by the caller")
    assert body(await view(rf.get("/"))) == "by the caller"
    assert variable.get() == "by the view"


async def test_a_coroutine_that_is_thrown_away(respond, rf):
    """Closed in another context than it ran in, as by the garbage collector."""

    class Never:
        def __await__(self):
            yield

    @respond
    async def view(request):
        await Never()
        return HttpResponse()

    coroutine = view(rf.get("/"))
    contextvars.copy_context().run(coroutine.send, None)
    contextvars.copy_context().run(coroutine.close)


# --- views within views


def test_cached_views_and_functions_within_a_cached_view(respond, cached, rf):
    runs = {"inner": itertools.count(1), "outer": itertools.count(1), "function": itertools.count(1)}

    @cached
    def function():
        return next(runs["function"])

    @respond
    def inner(request, of):
        return HttpResponse(f"inner {next(runs['inner'])} {of}")

    @respond
    def outer(request):
        parts = [body(inner(request, of)) for of in ("a", "b", "a")]
        return HttpResponse(f"outer {next(runs['outer'])} {parts} {function()}")

    expected = "outer 1 ['inner 1 a', 'inner 2 b', 'inner 1 a'] 1"
    assert [body(outer(rf.get("/"))) for _ in range(2)] == [expected] * 2
    assert body(inner(rf.get("/"), "b")) == "inner 2 b"
    outer.invalidate_all()
    assert body(outer(rf.get("/"))) == expected.replace("outer 1", "outer 2")


def test_what_an_inner_view_does_is_the_outer_views_doing(respond, serve):
    """Hit or miss: the outer response depends on the session too."""
    runs = itertools.count(1)

    @respond
    def inner(request):
        return HttpResponse(str(request.session.get("name")))

    @respond
    def outer(request):
        if request.method == "POST":
            request.session["name"] = request.POST["name"]
            return HttpResponse()
        return HttpResponse(f"run {next(runs)} {body(inner(request))}")

    serve(outer)
    one, other = Client(), Client()
    for client, name in ((one, "one"), (other, "other")):
        client.post("/", {"name": name})
    said = [body(client.get("/")) for client in (one, other, Client(), one, other)]
    assert said == ["run 1 one", "run 2 other", "run 3 None", "run 1 one", "run 2 other"]
    outer.invalidate_all()
    assert [body(client.get("/")) for client in (other, one)] == ["run 4 other", "run 5 one"]


def test_a_view_that_calls_itself(respond, rf):
    @respond
    def view(request, depth=3):
        return HttpResponse("." if depth == 0 else "x" + body(view(request, depth - 1)))

    assert body(view(rf.get("/"))) == "xxx."
    assert body(view(rf.get("/"), 2)) == "xx."


def test_a_view_that_calls_itself_for_the_same_page(respond, rf):
    inside = []

    @respond
    def view(request):
        if inside:
            return HttpResponse("inner")
        inside.append(1)
        return HttpResponse(f"outer {body(view(request))}")

    assert [body(view(rf.get("/"))) for _ in range(2)] == ["outer inner"] * 2


async def test_views_side_by_side_in_one_task_group(respond, rf):
    runs = itertools.count(1)

    @respond
    async def inner(request, of):
        return HttpResponse(f"{of} {next(runs)}")

    @respond
    async def outer(request):
        parts = await all_of(*(inner(request, of) for of in "aabb"))
        return JsonResponse([body(part) for part in parts], safe=False)

    response = await outer(rf.get("/"))
    assert body(response) == '["a 1", "a 1", "b 2", "b 2"]'
    assert body(await outer(rf.get("/"))) == body(response)


def test_functions_do_not_take_the_request_of_the_view_around(respond, rf):
    calls = []

    @cache_result(name="around-function")
    def function(x):
        calls.append(x)
        return x

    view = respond(lambda request: HttpResponse(str(function(1))))
    for path in ("/a/", "/b/"):
        view(rf.get(path))
    assert calls == [1]
    function.invalidate_all()


# --- users of async views


@pytest.mark.django_db(transaction=True)
async def test_lazy_users_of_async_views(respond, serve):
    runs = itertools.count(1)

    @respond
    async def view(request):
        return HttpResponse(f"run {next(runs)} {operator.attrgetter('username')(request.user) or 'nobody'}")

    serve(view)
    clients = [AsyncClient(), AsyncClient(), AsyncClient()]
    for client, name in zip(clients, ("alice", "bob"), strict=False):
        await sync_to_async(client.force_login)(await User.objects.acreate(username=name))
    said = [body(await client.get("/")) for client in (*clients, *clients)]
    assert said == ["run 1 alice", "run 2 bob", "run 3 nobody"] * 2


async def test_sessions_are_not_loaded_on_the_event_loop(respond, rf):
    loaded = []

    class Session(SessionBase):
        def load(self):
            loaded.append(threading.current_thread())
            return {"a": 1}

    @respond
    async def view(request):
        return HttpResponse("page")

    request = rf.get("/")
    request.session = Session("12345678")
    await view(request)
    assert loaded
    assert threading.current_thread() not in loaded


@pytest.mark.parametrize("wrong", [True, False])
def test_nothing_is_left_of_a_request(respond, rf, wrong):
    def view(request):
        if wrong:
            raise ValueError("wrong")
        return HttpResponse("page")

    view = respond(view)
    requests = [rf.get("/") for _ in range(3)]
    seen = [weakref.ref(request) for request in requests]
    for request in requests:
        with contextlib.suppress(ValueError):
            view(request)
    del request, requests
    gc.collect()
    assert [reference() for reference in seen] == [None] * 3
