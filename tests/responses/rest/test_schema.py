"""OpenAPI and other readers of views see through the cache."""

import inspect

import pytest
from django.urls import include, path
from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.schemas.generators import EndpointEnumerator
from rest_framework.views import APIView

from cache_result import InvalidationRule, cache_response
from tests.app.models import Author


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


SAID = extend_schema(
    summary="One author",
    responses={200: AuthorSerializer, 404: None},
    parameters=[OpenApiParameter("verbose", bool)],
)


def site(cached):
    """URLs of views in every form, below and above what describes them."""

    @SAID
    @cached("above")
    @api_view(["GET"])
    def above(request, pk: int):
        """An author."""

    @cached("described_above")
    @SAID
    @api_view(["GET"])
    def described_above(request, pk: int):
        """An author, described below the cache."""

    @SAID
    @api_view(["GET", "POST"])
    @cached("below")
    def below(request, pk: int):
        """An author again."""

    @api_view(["GET"])
    @cached("described_below")
    @SAID
    def described_below(request, pk: int):
        """An author, described below the cache that is below."""

    class Method(APIView):
        """A class."""

        @SAID
        @cached("Method.get")
        def get(self, request, pk: int):
            """A method."""

    class MethodBelow(APIView):
        @cached("MethodBelow.get")
        @SAID
        def get(self, request, pk: int):
            """A method that is described below the cache."""

    class DecoratedMethod(APIView):
        @SAID
        @method_decorator(cached("DecoratedMethod.get"))
        def get(self, request, pk: int):
            """A method."""

    class DecoratedBelow(APIView):
        @method_decorator(cached("DecoratedBelow.get"))
        @SAID
        def get(self, request, pk: int):
            """A method."""

    @method_decorator(cached("Dispatched"), name="dispatch")
    class Dispatched(generics.RetrieveUpdateAPIView):
        queryset = Author.objects.all()
        serializer_class = AuthorSerializer

    @cached("Whole")
    class Whole(generics.ListCreateAPIView):
        queryset = Author.objects.all()
        serializer_class = AuthorSerializer

    @extend_schema_view(list=extend_schema(summary="All"), retrieve=SAID)
    @method_decorator(cached("Authors.list"), name="list")
    @method_decorator(cached("Authors.retrieve"), name="retrieve")
    class Authors(viewsets.ModelViewSet):
        """Authors."""

        queryset = Author.objects.all()
        serializer_class = AuthorSerializer

        @SAID
        @action(detail=True)
        @cached("Authors.stats")
        def stats(self, request, pk=None):
            """Figures."""

        @cached("Authors.figures")
        @SAID
        @action(detail=True, methods=["get"], url_path="numbers")
        def figures(self, request, pk=None):
            """Other figures."""

        @method_decorator(cached("Authors.more"))
        @action(detail=False)
        @SAID
        def more(self, request):
            """More figures."""

    @extend_schema_view(list=extend_schema(summary="All"), retrieve=SAID)
    class ReadOnly(viewsets.ReadOnlyModelViewSet):
        queryset = Author.objects.all()
        serializer_class = AuthorSerializer

        @cached("ReadOnly.list")
        def list(self, request):
            """The list."""

        @cached("ReadOnly.retrieve")
        def retrieve(self, request, *args, **kwargs):
            """One."""

    router = DefaultRouter()
    router.register("authors", Authors)
    router.register("read-only", ReadOnly, basename="read-only")
    classes = (Method, MethodBelow, DecoratedMethod, DecoratedBelow, Dispatched, Whole)
    functions = {
        "above": above, "described_above": described_above,
        "below": below, "described_below": described_below,
    }  # fmt: skip
    return [
        *(path(f"{name}/<int:pk>/", view) for name, view in functions.items()),
        *(path(f"{cls.__name__}/<int:pk>/", cls.as_view()) for cls in classes),
        path("outside/<int:pk>/", cached("outside")(Dispatched.as_view())),
        path("set-outside/", cached("set-outside")(Authors.as_view({"get": "list"}))),
        path("", include(router.urls)),
    ]


urlpatterns = site(lambda name: cache_response(ttl=60, name=f"test_schema.{name}"))
PLAIN = site(lambda name: lambda view: view)


def schema_of(patterns):
    return SchemaGenerator(patterns=patterns).get_schema(request=None, public=True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_schema_is_that_of_the_views_without_the_cache(capsys):
    with_cache = schema_of(urlpatterns)
    said = capsys.readouterr().err
    without = schema_of(PLAIN)
    assert with_cache == without
    assert said.count("\n") == capsys.readouterr().err.count("\n")
    assert len(with_cache["paths"]) == 19
    operations = [path["get"] for path in with_cache["paths"].values()]
    assert sum(operation.get("summary") == "One author" for operation in operations) >= 11


def test_endpoints_are_found():
    endpoints = [(path, method) for path, method, _ in EndpointEnumerator(urlpatterns).get_api_endpoints()]
    assert endpoints == [(path, method) for path, method, _ in EndpointEnumerator(PLAIN).get_api_endpoints()]
    assert len(endpoints) > 20


def test_signatures_and_documentation():
    rule = InvalidationRule(Author, field_mapping={"pk": "id"})

    @cache_response(ttl=60, name="documented", invalidates_on=[rule])
    def view(request, pk: int, **kwargs) -> Response:
        """What it shows."""

    assert str(inspect.signature(view)) == "(request, pk: int, **kwargs) -> rest_framework.response.Response"
    assert inspect.getdoc(view) == "What it shows."
    assert view.__wrapped__.__name__ == "view"
