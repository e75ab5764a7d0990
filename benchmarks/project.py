"""The Django project that the benchmarks run in: settings, and which cache alias belongs to whom."""

from __future__ import annotations

import django
from django.conf import settings
from django.db import connection

BACKENDS = {
    "locmem": "django.core.cache.backends.locmem.LocMemCache",
    "redis": "django.core.cache.backends.redis.RedisCache",
    "django_redis": "django_redis.cache.RedisCache",
}
"""Kind of cache to its Django backend."""

OWNERS = ("ours", "peer", "raw")
"""Each contestant has an alias of its own (for Redis: a database), so that equal keys never meet."""

WIPE_ALIASES = {"wipe_small": 6, "wipe_large": 7}
"""The two keyspaces of `delete_by_prefix`, with their database numbers."""

COUNTER_DATABASE = 8
"""Where functions that run in several processes count their executions."""

MAX_ENTRIES = 1_000_000
"""LocMem culls at 300 entries by default; here nothing is to be culled."""


def alias(kind: str, owner: str) -> str:
    """The cache alias of one owner ("ours", "peer", "raw") on one kind of cache."""
    return f"{kind}_{owner}"


def configure(redis_port: int | None) -> None:
    """Configure Django, with the Redis aliases if there is a server, and open the database.

    The connection is open because it is so in a running project, and a cached call may look at its
    transaction.
    """
    local = {"BACKEND": BACKENDS["locmem"], "OPTIONS": {"MAX_ENTRIES": MAX_ENTRIES}}
    caches = {name: {**local, "LOCATION": name} for name in ("default", *_aliases("locmem"))}
    if redis_port is not None:
        databases = {
            name: (kind, 3 * index + place)
            for index, kind in enumerate(("redis", "django_redis"))
            for place, name in enumerate(_aliases(kind))
        }
        databases |= {name: ("django_redis", database) for name, database in WIPE_ALIASES.items()}
        caches |= {
            name: {"BACKEND": BACKENDS[kind], "LOCATION": f"redis://127.0.0.1:{redis_port}/{database}"}
            for name, (kind, database) in databases.items()
        }
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "cache_result"],
        CACHES=caches,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        SECRET_KEY="benchmarks",
        USE_TZ=True,
    )
    django.setup()
    connection.ensure_connection()


def _aliases(kind: str) -> list[str]:
    return [alias(kind, owner) for owner in OWNERS]
