"""Around a handler: errors, `finalize_response`, permissions of objects, what is left to code."""

import pytest
from django.http import Http404, HttpResponse, JsonResponse
from django.urls import path
from rest_framework import generics, serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from cache_result import cache_response
from tests.app.models import Author
from tests.responses.rest.counting import ByHeader, count, counts

pytestmark = pytest.mark.django_db

cached = cache_response(ttl=60)


class Teapot(APIException):
    status_code = 418
    default_detail = "short and stout"


class Failing(APIView):
    errors = {  # noqa: RUF012
        "404": Http404,
        "400": lambda: ValidationError({"name": ["is missing"]}),
        "418": Teapot,
        "500": lambda: RuntimeError("broken"),
    }

    @cached
    def get(self, request):
        count("run")
        if error := request.query_params.get("error"):
            raise self.errors[error]()
        return Response({"run": counts["run"]})


front = cached(Failing.as_view())


class Handled(Failing):
    def get_exception_handler(self):
        return lambda error, context: Response({"handled": str(error)}, status=200)


handled_front = cached(Handled.as_view())


class Finalized(APIView):
    authentication_classes = (ByHeader,)

    @cached
    def get(self, request):
        count("run")
        return Response({"run": counts["run"]})

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["X-Served"] = str(count("finalize"))
        return response


class Adding(APIView):
    """Calls a cached handler, and says something in headers beside."""

    @cached
    def part(self, request):
        return Response({"run": count("run")})

    def get(self, request):
        response = self.part(request)
        response["X-Added"] = str(count("added"))
        return response


class Wrapping(APIView):
    """Makes a response of its own from a cached part."""

    @cached
    def part(self, request):
        return Response({"run": count("run")})

    def get(self, request):
        return Response({"part": self.part(request).content.decode()})


class PlainResponses(APIView):
    @cached
    def get(self, request):
        count("run")
        if request.query_params.get("of") == "django":
            return HttpResponse(b"plain", headers={"X-Own": "yes"})
        return JsonResponse({"run": counts["run"]})


class Unfit(APIView):
    @cached
    def get(self, request):
        return {"run": count("run")}


class Unrenderable(APIView):
    @cached
    def get(self, request):
        count("run")
        return Response({"of": object()})


class OwnAuthor(BasePermission):
    def has_object_permission(self, request, view, obj):
        count("object permission")
        return obj.email == f"{request.user}@example.com"


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name", "email")


class Own(generics.RetrieveAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer
    authentication_classes = (ByHeader,)
    permission_classes = (OwnAuthor,)

    @cached
    def get(self, request, *args, **kwargs):
        return super().get(request, *args, **kwargs)


VIEWS = (Failing, Handled, Finalized, Adding, Wrapping, PlainResponses, Unfit, Unrenderable)
urlpatterns = [
    *(path(f"{view.__name__}/", view.as_view()) for view in VIEWS),
    path("front/", front),
    path("handled_front/", handled_front),
    path("own/<int:pk>/", Own.as_view()),
]


@pytest.mark.parametrize("url", ["/Failing/", "/front/"])
def test_errors_are_for_the_exception_handler_and_are_not_kept(api, url):
    for number in (1, 2):
        answer = api.get(url, {"error": "404"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
        answer = api.get(url, {"error": "400"})
        assert (answer.status_code, answer.json()) == (400, {"name": ["is missing"]})
        answer = api.get(url, {"error": "418"})
        assert (answer.status_code, answer.json()) == (418, {"detail": "short and stout"})
        assert answer["Allow"] == "GET, HEAD, OPTIONS"
        assert "Accept" in answer["Vary"].split(", ")
        assert "Cache-Control" not in answer
        assert counts["run"] == 3 * number
    with pytest.raises(RuntimeError, match="broken"):
        api.get(url, {"error": "500"})
    assert api.get(url).status_code == 200


def test_what_the_exception_handler_makes_is_a_response_like_others_in_front_of_it(api):
    for number in (1, 2):
        assert api.get("/Handled/", {"error": "418"}).json() == {"handled": "short and stout"}
        assert counts["run"] == number
    counts.clear()
    for _ in range(2):
        assert api.get("/handled_front/", {"error": "418"}).json() == {"handled": "short and stout"}
    assert counts["run"] == 1


def test_each_response_is_finalized_once(api):
    served = [api.get("/Finalized/")["X-Served"] for _ in range(3)]
    assert served == ["1", "2", "3"]
    assert counts["run"] == 1
    post = api.post("/Finalized/")
    assert (post.status_code, post["X-Served"]) == (405, "4")


def test_headers_that_are_added_behind_the_cache_are_not_kept(api):
    added = [api.get("/Adding/")["X-Added"] for _ in range(2)]
    assert added == ["1", "2"]
    assert counts["run"] == 1


def test_a_response_from_a_cached_part_is_whole(api):
    for _ in range(2):
        response = api.get("/Wrapping/")
        assert response.json() == {"part": '{"run":1}'}
        assert "Accept" in response["Vary"].split(", ")


def test_plain_responses(api):
    for _ in range(2):
        answer = api.get("/PlainResponses/", {"of": "django"})
        assert (answer.content, answer["X-Own"]) == (b"plain", "yes")
        assert api.get("/PlainResponses/").json() == {"run": 2}
    assert counts["run"] == 2


def test_what_is_no_response_is_refused_by_rest_framework(api):
    for number in (1, 2):
        with pytest.raises(AssertionError, match="Expected a `Response`"):
            api.get("/Unfit/")
        assert counts["run"] == number


def test_errors_of_renderers(api):
    for number in (1, 2):
        with pytest.raises(TypeError, match="not JSON serializable"):
            api.get("/Unrenderable/")
        assert counts["run"] == number


def test_data_is_there_when_the_view_ran():
    """As tests of views look at it; a hit has the body alone."""
    request = APIRequestFactory().get("/Failing/")
    miss = Failing.as_view()(request)
    assert miss.data == {"run": 1}
    assert miss.is_rendered
    hit = Failing.as_view()(request)
    assert hit.content == miss.content
    assert not hasattr(hit, "data")


def test_predicates_see_data(api):
    seen = []

    class Asked(APIView):
        @cache_response(ttl=60, name="asked", cache_if=lambda response: seen.append(response.data) or False)
        def get(self, request):
            return Response({"run": count("run")})

    request = APIRequestFactory().get("/")
    for number in (1, 2):
        assert Asked.as_view()(request).data == {"run": number}
    assert seen == [{"run": 1}, {"run": 2}]


def test_permissions_of_objects_are_asked_on_a_miss_for_each_user(api_as, api):
    """Permissions of the view are asked always; those of its objects by `get_object`, when the view runs."""
    ada = Author.objects.create(name="Ada", email="ada@example.com")
    for _ in range(2):
        assert api_as("ada").get(f"/own/{ada.pk}/").status_code == 200
    assert counts["object permission"] == 1
    for _ in range(2):
        assert api_as("bob").get(f"/own/{ada.pk}/").status_code == 403
        assert api.get(f"/own/{ada.pk}/").status_code == 401
    assert counts["object permission"] == 5
