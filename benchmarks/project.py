"""The Django project that the benchmarks run in: settings, and which cache alias belongs to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection

BACKENDS = {
    "locmem": "django.core.cache.backends.locmem.LocMemCache",
    "memory": "cache_result.backends.MemoryCache",
    "redis": "django.core.cache.backends.redis.RedisCache",
    "django_redis": "django_redis.cache.RedisCache",
}
"""Kind of cache to its Django backend."""

OWNERS = ("ours", "peer", "raw")
"""Each contestant has an alias of its own (for Redis: a database), so that equal keys never meet."""

WIPE_ALIASES = {"wipe_small": 6, "wipe_large": 7}
"""The two keyspaces of `delete_by_prefix`, with their database numbers."""

MEMORY_WIPE_ALIASES = ("memory_small", "memory_large")
"""The same for `MemoryCache`."""

MAX_BYTES = 4 * 1024**3
"""Nothing is to be evicted."""

COUNTER_DATABASE = 8
"""Where functions that run in several processes count their executions."""

LIBRARY_DATABASES = {"plain": 9, "ours": 10, "ours_open": 11, "peer": 12, "cacheops": 13}
"""Where the processes of the rows about models cache, each one library."""

LIBRARY_APPS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "ours": ("cache_result",),
    "ours_open": ("cache_result",),
    "peer": ("restflow.caching",),
    "cacheops": ("cacheops",),
}
"""What a project installs to have a library."""

LOADED = 100
"""Rows of each model of `benchmarks.app`."""

SAVES, TARGETS = 10_000, 100
"""The large transaction: saves, and distinct targets that they have."""

MAX_ENTRIES = 1_000_000
"""LocMem culls at 300 entries by default; here nothing is to be culled."""


def alias(kind: str, owner: str) -> str:
    """The cache alias of one owner ("ours", "peer", "raw") on one kind of cache."""
    return f"{kind}_{owner}"


def configure(redis_port: int | None, host_index: Path | None = None) -> None:
    """Configure Django, with the Redis aliases if there is a server, and open the database.

    `host_index` is the file of `memory_host_ours`, which is left out without it.

    The connection is open because it is so in a running project, and a cached call may look at its
    transaction.
    """
    local = {"BACKEND": BACKENDS["locmem"], "OPTIONS": {"MAX_ENTRIES": MAX_ENTRIES}}
    caches: dict[str, Any] = {name: {**local, "LOCATION": name} for name in ("default", *_aliases("locmem"))}
    memory = {"BACKEND": BACKENDS["memory"], "OPTIONS": {"MAX_BYTES": MAX_BYTES}}
    caches |= {name: {**memory, "LOCATION": name} for name in (*_aliases("memory"), *MEMORY_WIPE_ALIASES)}
    # As large as it is unless told otherwise.
    caches[alias("memory_usual", "ours")] = {"BACKEND": BACKENDS["memory"], "LOCATION": "usual"}
    if host_index is not None:
        options = {"MAX_BYTES": MAX_BYTES, "HOST_INDEX": host_index}
        caches[alias("memory_host", "ours")] = {**memory, "LOCATION": "host", "OPTIONS": options}
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
        ALLOWED_HOSTS=["127.0.0.1", "testserver"],
        USE_TZ=True,
    )
    django.setup()
    connection.ensure_connection()


def configure_for(owner: str, kind: str, redis_port: int) -> None:
    """Configure a process that has one library (or none, "plain") and the models of `benchmarks.app`.

    Libraries watch connections, or patch Django, so that another one in the same process would pay.
    """
    url = f"redis://127.0.0.1:{redis_port}/{LIBRARY_DATABASES[owner]}"
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", *LIBRARY_APPS[owner], "benchmarks.app"],
        CACHES={"default": {"BACKEND": BACKENDS[kind], "LOCATION": url}},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SECRET_KEY="benchmarks",
        USE_TZ=True,
        CACHE_RESULT={"CLOSE_SCOPES": owner != "ours_open"},
        CACHEOPS_REDIS=url,
        # No operation is cached by itself; those that are named by `cached_as` are.
        CACHEOPS={f"app.{model}": {"ops": (), "timeout": 3600} for model in ("article", "page")},
    )
    django.setup()
    from benchmarks.app.models import Article, Note, Page

    with connection.schema_editor() as editor:
        for model in (Article, Page, Note):
            editor.create_model(model)


def _aliases(kind: str) -> list[str]:
    return [alias(kind, owner) for owner in OWNERS]
