"""`explain_key`: what a call's key is made of, for people."""

import functools
import types

import pytest
from django.core.cache import caches
from django.test import RequestFactory

from cache_result import (
    ABSENT,
    ArgsKeyField,
    CacheKeyField,
    ConstantKeyField,
    DjangoModelKeyField,
    InvalidationRule,
    KeyConstructor,
    KeyExplanation,
    QueryParamsKeyField,
    RequestValueKeyField,
    UnkeyableArgument,
    ViewKwargsKeyField,
    cache_result,
)
from tests.app.models import Author, City
from tests.backends import on
from tests.keys import views
from tests.keys.wrapping import wrapped

get = RequestFactory().get


class Pages(KeyConstructor):
    country = ArgsKeyField("country", partition=True)
    language = ArgsKeyField("language", partition=True)
    rest = ArgsKeyField(["page", "sizes"])

    class Meta:
        namespace = "geo"
        key_identifier = "explained"
        version = 3


def pages(country, language="en", page=1, sizes=(10,)):
    return None


@pytest.fixture
def explained():
    return cache_result(Pages, cache="locmem")(pages)


def values(constructor, func, *args, **kwargs):
    return {part.field: part.values for part in wrapped(func, constructor).explain_key(*args, **kwargs).parts}


def test_the_parts_of_a_key(explained):
    explanation = explained.explain_key("DE", page=2)
    assert isinstance(explanation, KeyExplanation)
    key = explained.get_cache_key("DE", page=2)
    assert explanation.key == key == f"geo:explained:v3:DE:en:{explanation.digest}"
    assert (explanation.namespace, explanation.function_id, explanation.version) == ("geo", "explained", 3)
    assert [(part.field, part.partition, part.values) for part in explanation.parts] == [
        ("country", True, {"country": "'DE'"}),
        ("language", True, {"language": "'en'"}),
        ("rest", False, {"page": "2", "sizes": "(10)"}),
    ]
    assert [scope.name for scope in explanation.scopes] == [
        "every entry of the function",
        "partition of country",
        "partition of country, language",
        "this entry",
    ]
    assert len({scope.key for scope in explanation.scopes}) == 4


def test_its_text(explained):
    explanation = explained.explain_key("DE")
    lines = str(explanation).splitlines()
    assert lines[:4] == [
        f"key        {explanation.key}",
        "namespace  geo",
        "function   explained",
        "version    3",
    ]
    assert "  country (partition): country = 'DE'" in lines
    assert "  rest: page = 1" in lines
    for scope in explanation.scopes:
        assert any(scope.key in line and line.endswith(scope.name) for line in lines)


def test_equal_calls_are_explained_alike(explained):
    assert explained.explain_key("DE") == explained.explain_key(country="DE", page=1)
    assert explained.explain_key("DE") != explained.explain_key("DE", page=2)


def test_an_explanation_cannot_be_changed(explained):
    with pytest.raises(AttributeError):
        explained.explain_key("DE").key = "mine"


def test_a_plain_function():
    explanation = cache_result(cache="locmem")(pages).explain_key("DE", sizes=[1, None])
    assert explanation.function_id == f"{__name__}.pages"
    assert (explanation.namespace, explanation.version) == ("", 1)
    (part,) = explanation.parts
    assert part.values == {"country": "'DE'", "language": "'en'", "page": "1", "sizes": "[1, None]"}
    assert [scope.name for scope in explanation.scopes] == ["every entry of the function", "this entry"]
    assert "namespace  -" in str(explanation)


