"""HTTP over the cached questions, and one cached response. Three X- headers say where an answer came from."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import View
from rest_framework.generics import RetrieveUpdateAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_result import InvalidationRule, cache_response, set_response_cache_header
from geo import executions, services
from geo.models import City
from geo.serializers import CityFilter, CitySerializer, PointQuery


def index(request: HttpRequest) -> HttpResponse:
    """A page of example URLs."""
    return render(request, "geo/index.html")


class CountriesView(APIView):
    """All countries with the number of their cities and of the people in them."""

    def get(self, request: Request) -> Response:
        answer, metadata = services.countries.get_with_metadata()
        return set_response_cache_header(Response(answer), metadata)


class CountryCitiesView(APIView):
    """A country's cities, the largest first; `?min_population=` leaves out the smaller ones."""

    def get(self, request: Request, code: str) -> Response:
        query = CityFilter(data=request.query_params)
        query.is_valid(raise_exception=True)
        answer, metadata = services.country_cities.get_with_metadata(code, **query.validated_data)
        return set_response_cache_header(Response(answer), metadata)


class CountryDistancesView(APIView):
    """How far apart a country's cities lie. Slow: it measures every pair of them."""

    def get(self, request: Request, code: str) -> Response:
        answer, metadata = services.country_distances.get_with_metadata(code)
        return set_response_cache_header(Response(answer), metadata)


class NearestCitiesView(View):
    """The cities nearest to `?latitude=&longitude=`; an async view of plain Django."""

    async def get(self, request: HttpRequest, code: str) -> JsonResponse:
        query = PointQuery(data=request.GET)
        if not query.is_valid():
            return JsonResponse(query.errors, status=400)
        answer, metadata = await services.nearest_cities.aget_with_metadata(code, **query.validated_data)
        return set_response_cache_header(JsonResponse(answer), metadata)


class CityView(RetrieveUpdateAPIView[City]):
    """One city; its whole response is cached. A PATCH saves the city, and so invalidates its response and its
    country's answers."""

    queryset = City.objects.all()
    serializer_class = CitySerializer
    http_method_names = ("get", "patch", "head", "options")

    @cache_response(
        ttl=services.CITIES_TTL,
        invalidates_on=[InvalidationRule(model=City, field_mapping={"pk": "id"})],
        public=True,  # the same for everybody
        set_cache_headers=True,
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        executions.record("city", str(kwargs["pk"]))
        return super().retrieve(request, *args, **kwargs)


class ExecutionsView(APIView):
    """How often each cached function really ran in this server process, by country."""

    def get(self, request: Request) -> Response:
        return Response(executions.counts())
