"""`manage.py check` says where the ground is soft, before anybody sinks in."""

import importlib
from pathlib import Path

import pytest
from django.core.cache import caches
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from rest_framework.serializers import Serializer

from cache_result import (
    ArgsKeyField,
    DjangoModelKeyField,
    DrfSerializerKeyField,
    InvalidationRule,
    cache_result,
    checks,
)
from cache_result.backends import host
from tests.app.models import Author

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
MEMORY = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "soft"}


def findings(about, deploy=False):
    """Id -> messages of our own checks that mention `about`."""
    found = {}
    for message in run_checks(include_deployment_checks=deploy):
        text = f"{message.msg} {message.hint}"
        if str(message.id).startswith("cache_result.") and about in text:
            found.setdefault(message.id, []).append(text)
    return found


@pytest.fixture
def rule():
    return InvalidationRule(Author, field_mapping={"author_id": "pk"})


@pytest.fixture
def decorate(unique_name):
    kept = []

    def decorate(**options):
        def function(author_id):
            return author_id

        # Defined in a function, so that nobody expects other processes to know it.
        function.__qualname__ = f"<locals>.{unique_name()}"
        kept.append(cache_result(name=function.__qualname__, **options)(function))
        return kept[-1]

    return decorate


def test_a_sound_project_has_no_findings(decorate, rule):
    wrapper = decorate(cache="file", invalidates_on=[rule])
    assert findings(wrapper.__qualname__) == {}


def test_a_rule_for_a_model_that_does_not_exist(decorate):
    wrapper = decorate(invalidates_on=[InvalidationRule("app.Nobody", field_mapping={"author_id": "pk"})])
    assert "cache_result.E001" in findings(wrapper.__qualname__)


def test_a_mapping_that_names_no_scope(decorate):
    """A misspelt attribute: every save then wipes the whole function, which is safe and surely not meant."""
    wrapper = decorate(
        cache="file", invalidates_on=[InvalidationRule(Author, field_mapping={"author_id": "nmae"})]
    )
    assert "nmae" in str(findings(wrapper.__qualname__))


@pytest.mark.parametrize(
    ("config", "id_", "about"),
    [
        (
            {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": ["unix:/one.sock", "unix:/two.sock"],
            },
            "cache_result.W002",
            "'soft'",
        ),
        (
            {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": ["redis://one", "redis://two"],
            },
            "cache_result.W003",
            "'soft'",
        ),
        ({**LOCMEM, "KEY_PREFIX": "x" * 60}, "cache_result.W004", "'soft'"),
        (
            {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "table"},
            "cache_result.W005",
            "'soft'",
        ),
    ],
    ids=["several memcached", "replicas", "long prefix", "database"],
)
def test_soft_ground(settings, decorate, rule, config, id_, about):
    settings.CACHES = {**settings.CACHES, "soft": config}
    assert id_ not in findings(about)
    wrapper = decorate(cache="soft", invalidates_on=[rule])
    assert id_ in findings(about)
    del wrapper


ALONE = pytest.mark.parametrize(
    ("config", "remedy"),
    [
        (LOCMEM, "MemoryCache"),
        (MEMORY, "HOST_INDEX"),
        ({**MEMORY, "OPTIONS": {"HOST_INDEX": False}}, "HOST_INDEX"),
    ],
    ids=["LocMem", "memory", "memory, no host index"],
)


@ALONE
def test_rules_on_a_cache_of_one_process(settings, decorate, rule, config, remedy):
    settings.CACHES = {**settings.CACHES, "soft": config}
    wrapper = decorate(cache="soft")
    assert findings("'soft'", deploy=True) == {}
    wrapper = decorate(cache="soft", invalidates_on=[rule])
    (said,) = findings("'soft'", deploy=True)["cache_result.W001"]
    assert wrapper.__qualname__ in said
    assert remedy in said


@ALONE
@pytest.mark.parametrize("debug", [True, False])
def test_who_is_told_of_a_cache_of_one_process(settings, decorate, rule, monkeypatch, config, remedy, debug):
    """Not the tests, where `DEBUG` is off; not `runserver`; whoever runs in production."""
    settings.CACHES = {**settings.CACHES, "soft": config}
    settings.DEBUG = debug
    wrapper = decorate(cache="soft", invalidates_on=[rule])
    assert findings("'soft'") == {}
    monkeypatch.setattr(checks, "is_testing", lambda: False)
    assert list(findings("'soft'")) == ([] if debug else ["cache_result.W001"])
    assert len(findings("'soft'", deploy=True)["cache_result.W001"]) == 1
    del wrapper


def test_processes_that_share_generations(settings, decorate, rule):
    settings.CACHES = {**settings.CACHES, "soft": {**MEMORY, "OPTIONS": {"HOST_INDEX": True}}}
    wrapper = decorate(cache="soft", invalidates_on=[rule])
    assert findings("'soft'", deploy=True) == {}
    del wrapper


