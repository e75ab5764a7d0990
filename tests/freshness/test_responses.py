"""`cache_response`: what clients and caches on the way are told, and when the view runs again."""

import itertools

import pytest
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_result import background, cache_response
from tests.freshness.conftest import asettle, settle
from tests.responses.conftest import SITE

# Django closes connections that other tests have left open around each request.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

TTL, WINDOW, ON_ERROR = 10, 20, 60
OPTIONS = {
    "ttl": TTL,
    "stale_while_revalidate": WINDOW,
    "stale_if_error": ON_ERROR,
    "public": True,
    "set_cache_headers": True,
}
NUMBERS = itertools.count()


class Site:
    """Views that tell how often they ran, all of them together."""

    def __init__(self):
        self.runs = 0
        self.error = None
        self.private = False

    def answer(self, response=HttpResponse):
        self.runs += 1
        if self.error is not None:
            raise self.error
        answer = response(f"run {self.runs}")
        if self.private:
            answer["Cache-Control"] = "private"
        return answer

    @property
    def urlpatterns(self):
        site, number = self, next(NUMBERS)

        @cache_response(**OPTIONS, name=f"test-windows-{number}")
        def plain(request):
            return site.answer()

        @cache_response(**OPTIONS, name=f"test-windows-async-{number}")
        async def asynchronous(request):
            return site.answer()

        class Rest(APIView):
            @cache_response(**OPTIONS, name=f"test-windows-rest-{number}")
            def get(self, request):
                return site.answer(Response)

        return [path("plain/", plain), path("async/", asynchronous), path("rest/", Rest.as_view())]


@pytest.fixture
def site(settings, clock):
    class Urls:
        pass

    for name, value in SITE.items():
        setattr(settings, name, value)
    site = Site()
    Urls.urlpatterns = site.urlpatterns
    settings.ROOT_URLCONF = Urls
    settings.CACHES = {"default": {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": str(id(site))}}
    return site


def told(response):
    return response.content.decode().strip('"'), response["X-Cache-status"]


@pytest.mark.parametrize("url", ["/plain/", "/rest/", "/async/"])
def test_the_old_response_and_then_the_new_one(site, clock, url):
    client = Client()
    first = client.get(url)
    assert told(first) == ("run 1", "MISS")
    clock.advance(TTL + 1)
    stale = client.get(url)
    assert told(stale) == ("run 1", "STALE")
    assert stale["Age"] == str(TTL + 1)
    assert stale.get("Vary") == first.get("Vary")
    settle()
    if url == "/async/":  # whose loop ended with the request: the next reader tries, and so on
        return
    fresh = client.get(url)
    assert told(fresh) == ("run 2", "HIT")
    assert fresh["Age"] == "0"
    assert fresh.get("Vary") == first.get("Vary")


async def test_the_old_response_and_then_the_new_one_async(site, clock):
    client = AsyncClient()
    assert told(await client.get("/async/")) == ("run 1", "MISS")
    clock.advance(TTL + 1)
    assert told(await client.get("/async/")) == ("run 1", "STALE")
    await asettle()
    assert told(await client.get("/async/")) == ("run 2", "HIT")


def test_caches_on_the_way_are_told(site):
    said = Client().get("/plain/")["Cache-Control"]
    assert set(said.split(", ")) == {
        f"max-age={TTL}",
        "public",
        f"stale-while-revalidate={WINDOW}",
        f"stale-if-error={ON_ERROR}",
    }


def test_without_windows_they_are_told_nothing(site):
    @cache_response(ttl=TTL, public=True, name="test-windows-none")
    def view(request):
        return site.answer()

    assert set(view(RequestFactory().get("/"))["Cache-Control"].split(", ")) == {f"max-age={TTL}", "public"}


def test_a_view_that_raises(site, clock):
    client = Client()
    client.get("/plain/")
    clock.advance(TTL + WINDOW + 1)
    site.error = ValueError("no page")
    stale = client.get("/plain/")
    assert told(stale) == ("run 1", "STALE")
    assert stale["Age"] == str(TTL + WINDOW + 1)
    clock.advance(ON_ERROR)
    with pytest.raises(ValueError, match="no page"):
        client.get("/plain/")


def test_which_errors_of_a_view_are_spared(site, clock, caplog):
    # Fails if the core is asked about what takes the view's exception through it.
    @cache_response(**OPTIONS, error_types=OSError, name="test-windows-errors")
    def view(request):
        return site.answer()

    request = RequestFactory().get("/")
    view(request)
    clock.advance(TTL + WINDOW + 1)
    site.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        view(request)
    site.error = ConnectionError("no database")
    assert told(view(request)) == ("run 1", "STALE")
    assert caplog.records[-1].exc_info[1] is site.error


def test_the_view_runs_again_when_the_response_is_closed(site, clock, monkeypatch):
    # Fails (two runs) if it does while middleware still uses the request.
    submitted = []
    monkeypatch.setattr(background, "submit", lambda work: bool(submitted.append(work)) or True)
    client = Client()
    client.get("/plain/")
    clock.advance(TTL + 1)
    during = []

    original = HttpResponse.close

    def close(response):
        during.append(len(submitted))
        original(response)

    monkeypatch.setattr(HttpResponse, "close", close)
    assert told(client.get("/plain/")) == ("run 1", "STALE")
    assert during[0] == 0
    assert len(submitted) == 1
    assert site.runs == 1


def test_what_is_for_one_client_alone_is_not_served_longer(site, clock):
    """Nor does that keep the view's next response from being cached."""
    client = Client()
    site.private = True
    client.get("/plain/")
    client.get("/plain/")
    assert site.runs == 2
    site.private = False
    clock.advance(TTL + 1)
    assert client.get("/plain/").content == b"run 3"
    assert client.get("/plain/").content == b"run 3"


def test_the_view_runs_again_in_the_language_of_the_request(site, clock):
    # Fails ("en", or another key) if the thread has the language of the project.
    @cache_response(**OPTIONS, name="test-windows-language")
    def view(request):
        site.runs += 1
        return HttpResponse(f"{get_language()} {get_current_timezone_name()} {site.runs}")

    request = RequestFactory().get("/")
    with translation.override("de"), timezone.override("Asia/Tokyo"):
        assert view(request).content == b"de Asia/Tokyo 1"
        clock.advance(TTL + 1)
        response = view(request)
        assert told(response) == ("de Asia/Tokyo 1", "STALE")
        response.close()
        settle()
        assert told(view(request)) == ("de Asia/Tokyo 2", "HIT")


def test_head_runs_nothing(site, clock):
    client = Client()
    client.get("/plain/")
    clock.advance(TTL + 1)
    assert client.head("/plain/")["X-Cache-status"] == "STALE"
    settle()
    assert site.runs == 1
