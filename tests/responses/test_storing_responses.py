"""Which responses are stored, and for how long: statuses, predicates, ttl, what the response says itself."""

import datetime
import time

import pytest
from django.http import (
    Http404,
    HttpResponse,
    HttpResponseForbidden,
    HttpResponseNotFound,
    HttpResponsePermanentRedirect,
    HttpResponseRedirect,
    JsonResponse,
)
from django.test import AsyncClient
from django.utils.http import http_date
from django.views.decorators.cache import cache_control

from cache_result import CACHE_MISSING
from cache_result.responses.policy import STATUSES


@pytest.fixture
def answering(respond, serve):
    """`ask = answering(make, **options)`: asks a view that answers `make(run)`; says how often it has run."""

    def answering(make, **options):
        runs = []

        @respond(**options)
        def view(request):
            runs.append(1)
            return make(len(runs))

        get = serve(view)

        def ask():
            get("/")
            return len(runs)

        ask.get, ask.view = get, view
        return ask

    return answering


@pytest.mark.parametrize(
    "status", [200, 201, 202, 203, 204, 300, 301, 302, 303, 307, 308, 400, 404, 410, 429, 500]
)
def test_statuses(answering, status):
    ask = answering(lambda run: HttpResponse(status=status))
    assert [ask(), ask()] == ([1, 1] if status in STATUSES else [1, 2])


def test_listed_statuses_instead(answering):
    ask = answering(lambda run: HttpResponse(status=404 if run == 1 else 200), statuses=[404, 410])
    assert [ask(), ask()] == [1, 1]
    ask.view.invalidate_all()
    assert [ask(), ask()] == [2, 3]


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_is_not_stored_and_says_nothing_about_caching(answering, status):
    ask = answering(lambda run: HttpResponse(status=status))
    response = ask.get("/")
    assert not {"Cache-Control", "ETag", "Age"} & response.headers.keys()


@pytest.mark.parametrize("error", [Http404("gone"), ValueError("wrong")])
def test_exceptions_pass_unchanged(respond, rf, error):
    runs = []

    @respond
    def view(request):
        runs.append(1)
        raise error

    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            view(rf.get("/"))
        assert raised.value is error
        assert error.__cause__ is None
        assert error.__context__ is None
        assert raised.traceback[-1].name == "view"
    assert len(runs) == 2


async def test_exceptions_pass_unchanged_from_async_views(respond, rf):
    error = Http404("gone")

    @respond
    async def view(request):
        raise error

    with pytest.raises(Http404) as raised:
        await view(rf.get("/"))
    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)


def test_an_exception_keeps_its_own_cause(respond, rf):
    @respond
    def view(request):
        try:
            return {}["x"]
        except KeyError as missing:
            raise Http404 from missing

    with pytest.raises(Http404) as raised:
        view(rf.get("/"))
    assert isinstance(raised.value.__cause__, KeyError)
    assert isinstance(raised.value.__context__, KeyError)


def test_a_refresh_that_fails_leaves_what_was_there(respond, rf):
    runs = []

    @respond
    def view(request):
        runs.append(1)
        if len(runs) == 2:
            raise ValueError("wrong")
        return HttpResponse(f"run {len(runs)}")

    view(rf.get("/"))
    with pytest.raises(ValueError, match="wrong"):
        view(rf.get("/", headers={"Cache-Control": "no-cache"}))
    assert view(rf.get("/")).content == b"run 1"


# --- predicates and ttl


@pytest.mark.parametrize(
    ("option", "predicate", "stored"),
    [
        ("cache_if", lambda response: response.content == b"yes", True),
        ("cache_if", lambda response: response.content == b"no", False),
        ("cache_unless", lambda response: response.content == b"yes", False),
        ("cache_if", lambda response, request: request.GET.get("cache") == "1", True),
        ("cache_unless", lambda response, request, *args: request.GET.get("cache") == "1", False),
        ("ttl", lambda response: 30, True),
        ("ttl", lambda response, request: 0, False),
        ("ttl", lambda response: datetime.timedelta(seconds=0), False),
        ("ttl", lambda response, request, **kwargs: None, True),
        ("ttl", 0, False),
        ("ttl", datetime.timedelta(0), False),
        ("ttl", 0.5, True),
        ("ttl", None, True),
    ],
)
def test_predicates_and_ttls(answering, option, predicate, stored):
    ask = answering(lambda run: HttpResponse("yes"), **{option: predicate})

    def runs():
        ask.get("/?cache=1")
        return ask.get("/?cache=1").headers.get("Age")

    assert (runs() is not None) is stored


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_predicates_of_async_views(respond, serve, asynchronous):
    async def only_json(response):
        return response.headers["Content-Type"] == "application/json"

    async def ttl(response, request):
        return int(request.GET["ttl"])

    runs = []

    @respond(cache_if=only_json if asynchronous else lambda response: True, ttl=ttl)
    async def view(request):
        runs.append(1)
        return JsonResponse({}) if "json" in request.GET else HttpResponse("text")

    serve(view)
    for query in ("?json&ttl=9", "?json&ttl=9", "?ttl=9", "?ttl=9", "?json&ttl=0", "?json&ttl=0"):
        await AsyncClient().get(f"/{query}")
    assert len(runs) == (5 if asynchronous else 4)


def test_a_predicate_that_raises_costs_nothing_but_the_entry(answering, caplog):
    ask = answering(lambda run: HttpResponse("page"), cache_if=lambda response: 1 / 0)
    assert [ask(), ask()] == [1, 2]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("wrong", ["soon", -1, True])
