"""`cache_result` on views of REST framework and on their helpers, beside `cache_response`."""

import logging

import pytest
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_result import (
    CACHE_MISSING,
    CacheStatus,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    UnkeyableArgument,
    ViewKwargsKeyField,
    cache_result,
    set_response_cache_header,
)
from tests.backends import on
from tests.responses.rest.counting import ByHeader, count, counts

pytestmark = pytest.mark.django_db


class ByUser(KeyConstructor):
    user = RequestValueKeyField("user.pk")
    query = QueryParamsKeyField("*")
    url = ViewKwargsKeyField()


class Helped(APIView):
    authentication_classes = (ByHeader,)

    def get(self, request, pk):
        figures, metadata = self.figures.get_with_metadata(request, pk=pk)
        return set_response_cache_header(Response(figures), metadata)

    @cache_result(ByUser, ttl=60)
    def figures(self, request, pk):
        return {
            "run": count("run"),
            "user": str(request.user),
            "of": request.query_params.get("of"),
            "pk": pk,
        }


class Fallback(APIView):
    """Its helper takes the request from the view."""

    authentication_classes = (ByHeader,)

    def get(self, request, pk):
        return Response(self.figures())

    @cache_result(ByUser, ttl=60)
    def figures(self):
        return {"run": count("run"), "user": str(self.request.user), "pk": self.kwargs["pk"]}


class Careless(APIView):
    @cache_result(ttl=60)
    def get(self, request, pk):
        return Response({})


urlpatterns = [path(f"{view.__name__}/<int:pk>/", view.as_view()) for view in (Helped, Fallback, Careless)]


def test_helpers_have_the_user_of_rest_framework(api_as):
    alice, bob = api_as("alice"), api_as("bob")
    for view in ("Helped", "Fallback"):
        counts.clear()
        answers = [client.get(f"/{view}/1/").json() for client in (alice, bob, alice)]
        assert [answer["user"] for answer in answers] == ["alice", "bob", "alice"]
        assert alice.get(f"/{view}/2/").json()["pk"] == 2
        assert alice.get(f"/{view}/1/?of=all").json()["run"] == 4
        assert counts["run"] == 4


def test_metadata_in_headers(api_as):
    alice = api_as("alice")
    miss, hit = alice.get("/Helped/1/"), alice.get("/Helped/1/")
    assert [miss["X-Cache-status"], hit["X-Cache-status"]] == [CacheStatus.MISS.value, CacheStatus.HIT.value]
    assert hit["X-Cached-at"] == miss["X-Cached-at"]
    assert hit["X-Cache-reset-at"] > hit["X-Cached-at"]


def test_a_view_in_a_key_is_refused_with_the_way_out(api):
    with pytest.raises(UnkeyableArgument, match=r"@cache_response .* RequestValueKeyField"):
        api.get("/Careless/1/")


@on("locmem", "memory", "redis", "file")
def test_an_unrendered_response_is_returned_and_the_log_says_what_to_do(cached, caplog):
    @cached
    def get(pk):
        return Response({"run": count("run")})

    with caplog.at_level(logging.ERROR, logger="cache_result"):
        assert get(1).data == {"run": 1}
    assert "put @cache_response on the view, or return the data instead" in caplog.text
    assert get.get_cache_only(1) is CACHE_MISSING
    assert get(1).data == {"run": 2}
