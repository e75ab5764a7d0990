"""The cache aliases that every promise is tested on, and what each of them needs."""

import pytest

SERVERS = {
    "redis": "redis_server",
    "django_redis": "redis_server",
    "django_redis_json": "redis_server",
    "memcached": "memcached_server",
}
BACKENDS = ["locmem", "memory", "file", "db", *SERVERS]

# Threads see the rows of a database cache only when they are committed.
_MARKS = {"db": [pytest.mark.django_db(transaction=True)]}


def params(*aliases: str) -> list[object]:
    """Parameters for the `cache_alias` fixture."""
    return [pytest.param(alias, marks=_MARKS.get(alias, [])) for alias in aliases]


def on(*aliases: str) -> pytest.MarkDecorator:
    """Run a test, or all tests of a class, on these cache aliases only."""
    return pytest.mark.parametrize("cache_alias", params(*aliases), indirect=True)
