"""A module of the project that decorates: found by discovery although nothing imports it."""

from cache_result import InvalidationRule, cache_result
from tests.app.models import Country


@cache_result(invalidates_on=[InvalidationRule(Country, field_mapping={"code": "code"})], cache="file")
def country_name(code: str) -> str:
    return Country.objects.get(code=code).name
