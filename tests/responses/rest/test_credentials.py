"""Whose response it is: what REST framework authenticates decides, not the session of Django."""

import base64
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.urls import path
from rest_framework.authentication import BaseAuthentication, BasicAuthentication, SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from cache_result import CACHE_MISSING, cache_response
from tests.responses.rest.counting import ByHeader, count, counts

pytestmark = pytest.mark.django_db


class ByToken(BaseAuthentication):
    """`Authorization: Token <user>`, with what the token allows as `request.auth`."""

    def authenticate(self, request):
        kind, _, name = request.headers.get("Authorization", "").partition(" ")
        return (User.objects.get(username=name), {"read"}) if kind == "Token" else None


class ByScope(BaseAuthentication):
    """A user and what he may do, both outside of `Authorization`."""

    def authenticate(self, request):
        scope = request.headers.get("X-Scope")
        name = request.headers.get("X-User")
        return (User.objects.get(username=name) if name else AnonymousUser(), scope) if scope else None


class WithoutKey(BaseAuthentication):
    """Users that no database knows."""

    def authenticate(self, request):
        return SimpleNamespace(is_authenticated=True, name=request.headers["X-Name"]), None


def answer(request):
    return Response({"run": count("run"), "user": str(request.user), "auth": str(request.auth)})


class Strict(APIView):
    authentication_classes = (ByToken, SessionAuthentication, BasicAuthentication)
    permission_classes = (IsAuthenticated,)

    @cache_response(ttl=60)
    def get(self, request):
        return answer(request)


class Declared(Strict):
    @cache_response(ttl=60, authorization=True)
    def get(self, request):
        return answer(request)


class Public(Strict):
    @cache_response(ttl=60, public=True)
    def get(self, request):
        return answer(request)


class Scoped(APIView):
    authentication_classes = (ByScope,)

    @cache_response(ttl=60)
    def get(self, request):
        return answer(request)


class ScopedDeclared(Scoped):
    @cache_response(ttl=60, authorization=True)
    def get(self, request):
        return answer(request)


class Keyless(APIView):
    authentication_classes = (WithoutKey,)

    @cache_response(ttl=60)
    def get(self, request):
        return Response({"run": count("run"), "name": request.user.name})


@cache_response(ttl=60)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def unauthenticated(request):
    return answer(request)


class Inner(APIView):
    authentication_classes = (ByHeader,)

    def get(self, request):
        return answer(request)


@cache_response(ttl=60)
def delegating(request):
    """Does not say that it is a view of REST framework."""
    return Inner.as_view()(request)


@cache_response(ttl=60)
def embedding(request):
    return HttpResponse(Inner.as_view()(request).render().content, content_type="application/json")


@cache_response(ttl=60)
@api_view(["GET"])
@authentication_classes([])
def delegating_rest(request):
    return Response(Inner.as_view()(request._request).data)


VIEWS = (Strict, Declared, Public, Scoped, ScopedDeclared, Keyless)
urlpatterns = [
    *(path(f"{view.__name__}/", view.as_view()) for view in VIEWS),
    path("unauthenticated/", unauthenticated),
    path("delegating/", delegating),
    path("embedding/", embedding),
    path("delegating_rest/", delegating_rest),
]


@pytest.fixture(autouse=True)
def users():
    return [User.objects.create_user(name, password="secret") for name in ("alice", "bob")]


def basic(name):
    return "Basic " + base64.b64encode(f"{name}:secret".encode()).decode()


CREDENTIALS = [pytest.param(basic, id="Basic"), pytest.param("Token {}".format, id="Token")]


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_authorization_goes_past_the_cache(api, credentials):
    for name in ("alice", "bob", "alice"):
        response = api.get("/Strict/", HTTP_AUTHORIZATION=credentials(name))
        assert response.json()["user"] == name
        assert "Cache-Control" not in response
    assert counts["run"] == 3


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_authorization_may_be_declared_to_name_the_user_alone(api, credentials):
    seen = [
        api.get("/Declared/", HTTP_AUTHORIZATION=credentials(n)).json() for n in ("alice", "bob", "alice")
    ]
    assert [answer["user"] for answer in seen] == ["alice", "bob", "alice"]
    assert counts["run"] == 2
    assert api.get("/Declared/").status_code == 403


