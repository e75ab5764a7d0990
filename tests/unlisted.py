"""A module outside every app, for the MODULES setting."""

from cache_result import InvalidationRule, cache_result
from tests.app.models import Author


@cache_result(invalidates_on=[InvalidationRule(Author)], cache="file")
def elsewhere() -> int:
    return Author.objects.count()
