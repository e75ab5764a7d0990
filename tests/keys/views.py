"""Views of the tests: what of their requests makes the keys of cached functions and methods."""

import itertools

from django.http import JsonResponse
from django.urls import include, path
from django.views import View
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action, api_view, authentication_classes, renderer_classes
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from cache_result import (
    ArgsKeyField,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    ViewKwargsKeyField,
    cache_result,
)
from tests.app.models import City

runs = itertools.count(1)


class CitySerializer(serializers.ModelSerializer):
    class Meta:
        model = City
        fields = ("name", "population")


class RequestKey(KeyConstructor):
    user = RequestValueKeyField("user.pk", partition=True)
    url = ViewKwargsKeyField()
    query = QueryParamsKeyField(["page", "tag"])


class TokenAuthentication(BaseAuthentication):
    """`Token 5` is user 5; there is no user 0."""

    class User:
        is_authenticated = True

        def __init__(self, pk):
            self.pk = pk

    def authenticate(self, request):
        kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind != "Token":
            return None
        if token == "0":
            raise AuthenticationFailed("no such user")
        return self.User(int(token)), token


class Cities(View):
    """A view of Django's, with a helper that is given nothing."""

    def get(self, request, country=None, **kwargs):
        return JsonResponse({"rows": self.rows(), "run": self.rows_of(request, country=country)})

    @cache_result(RequestKey, cache="locmem")
    def rows(self):
        return next(runs)

    @cache_result(RequestKey, cache="locmem")
    def rows_of(self, request, country):
        return next(runs)


class CityList(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)

    def get(self, request, pk=None):
        return Response({"run": self.rows()})

    @cache_result(RequestKey, cache="locmem")
    def rows(self):
        return next(runs)


class CityViewSet(ViewSet):
    authentication_classes = (TokenAuthentication,)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)

    @cache_result(RequestKey, cache="locmem")
    def rows(self):
        return next(runs)

    @cache_result(
        {"user": RequestValueKeyField("user.pk"), "pk": ArgsKeyField("pk"), "query": QueryParamsKeyField()},
        cache="locmem",
    )
    def nearby_of(self, request, pk):
        return next(runs)

    def list(self, request):
        return Response({"run": self.rows()})

    def retrieve(self, request, pk):
        return Response({"run": self.rows()})

    @action(detail=True)
    def nearby(self, request, pk):
        return Response({"run": self.nearby_of(request, pk=pk)})


class TownViewSet(CityViewSet):
    """Inherits everything cached."""


@cache_result(RequestKey, cache="locmem")
def country_run(request, country):
    return next(runs)


@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@renderer_classes([JSONRenderer])
def country(request, country):
    return Response({"run": country_run(request, country)})


router = SimpleRouter()
router.register("cities", CityViewSet, basename="city")
router.register("towns", TownViewSet, basename="town")

urlpatterns = [
    path("django/", Cities.as_view()),
    path("django/<slug:country>/", Cities.as_view()),
    path("list/", CityList.as_view()),
    path("list/<int:pk>/", CityList.as_view()),
    path("country/<slug:country>/", country),
    path("", include(router.urls)),
]
