"""What clients ask of the cache, and what it tells them: Cache-Control, Age, X- headers."""

import pytest
from django.core.cache import caches
from django.db import transaction
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.utils.dateparse import parse_datetime

from tests.app.models import Author
from tests.waiting import Gate

ADDED = {"Cache-Control", "Age"}


def said(response):
    return set(response.headers["Cache-Control"].split(", "))


# --- of the request


def test_no_cache_refreshes(counted, serve):
    get = serve(counted(set_cache_headers=True))
    assert get("/").content == b"run 1"
    response = get("/", headers={"Cache-Control": "no-cache"})
    assert (response.content, response.headers["X-Cache-status"]) == (b"run 2", "REFRESH")
    assert get("/").content == b"run 2"


def test_no_store_bypasses(counted, serve):
    get = serve(counted(set_cache_headers=True))
    assert get("/").content == b"run 1"
    response = get("/", headers={"Cache-Control": "max-age=0, No-Store"})
    assert (response.content, response.headers["X-Cache-status"]) == (b"run 2", "BYPASS")
    assert not ADDED & response.headers.keys()
    assert get("/").content == b"run 1"


@pytest.mark.parametrize("directive", ["max-age=0", "max-stale", "only-if-cached", "", "no-cached"])
def test_other_directives_do_not_count(counted, serve, directive):
    get = serve(counted())
    assert get("/").content == get("/", headers={"Cache-Control": directive}).content == b"run 1"


@pytest.mark.parametrize("directive", ["no-cache", "no-store"])
def test_clients_that_are_not_listened_to(counted, serve, settings, directive):
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "REQUEST_CACHE_CONTROL": False}
    get = serve(counted())
    assert get("/").content == get("/", headers={"Cache-Control": directive}).content == b"run 1"


# --- of the response


def test_age_and_max_age(counted, serve, clock):
    get = serve(counted())
    missed = get("/")
    assert said(missed) == {"private", "max-age=60"}
    assert "Age" not in missed.headers
    for seconds, age in ((0, "0"), (0.9, "0"), (0.2, "1"), (50, "51")):
        clock.advance(seconds)
        hit = get("/")
        assert (hit.headers["Age"], said(hit)) == (age, {"private", "max-age=60"})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"public": True}, {"public", "max-age=60"}),
        ({"ttl": None}, {"private", "no-cache"}),
        ({"ttl": None, "public": True}, {"public", "no-cache"}),
        ({"ttl": 1.9}, {"private", "max-age=1"}),
        ({"ttl": lambda response: 7}, {"private", "max-age=7"}),
    ],
)
def test_what_is_said(counted, serve, options, expected):
    get = serve(counted(**options))
    assert [said(get("/")) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("max-age=10", {"private", "max-age=10"}),
        ("max-age=600", {"private", "max-age=600"}),
        ("s-maxage=30", {"private", "s-maxage=30"}),
        ("public", {"public", "max-age=60"}),
        ("public, max-age=20, immutable", {"public", "max-age=20", "immutable"}),
        ("must-revalidate", {"must-revalidate", "private", "max-age=60"}),
    ],
)
def test_what_the_view_says_stands(respond, serve, own, expected):
    get = serve(respond(lambda request: HttpResponse("page", headers={"Cache-Control": own})))
    assert [said(get("/")) for _ in range(2)] == [expected] * 2


def test_x_headers(counted, serve, clock):
    get = serve(counted(set_cache_headers=True))
    missed, hit = get("/"), get("/")
    assert [r.headers["X-Cache-status"] for r in (missed, hit)] == ["MISS", "HIT"]
    for name in ("X-Cached-at", "X-Cache-reset-at"):
        assert missed.headers[name] == hit.headers[name]
    cached_at, reset_at = (parse_datetime(hit.headers[f"X-{name}-at"]) for name in ("Cached", "Cache-reset"))
    assert (reset_at - cached_at).total_seconds() == 60
    conditional = get("/", headers={"If-None-Match": hit.headers["ETag"]})
    assert (conditional.status_code, conditional.headers["X-Cache-status"]) == (304, "HIT")
    assert Client().head("/").headers["X-Cache-status"] == "HIT"


async def test_x_headers_of_async_views(respond, serve):
    @respond(set_cache_headers=True)
    async def view(request):
        return HttpResponse("page")

    serve(view)
    responses = [await AsyncClient().get("/") for _ in range(2)]
    assert [r.headers["X-Cache-status"] for r in responses] == ["MISS", "HIT"]


def test_no_x_headers_unless_asked_for(counted, serve):
    get = serve(counted())
    for _ in range(2):
        assert not [name for name in get("/").headers if name.startswith("X-Cache")]


def test_past_the_cache_nobody_asks_who_it_is(counted, serve):
    """As the session middleware would say that the response depends on cookies."""
    get = serve(counted())
    assert "Cookie" in get("/").headers["Vary"]
    assert "Cookie" not in get("/", headers={"Cache-Control": "no-store"}).headers["Vary"]


# --- where nothing is stored


def view_with(own):
    return lambda request: HttpResponse("page", headers={} if own is None else {"Cache-Control": own})


OWN = pytest.mark.parametrize("own", [None, "max-age=10", "public"])


def check_untouched(response, own):
    assert response.content == b"page"
    assert response.headers.get("Cache-Control") == own
    assert "Age" not in response.headers


@OWN
def test_without_a_cache_server(respond, serve, own):
    get = serve(respond(view_with(own), cache="redis_down"))
    for _ in range(2):
        check_untouched(get("/"), own)


@OWN
def test_those_who_waited_for_what_could_not_be_stored(respond, rf, own, monkeypatch, threads):
    # Fails (they are told max-age=60) when what is handed to them is as it would have been stored.
    gate = Gate()

    def view(request):
        gate.stop_here()
        return view_with(own)(request)

    view = respond(view)
    monkeypatch.setattr(type(view.storage), "store", lambda self, *args: False)
    first = threads(view, rf.get("/"))
    gate.wait_until_reached()
    others = [threads(view, rf.get("/")) for _ in range(3)]
    gate.open()
    check_untouched(first.result(), own)
    for outcome in others:
        assert outcome.result().headers.get("Cache-Control") == own


@OWN
@pytest.mark.django_db
def test_in_a_transaction_that_wrote(respond, serve, own):
    get = serve(respond(view_with(own)))
    with transaction.atomic():
        Author.objects.create(name="a")
        for _ in range(2):
            check_untouched(get("/"), own)


@OWN
def test_a_dummy_cache(respond, serve, own):
    get = serve(respond(view_with(own), cache="dummy"))
    response = get("/")
    assert response.content == b"page"
    assert caches["dummy"].get("anything") is None


@pytest.mark.parametrize("options", [{}, {"set_cache_headers": True}, {"public": True, "ttl": None}])
def test_switched_off(counted, serve, settings, options):
    """Responses are what they are without the decorator, whatever they say themselves."""
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "ENABLED": False}

    def with_tag(view):
        def tagged(request):
            response = view(request)
            response.headers["ETag"] = '"own"'
            return response

        return tagged

    view = counted(through=with_tag, **options)
    plain = serve(view.func)("/")
    get = serve(view)
    for run in (2, 3):
        response = get("/", headers={"If-None-Match": '"own"'})
        assert (response.status_code, response.content) == (200, f"run {run}".encode())
        assert response.headers == plain.headers
