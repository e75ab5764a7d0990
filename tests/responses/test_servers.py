"""Over the wire: Django's own server and an ASGI server, with sync and async views."""

import asyncio
import gzip
import itertools
import socket
import threading
import time

import django
import pytest
from django.http import HttpResponse, JsonResponse

from cache_result import InvalidationRule
from tests.app.models import Author
from tests.backends import on
from tests.responses import serving
from tests.responses.serving import ask
from tests.waiting import DEADLINE, wait

pytestmark = pytest.mark.django_db(transaction=True)

HERD = 50
CHANGING = ("date", "age", "x-cache-status")


@pytest.fixture(params=serving.SERVERS)
def server(request):
    """`with server() as port:`, after the settings of the test are made."""
    return serving.SERVERS[request.param]


@pytest.fixture(params=["sync", "async"])
def made(request, respond, serve):
    """`made(answer, **options)`: serves a cached view, plain or async, whose runs `answer(request, run)`."""

    def made(answer, **options):
        runs = itertools.count(1)

        def view(request):
            return answer(request, next(runs))

        async def aview(request):
            return view(request)

        wrapper = respond(aview if request.param == "async" else view, **options)
        serve(wrapper)
        return wrapper

    return made


def page(request, run):
    return HttpResponse(f"run {run} " + "ü" * 300, headers={"X-Own": "a, b", "x-lower": "1"})


def test_hits_and_misses_are_the_same_bytes(made, server):
    made(page, set_cache_headers=True)
    with server() as port:
        missed, hit, again = (ask(port) for _ in range(3))
    assert missed.status.startswith("HTTP/1.1 200 OK") or missed.status.startswith("HTTP/1.0 200 OK")
    assert missed.status == hit.status == again.status
    assert missed.body == hit.body == again.body == ("run 1 " + "ü" * 300).encode()
    assert missed.without(*CHANGING) == hit.without(*CHANGING) == again.without(*CHANGING)
    assert [a.get("X-Cache-status") for a in (missed, hit, again)] == ["MISS", "HIT", "HIT"]
    assert missed.get("Age") is None
    assert hit.get("Age") in {"0", "1"}
    assert hit.get("Cache-Control") == "private, max-age=60"
    assert hit.get("Content-Length") == str(len(hit.body))
    assert hit.get("ETag").startswith('"')


def test_compressed_and_not(made, server, settings):
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    made(page)
    with server() as port:
        for _ in range(2):
            packed, plain = ask(port, Accept_Encoding="gzip"), ask(port)
            assert packed.get("Content-Encoding") == "gzip"
            assert gzip.decompress(packed.body) == plain.body
            assert plain.body.startswith(b"run 1 ")
            assert "Accept-Encoding" in packed.get("Vary")
        tag = packed.get("ETag")
        assert ask(port, Accept_Encoding="gzip", If_None_Match=tag).status.split()[1] == "304"


def test_conditions_and_head(made, server):
    made(page)
    with server() as port:
        whole = ask(port)
        for conditional in (
            ask(port, If_None_Match=whole.get("ETag")),
            ask(port, If_None_Match=whole.get("ETag"), method="HEAD"),
        ):
            assert conditional.status.split()[1] == "304"
            assert conditional.body == b""
            assert conditional.get("ETag") == whole.get("ETag")
            assert conditional.get("X-Own") is None
        head = ask(port, method="HEAD")
        assert head.body == b""
        # Django's middleware and servers do not all tell the length.
        assert head.without(*CHANGING, "content-length") == whole.without(*CHANGING, "content-length")
        assert ask(port, If_Match='"other"').status.split()[1] == "412"


def test_hosts_languages_and_queries(made, server):
    made(lambda request, run: JsonResponse([run, request.get_host(), request.LANGUAGE_CODE], safe=False))
    with server() as port:
        for _ in range(2):
            assert ask(port).body == b'[1, "testserver", "en"]'
            assert ask(port, Accept_Language="de").body == b'[2, "testserver", "de"]'
            assert ask(port, Host="other.example").body == b'[3, "other.example", "en"]'
            assert ask(port, "/?a=1").body == b'[4, "testserver", "en"]'


