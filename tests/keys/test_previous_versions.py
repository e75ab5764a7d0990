"""`delete_previous_versions` frees the bytes of a function's own older entries, and of nothing else."""

import asyncio
import pickle
from contextlib import nullcontext

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import transaction

from cache_result import CACHE_MISSING, ArgsKeyField, KeyConstructor, cache_result
from cache_result.backends import MemoryCache
from tests.backends import on, params

LISTING = ["locmem", "memory", "redis", "django_redis", "django_redis_json", "db"]
"""Caches that can list their keys."""
everywhere = on(*LISTING)


def function(x, y=None):
    return "result"


async def afunction(x, y=None):
    return "result"


def constructor(version, namespace="shop", identifier=None, **fields):
    meta = {"version": version, "namespace": namespace, "key_identifier": identifier}
    return type(
        "Versioned", (KeyConstructor,), {"x": ArgsKeyField("x"), **fields, "Meta": type("Meta", (), meta)}
    )


@pytest.fixture
def versions(cache_alias, unique_name):
    """`versions(1, 2)`: a function under both versions of its key constructor."""
    identifier = unique_name()

    def make(*numbers, func=function, **options):
        options = {"identifier": identifier, **options}
        return [cache_result(constructor(number, **options), cache=cache_alias)(func) for number in numbers]

    return make


def stored(alias, *calls):
    """Whether the bytes of each entry are there."""
    return [caches[alias].get(wrapper.get_cache_key(*args)) is not None for wrapper, *args in calls]


@everywhere
def test_older_entries_go_and_the_current_ones_stay(versions, cache_alias):
    one, two, three = versions(1, 2, "3")
    calls = [(wrapper, x) for wrapper in (one, two, three) for x in range(3)]
    for wrapper, x in calls:
        wrapper(x)
    assert two.key_constructor.delete_previous_versions() == 3
    assert stored(cache_alias, *calls) == [False] * 3 + [True] * 6
    assert two.key_constructor.delete_previous_versions() == 0
    assert three.key_constructor.delete_previous_versions() == 3
    assert stored(cache_alias, *calls) == [False] * 6 + [True] * 3
    assert one.key_constructor.delete_previous_versions() == 0
    assert [three.get_cache_only(0), two.get_cache_only(0)] == ["result", CACHE_MISSING]


@everywhere
async def test_the_async_twin(versions, cache_alias):
    one, two = versions(1, 2, func=afunction)
    for x in range(3):
        await one(x)
        await two(x)
    assert await two.key_constructor.adelete_previous_versions() == 3
    assert await two.aget_cache_only(0) == "result"
    assert await one.aget_cache_only(0) is CACHE_MISSING


class Watched(LocMemCache):
    """Says so where Django's own would wait for ever."""

    def get(self, *args, **kwargs):
        assert not self._lock.locked(), "the lock of the cache is held while an entry is read"
        return super().get(*args, **kwargs)


# In our own store an entry has no bytes that could be copied to other keys.
@on(*[alias for alias in LISTING if alias != "memory"])
@pytest.mark.parametrize("number", [1, 499, 500, 501, 1200])
def test_many_entries(versions, cache_alias, settings, unique_name, number):
    if cache_alias == "locmem":
        watched = {"BACKEND": f"{__name__}.Watched", "LOCATION": unique_name()}
        settings.CACHES = {**settings.CACHES, "locmem": {**settings.CACHES["locmem"], **watched}}
    (one,) = versions(1)
    one(0)
    key, cache = one.get_cache_key(0), caches[cache_alias]
    with transaction.atomic() if cache_alias == "db" else nullcontext():
        cache.set_many({f"{key[:-6]}{number:06}": cache.get(key) for number in range(number - 1)})
    (two,) = versions(2)
    # failed once on locmem from 500 entries on
    assert two.key_constructor.delete_previous_versions() == number
    assert two.key_constructor.delete_previous_versions() == 0


@everywhere
def test_every_entry_of_a_partition_is_found(versions, cache_alias):
    """Whatever the readable part of its key looks like."""
    part = {"part": ArgsKeyField("y", partition=True)}
    one, two, three = versions(1, 2, 3, **part)
    texts = ["v1:", "v2:", "v3:x", "v9:", "", "*", "?", "[a]", "a b", "%", "_", "\\", "ü", "x" * 100, None, 5]
    for text in texts:
        one(1, text)
        two(1, text)
        three(1, text)
    assert three.key_constructor.delete_previous_versions() == 2 * len(texts)
    assert all(three.get_cache_only(1, text) == "result" for text in texts)


