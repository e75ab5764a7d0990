"""The cached questions. Each function is an ordinary one; the decorator says how its answers are kept."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Count, QuerySet, Sum
from django.shortcuts import get_object_or_404

from cache_result import ArgsKeyField, InvalidationRule, KeyConstructor, cache_result
from geo import executions
from geo.distance import Place, nearest, spread
from geo.models import City, Country

CITIES_TTL = 600  # seconds
DISTANCES_TTL = 3600  # seconds


class CountryKey(KeyConstructor):
    """One partition per country; every argument takes part in the key."""

    country = ArgsKeyField("country_code", partition=True)
    arguments = ArgsKeyField("*")


# `country_id` is the country's code, so a saved city needs no query to name its partition.
COUNTRY_CHANGED = [
    InvalidationRule(model=City, field_mapping={"country_code": "country_id"}),
    InvalidationRule(model=Country, field_mapping={"country_code": "code"}),
]


@cache_result(
    ttl=CITIES_TTL,
    # No arguments: any change makes it anew. Nobody waits for that (`soft`): until it is done, and for a
    # minute at most, whoever asks gets the list as it was.
    stale_while_revalidate=60,
    invalidates_on=[InvalidationRule(model=Country, soft=True), InvalidationRule(model=City, soft=True)],
)
def countries() -> list[dict[str, Any]]:
    """All countries with the number of their cities and of the people in them, the most cities first."""
    executions.record("countries", "all")
    rows = Country.objects.annotate(cities_count=Count("cities"), people=Sum("cities__population"))
    rows = rows.order_by("-cities_count", "code")
    return list(rows.values("code", "name", "continent", "cities_count", "people"))


@cache_result(key_constructor=CountryKey, ttl=CITIES_TTL, invalidates_on=COUNTRY_CHANGED)
def country_cities(country_code: str, min_population: int = 0) -> dict[str, Any]:
    """A country's cities of at least `min_population` people, the largest first. Http404 if unknown."""
    executions.record("country_cities", country_code)
    country = get_object_or_404(Country, pk=country_code)
    cities = country.cities.filter(population__gte=min_population)
    return {
        "country": country.name,
        "min_population": min_population,
        "cities": list(cities.values("id", "name", "population", "latitude", "longitude")),
    }


@cache_result(
    key_constructor=CountryKey,
    ttl=DISTANCES_TTL,
    # A saved city makes the new answer at once (`rewarm`), so that nobody who asks has to wait for it.
    invalidates_on=[InvalidationRule(model=City, field_mapping={"country_code": "country_id"}, rewarm=True)],
)
def country_distances(country_code: str) -> dict[str, Any]:
    """How far apart a country's cities lie: honest work on every pair of them. Http404 if unknown."""
    executions.record("country_distances", country_code)
    country = get_object_or_404(Country, pk=country_code)
    places = [Place(*row) for row in _place_rows(country)]
    found = spread(places)
    answer: dict[str, Any] = {"country": country_code, "cities": len(places), "pairs": 0}
    if found is not None:
        answer |= {
            "pairs": found.pairs,
            "mean_km": round(found.mean, 3),
            "mean_between_people_km": round(found.mean_between_people, 3),
            "nearest_neighbour_mean_km": round(found.nearest_neighbour_mean, 3),
            "loneliest": {"name": found.loneliest, "km": round(found.loneliest_by, 3)},
            "farthest_km": round(found.farthest, 3),
        }
    return answer


@cache_result(key_constructor=CountryKey, ttl=CITIES_TTL, invalidates_on=COUNTRY_CHANGED)
async def nearest_cities(
    country_code: str, latitude: float, longitude: float, limit: int = 5
) -> dict[str, Any]:
    """The cities of a country nearest to a point (degrees), from an async function. Http404 if unknown."""
    executions.record("nearest_cities", country_code)
    country = await sync_to_async(get_object_or_404)(Country, pk=country_code)
    places = [Place(*row) async for row in _place_rows(country)]
    return {
        "country": country.name,
        "cities": [
            {"name": place.name, "km": round(km, 1), "population": place.population}
            for km, place in nearest(places, latitude, longitude, limit)
        ],
    }


def _place_rows(country: Country) -> QuerySet[City]:
    """Rows in the order of `Place`'s fields; not run yet."""
    return country.cities.values_list(*Place._fields)
