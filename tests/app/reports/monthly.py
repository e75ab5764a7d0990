"""The same as `cached.py`, deeper down."""

from cache_result import InvalidationRule, cache_result
from tests.app.models import Author


@cache_result(invalidates_on=[InvalidationRule(Author)], cache="file")
def authors() -> int:
    return Author.objects.count()
