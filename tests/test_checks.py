"""`manage.py check` says where the ground is soft, before anybody sinks in."""

import importlib

import pytest
from django.core.checks import run_checks
from rest_framework.serializers import Serializer

from cache_result import (
    ArgsKeyField,
    DjangoModelKeyField,
    DrfSerializerKeyField,
    InvalidationRule,
    cache_result,
)
from tests.app.models import Author

LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def findings(about):
    """Id -> messages of our own checks that mention `about`."""
    found = {}
    for message in run_checks():
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
        (LOCMEM, "cache_result.W001", "'soft'"),
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
    ids=["in-process", "several memcached", "replicas", "long prefix", "database"],
)
def test_soft_ground(settings, decorate, rule, config, id_, about):
    settings.CACHES = {**settings.CACHES, "soft": config}
    assert id_ not in findings(about)
    wrapper = decorate(cache="soft", invalidates_on=[rule])
    assert id_ in findings(about)
    del wrapper


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
