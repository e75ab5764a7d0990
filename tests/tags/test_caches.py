"""Tags are common to all caches that functions store in."""

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from cache_result import CACHE_MISSING, InvalidationRule, ainvalidate_tags, cache_result, invalidate_tags
from tests.app.models import Author
from tests.invalidation.rows import rename

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

CACHES = ["locmem", "memory", "file"]


@pytest.fixture
def functions(unique_name):
    """One in each cache, and the tag of its calls."""
    return [cache_result(name=unique_name(), cache=alias, tags="author:{key}")(found) for alias in CACHES]


def found(key):
    return [key]


def left(functions, key):
    return [f._alias for f in functions if f.get_cache_only(key) is not CACHE_MISSING]


@pytest.mark.parametrize("by", ["sync", "async"])
def test_by_hand(functions, by):
    for f in functions:
        f(1)
        f(2)
    invalidate = invalidate_tags if by == "sync" else async_to_sync(ainvalidate_tags)
    invalidate("author:1", cache="memory")
    assert left(functions, 1) == ["locmem", "file"]
    invalidate("author:1")
    assert (left(functions, 1), left(functions, 2)) == ([], CACHES)


def test_by_a_rule_of_one_of_them(functions, unique_name):
    author, other = Author.objects.create(name="old"), Author.objects.create(name="other")
    rule = InvalidationRule(Author, tags=["author:{id}"])
    ruled = cache_result(name=unique_name(), cache="locmem", invalidates_on=[rule])(found)
    for f in functions:
        f(author.pk)
        f(other.pk)
    rename(author)
    assert ruled._alias == "locmem"
    assert (left(functions, author.pk), left(functions, other.pk)) == ([], CACHES)


def test_at_the_commit(functions, threads):
    """Others may store again between `invalidate_tags` and the COMMIT."""
    with transaction.atomic():
        invalidate_tags("author:1")
        for f in functions:
            threads(f, 1).result()
        assert threads(left, functions, 1).result() == CACHES
    assert left(functions, 1) == []


def test_a_cache_that_is_gone_from_the_settings(functions, settings):
    for f in functions:
        f(1)
    settings.CACHES = {alias: config for alias, config in settings.CACHES.items() if alias != "file"}
    invalidate_tags("author:1")
    assert left(functions[:2], 1) == []
