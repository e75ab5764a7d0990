"""Soft rules: where notes get lost, and what a rule may say."""

import pytest
from django.core.cache import caches

from cache_result import CACHE_MISSING, InvalidationRule, _core
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import rename

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
SHARED = ["file", "redis", "django_redis", "django_redis_json", "memcached"]


@on(*SHARED)
def test_without_a_note_it_is_void(name, author, clock, cache_alias):
    """The note may be evicted. Fails when what is not known counts as recent."""
    name(author.pk)
    clock.advance(1000)
    rename(author, "second")
    assert name.get_cache_only(author.pk) == ["first"]
    for scope in name._fired_scopes({"author_id": author.pk}, True):
        caches[cache_alias].delete(_core.grace_key(scope))
    assert name.get_cache_only(author.pk) is CACHE_MISSING


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"soft": 1}, TypeError, "give True or False"),
        ({"soft": True, "invalidator": "a.b"}, ValueError, "no entries of its own"),
        ({"soft": True, "tags": ["author:{id}"]}, ValueError, "tags are common"),
    ],
    ids=["type", "invalidator", "tags"],
)
@on("locmem")
def test_wrong_rules(options, error, message, cache_alias):
    with pytest.raises(error, match=message):
        InvalidationRule(Author, **options)


@on("locmem")
def test_it_needs_a_window(decorate):
    with pytest.raises(ValueError, match="no effect without stale_while_revalidate="):
        decorate(stale_while_revalidate=None)


@on("locmem")
def test_without_a_soft_rule_never_is_never(decorate):
    with pytest.raises(ValueError, match="has no effect with ttl=None"):
        decorate(InvalidationRule(Author), ttl=None)
    with pytest.raises(ValueError, match=r"jitter= .* has no effect with ttl=None"):
        decorate(ttl=None, jitter=0.1)
