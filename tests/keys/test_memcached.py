"""Memcached takes keys of 250 bytes without spaces and control characters: every key is one."""

import itertools

import pytest
from django.core.cache import caches
from django.core.cache.backends.memcached import PyMemcacheCache

from cache_result import ArgsKeyField, QueryParamsKeyField, cache_result
from tests import settings as test_settings
from tests.backends import on
from tests.keys import golden
from tests.keys.test_adversarial import NASTY, SURROGATES
from tests.property.values import TRICKY

PREFIX = "p" * 40  # the check W004 warns of longer ones


@pytest.fixture
def prefixed(memcached_server):
    cache = PyMemcacheCache(test_settings.memcached_address("memcached"), {"KEY_PREFIX": PREFIX})
    cache.clear()
    yield cache
    cache.close()


def takes(cache, keys):
    """Each key is stored under itself alone."""
    keys = list(keys)
    assert len(set(keys)) == len(keys)
    for key in keys:
        cache.set(key, key)
    for key in keys:
        assert cache.get(key) == key
    found = cache.get_many(keys)
    assert found == dict(zip(keys, keys, strict=True))


BOTH = {"a": ArgsKeyField("a", partition=True), "b": ArgsKeyField("b", partition=True)}
CONSTRUCTORS = {
    "plain": {"fields": BOTH, "key_identifier": "memcached.plain"},
    "long": {
        "fields": BOTH,
        "namespace": "n" * 200,
        "key_identifier": "i" * 300,
        "version": -(2**63),
        "max_key_suffix_length": 10_000,
    },
    "nasty": {"fields": BOTH, "namespace": "a b\r\n\x00é*:" * 30, "key_identifier": "\t\x7f\U0001f600" * 50},
    "hashed": {
        "fields": {name: ArgsKeyField(name, partition=True, hash_value=True) for name in "ab"},
        "key_identifier": "memcached hashed",
        "max_key_suffix_length": 1,
        "hash_suffix_on_overflow": True,
    },
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_partition_is_taken(name, prefixed):
    function = cache_result(CONSTRUCTORS[name])(lambda a, b: None)
    values = [*TRICKY, *NASTY, *SURROGATES]
    keys = [function.get_cache_key(value, value) for value in values]
    takes(prefixed, dict.fromkeys(keys))
    pairs = itertools.product([*NASTY[::7], "x" * 100], repeat=2)
    takes(prefixed, dict.fromkeys(function.get_cache_key(*pair) for pair in pairs))


def test_every_argument_is_taken(prefixed):
    function = cache_result(name="n" * 300)(lambda value: None)
    takes(prefixed, (function.get_cache_key(value) for value in TRICKY))


@pytest.mark.parametrize("option", ["namespace", "key_identifier"])
def test_every_name_is_taken(option, prefixed):
    for text in NASTY:
        options = {"fields": BOTH, "key_identifier": "memcached.name", option: text}
        takes(prefixed, [cache_result(options)(lambda a, b: None).get_cache_key(text, text)])


def test_every_golden_call_is_taken(prefixed):
    keys = (function.get_cache_key(*args, **kwargs) for function, args, kwargs in golden.CALLS.values())
    takes(prefixed, keys)


def test_every_query_is_taken(prefixed, rf):
    fields = {"q": QueryParamsKeyField(partition=True)}
    view = cache_result(fields, name="memcached.query")(lambda request: None)
    takes(prefixed, (view.get_cache_key(rf.get("/", {text: [text, text]})) for text in NASTY))


def test_every_generation_is_taken(prefixed):
    function = cache_result(CONSTRUCTORS["nasty"])(lambda a, b: None)
    scopes = {scope.key for value in TRICKY for scope in function.explain_key(value, value).scopes}
    takes(prefixed, scopes)


@on("memcached")
def test_every_result_is_found_again(cache_alias):
    """Through the package: entry, generations and lease."""
    runs = []

    @cache_result(CONSTRUCTORS["nasty"], cache=cache_alias)
    def function(a, b):
        runs.append(a)
        return len(runs)

    values = [*TRICKY, *NASTY]
    first = [function(value, number) for number, value in enumerate(values)]
    assert first == list(range(1, len(values) + 1))
    assert [function(value, number) for number, value in enumerate(values)] == first
    assert caches[cache_alias].get(function.get_cache_key(values[0], 0)) is not None