def test_every_kind_of_field():
    class Own(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            return {"host": "x.org", "port": 80, "user": ABSENT}

    request = get("/?page=2&tag=b&tag=a")
    request.user = types.SimpleNamespace(pk=5)
    found = values(
        {
            "argument": ArgsKeyField("pk"),
            "path": ArgsKeyField("request", path="user.pk"),
            "constant": ConstantKeyField("schema", (1, "a")),
            "user": RequestValueKeyField("user.pk"),
            "nobody": RequestValueKeyField("tenant.pk"),
            "query": QueryParamsKeyField(["page", "q"]),
            "all": QueryParamsKeyField(),
            "url": ViewKwargsKeyField(),
            "own": Own(),
        },
        lambda request, pk, slug=None: None,
        request,
        pk="7",
    )
    assert found == {
        "argument": {"pk": "'7'"},
        "path": {"request": "5"},
        "constant": {"constant": "(1, 'a')"},
        "user": {"user.pk": "5"},
        "nobody": {"tenant.pk": "<absent>"},
        "query": {"page": "sorted ['2']", "q": "<absent>"},
        "all": {"page": "sorted ['2']", "tag": "sorted ['a', 'b']"},
        "url": {"pk": "'7'", "slug": "None"},
        "own": {"host": "'x.org'", "port": "80", "user": "<absent>"},
    }


def test_a_shape_is_a_digest():
    (text,) = values({"shape": DjangoModelKeyField(City)}, lambda: None)["shape"].values()
    assert len(text) < 200


@pytest.mark.parametrize(
    "value", ["DE", 5, None, True, 1.5, [1, 2], {"a": {"b": 1}}, {1, 2}, b"\x00", "a\nb", "'"]
)
def test_a_value_is_readable_on_one_line(value):
    (text,) = values({"x": ArgsKeyField("value")}, lambda value: None, value)["x"].values()
    assert "\n" not in text
    assert text == repr(value) or value in ("'", b"\x00")


def test_what_others_write_forges_no_line():
    explanation = wrapped(lambda request: None, QueryParamsKeyField()).explain_key(
        get("/", {"a\nkey  mine": "b\nc"})
    )
    # failed once: names of query parameters are printed as they are
    assert [line for line in str(explanation).splitlines() if line.startswith("key")] == [
        f"key        {explanation.key}"
    ]


def test_payloads_whose_names_only_look_alike():
    class Own(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            return {1: "a", "1": "b"}

    # failed once: one of the two is lost
    assert sorted(values({"own": Own()}, lambda: None)["own"].values()) == ["'a'", "'b'"]


def test_hashed_values_are_not_shown():
    """An explanation ends in logs and tickets."""
    token = "s3cret"
    explanation = wrapped(
        pages, {"token": ArgsKeyField("country", hash_value=True, partition=True)}
    ).explain_key(token)
    assert token not in explanation.key
    # failed once: the value is shown
    assert token not in str(explanation)
    assert token not in repr(explanation)


def test_a_method():
    class Shop:
        @cache_result({"x": ArgsKeyField("x")}, cache="locmem")
        def method(self, x):
            return None

    shop = Shop()
    assert shop.method.explain_key(1) == Shop.method.explain_key(shop, 1)
    assert shop.method.explain_key(1).key == shop.method.get_cache_key(1)


def test_an_inherited_method_names_the_class():
    view = views.TownViewSet()
    view.setup(get("/?page=1"), pk="1")
    explanation = view.rows.explain_key()
    assert explanation.parts[0].values == {"class": "tests.keys.views:TownViewSet"}
    assert explanation.parts[0].partition is False
    assert {part.field for part in explanation.parts} == {"class", "user", "url", "query"}
    assert explanation.key == view.rows.get_cache_key()


async def test_an_async_function():
    async def function(country, language="en", page=1, sizes=()):
        return None

    wrapper = wrapped(function, Pages)
    assert wrapper.explain_key("DE").key == wrapper.get_cache_key("DE")


def test_the_scopes_of_rules():
    wrapper = wrapped(
        lambda author, city, page=1: None,
        {"author": ArgsKeyField("author", partition=True), "rest": ArgsKeyField(["city", "page"])},
        invalidates_on=[
            InvalidationRule(Author, field_mapping={"author": "id"}),
            InvalidationRule(City, field_mapping={"city": "id"}),
            InvalidationRule(City, field_mapping={"city": "id", "author": "population"}),
        ],
    )
    names = [scope.name for scope in wrapper.explain_key(5, 6).scopes]
    assert names == [
        "every entry of the function",
        "partition of author; rules that map author",
        "rules that map city",
        "rules that map author, city",
        "this entry",
    ]


@on("redis", "locmem")
def test_a_shared_cache_keeps_the_generations_where_it_says(cache_alias, unique_name):
    wrapper = cache_result({"x": ArgsKeyField("x", partition=True)}, cache=cache_alias, name=unique_name())(
        lambda x: 1
    )
    wrapper(1)
    explanation = wrapper.explain_key(1)
    assert caches[cache_alias].get(explanation.key) is not None
    kept = [caches[cache_alias].get(scope.key) is not None for scope in explanation.scopes]
    assert kept == [cache_alias == "redis"] * 3


def test_nothing_is_read_or_run():
    ran = []
    wrapper = wrapped(lambda x: ran.append(x), ArgsKeyField("x"), cache="redis_down")
    assert wrapper.explain_key(1).parts
    assert ran == []


def test_errors_are_those_of_the_key(explained):
    with pytest.raises(UnkeyableArgument, match="'country'"):
        explained.explain_key(object())
    with pytest.raises(TypeError, match="missing a required argument: 'country'"):
        explained.explain_key()


def test_a_partial_is_explained():
    wrapper = cache_result(cache="locmem", name="explained-partial")(functools.partial(pages, "DE"))
    assert "explained-partial" in str(wrapper.explain_key(page=3))
