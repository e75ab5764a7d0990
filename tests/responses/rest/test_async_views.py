"""Async views and viewsets of adrf, which run the handlers of REST framework as coroutines."""

import asyncio

import pytest
from adrf import generics, mixins
from adrf.decorators import api_view
from adrf.serializers import ModelSerializer
from adrf.views import APIView
from adrf.viewsets import ReadOnlyModelViewSet, ViewSet
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.urls import include, path
from django.utils.decorators import method_decorator
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action, permission_classes, throttle_classes
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle

from cache_result import CACHE_MISSING, cache_response
from tests.app.models import Author
from tests.responses.rest.counting import count, counts

pytestmark = pytest.mark.django_db(transaction=True)

cached = cache_response(ttl=60)


class ByHeader(BaseAuthentication):
    async def authenticate(self, request):
        name = request.headers.get("X-User")
        return (await User.objects.aget(username=name), None) if name else None


class Permission(BasePermission):
    async def has_permission(self, request, view):
        count("permission")
        return "forbidden" not in request.GET


class Throttle(BaseThrottle):
    async def allow_request(self, request, view):
        count("throttle")
        return "throttled" not in request.GET

    def wait(self):
        return 7


class Plain(APIView):
    authentication_classes = (ByHeader,)
    permission_classes = (Permission,)
    throttle_classes = (Throttle, Throttle)

    async def get(self, request):
        await asyncio.sleep(0)
        return Response({"run": count("run"), "user": str(request.user)})

    async def post(self, request):
        return Response({"posted": True})


class Method(Plain):
    @cached
    async def get(self, request):
        return await super().get(request)


@cached
class Whole(Plain):
    pass


@method_decorator(cached, name="dispatch")
class Dispatched(Plain):
    pass


class SyncMethod(Plain):
    post = None

    @cached
    def get(self, request):
        return Response({"run": count("run"), "user": str(request.user)})


@api_view(["GET"])
@permission_classes([Permission])
@throttle_classes([Throttle, Throttle])
@cached
async def below(request):
    return Response({"run": count("run"), "user": str(request.user)})


@cached
@api_view(["GET"])
@permission_classes([Permission])
@throttle_classes([Throttle, Throttle])
async def above(request):
    return Response({"run": count("run"), "user": str(request.user)})


class AuthorSerializer(ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


class Authors(ReadOnlyModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer

    @cached
    async def alist(self, request, *args, **kwargs):
        count("run")
        return await super().alist(request, *args, **kwargs)

    @cached
    async def aretrieve(self, request, *args, **kwargs):
        count("run")
        return await super().aretrieve(request, *args, **kwargs)


class Retrieve(mixins.RetrieveModelMixin, generics.GenericAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer

    @cached
    async def get(self, request, *args, **kwargs):
        count("run")
        return await self.aretrieve(request, *args, **kwargs)


class Actions(ViewSet):
    @action(detail=False)
    @cached
    async def below(self, request):
        return Response({"run": count("run")})

    @cached
    @action(detail=False)
    async def above(self, request):
        return Response({"run": count("run")})


@cached
class WholeSet(ViewSet):
    async def list(self, request):
        return Response({"run": count("run")})


router = SimpleRouter()
router.register("actions", Actions, basename="actions")
router.register("whole-set", WholeSet, basename="whole-set")
CHECKED = {
    "Method": Method.as_view(),
    "Whole": Whole.as_view(),
    "Dispatched": Dispatched.as_view(),
    "SyncMethod": SyncMethod.as_view(),
    "front": cached(Plain.as_view()),
    "below": below,
    "above": above,
}
urlpatterns = [
    *(path(f"{name}/", view) for name, view in CHECKED.items()),
    path("authors/", Authors.as_view({"get": "alist"})),
    path("authors/<int:pk>/", Authors.as_view({"get": "aretrieve"})),
    path("retrieve/<int:pk>/", Retrieve.as_view()),
    path("set-front/", cached(Authors.as_view({"get": "alist"}, suffix="List"))),
    path("", include(router.urls)),
]
URLS = [*(f"/{name}/" for name in CHECKED), "/actions/below/", "/actions/above/", "/whole-set/"]


@pytest.mark.parametrize("url", URLS)
async def test_hits(async_client, url):
    first = await async_client.get(url)
    second = await async_client.get(url)
    assert (first.status_code, counts["run"]) == (200, 1)
    assert second.content == first.content
    assert second["Age"] == "0"
    assert {k: v for k, v in second.items() if k != "Age"} == dict(first.items())
    assert (await async_client.get(url, headers={"if-none-match": first["ETag"]})).status_code == 304
    assert counts["run"] == 1


@pytest.mark.parametrize("url", ["/authors/", "/authors/1/", "/retrieve/1/", "/set-front/"])
async def test_generic_views(async_client, url):
    await Author.objects.acreate(pk=1, name="Ada")
    first = await async_client.get(url)
    assert b"Ada" in first.content
    assert (await async_client.get(url)).content == first.content
    assert counts["run"] == 1
    if url.endswith("/1/"):
        assert (await async_client.get(url.replace("1", "7"))).status_code == 404


@pytest.mark.parametrize("name", CHECKED)
async def test_checks_run_once(async_client, name):
    url = f"/{name}/"
    for number in (1, 2):
        assert (await async_client.get(url)).status_code == 200
        assert (counts["permission"], counts["throttle"]) == (number, 2 * number)
    throttled = await async_client.get(url, {"throttled": "1"})
    assert (throttled.status_code, throttled["Retry-After"]) == (429, "7")
    assert (counts["permission"], counts["throttle"]) == (3, 6)
    assert (await async_client.get(url, {"forbidden": "1"})).status_code == 403
    assert (counts["permission"], counts["throttle"]) == (4, 6)
    assert counts["run"] == 1


@pytest.mark.parametrize("name", ["Method", "Whole", "Dispatched", "SyncMethod", "front"])
async def test_users_have_their_own(async_client, name):
    for user in ("alice", "bob"):
        await User.objects.acreate(username=user)
    seen = [
        (await async_client.get(f"/{name}/", headers={"x-user": user})).json()["user"]
        for user in ("alice", "bob", "alice", "bob")
    ]
    assert seen == ["alice", "bob", "alice", "bob"]
    assert counts["run"] == 2


async def test_other_methods(async_client):
    for name in ("Method", "Whole", "Dispatched", "front"):
        assert (await async_client.post(f"/{name}/")).json() == {"posted": True}
        assert (await async_client.options(f"/{name}/")).status_code == 200
        assert (await async_client.delete(f"/{name}/")).status_code == 405


async def test_a_herd(async_client):
    both = [AsyncClient().get("/Method/") for _ in range(20)]
    answers = await asyncio.gather(*both)
    assert {answer.content for answer in answers} == {b'{"run":1,"user":"AnonymousUser"}'}
    assert counts["run"] == 1


async def test_methods_of_the_wrapper(async_rf):
    view = CHECKED["front"]
    request = async_rf.get("/front/")
    assert await view.aget_cache_only(request) is CACHE_MISSING
    first = await view(request)
    assert (await view.aget_cache_only(async_rf.get("/front/"))).content == first.content
    assert (await view.arefresh(async_rf.get("/front/"))).data["run"] == 2
    await view.adelete_cache(async_rf.get("/front/"))
    assert await view.aget_cached_metadata(async_rf.get("/front/")) is None
    assert (await view.aexplain_key(async_rf.get("/front/"))).key == await view.aget_cache_key(
        async_rf.get("/front/")
    )