@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_public_is_the_same_for_all_but_not_for_strangers(api, credentials):
    seen = {api.get("/Public/", HTTP_AUTHORIZATION=credentials(n)).content for n in ("alice", "bob")}
    assert len(seen) == counts["run"] == 1
    assert api.get("/Public/", HTTP_AUTHORIZATION=basic("mallory")).status_code == 403


def test_sessions(api_of):
    alice, bob = api_of("alice"), api_of("bob")
    seen = [client.get("/Strict/").json()["user"] for client in (alice, bob, alice, bob)]
    assert seen == ["alice", "bob", "alice", "bob"]
    assert counts["run"] == 2
    assert api_of().get("/Strict/").status_code == 403


@pytest.mark.parametrize("headers", [{}, {"HTTP_X_USER": "alice"}], ids=["nobody", "alice"])
def test_what_a_credential_allows_is_not_shared(api, headers):
    for scope in ("read", "write", "read"):
        assert api.get("/Scoped/", HTTP_X_SCOPE=scope, **headers).json()["auth"] == scope
    assert counts["run"] == 3


def test_credentials_outside_of_authorization_may_be_declared_too(api):
    for scope in ("read", "write"):  # which this view says that nothing depends on
        assert api.get("/ScopedDeclared/", HTTP_X_SCOPE=scope, HTTP_X_USER="bob").json()["user"] == "bob"
    assert counts["run"] == 1
    assert api.get("/ScopedDeclared/", HTTP_X_SCOPE="key").json()["user"] == "AnonymousUser"
    assert api.get("/ScopedDeclared/", HTTP_X_SCOPE="other").json()["auth"] == "other"


def test_users_without_a_primary_key_are_not_cached(api):
    for name in ("alice", "bob", "alice"):
        assert api.get("/Keyless/", HTTP_X_NAME=name).json()["name"] == name
    assert counts["run"] == 3


def test_a_view_that_ignores_who_asks_still_tells_them_by_nothing(api_of):
    assert api_of("alice").get("/unauthenticated/").content == api_of("bob").get("/unauthenticated/").content
    assert counts["run"] == 1


@pytest.mark.parametrize("name", ["delegating", "embedding", "delegating_rest"])
def test_users_whom_the_view_itself_finds_are_not_mixed_up(api, name):
    """Their names were not known when the cache was asked."""
    users = [api.get(f"/{name}/", HTTP_X_USER=name_).json()["user"] for name_ in ("alice", "bob", "alice")]
    assert users == ["alice", "bob", "alice"]
    nobody = api.get(f"/{name}/").json()["user"]
    assert (nobody, counts["run"]) == ("AnonymousUser", 4)


def test_forced_users_of_the_request_factory(users):
    view, factory = Strict.as_view(), APIRequestFactory()

    def ask(user, token=None):
        request = factory.get("/Strict/")
        force_authenticate(request, user=user, token=token)
        return view(request)

    answers = [ask(user) for user in (*users, *users)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].data == {"run": 1, "user": "alice", "auth": "None"}
    assert answers[2].content == answers[0].content == answers[0].render().content
    assert counts["run"] == 2
    assert ask(users[0], token="scoped").data["run"] == 3


def test_peeking_as_somebody_without_a_key_finds_nothing():
    view = Keyless()
    request = APIRequestFactory().get("/Keyless/", HTTP_X_NAME="alice")
    view.setup(request)
    view.request = view.initialize_request(request)
    view.headers = view.default_response_headers
    view.initial(view.request)
    assert view.get.get_cache_only(view.request) is CACHE_MISSING
