"""Wrong use fails at the earliest moment, with the name of the thing and what to write instead."""

import datetime

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from cache_result import (
    ArgsKeyField,
    InvalidationRule,
    KeyConstructor,
    cache_result,
)
from tests.app.models import Author
from tests.backends import on


def function(x):
    return x


async def afunction(x):
    return x


def generator(x):
    yield x


async def async_generator(x):
    yield x


async def apredicate(result):
    return True


@pytest.mark.parametrize(
    ("ttl", "error"),
    [
        (-1, ValueError),
        (-0.5, ValueError),
        (datetime.timedelta(seconds=-1), ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("60", TypeError),
        (True, TypeError),
        (False, TypeError),
        ([60], TypeError),
    ],
)
def test_ttl(ttl, error, unique_name):
    with pytest.raises(error, match="ttl"):
        cache_result(ttl=ttl, name=unique_name())(function)


def test_both_predicates(unique_name):
    with pytest.raises(ValueError, match=r"(?s)cache_if.*cache_unless"):
        cache_result(cache_if=bool, cache_unless=bool, name=unique_name())(function)


@pytest.mark.parametrize("option", ["cache_if", "cache_unless", "ttl"])
def test_async_predicate_on_a_sync_function(option, unique_name):
    with pytest.raises(TypeError, match=r"async.*function|function.*async"):
        cache_result(**{option: apredicate}, name=unique_name())(function)
    cache_result(**{option: apredicate}, name=unique_name())(afunction)


@pytest.mark.parametrize("option", ["cache_if", "cache_unless"])
def test_predicate_that_cannot_be_called(option, unique_name):
    with pytest.raises(TypeError, match=option):
        cache_result(**{option: "yes"}, name=unique_name())(function)


@pytest.mark.parametrize("target", [generator, async_generator])
def test_generator_functions(target, unique_name):
    """The result would be an exhausted generator for everybody but the first caller."""
    with pytest.raises(TypeError, match=rf"(?s){target.__name__}.*generator"):
        cache_result(name=unique_name())(target)


@pytest.mark.parametrize("target", [3, "name", object()])
def test_not_a_function(target):
    with pytest.raises((TypeError, ValueError)):
        cache_result(name="not-a-function")(target)


@pytest.mark.parametrize(
    "constructor",
    [3, object, function, {"fields": {"x": "x"}}, {"feilds": {}}],
    ids=["number", "class", "function", "field that is text", "misspelt option"],
)
def test_key_constructor(constructor, unique_name):
    with pytest.raises((TypeError, ValueError)):
        cache_result(constructor, name=unique_name())(function)


@pytest.mark.parametrize("arguments", ["y", ["x", "y"]])
def test_key_field_for_an_unknown_argument(arguments, unique_name):
    with pytest.raises((TypeError, ValueError), match=r"(?s)'y'.*'?x'?"):
        cache_result({"fields": {"f": ArgsKeyField(arguments)}}, name=unique_name())(function)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("version", "one", "version must be an integer"),
        ("version", 1.5, "version must be an integer"),
        ("key_identifier", 3, "key_identifier must be a string"),
        ("namespace", 3, "namespace must be a string"),
    ],
)
def test_meta_options(option, value, message):
    with pytest.raises(TypeError, match=message):
        type("Wrong", (KeyConstructor,), {"Meta": type("Meta", (), {option: value})})


@pytest.mark.parametrize("single_flight", ["thread", True, 3])
def test_single_flight(single_flight, unique_name):
    with pytest.raises((TypeError, ValueError), match="single_flight"):
        cache_result(single_flight=single_flight, name=unique_name())(function)


def test_unknown_option(unique_name):
    with pytest.raises(TypeError, match="timeout"):
        cache_result(timeout=3, name=unique_name())(function)


def test_unknown_cache_alias(unique_name):
    """At decoration where the settings are known by then, and at the first call at the latest."""
    with pytest.raises(Exception, match="no-such-alias"):
        cache_result(cache="no-such-alias", name=unique_name())(function)(1)


