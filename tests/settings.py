"""Django settings of the tests: two databases, and a cache alias for every backend that is promised to work.

Every address is a path below RUN_DIR, so it is known before any server runs. RUN_DIR is made and removed by
`conftest.py`; reading the settings alone (type checkers do) creates nothing.
"""

import ast
import os
import secrets
import tempfile
from pathlib import Path

import django

# Child processes of a test inherit the directory, and with it the servers; xdist workers get one each.
_ROOT = os.environ.setdefault(
    "CACHE_RESULT_TEST_DIR", str(Path(tempfile.gettempdir(), f"cache-result-{secrets.token_hex(4)}"))
)
RUN_DIR = Path(_ROOT + os.environ.get("PYTEST_XDIST_WORKER", ""))

# What a writer's tokens fence has to outlive a test, on however busy a machine. Child processes can be given
# settings of their own, as a Python literal.
CACHE_RESULT = {
    "CLOSE_TIMEOUT": 60,
    **ast.literal_eval(os.environ.get("CACHE_RESULT_TEST_SETTINGS", "{}")),
}

SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_rq",
    "django_q",
    "rest_framework",  # for the templates of its browsable API
    "cache_result",
    "tests.app",
]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
MIGRATION_MODULES = {"contenttypes": None, "auth": None, "django_rq": None, "django_q": None}


def _sqlite(name: str) -> dict[str, object]:
    """A database file, shared by threads and child processes; the test database is the database itself."""
    path = str(RUN_DIR / f"{name}.sqlite3")
    # A deferred transaction that reads first and writes later fails at once when another writer was faster,
    # whatever the timeout: so take the write lock at BEGIN, where Django can be told to (5.1).
    immediate = {"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {"timeout": 20, **immediate},
        "TEST": {"NAME": path},
    }


def _postgresql(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": str(RUN_DIR / "postgresql"),
        "USER": "postgres",
        "NAME": name,
        "TEST": {"NAME": name},
    }


DATABASE = os.environ.get("CACHE_RESULT_TEST_DATABASE", "sqlite")
_database = {"sqlite": _sqlite, "postgresql": _postgresql}[DATABASE]
DATABASES = {"default": _database("default"), "other": _database("other")}

_ROOM = {"MAX_ENTRIES": 1_000_000}
_CORE_REDIS = "django.core.cache.backends.redis.RedisCache"
_DJANGO_REDIS = "django_redis.cache.RedisCache"
_LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
_MEMCACHED = "django.core.cache.backends.memcached.PyMemcacheCache"


def redis_url(server: str, database: int) -> str:
    """The address of one database of the private Redis that is called `server`."""
    return f"unix://{RUN_DIR / server}.sock?db={database}"


def memcached_address(server: str) -> str:
    """The address of the private Memcached that is called `server`."""
    return f"unix:{RUN_DIR / server}.sock"


CACHES = {
    "default": {"BACKEND": _LOCMEM, "LOCATION": "default", "OPTIONS": _ROOM},
    "locmem": {"BACKEND": _LOCMEM, "LOCATION": "locmem", "OPTIONS": _ROOM},
    "memory": {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "memory"},
    "file": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": str(RUN_DIR / "file-cache"),
        "OPTIONS": _ROOM,
    },
    "db": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache_table",
        "OPTIONS": _ROOM,
    },
    "redis": {"BACKEND": _CORE_REDIS, "LOCATION": redis_url("redis", 0)},
    "django_redis": {"BACKEND": _DJANGO_REDIS, "LOCATION": redis_url("redis", 1)},
    "django_redis_json": {
        "BACKEND": _DJANGO_REDIS,
        "LOCATION": redis_url("redis", 2),
        "OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
    },
    "memcached": {"BACKEND": _MEMCACHED, "LOCATION": memcached_address("memcached")},
    "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    # No server runs at these addresses unless a test starts one.
    "redis_down": {"BACKEND": _CORE_REDIS, "LOCATION": redis_url("mortal-redis", 0)},
    "django_redis_down": {"BACKEND": _DJANGO_REDIS, "LOCATION": redis_url("mortal-redis", 1)},
    "django_redis_silent": {
        "BACKEND": _DJANGO_REDIS,
        "LOCATION": redis_url("mortal-redis", 2),
        "OPTIONS": {"IGNORE_EXCEPTIONS": True},
    },
    "memcached_down": {
        "BACKEND": _MEMCACHED,
        "LOCATION": memcached_address("mortal-memcached"),
        # By default pymemcache avoids a server for a minute after it failed.
        "OPTIONS": {"retry_attempts": 0, "retry_timeout": 0, "dead_timeout": 0},
    },
}

# Task queues whose workers run inside the test.
RQ_QUEUES = {"default": {"UNIX_SOCKET_PATH": str(RUN_DIR / "redis.sock"), "DB": 5}}
Q_CLUSTER = {"name": "tests", "orm": "default", "sync": True, "timeout": 30, "retry": 60, "max_attempts": 2}
_tasks = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
TASKS = {"default": {"BACKEND": f"{_tasks}.backends.immediate.ImmediateBackend"}}