NAMES = [
    "f",
    "f2",
    "f:v1",
    "f_",
    "f-",
    "F",
    "f*",
    "f?",
    "f[2]",
    "[f]",
    "f%",
    "f\\",
    "f ",
    " f",
    "f\x00",
    "fü",
    "f:f",
]


@everywhere
def test_similar_names_are_left_alone(cache_alias, unique_name):
    begin = unique_name()
    long = "x" * 100
    names = [*NAMES, long, long + "1"]
    wrappers = {
        name: [
            cache_result(constructor(version, identifier=f"{begin}{name}"), cache=cache_alias)(function)
            for version in (1, 2)
        ]
        for name in names
    }
    for one, two in wrappers.values():
        one(1)
        two(1)
    for name in names:
        _, two = wrappers[name]
        assert two.key_constructor.delete_previous_versions() == 1, name
        assert stored(cache_alias, (two, 1)) == [True]
        left = {other for other in names if stored(cache_alias, (wrappers[other][0], 1)) == [True]}
        assert left == set(names[names.index(name) + 1 :])


@everywhere
def test_namespaces_are_left_alone(cache_alias, unique_name):
    identifier = unique_name()
    namespaces = ["shop", "shop2", "sho", "shop:x", "sh*", "sh?p", "[s]hop", "SHOP", "shop "]
    old = {
        space: cache_result(constructor(1, space, identifier), cache=cache_alias)(function)
        for space in namespaces
    }
    for wrapper in old.values():
        wrapper(1)
    new = cache_result(constructor(2, "shop", identifier), cache=cache_alias)(function)
    assert new.key_constructor.delete_previous_versions() == 1
    assert stored(cache_alias, *[(wrapper, 1) for wrapper in old.values()]) == [False] + [True] * 8


@everywhere
def test_another_function_of_the_constructor_has_its_own(cache_alias, unique_name):
    old, new = constructor(1), constructor(2)
    names = [unique_name() for _ in range(3)]
    olds = [cache_result(old, cache=cache_alias, name=name)(function) for name in names]
    for wrapper in olds:
        wrapper(1)
    # The third is not under the new constructor.
    [cache_result(new, cache=cache_alias, name=name)(function) for name in names[:2]]
    kept = [cache_result(new, cache=cache_alias, name=name)(function) for name in names[:2]]
    assert new.delete_previous_versions() == 2
    assert stored(cache_alias, *[(wrapper, 1) for wrapper in olds]) == [False, False, True]
    assert len(kept) == 2


@everywhere
def test_somebody_elses_data_is_left_alone(versions, cache_alias):
    one, two = versions(1, 2)
    one(1)
    key = one.get_cache_key(1)
    head = key.rpartition(":")[0]
    value = "data" if cache_alias == "django_redis_json" else pickle.dumps("data")
    others = [f"{head}:", f"{head}:x", f"{key}x", f"{head}:v1:x", f"{head}x", head, "shop:x"]
    for other in others:
        caches[cache_alias].set(other, value)
    assert two.key_constructor.delete_previous_versions() == 1
    assert [caches[cache_alias].get(other) for other in others] == [value] * len(others)


@on("redis", "django_redis")
def test_what_does_not_load_is_left_alone(versions, cache_alias):
    one, two = versions(1, 2)
    one(1)
    head = one.get_cache_key(1).rpartition(":")[0]
    cache = caches[cache_alias]
    client = (
        cache.client.get_client(write=True)
        if cache_alias == "django_redis"
        else cache._cache.get_client(None, write=True)
    )
    client.set(cache.make_key(f"{head}:broken"), b"\x80\x05not a pickle")
    assert two.key_constructor.delete_previous_versions() == 1
    assert client.exists(cache.make_key(f"{head}:broken"))


@pytest.mark.parametrize("prefix", ["site", "site:1", "s*", "[s]", "%_"])
@everywhere
def test_a_prefix_of_the_site(versions, cache_alias, settings, prefix):
    neighbour = versions(1)[0]
    neighbour(1)
    key = neighbour.get_cache_key(1)
    kept = caches[cache_alias].get(key)
    settings.CACHES = {
        **settings.CACHES,
        cache_alias: {**settings.CACHES[cache_alias], "KEY_PREFIX": prefix},
        "neighbour": settings.CACHES[cache_alias],
    }
    one, two = versions(1, 2)
    one(1)
    two(1)
    # failed once on django_redis for a prefix with a colon: nothing is found
    assert two.key_constructor.delete_previous_versions() == 1
    assert two.get_cache_only(1) == "result"
    assert caches["neighbour"].get(key) == kept is not None


