"""Wherever REST framework's documentation puts `cache_page`, `cache_response` may stand."""

import pytest
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from rest_framework import generics, mixins, serializers, viewsets
from rest_framework.decorators import action, api_view, renderer_classes
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter, SimpleRouter
from rest_framework.views import APIView

from cache_result import cache_response
from tests.app.models import Author
from tests.responses.rest.counting import count, counts

pytestmark = pytest.mark.django_db

cached = cache_response(ttl=60)


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")

    def to_representation(self, instance):
        count("run")
        return super().to_representation(instance)


@cached
@vary_on_cookie
@api_view(["GET"])
def above(request, pk):
    return Response({"run": count("run"), "pk": pk})


@cached
@vary_on_headers("Authorization")
@api_view(["GET", "POST"])
@renderer_classes([JSONRenderer])
def above_headers(request, pk):
    return Response({"run": count("run"), "pk": pk})


@api_view(["GET"])
@cached
def below(request, pk):
    return Response({"run": count("run"), "pk": pk})


@api_view(["GET"])
@cached
@vary_on_cookie
@renderer_classes([JSONRenderer])
def below_with_policy(request, pk):
    return Response({"run": count("run"), "pk": pk})


class Plain(APIView):
    def get(self, request, pk):
        return Response({"run": count("run"), "pk": pk})


class Method(APIView):
    @cached
    def get(self, request, pk):
        return Response({"run": count("run"), "pk": pk})


class DecoratedMethod(APIView):
    @method_decorator(cached)
    @method_decorator(vary_on_cookie)
    def get(self, request, pk, format=None):
        return Response({"run": count("run"), "pk": pk})


class ManyDecorators(APIView):
    @method_decorator([cached, vary_on_cookie, vary_on_headers("Authorization")])
    def get(self, request, pk):
        return Response({"run": count("run"), "pk": pk})


class OwnDispatch(APIView):
    @method_decorator(cached)
    @method_decorator(vary_on_cookie)
    def dispatch(self, *args, **kwargs):
        return super().dispatch(*args, **kwargs)

    def get(self, request, pk):
        return Response({"run": count("run"), "pk": pk})


class PlainDispatch(Plain):
    @cached
    def dispatch(self, request, *args, **kwargs):
        return super().dispatch(request, *args, **kwargs)


@method_decorator(cached, name="dispatch")
class NamedDispatch(Plain):
    pass


@cached
class Whole(Plain):
    pass


class HeirOfWhole(Whole):
    pass


class HeirOfMethod(Method):
    def get(self, request, pk):
        return super().get(request, pk)


class List(generics.ListAPIView):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer

    @cached
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)


