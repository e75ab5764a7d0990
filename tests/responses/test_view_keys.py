"""What tells requests apart: nobody gets a response that was made for another."""

import types
import uuid
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.views import View

from cache_result import ConstantKeyField, QueryParamsKeyField, ViewKwargsKeyField


def text(response):
    assert response.status_code == 200, response
    return response.content.decode()


def user_of(request):
    return str(request.user or "nobody")


def test_users_and_anonymous_visitors(counted, serve, client_of):
    serve(counted(user_of))
    alice, bob, nobody, other = client_of("alice"), client_of("bob"), Client(), Client()
    said = [text(client.get("/")) for client in (alice, bob, nobody, other, alice, bob)]
    assert said[:3] == ["run 1 alice", "run 2 bob", "run 3 AnonymousUser"]
    assert said[3:] == ["run 3 AnonymousUser", "run 1 alice", "run 2 bob"]


def test_one_user_in_two_browsers(counted, serve, client_of):
    serve(counted(user_of))
    assert text(client_of("alice").get("/")) == text(client_of("alice").get("/")) == "run 1 alice"


@pytest.mark.parametrize(
    "constructor",
    [{"pk": ViewKwargsKeyField()}, {"one": ConstantKeyField("one", 1)}, {"q": QueryParamsKeyField("q")}],
)
def test_a_constructor_of_the_project_drops_neither_user_nor_host(
    counted, serve, client_of, constructor, settings
):
    # Fails (bob gets alice's) when only what the constructor has is in the key.
    serve(counted(lambda request: f"{request.user} {request.get_host()}", key_constructor=constructor))
    alice, bob = client_of("alice"), client_of("bob")
    assert text(alice.get("/")) == "run 1 alice testserver"
    assert text(bob.get("/")) == "run 2 bob testserver"
    assert text(bob.get("/", headers={"Host": "other.example"})) == "run 3 bob other.example"
    assert text(bob.get("/", secure=True)) == "run 4 bob testserver"
    assert text(alice.get("/elsewhere/")) == "run 1 alice testserver"


def test_public_responses_are_the_same_for_all(counted, serve, client_of):
    get = serve(counted(public=True))
    said = {text(client.get("/")) for client in (client_of("alice"), client_of("bob"))} | {text(get("/"))}
    assert said == {"run 1"}
    assert "run 2" in text(get("/", headers={"Host": "other.example"}))


def test_a_public_response_does_not_look_at_the_session(counted, serve, client_of):
    serve(counted(public=True))
    for name in ("alice", "bob"):
        assert "Cookie" not in client_of(name).get("/").headers["Vary"]


def test_host_port_and_scheme(counted, serve):
    get = serve(counted(lambda request: request.build_absolute_uri("/")))
    assert text(get("/")) == "run 1 http://testserver/"
    assert text(get("/", secure=True)) == "run 2 https://testserver/"
    assert text(get("/", headers={"Host": "a.example"})) == "run 3 http://a.example/"
    assert text(get("/", headers={"Host": "a.example:8000"})) == "run 4 http://a.example:8000/"
    assert text(get("/", headers={"Host": "a.example"})) == "run 3 http://a.example/"


def test_headers_of_a_proxy_that_is_believed(counted, serve, settings):
    settings.USE_X_FORWARDED_HOST = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    get = serve(counted(lambda request: request.build_absolute_uri("/")))
    assert text(get("/", headers={"X-Forwarded-Host": "a.example"})) == "run 1 http://a.example/"
    assert text(get("/", headers={"X-Forwarded-Host": "b.example"})) == "run 2 http://b.example/"
    said = text(get("/", headers={"X-Forwarded-Host": "b.example", "X-Forwarded-Proto": "https"}))
    assert said == "run 3 https://b.example/"


def test_path_and_script_name(counted, serve):
    get = serve(counted(lambda request: request.path))
    assert text(get("/a/")) == "run 1 /a/"
    assert text(get("/b/")) == "run 2 /b/"
    assert text(get("/a/", SCRIPT_NAME="/mounted")) == "run 3 /mounted/a/"
    assert text(get("/a%2Fb/")) == text(get("/a/b/"))  # which are one path to Django


def test_query(counted, serve):
    get = serve(counted(lambda request: request.GET.get("page", "")))
    assert text(get("/?page=1&size=2")) == text(get("/?size=2&page=1")) == "run 1 1"
    # Fails (the second is answered like the first) when the order of values does not count.
    assert text(get("/?page=1&page=2")) == "run 2 2"
    assert text(get("/?page=2&page=1")) == "run 3 1"
    assert text(get("/?page=1")) == "run 4 1"
    assert text(get("/?page=")) == "run 5"
    assert text(get("/")) == "run 6"
    assert text(get("/?page=1&page=1")) == "run 7 1"