def test_users(made, server, client_of):
    made(lambda request, run: HttpResponse(f"run {run} {request.user}"))
    cookies = {name: f"sessionid={client_of(name).cookies['sessionid'].value}" for name in ("alice", "bob")}
    with server() as port:
        for _ in range(2):
            assert ask(port).body == b"run 1 AnonymousUser"
            assert ask(port, Cookie=cookies["alice"]).body == b"run 2 alice"
            assert ask(port, Cookie=cookies["bob"]).body == b"run 3 bob"


def test_directives(made, server):
    made(lambda request, run: HttpResponse(f"run {run}"))
    with server() as port:
        said = [ask(port, **headers).body for headers in ({}, {"Cache_Control": "no-cache"}, {})]
        assert said == [b"run 1", b"run 2", b"run 2"]
        assert ask(port, Cache_Control="no-store").body == b"run 3"
        assert ask(port, Authorization="Bearer a").body == b"run 4"
        assert ask(port).body == b"run 2"


def test_content_of_a_get(made, server):
    made(lambda request, run: HttpResponse(f"run {run} {request.body.decode()}"))
    with server() as port:
        assert ask(port).body == b"run 1 "
        fat = ask(port, Content_Length="0")
        assert fat.body == b"run 1 "
        assert ask(port, Transfer_Encoding="chunked\r\n\r\n4\r\nevil\r\n0").body.startswith(b"run 2")
        assert ask(port).body == b"run 1 "


def test_a_save_in_this_process(made, server):
    made(
        lambda request, run: HttpResponse(f"run {run}"),
        invalidates_on=[InvalidationRule(Author)],
    )
    with server() as port:
        assert [ask(port).body for _ in range(2)] == [b"run 1", b"run 1"]
        Author.objects.create(name="a")
        assert [ask(port).body for _ in range(2)] == [b"run 2", b"run 2"]


# --- herds


@pytest.fixture
def arriving(settings, monkeypatch):
    """Fifty requests that arrive before the first of them has its answer."""
    settings.MIDDLEWARE = ["tests.responses.serving.counting_arrivals", *settings.MIDDLEWARE]
    arrivals = serving.Arrivals()
    arrivals.expected = HERD
    monkeypatch.setattr(serving, "arrivals", arrivals)
    return arrivals


def answers_to_a_herd(server, threads):
    with server() as port:
        answers = [threads(ask, port) for _ in range(HERD)]
        return {answer.result().body for answer in answers}


@on("locmem", "memory", "redis")
def test_a_herd_of_threads(respond, cache_alias, serve, threads, arriving):
    runs = []

    @respond(cache=cache_alias)
    def view(request):
        runs.append(1)
        wait(arriving.complete, "the herd")
        return HttpResponse(f"run {len(runs)}")

    serve(view)
    assert answers_to_a_herd(serving.wsgi, threads) == {b"run 1"}
    assert len(runs) == 1


@on("locmem", "memory", "redis")
def test_a_herd_of_tasks(respond, cache_alias, serve, threads, arriving):
    runs = []

    @respond(cache=cache_alias)
    async def view(request):
        runs.append(1)
        deadline = time.monotonic() + DEADLINE
        while not arriving.complete.is_set():
            assert time.monotonic() < deadline
            await asyncio.sleep(0)
        return HttpResponse(f"run {len(runs)}")

    serve(view)
    assert answers_to_a_herd(serving.asgi, threads) == {b"run 1"}
    assert len(runs) == 1


if django.VERSION >= (5, 0):  # Before, Django does not notice.

    def test_clients_that_leave(respond, serve, threads):
        """The one who makes the response hangs up; the others get one all the same."""
        inside, gone, runs = threading.Event(), threading.Event(), []

        @respond
        async def view(request):
            runs.append(1)
            if len(runs) == 1:
                inside.set()
                try:
                    await asyncio.sleep(DEADLINE)
                finally:
                    gone.set()
            return HttpResponse(f"run {len(runs)}")

        serve(view)
        with serving.asgi() as port:
            leaving = socket.create_connection(("127.0.0.1", port))
            leaving.sendall(b"GET / HTTP/1.1\r\nHost: testserver\r\n\r\n")
            wait(inside, "the view")
            others = [threads(ask, port) for _ in range(3)]
            leaving.close()
            wait(gone, "the end of the first run")
            assert {answer.result().body for answer in others} == {b"run 2"}