@method_decorator(cached, name="get")
class Retrieve(generics.RetrieveAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer


class Mixed(mixins.RetrieveModelMixin, generics.GenericAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer

    @cached
    def get(self, request, *args, **kwargs):
        return self.retrieve(request, *args, **kwargs)


@method_decorator(cached, name="list")
@method_decorator(cached, name="retrieve")
class Authors(viewsets.ModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer


class HeirsOfAuthors(Authors):
    queryset = Author.objects.order_by("-pk")


class ReadOnly(viewsets.ReadOnlyModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer

    @method_decorator(cached)
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)

    @cached
    def retrieve(self, request, *args, **kwargs):
        return super().retrieve(request, *args, **kwargs)


class Actions(viewsets.ViewSet):
    @action(detail=True)
    @cached
    def below(self, request, pk=None):
        return Response({"run": count("run"), "pk": pk})

    @cached
    @action(detail=True, url_path="over")
    def above(self, request, pk=None):
        return Response({"run": count("run"), "pk": pk})

    @above.mapping.post
    def change(self, request, pk=None):
        return Response({"changed": pk})

    @action(detail=True)
    @method_decorator(cached)
    def method_below(self, request, pk=None):
        return Response({"run": count("run"), "pk": pk})

    @method_decorator(cached)
    @action(detail=True)
    def method_above(self, request, pk=None):
        return Response({"run": count("run"), "pk": pk})


@cached
class WholeSet(viewsets.ReadOnlyModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer


class PlainSet(viewsets.ReadOnlyModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer


router = DefaultRouter()
router.register("authors", Authors)
router.register("heirs", HeirsOfAuthors, basename="heirs")
router.register("actions", Actions, basename="actions")
simple = SimpleRouter()
simple.register("read-only", ReadOnly, basename="read-only")
simple.register("whole-set", WholeSet, basename="whole-set")

CLASSES = (
    Method, DecoratedMethod, ManyDecorators, OwnDispatch, PlainDispatch, NamedDispatch, Whole, HeirOfWhole,
    HeirOfMethod,
    List, Retrieve, Mixed,
)  # fmt: skip
FUNCTIONS = {
    "above": above,
    "above_headers": above_headers,
    "below": below,
    "below_with_policy": below_with_policy,
}
urlpatterns = [
    *(path(f"{view.__name__}/<int:pk>/", view.as_view()) for view in CLASSES),
    *(path(f"{name}/<int:pk>/", view) for name, view in FUNCTIONS.items()),
    path("outside/<int:pk>/", cached(Plain.as_view())),
    path("outside-varied/<int:pk>/", cached(vary_on_cookie(Plain.as_view()))),
    path("set-outside/", cached(PlainSet.as_view({"get": "list"}))),
    path("set-outside/<int:pk>/", cached(PlainSet.as_view({"get": "retrieve"}))),
    path("set-mapped/", ReadOnly.as_view({"get": "list", "head": "list"})),
    path("", include(router.urls)),
    path("", include(simple.urls)),
]
PATHS = [
    *(f"/{name}/1/" for name in (*(view.__name__ for view in CLASSES), *FUNCTIONS)),
    "/outside/1/", "/outside-varied/1/", "/set-outside/", "/set-outside/1/", "/set-mapped/",
    "/authors/", "/authors/1/", "/authors/1.json", "/authors.json", "/heirs/", "/heirs/1/",
    "/actions/1/below/", "/actions/1/over/", "/actions/1/method_below/", "/actions/1/method_above/",
    "/read-only/", "/read-only/1/", "/whole-set/", "/whole-set/1/",
]  # fmt: skip


@pytest.fixture(autouse=True)
def author():
    return Author.objects.create(pk=1, name="Ada")


def told(response):
    """What a client can see, but for the time that has gone by."""
    headers = {name: value for name, value in response.items() if name != "Age"}
    return response.status_code, response.reason_phrase, headers, response.content


@pytest.mark.parametrize("path", PATHS)
def test_the_second_request_runs_nothing_and_gets_the_same(api, path):
    first = api.get(path)
    second = api.get(path)
    assert first.status_code == 200
    assert counts["run"] == 1
    assert second["Age"] == "0"
    assert told(second) == told(first)
    assert first["Content-Type"] == "application/json"
    assert first["Allow"]


@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_as_without_the_cache(api, path):
    get = api.get(path)
    head = api.head(path)
    # Which `@api_view(["GET"])` does not take, however full the cache is.
    assert head.status_code == (200 if path.split("/")[1] not in FUNCTIONS else 405)
    assert head.content == b""
    assert counts["run"] == 1
    assert head["Content-Type"] == get["Content-Type"]
    options = api.options(path)
    assert options.status_code == 200
    assert {"name", "renders"} <= options.json().keys()
    refused = api.delete("/outside/1/")
    assert refused.status_code == 405
    assert refused["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/Method/{}/", "/Whole/{}/", "/outside/{}/", "/above/{}/", "/below/{}/"])
def test_urls_have_their_own(api, path):
    answers = [api.get(path.format(pk)).json()["pk"] for pk in (1, 2, 1, 2)]
    assert answers == [1, 2, 1, 2]
    assert counts["run"] == 2


def test_an_action_has_its_other_methods(api):
    api.get("/actions/1/over/")
    assert api.post("/actions/1/over/").json() == {"changed": "1"}


def test_heirs_have_their_own(api):
    Author.objects.create(pk=2, name="Bob")
    assert [row["name"] for row in api.get("/authors/").json()] == ["Ada", "Bob"]
    assert [row["name"] for row in api.get("/heirs/").json()] == ["Bob", "Ada"]


def test_what_is_written_is_seen_after_its_end(api):
    api.get("/authors/1/")
    assert api.patch("/authors/1/", {"name": "Lovelace"}).status_code == 200
    assert api.get("/authors/1/").json()["name"] == "Ada"
    Authors.retrieve  # noqa: B018 - as method_decorator leaves it
    assert api.get("/authors/1/", headers={"Cache-Control": "no-cache"}).json()["name"] == "Lovelace"


def test_names_and_documentation_of_views_are_kept():
    assert above.__name__ == "above"
    assert above.cls.__name__ == "above"
    assert above.csrf_exempt
    assert below.cls is not None
    assert [found.__name__ for found in Actions.get_extra_actions()] == [
        "above", "below", "method_above", "method_below",
    ]  # fmt: skip