@pytest.mark.parametrize("how", ["header", "cookie"])
def test_languages(counted, serve, how):
    get = serve(counted(lambda request: translation.get_language()))

    def ask(language):
        client = Client()
        if how == "cookie":
            client.cookies["django_language"] = language
            return text(client.get("/"))
        return text(client.get("/", headers={"Accept-Language": language}))

    assert [ask("de"), ask("en"), ask("de")] == ["run 1 de", "run 2 en", "run 1 de"]
    assert text(get("/", headers={"Accept-Language": "de-AT,de;q=0.9"})) == "run 1 de"


def test_the_language_is_in_the_answer_of_a_hit_too(counted, serve):
    get = serve(counted())
    for _ in range(2):
        response = get("/", headers={"Accept-Language": "de"})
        assert response.headers["Content-Language"] == "de"
        assert "Accept-Language" in response.headers["Vary"]


def test_time_zones(respond, rf):
    @respond
    def view(request):
        return HttpResponse(timezone.get_current_timezone_name())

    for name in ("Europe/Berlin", "Asia/Tokyo", "Europe/Berlin"):
        with timezone.override(ZoneInfo(name)):
            assert text(view(rf.get("/"))) == name


class WithoutKey:
    """What some authentication makes of a user."""

    is_authenticated = True

    def __init__(self, name):
        self.name = name

    def __str__(self):
        return self.name


class WithUUID(WithoutKey):
    @property
    def pk(self):
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name)


class OtherWithUUID(WithUUID):
    pass


def asking(user):
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_users_without_a_primary_key_are_not_cached_for(counted):
    view = counted(user_of)
    assert [text(view(asking(WithoutKey("a")))) for _ in range(2)] == ["run 1 a", "run 2 a"]
    assert view.get_cached_metadata(asking(WithoutKey("a"))) is None
    assert text(view(asking(AnonymousUser()))) == "run 3 AnonymousUser"


def test_users_of_other_kinds(counted):
    view = counted(user_of)
    users = [WithUUID("a"), WithUUID("b"), OtherWithUUID("a"), WithUUID("a")]
    assert [text(view(asking(user))) for user in users] == ["run 1 a", "run 2 b", "run 3 a", "run 1 a"]


def test_lazy_users_of_other_kinds(counted):
    # Fails (one gets the other's) when the class of the lazy object is taken for that of the user.
    view = counted(user_of)
    users = [SimpleLazyObject(lambda kind=kind: kind("a")) for kind in (WithUUID, OtherWithUUID)]
    assert [text(view(asking(user))) for user in users] == ["run 1 a", "run 2 a"]


def test_requests_that_never_met_a_middleware(counted, rf):
    view = counted()
    assert text(view(rf.get("/"))) == text(view(rf.get("/"))) == "run 1"


def test_heirs_are_views_of_their_own(respond, serve, rf):
    # Fails (the heir's page is the parent's) when the class of the view is not in the key.
    class Parent(View):
        said = "parent"

        @respond(key_constructor={"pk": ViewKwargsKeyField("pk")})
        def get(self, request, pk):
            return HttpResponse(self.said)

    class Heir(Parent):
        said = "heir"

    assert text(Parent.as_view()(rf.get("/parent/1/"), pk=1)) == "parent"
    assert text(Heir.as_view()(rf.get("/heir/1/"), pk=1)) == "heir"


def test_a_urlconf_that_a_middleware_has_chosen(counted, rf):
    view = counted(lambda request: getattr(request.urlconf, "__name__", request.urlconf))
    said = []
    for urlconf in ("shop.urls", types.ModuleType("blog.urls"), "shop.urls", (path("", view),)):
        request = rf.get("/")
        request.urlconf = urlconf
        said.append(text(view(request))[:15])
    assert said[:3] == ["run 1 shop.urls", "run 2 blog.urls", "run 1 shop.urls"]
    assert said[3].startswith("run 3")


def test_content_of_a_get_is_not_in_the_key_so_it_is_not_answered_from_the_cache(counted, serve):
    # Fails (everybody gets what one has asked for in the body of a GET) without the bypass.
    get = serve(counted(lambda request: request.body.decode()))
    client = Client()
    assert text(client.generic("GET", "/", "evil")) == "run 1 evil"
    assert text(get("/")) == "run 2"
    assert text(client.generic("GET", "/", "evil")) == "run 3 evil"