@pytest.mark.parametrize(
    "options",
    [
        {"MAX_BYTES": "64M"},
        {"MAX_BYTES": 0},
        {"MAX_ENTRIES": True},
        {"MAX_ENTRIES": -1},
        {"MAX_SIZE": 1000},
        {"HOST_INDEX": 5},
        {"HOST_INDEX": b"/run/index"},
    ],
    ids=str,
)
def test_options_that_do_not_suit(settings, options):
    """Whether or not a wrapper uses the cache; and with a message instead of a traceback."""
    settings.CACHES = {**settings.CACHES, "soft": {**MEMORY, "OPTIONS": options}}
    found = findings("'soft'")
    assert list(found) == ["cache_result.E009"]
    assert all(name in str(found) for name in options)
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        caches["soft"].get("key")


@pytest.mark.parametrize("location", [["one", "two"], {"one": 1}, None, 5, b"one", Path("one")])
def test_a_location_that_is_no_text(settings, location):
    settings.CACHES = {**settings.CACHES, "soft": {**MEMORY, "LOCATION": location}}
    found = findings("'soft'")
    assert list(found) == ["cache_result.E009"]
    assert f"LOCATION of a MemoryCache is {location!r}; give a text" in str(found)
    for use in (lambda cache: cache.get("key"), lambda cache: cache.clear(), lambda cache: cache.store):
        with pytest.raises(ImproperlyConfigured, match=r"LOCATION.*give a text"):
            use(caches["soft"])


def test_one_store_with_two_sizes(settings):
    other = {**MEMORY, "OPTIONS": {"MAX_BYTES": 10**6}}
    soft = {**MEMORY, "LOCATION": "one"}
    settings.CACHES = {**settings.CACHES, "soft": soft, "more": {**other, "LOCATION": "two"}}
    assert findings("'soft'") == {}
    settings.CACHES = {**settings.CACHES, "more": {**other, "LOCATION": "one"}}
    found = findings("'soft'")
    assert list(found) == ["cache_result.E009"]


@pytest.fixture
def host_index(settings, tmp_path, monkeypatch):
    """The findings about a host index there; tests have none otherwise."""
    monkeypatch.setattr(host, "is_testing", lambda: False)
    tmp_path.chmod(0o700)

    def host_index(path, kind=str):
        options = {"HOST_INDEX": kind(tmp_path / path)}
        settings.CACHES = {**settings.CACHES, "soft": {**MEMORY, "OPTIONS": options}}
        return findings("'soft'")

    return host_index


@pytest.mark.parametrize("kind", [str, Path])
def test_a_host_index_that_can_be_made(host_index, tmp_path, kind):
    assert host_index("index", kind) == {}
    assert list(tmp_path.iterdir()) == []  # a check makes no files
    caches["soft"].set("key", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert host_index("index", kind) == {}


def test_a_host_index_that_cannot_be_used(host_index, tmp_path):
    def message(path):
        found = host_index(path)
        assert list(found) == ["cache_result.E009"]
        (said,) = found["cache_result.E009"]
        assert str(tmp_path / path) in said
        return said

    assert "make the directory" in message("nowhere/index")
    (tmp_path / "other").write_text("somebody's")
    (tmp_path / "other").chmod(0o600)
    assert "no table of cache_result" in message("other")
    (tmp_path / "open").write_text("")
    (tmp_path / "open").chmod(0o666)
    assert "chmod" in message("open")
    (tmp_path / "link").symlink_to(tmp_path / "index")
    assert "symbolic link" in message("link")
    (tmp_path / "directory").mkdir()
    assert "directory" in message("directory")
    tmp_path.chmod(0o777)
    assert "chmod go-w" in message("index")


def test_an_alias_that_does_not_exist(settings, decorate, rule):
    decorate(cache="file", invalidates_on=[rule])
    settings.CACHE_RESULT = {"CACHE": "nowhere"}
    assert "cache_result.E004" in findings("nowhere")


@pytest.mark.parametrize(
    "field",
    [
        lambda: DjangoModelKeyField("app.Nobody"),
        lambda: DrfSerializerKeyField(type("Broken", (Serializer,), {"get_fields": lambda self: 1 / 0})),
    ],
    ids=["model", "serializer"],
)
def test_a_shape_that_cannot_be_described(decorate, field):
    wrapper = decorate(key_constructor={"author": ArgsKeyField("author_id"), "shape": field()})
    assert list(findings(wrapper.__qualname__)) == ["cache_result.E005"]
    with pytest.raises(ValueError, match=r"Nobody|Broken"):
        wrapper(1)


def test_a_shape_that_can_be_described(decorate):
    wrapper = decorate(
        key_constructor={"author": ArgsKeyField("author_id"), "shape": DjangoModelKeyField("app.Author")}
    )
    assert findings(wrapper.__qualname__) == {}
    assert wrapper(1) == 1


def test_rules_that_register_late_are_named():
    """Another process may write before it has imported the module."""
    module = importlib.import_module("tests.unlisted")
    assert module.elsewhere.is_cached_function
    assert "cache_result.E003" in findings("tests.unlisted.elsewhere")