@pytest.mark.parametrize("cache_alias", params("file", "memcached"), indirect=True)
def test_a_cache_that_cannot_list_its_keys(versions, cache_alias):
    one, two = versions(1, 2)
    one(1)
    two(1)
    assert two.key_constructor.delete_previous_versions() == 0
    assert two.get_cache_only(1) == "result"


def dashed_key(key, prefix, version):
    return f"{prefix}-{version}-{key}"


class Asked(MemoryCache):
    """Has a say in values, so that calls go through its methods."""

    def get(self, *args, **kwargs):
        return super().get(*args, **kwargs)


OWN_KEYS = {"KEY_FUNCTION": f"{__name__}.dashed_key"}
OWN_METHODS = {"BACKEND": f"{__name__}.Asked"}


@pytest.mark.parametrize(
    ("cache_alias", "own"),
    [
        *[(alias, OWN_KEYS) for alias in ("locmem", "memory", "redis")],
        ("memory", OWN_METHODS),
        ("memory", OWN_KEYS | OWN_METHODS),
    ],
    indirect=["cache_alias"],
)
def test_keys_and_methods_of_the_site(versions, cache_alias, own, settings):
    options = {**settings.CACHES[cache_alias], "KEY_PREFIX": "site", **own}
    settings.CACHES = {**settings.CACHES, cache_alias: options}
    one, two, three = versions(1, 2, 3)
    calls = [(wrapper, x) for wrapper in (one, two, three) for x in range(3)]
    for wrapper, x in calls:
        wrapper(x)
    key = f"{one.get_cache_key(1)}x"
    caches[cache_alias].set(key, "somebody else's")
    assert three.key_constructor.delete_previous_versions() == 6
    assert stored(cache_alias, *calls) == [False] * 6 + [True] * 3
    assert caches[cache_alias].get(key) == "somebody else's"


def hashed_key(key, prefix, version):
    return f"{hash((key, prefix, version)):x}"


@on("locmem", "memory", "redis")
def test_keys_that_the_site_hashes(versions, cache_alias, settings):
    options = {**settings.CACHES[cache_alias], "KEY_FUNCTION": f"{__name__}.hashed_key"}
    settings.CACHES = {**settings.CACHES, cache_alias: options}
    one, two = versions(1, 2)
    one(1)
    assert two.key_constructor.delete_previous_versions() == 0
    assert one.get_cache_only(1) == "result"


@on("locmem")
@pytest.mark.parametrize("version", [1, 0, -3, None])
def test_nothing_at_version_one(versions, cache_alias, version):
    (wrapper,) = versions(version, namespace=None)
    wrapper(1)
    assert wrapper.key_constructor.delete_previous_versions() == 0
    assert wrapper.get_cache_only(1) == "result"


@on("locmem")
def test_without_a_namespace(versions, cache_alias):
    (wrapper,) = versions(2, namespace="")
    with pytest.raises(ValueError, match=r"Versioned\.delete_previous_versions.*namespace"):
        wrapper.key_constructor.delete_previous_versions()
    with pytest.raises(ValueError, match="namespace"):
        asyncio.run(wrapper.key_constructor.adelete_previous_versions())


@on("locmem")
def test_a_subclass_has_its_own_version(cache_alias, unique_name):
    name, other = unique_name(), unique_name()
    parent = constructor(2)
    child = type("Child", (parent,), {"Meta": type("Meta", (), {"version": 5})})
    olds = [
        cache_result(constructor(version), cache=cache_alias, name=named)(function)
        for version, named in ((1, name), (1, other), (4, other), (6, other))
    ]
    wrappers = [
        cache_result(parent, cache=cache_alias, name=name)(function),
        cache_result(child, cache=cache_alias, name=other)(function),
    ]
    for wrapper in (*olds, *wrappers):
        wrapper(1)
    assert child.delete_previous_versions() == 2
    assert parent.delete_previous_versions() == 1
    left = stored(cache_alias, *[(wrapper, 1) for wrapper in (*olds, *wrappers)])
    assert left == [False, False, False, True, True, True]
