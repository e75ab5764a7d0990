"""Keys: prefixes, versions and key functions, what is warned about, and keys of every kind."""

import functools
import warnings

import pytest
from django.core.cache.backends.base import CacheKeyWarning, memcache_key_warnings
from django.core.cache.backends.locmem import LocMemCache
from django.utils.safestring import mark_safe

from cache_result.backends import MemoryCache


def backwards(key, prefix, version):
    return f"{key}/{version}/{prefix}"


class Text(str):
    def __str__(self):
        return "shown"


class Shown:
    def __str__(self):
        return "shown"


KEYS = {
    "text": "key",
    "empty": "",
    "unicode": "ключ-\U0001f511",
    "surrogate": "a\ud800b",
    "pair of surrogates": "\ud83d\udd11",
    "number": 5,
    "float": 1.5,
    "true": True,
    "none": None,
    "bytes": b"key",
    "tuple": (1, "two"),
    "str subclass": Text("hidden"),
    "safe": mark_safe("safe"),
    "object": Shown(),
    "percent": "%s%d%",
    "colons": "::",
    "longest": "x" * 240,
}


@pytest.fixture
def quiet():
    """Keys that not every backend takes are no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        yield


class TestKinds:
    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    def test_a_key_of_any_kind(self, cache, key, quiet):
        cache.set(key, "value")
        assert cache.get(key) == "value"
        assert key in cache
        assert cache.get_many([key]) == {key: "value"}
        assert cache.touch(key) is True
        assert cache.incr_version(key) == 2
        assert cache.get(key, version=2) == "value"
        assert cache.delete(key, version=2) is True

    def test_keys_are_apart_unless_their_text_is_the_same(self, cache, quiet):
        for number, key in enumerate(KEYS.values()):
            cache.set(key, number)
        names = list(KEYS)
        found = [cache.get(key) for key in KEYS.values()]
        expected = list(range(len(KEYS)))
        expected[names.index("str subclass")] = names.index("object")
        assert found == expected
        assert cache.get("5") == names.index("number")
        assert cache.get("None") == names.index("none")
        assert cache.get("\U0001f511") is None

    def test_a_key_that_has_no_text(self, cache):
        class Mute:
            def __str__(self):
                raise LookupError("mute")

        with pytest.raises(LookupError):
            cache.get(Mute())


class TestWarnings:
    @pytest.mark.parametrize(
        "key", ["with space", "tab\t", "nul\0", "del\x7f", "x" * 250, "ü" * 250, "\ud800" * 250]
    )
    @pytest.mark.parametrize(
        "use",
        [
            lambda cache, key: cache.get(key),
            lambda cache, key: cache.set(key, 1),
            lambda cache, key: cache.add(key, 1),
            lambda cache, key: cache.touch(key),
            lambda cache, key: cache.delete(key),
            lambda cache, key: cache.has_key(key),
            lambda cache, key: cache.get_many([key]),
            lambda cache, key: cache.set_many({key: 1}),
            lambda cache, key: cache.delete_many([key]),
        ],
    )
    def test_what_memcached_would_not_take(self, cache, key, use):
        with pytest.warns(CacheKeyWarning) as caught:
            use(cache, key)
        assert [str(warning.message) for warning in caught] == list(memcache_key_warnings(f":1:{key}"))

    def test_whatever_the_version(self, cache):
        with pytest.warns(CacheKeyWarning, match=r":2:with space"):
            cache.get("with space", version=2)

    def test_warnings_as_errors_change_nothing(self, cache):
        with warnings.catch_warnings():
            warnings.simplefilter("error", CacheKeyWarning)
            with pytest.raises(CacheKeyWarning):
                cache.set("with space", 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheKeyWarning)
            assert cache.get("with space") is None

    @pytest.mark.parametrize("key", ["x" * 247, "ü" * 247, "\U0001f511" * 247, "\u0080"])
    def test_what_memcached_would_take(self, cache, key):
        cache.set(key, 1)
        assert cache.get(key) == 1

    def test_the_prefix_counts(self, make):
        cache = make(KEY_PREFIX="a prefix")
        with pytest.warns(CacheKeyWarning, match="a prefix"):
            cache.get("key")


class TestPrefixes:
    def test_prefixes_are_apart(self, make):
        plain, prefixed = make(), make(KEY_PREFIX="prefix")
        prefixed.set("key", 1)
        assert plain.get("key") is None
        assert prefixed.get("key") == 1
        plain.set("key", 2)
        assert prefixed.incr("key") == 2
        assert prefixed.delete("key") is True
        assert plain.get("key") == 2

    def test_the_text_is_what_counts(self, make):
        make(KEY_PREFIX="a", VERSION="1:b").set("key", 1)
        assert make(KEY_PREFIX="a:1", VERSION="b").get("key") == 1

    @pytest.mark.parametrize("prefix", ["größe", 5, None, mark_safe("p")])
    def test_prefixes_of_any_kind(self, make, prefix):
        cache = make(KEY_PREFIX=prefix)
        cache.set("key", 1)
        assert cache.get("key") == make(KEY_PREFIX=str(prefix)).get("key") == 1
        assert cache.get("key", version=2) is None


class TestKeyFunctions:
    @pytest.mark.parametrize(
        "function",
        [
            backwards,
            "tests.memory.test_keys.backwards",
            lambda key, prefix, version: backwards(key, prefix, version),
            functools.partial(backwards),
            type("Callable", (), {"__call__": staticmethod(backwards)})(),
        ],
        ids=["function", "dotted path", "lambda", "partial", "object"],
    )
    def test_a_function_makes_the_keys(self, make, function):
        cache = make(KEY_FUNCTION=function, KEY_PREFIX="prefix", VERSION=7)
        cache.set("key", 1)
        assert cache.get("key") == 1
        assert cache.make_key("key") == "key/7/prefix"
        # The text that Django's own function makes of this key is the same.
        assert cache.get_many(["key"]) == {"key": 1}
        assert cache.get("key", version=8) is None
        assert cache.incr_version("key") == 8
        assert cache.get("key", version=8) == 1

    def test_functions_meet_where_their_texts_do(self, make):
        make(KEY_FUNCTION=lambda key, prefix, version: f":1:{key}").set("key", 1)
        assert make().get("key") == 1

    def test_keys_of_a_function_are_checked(self, make):
        cache = make(KEY_FUNCTION=lambda key, prefix, version: key)
        with pytest.warns(CacheKeyWarning, match="with space"):
            cache.set("with space", 1)

    def test_a_function_that_fails(self, make):
        def fail(key, prefix, version):
            raise LookupError(key)

        cache = make(KEY_FUNCTION=fail)
        for use in (cache.get, cache.has_key, cache.delete, cache.incr):
            with pytest.raises(LookupError):
                use("key")


class TestAttributes:
    """They are public, and tests of projects (and Django's own) set them."""

    def test_another_key_function(self, cache):
        itself = getattr(cache, "itself", cache)
        cache.set("key", 1)
        itself.key_func = backwards
        assert cache.get("key") is None
        cache.set("key", 2)
        assert cache.get("key") == 2
        del itself.key_func
        itself.key_func = lambda key, prefix, version: f":1:{key}"
        assert cache.get("key") == 1

    def test_another_version_and_prefix(self, cache):
        itself = getattr(cache, "itself", cache)
        cache.set("key", 2, version=2)
        itself.version = 2
        assert cache.get("key") == 2
        itself.key_prefix = "prefix"
        assert cache.get("key") is None

    def test_another_default_timeout(self, cache, time):
        itself = getattr(cache, "itself", cache)
        itself.default_timeout = 10
        cache.set("key", 1)
        time.passes(11)
        assert cache.get("key") is None


def subclass(base, **methods):
    return type("Cache", (base,), methods)("subclass", {})


@pytest.fixture(params=[LocMemCache, MemoryCache])
def subclassed(request):
    """Caches of a class that overrides these methods."""

    def make(**methods):
        cache = subclass(request.param, **methods)
        cache.clear()
        return cache

    return make


class TestSubclasses:
    def test_make_key(self, subclassed):
        cache = subclassed(make_key=lambda self, key, version=None: f"made-{key}-{version or self.version}")
        cache.set("key", 1)
        assert cache.get("key") == 1
        assert cache.get("key", version=2) is None
        other = subclassed(make_key=lambda self, key, version=None: "made-key-1")
        other.set("anything", 2)
        assert other.get("else") == 2

    def test_validate_key(self, subclassed):
        seen = []

        def validate_key(self, key):
            seen.append(key)
            if "bad" in key:
                raise ValueError(key)

        cache = subclassed(validate_key=validate_key)
        cache.set("good one", 1)
        assert cache.get("good one") == 1
        for use in (cache.get, cache.delete, cache.has_key, lambda key: cache.set_many({key: 1})):
            with pytest.raises(ValueError, match=":1:bad"):
                use("bad")
        assert seen == [":1:good one"] * 2 + [":1:bad"] * 4

    def test_get_and_set(self, subclassed, request):
        base = LocMemCache if "LocMem" in request.node.name else MemoryCache

        def get(self, key, default=None, version=None):
            return ("got", base.get(self, key, default, version))

        def set(self, key, value, *args, **kwargs):
            base.set(self, key, ("put", value), *args, **kwargs)

        cache = subclassed(get=get, set=set)
        cache.set("key", 1)
        assert cache.get("key") == ("got", ("put", 1))
        cache.set_many({"many": 2})
        assert cache.get("many") == ("got", ("put", 2))
