"""What Django and others do with a cache: sessions, whole pages, fragments of templates, throttles."""

import pytest
from django.conf import settings
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from django.core.cache.utils import make_template_fragment_key
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils.cache import learn_cache_key
from django.views.decorators.cache import cache_page
from rest_framework.throttling import SimpleRateThrottle

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]


@pytest.fixture(autouse=True, params=["memory", "locmem"])
def alias(request):
    """Django's default cache is the one under test."""
    spec = settings.CACHES[request.param]
    with override_settings(CACHES={"default": spec}, SESSION_CACHE_ALIAS="default", TEMPLATES=TEMPLATES):
        caches["default"].clear()
        yield request.param


class TestSessions:
    def test_a_session(self):
        session = SessionStore()
        session["basket"] = {"apples": [1, 2]}
        session.save()
        again = SessionStore(session.session_key)
        assert again["basket"] == {"apples": [1, 2]}
        again["basket"]["apples"].append(3)
        assert SessionStore(session.session_key)["basket"] == {"apples": [1, 2]}
        again.save()
        assert SessionStore(session.session_key)["basket"] == {"apples": [1, 2, 3]}
        again.cycle_key()
        assert not SessionStore().exists(session.session_key)
        again.flush()
        assert SessionStore(again.session_key).load() == {}

    def test_it_ends(self, clock, alias):
        if alias == "memory":
            session = SessionStore()
            session["key"] = 1
            session.set_expiry(100)
            session.save()
            clock.advance(99)
            assert SessionStore(session.session_key)["key"] == 1
            clock.advance(2)
            assert SessionStore(session.session_key).load() == {}


class TestPages:
    def test_whole_pages(self):
        served = []

        @cache_page(60)
        def view(request):
            served.append(1)
            return HttpResponse(f"page {len(served)}", headers={"X-A": "b"})

        def get(path):
            return view(RequestFactory().get(path))

        pages = [get("/one").content, get("/one").content, get("/two").content, get("/one?a=1").content]
        assert pages == [b"page 1", b"page 1", b"page 2", b"page 3"]
        assert get("/one")["X-A"] == "b"
        caches["default"].clear()
        assert get("/one").content == b"page 4"

    def test_learned_headers(self):
        request, response = RequestFactory().get("/"), HttpResponse("text", headers={"Vary": "Cookie"})
        key = learn_cache_key(request, response, 60)
        caches["default"].set(key, response)
        assert caches["default"].get(key).content == b"text"

    def test_async_requests(self):
        @cache_page(60)
        def view(request):
            return HttpResponse("page")

        request = AsyncRequestFactory().get("/async")
        assert [view(request).content, view(request).content] == [b"page", b"page"]


def test_template_fragments():
    template = engines["django"].from_string(
        "{% load cache %}{% cache 60 name who %}{{ text }}{% endcache %}"
    )
    rendered = [template.render({"who": who, "text": text}) for who, text in ("a1", "a2", "b3")]
    assert rendered == ["1", "1", "3"]
    caches["default"].delete(make_template_fragment_key("name", ["a"]))
    assert template.render({"who": "a", "text": "4"}) == "4"


def test_throttles():
    class Throttle(SimpleRateThrottle):
        rate = "3/min"
        now = 1000.0

        def timer(self):
            return Throttle.now

        def get_cache_key(self, request, view):
            return f"throttle-{request}"

    allowed = [Throttle().allow_request(who, None) for who in "aabaaab"]
    assert allowed == [True, True, True, True, False, False, True]
    Throttle.now += 61
    assert Throttle().allow_request("a", None) is True