def test_a_ttl_that_returns_what_is_none(answering, caplog, wrong):
    ask = answering(lambda run: HttpResponse("page"), ttl=lambda response: wrong)
    assert [ask(), ask()] == [1, 2]
    assert "ttl" in caplog.text


def test_what_is_refused_after_a_refresh_is_gone(answering, rf):
    ask = answering(lambda run: HttpResponse(status=200 if run == 1 else 500))
    assert ask() == 1
    ask.view.refresh(rf.get("/"))
    assert ask.view.get_cache_only(rf.get("/")) is CACHE_MISSING


# --- for how long


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [(60, 60), (datetime.timedelta(minutes=1), 60), (lambda response: 30, 30), (2.5, 2.5)],
)
def test_lifetimes(answering, clock, ttl, seconds):
    ask = answering(lambda run: HttpResponse("page"), ttl=ttl)
    assert ask() == 1
    clock.advance(seconds - 0.1)
    assert ask() == 1
    clock.advance(0.2)
    assert ask() == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=20"}, 20),
        ({"Cache-Control": "max-age=600"}, 60),
        ({"Cache-Control": "max-age=50, s-maxage=10"}, 10),
        ({"Cache-Control": "public, MAX-AGE=20"}, 20),
        ({"Cache-Control": 'max-age="20"'}, 20),
        ({"Cache-Control": "max-age=50", "Age": "30"}, 20),
        ({"Cache-Control": "must-revalidate"}, 60),
    ],
)
def test_a_shorter_lifetime_of_the_response_counts(answering, clock, headers, seconds):
    ask = answering(lambda run: HttpResponse("page", headers=headers))
    assert ask() == 1
    clock.advance(seconds - 1)
    assert ask() == 1
    clock.advance(2)
    assert ask() == 2


def test_expires_of_the_response(answering, clock):
    ask = answering(lambda run: HttpResponse("page", headers={"Expires": http_date(time.time() + 30)}))
    assert ask() == 1
    clock.advance(25)
    assert ask() == 1
    clock.advance(7)
    assert ask() == 2


def test_max_age_of_a_decorator_ends_what_has_no_end(counted, serve, clock):
    get = serve(counted(through=cache_control(max_age=20), ttl=None))
    assert get("/").content == get("/").content == b"run 1"
    clock.advance(21)
    assert get("/").content == b"run 2"


def test_without_an_end(answering, clock):
    ask = answering(lambda run: HttpResponse("page"), ttl=None)
    ask()
    clock.advance(10**9)
    assert ask() == 1


# --- what a stored response is


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpResponse("text", content_type="text/plain; charset=latin-1"),
        lambda: HttpResponse("ü".encode("latin-1"), content_type="text/plain; charset=latin-1"),
        lambda: HttpResponse(b"\x00\xff" * 1000, content_type="image/png"),
        lambda: HttpResponse(b"", status=204),
        lambda: HttpResponse("x", reason="Quite All Right"),
        lambda: HttpResponse("x", status=203, reason="Ünlike"),
        lambda: HttpResponse("x", headers={"X-One": "1", "x-tWo": "zwei, drei", "Link": "<a>; rel=next"}),
        lambda: HttpResponse("x", headers={"X-Text": "äöü", "X-Far": "日本"}),
        lambda: HttpResponse("x", headers={"Last-Modified": http_date(0), "ETag": 'W/"own"'}),
        lambda: HttpResponse(["a", "b", b"c"]),
        lambda: HttpResponse(part for part in ("a", "b")),
        lambda: JsonResponse({"a": [1, {"b": "ü"}]}),
        lambda: HttpResponsePermanentRedirect("/elsewhere/?a=ü"),
        HttpResponse,
    ],
)
def test_a_hit_is_the_response_byte_for_byte(respond, serve, make):
    get = serve(respond(lambda request: make()))
    missed, hit = get("/"), get("/")
    assert "Age" not in missed.headers
    assert hit.headers.pop("Age") == ("Age", "0")
    assert hit.content == missed.content
    assert (hit.status_code, hit.reason_phrase) == (missed.status_code, missed.reason_phrase)
    assert list(hit.headers.items()) == list(missed.headers.items())
    assert hit.charset == missed.charset


def test_a_response_without_a_content_type(respond, serve):
    def view(request):
        response = HttpResponse("page")
        del response["Content-Type"]
        return response

    get = serve(respond(view))
    for _ in range(2):
        assert "Content-Type" not in get("/").headers


def test_redirects_keep_their_url(respond, serve):
    get = serve(respond(lambda request: HttpResponsePermanentRedirect("/elsewhere/")))
    for _ in range(2):
        assert get("/").url == "/elsewhere/"


def test_hits_are_objects_of_their_own(respond, rf):
    view = respond(lambda request: HttpResponse("page"))
    view(rf.get("/"))
    spoiled = view(rf.get("/"))
    spoiled.content = b"spoiled"
    spoiled.set_cookie("a", "b")
    spoiled.headers["X-Spoiled"] = "1"
    response = view(rf.get("/"))
    assert response.content == b"page"
    assert not response.cookies
    assert "X-Spoiled" not in response.headers


def test_other_redirects_and_refusals_are_not_stored(answering):
    for make in (lambda run: HttpResponseRedirect("/"), lambda run: HttpResponseForbidden()):
        ask = answering(make)
        assert [ask(), ask()] == [1, 2]
    ask = answering(lambda run: HttpResponseNotFound(), statuses=(404,))
    assert [ask(), ask()] == [1, 1]


def test_what_is_no_response_is_for_django_to_complain_about(respond, serve):
    runs = []
    get = serve(respond(lambda request: runs.append(1)))
    for run in (1, 2):
        with pytest.raises(ValueError, match="didn't return an HttpResponse object"):
            get("/")
        assert len(runs) == run
