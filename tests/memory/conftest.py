"""Caches of a test's own: on Django's LocMemCache, on MemoryCache, and on the async methods of the latter."""

import itertools

import pytest
from django.core.cache.backends.locmem import LocMemCache

from cache_result.backends import MemoryCache
from tests.memory.faces import Async, Time

_names = itertools.count()
_FACES = {
    "locmem": (LocMemCache, lambda cache: cache),
    "memory": (MemoryCache, lambda cache: cache),
    "memory-async": (MemoryCache, Async),
}


def _own(kind):
    """A factory of caches that share a store of their own, as those of one LOCATION do."""
    name = f"store-{next(_names)}"
    return lambda **params: kind(name, params)


@pytest.fixture(params=_FACES)
def make(request):
    """`make(KEY_PREFIX=...)`: another cache on the test's own store. Runs with each kind of cache."""
    kind, face = _FACES[request.param]
    make = _own(kind)
    return lambda **params: face(make(**params))


@pytest.fixture
def cache(make):
    return make()


@pytest.fixture
def make_memory():
    """`make` on MemoryCache alone."""
    return _own(MemoryCache)


@pytest.fixture
def memory(make_memory):
    return make_memory()


@pytest.fixture
def time(clock, monkeypatch):
    return Time(monkeypatch)
