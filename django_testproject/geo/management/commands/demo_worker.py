"""`manage.py demo_worker`: calls and saves what its input says, a JSON list per line."""

import json
import sys
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand

from geo import services
from geo.models import City


class Command(BaseCommand):
    help = "One of the worker processes of `manage.py demo`. Ends with its input."

    def handle(self, *args: Any, **options: Any) -> None:
        jobs = {"country_cities": country_cities, "save_population": save_population}
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            self.stdout.write(json.dumps(jobs[name](*arguments)))
            self.stdout.flush()


def country_cities(country_code: str) -> dict[str, Any]:
    """The answer of the cached function, as `geo.demo.workers.Answer`."""
    started = perf_counter()
    value, metadata = services.country_cities.get_with_metadata(country_code)
    seconds = perf_counter() - started
    return {"value": value, "cache_status": metadata["cache_status"], "seconds": seconds}


def save_population(city_id: int, population: int) -> float:
    """Saves a city with another population; the seconds that took."""
    city = City.objects.get(pk=city_id)
    city.population = population
    started = perf_counter()
    city.save()
    return perf_counter() - started
