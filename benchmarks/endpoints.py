"""Views that answer the same, cached by each library: plain ones of Django, and of Django REST framework.

Import only after Django is configured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import restflow.caching as peer_module
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.contestants import OURS, PEER, TTL, Runs
from cache_result import cache_response

PAGE = "cache_page"
UNCACHED = "uncached view"

ROWS = [{"id": number, "name": f"city {number}", "population": 1000 * number} for number in range(50)]


class CitySerializer(serializers.Serializer[dict[str, Any]]):
    """What the views do: a page of rows, serialized."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    population = serializers.IntegerField()


def page() -> dict[str, Any]:
    """The answer, made anew."""
    return {"rows": CitySerializer(ROWS, many=True).data}


def plain_views(ours: str, theirs: str) -> dict[str, tuple[Callable[..., HttpResponse], Runs]]:
    """A function view by contestant, with how often it ran; each on the alias that it is given."""

    def made(name: str) -> tuple[Callable[..., HttpResponse], Runs]:
        runs = Runs()

        def cities(request: HttpRequest) -> HttpResponse:
            runs.record()
            return JsonResponse(page())

        if name == OURS:
            return cache_response(ttl=TTL, cache=ours, name=f"bench.response.{ours}")(cities), runs
        if name == PAGE:
            return cache_page(TTL, cache=theirs, key_prefix="page")(cities), runs
        return cities, runs

    return {name: made(name) for name in (UNCACHED, PAGE, OURS)}


def rest_views(ours: str, theirs: str) -> dict[str, tuple[Callable[..., HttpResponse], Runs]]:
    """The same of REST framework; the cache is behind its checks. drf-restflow uses what `Peer.use` says."""
    decorators: dict[str, Callable[..., Any]] = {
        UNCACHED: lambda get: get,
        PAGE: method_decorator(cache_page(TTL, cache=theirs, key_prefix="rest")),
        PEER: peer_module.cache_response(ttl=TTL),
        OURS: cache_response(ttl=TTL, cache=ours, name=f"bench.rest.{ours}"),
    }

    def made(name: str) -> tuple[Callable[..., HttpResponse], Runs]:
        runs = Runs()

        class Cities(APIView):
            authentication_classes = ()

            @decorators[name]
            def get(self, request: Request) -> Response:
                runs.record()
                return Response(page())

        return Cities.as_view(), runs

    return {name: made(name) for name in decorators}