class TestRules:
    def decorate(self, target, unique_name, **options):
        rule = InvalidationRule(Author, **options)
        return cache_result(invalidates_on=[rule], name=unique_name())(target)

    def test_mapping_to_an_unknown_argument(self, unique_name):
        with pytest.raises(ValueError, match=r"(?s)author_id.*function"):
            self.decorate(function, unique_name, field_mapping={"author_id": "pk"})

    def test_no_mapping_for_a_function_with_parameters(self, unique_name):
        with pytest.raises(ValueError, match=r"must declare .*field_mapping"):
            self.decorate(function, unique_name)
        self.decorate(lambda: 1, unique_name)

    @pytest.mark.parametrize("model", [object, "Author", None])
    def test_not_a_model(self, model, unique_name):
        with pytest.raises((TypeError, ValueError), match="model"):
            cache_result(
                invalidates_on=[InvalidationRule(model, field_mapping={"x": "pk"})], name=unique_name()
            )(function)

    def test_not_a_rule(self, unique_name):
        with pytest.raises(TypeError, match="InvalidationRule"):
            cache_result(invalidates_on=[Author], name=unique_name())(function)

    def test_the_app_is_not_installed(self, settings, unique_name):
        """Without the app no signal is connected, so the rule would be silently dead."""
        with (
            _apps(name for name in settings.INSTALLED_APPS if name != "cache_result"),
            pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"),
        ):
            self.decorate(function, unique_name, field_mapping={"x": "pk"})


class _apps:
    def __init__(self, names):
        self.names = list(names)

    def __enter__(self):
        apps.set_installed_apps(self.names)

    def __exit__(self, *exc):
        apps.unset_installed_apps()


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"CASHE": "default"}, "CASHE"),
        ({"CACHE": "no-such-alias"}, "no-such-alias"),
        ({"CACHE": 3}, "CACHE"),
        ({"ENABLED": "yes"}, "ENABLED"),
        ({"MODULES": "tests.app.cached"}, "MODULES"),
        ({"FLIGHT_TIMEOUT": -1}, "FLIGHT_TIMEOUT"),
        ({"LEASE_TIMEOUT": "10"}, "LEASE_TIMEOUT"),
        ({"MAX_ROWS_PER_STATEMENT": -1}, "MAX_ROWS_PER_STATEMENT"),
        ({"MAX_ROWS_PER_STATEMENT": True}, "MAX_ROWS_PER_STATEMENT"),
        ({"BREAKER": 5}, "BREAKER"),
        ("default", "CACHE_RESULT"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else None,
)
def test_settings(settings, value, names, unique_name):
    wrapper = cache_result(name=unique_name())(function)

    def call():
        settings.CACHE_RESULT = value
        wrapper(1)

    with pytest.raises(ImproperlyConfigured, match=names):
        call()
    settings.CACHE_RESULT = {}
    assert wrapper(1) == 1


@on("locmem", "redis")
class TestCalls:
    """Errors of a single call. Nothing is stored, and no function has run."""

    @pytest.fixture
    def pages(self, cached):
        fields = {
            "country": ArgsKeyField("country", partition=True),
            "language": ArgsKeyField("language", partition=True),
        }

        @cached(key_constructor={"fields": fields})
        def pages(country, language):
            return country, language

        return pages

    @pytest.mark.parametrize("kwargs", [{}, {"language": "en"}])
    def test_a_wipe_that_forms_no_scope(self, pages, kwargs):
        pages("de", "en")
        with pytest.raises(ValueError, match="country"):
            pages.delete_by_prefix(**kwargs)
        assert pages.get_cache_only("de", "en") == ("de", "en")

    def test_a_wipe_with_an_unknown_argument(self, pages):
        with pytest.raises(TypeError, match="planet"):
            pages.delete_by_prefix(planet="earth")

    @pytest.mark.parametrize(
        ("make", "names"),
        [
            (lambda: Author.objects.all(), r"(?s)key.*QuerySet.*pk"),
            (lambda: Author(name="unsaved"), r"(?s)key.*Author.*(save|pk)"),
            (lambda: object(), r"(?s)key.*object.*__cache_key__"),
            (lambda: lambda: 1, r"(?s)key.*(function|lambda)"),
            (lambda: iter([1]), r"(?s)key.*iterator"),
            (lambda: [1, {"deep": (object(),)}], r"(?s)key.*object"),
        ],
        ids=["queryset", "unsaved instance", "plain object", "lambda", "iterator", "deep inside"],
    )
    def test_unkeyable_arguments(self, make_inc, make, names):
        from cache_result import UnkeyableArgument

        inc = make_inc()
        argument = make()
        for method in (inc, inc.get_cache_key, inc.refresh, inc.get_cache_only, inc.delete_cache):
            with pytest.raises(UnkeyableArgument, match=names):
                method(argument)
        assert issubclass(UnkeyableArgument, TypeError)
        assert inc(1) == 1

    def test_an_argument_without_end(self, make_inc):
        endless = []
        endless.append(endless)
        inc = make_inc()
        with pytest.raises((TypeError, ValueError), match="key"):
            inc(endless)
        assert inc(1) == 1

    def test_a_key_encoder_that_fails(self, make_inc):
        class Broken:
            def __cache_key__(self):
                raise RuntimeError("no key today")

        inc = make_inc()
        with pytest.raises((RuntimeError, TypeError), match="no key today"):
            inc(Broken())
        assert inc(1) == 1
