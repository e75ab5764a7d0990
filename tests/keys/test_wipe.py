"""Wipes: by every kind of key field, and across the functions that share a constructor."""

import asyncio
import gc
import itertools
import types

import pytest
from django.test import RequestFactory

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    CacheKeyField,
    InlineKeyConstructor,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    ViewKwargsKeyField,
)
from tests.backends import on
from tests.keys.wrapping import Email, LowerCase, wrapped

get = RequestFactory().get


# --- by every kind of field


class Country(CacheKeyField):
    def get_key_payload(self, func, args, kwargs):
        return {"country": args[1].lower()}


def of_user(user, number=0):
    request = get("/", {"page": [number]})
    request.user = types.SimpleNamespace(pk=user)
    return request


def call(request, country="de", *rest, **options):
    return None


# field, a call, a call of another partition, what names the partition
WIPES = {
    "argument": (ArgsKeyField("country"), ((None, "de"), {}), ((None, "fr"), {}), ((), {"country": "de"})),
    "default": (ArgsKeyField("country"), ((None,), {}), ((None, "fr"), {}), ((), {"country": "de"})),
    "keyword": (
        ArgsKeyField("tenant"),
        ((None,), {"tenant": 5}),
        ((None,), {"tenant": 6}),
        ((), {"tenant": "5"}),
    ),
    "path": (
        ArgsKeyField("country", path="code"),
        ((None, {"code": "de"}), {}),
        ((None, {"code": "fr"}), {}),
        ((), {"country": {"code": "de"}}),
    ),
    "normalizer": (
        ArgsKeyField("country", normalizer=str.lower),
        ((None, "De"), {}),
        ((None, "fr"), {}),
        ((), {"country": "DE"}),
    ),
    "two arguments": (
        ArgsKeyField(["country", "tenant"]),
        ((None, "de"), {"tenant": 5}),
        ((None, "de"), {"tenant": 6}),
        ((None, "de"), {"tenant": 5}),
    ),
    "list": (
        ArgsKeyField("country", sort_lists=True),
        ((None, ["de", "at"]), {}),
        ((None, ["de"]), {}),
        ((), {"country": ["at", "de"]}),
    ),
    "None": (ArgsKeyField("country"), ((None, None), {}), ((None, "None"), {}), ((), {"country": None})),
    "request": (
        RequestValueKeyField("user.pk"),
        ((of_user(5),), {}),
        ((of_user(6),), {}),
        ((of_user(5, 9),), {}),
    ),
    "anonymous": (
        RequestValueKeyField("user.pk"),
        ((of_user(None),), {}),
        ((get("/"),), {}),
        ((), {"request": of_user(None)}),
    ),
    "query": (
        QueryParamsKeyField(["page"]),
        ((get("/?page=1&page=2&x=1"),), {}),
        ((get("/?page=1&page=1"),), {}),
        ((get("/?page=2&page=1&x=2"),), {}),
    ),
    "view kwargs": (
        ViewKwargsKeyField(["country", "slug"]),
        ((None, "de"), {"slug": "a"}),
        ((None, "de"), {"slug": "b"}),
        ((), {"country": "de", "slug": "a"}),
    ),
    "own": (Country(), ((None, "DE"), {}), ((None, "fr"), {}), ((None, "de"), {})),
    "extended": (LowerCase("country"), ((None, "DE"), {}), ((None, "fr"), {}), ((None, "de"), {})),
}


@pytest.mark.parametrize(("field", "call_in", "call_out", "wipe"), WIPES.values(), ids=WIPES)
def test_a_wipe_reaches_the_partition_and_no_other(cached, field, call_in, call_out, wipe):
    runs = itertools.count(1)
    field.partition = True

    @cached(key_constructor={"part": field, "all": ArgsKeyField("options")})
    def counted(request, country="de", *rest, **options):
        return next(runs)

    def ask(how, **more):
        args, kwargs = how
        return counted(*args, **kwargs, **more)

    assert [ask(call_in), ask(call_in, page=2), ask(call_out), ask(call_in)] == [1, 2, 3, 1]
    counted.delete_by_prefix(*wipe[0], **wipe[1])
    assert [ask(call_out), ask(call_in), ask(call_in, page=2)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("field", "args", "kwargs", "takes"),
    [
        (ArgsKeyField("country"), (None,), {}, "country"),
        (ArgsKeyField("tenant"), (None, "de"), {"other": 1}, "tenant"),
        (ArgsKeyField(["country", "tenant"]), (None, "de"), {}, "country, tenant"),
        (RequestValueKeyField("user.pk"), (), {"country": "de"}, "request"),
        (QueryParamsKeyField(), (), {"country": "de"}, "request"),
        (ViewKwargsKeyField(["country"]), (None,), {}, "country"),
        (Country(), (None,), {}, "part"),
        # failed once: a field that extends a built-in one wipes the partition of what is not given
        (LowerCase("country"), (None,), {}, "part|country"),
        # failed once: likewise
        (LowerCase(["country", "tenant"]), (None, "de"), {}, "part|country"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, CacheKeyField) else "",
)
def test_a_wipe_that_names_nothing_says_what_can_be_named(field, args, kwargs, takes):
    field.partition = True
    wrapper = wrapped(call, {"part": field})
    with pytest.raises(ValueError, match=rf"(?s)call.*delete_by_prefix takes .*({takes}).*invalidate_all"):
        wrapper.delete_by_prefix(*args, **kwargs)


@pytest.mark.parametrize(
    "field", [ViewKwargsKeyField(partition=True), ViewKwargsKeyField("pk", partition=True)]
)
def test_a_wipe_of_a_views_helper_asks_for_the_view(field):
    wrapper = wrapped(lambda self: None, field)
    wrapper.delete_by_prefix(types.SimpleNamespace(kwargs={"pk": 5}))
    # failed once: "takes (kwargs)" or "takes (pk)", neither of which the function has
    with pytest.raises(ValueError, match=r"takes \((self|the view).*\)"):
        wrapper.delete_by_prefix()


def test_an_own_fields_error_in_a_wipe_is_not_hidden():
    class Failing(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            raise ZeroDivisionError("a bug of mine")

    wrapper = wrapped(call, Failing(partition=True))
    # failed once: "these arguments name no group of entries" and nothing about the error
    with pytest.raises(Exception, match=r"(name no group|a bug of mine)") as caught:
        wrapper.delete_by_prefix(None, "de")
    errors = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert any(isinstance(error, ZeroDivisionError) for error in errors)


def test_an_email_is_wiped_however_it_is_written():
    runs = itertools.count(1)
    wrapper = wrapped(lambda value: next(runs), ArgsKeyField("value", partition=True))
    assert wrapper(Email("Ada@x.org")) == 1
    wrapper.delete_by_prefix(Email("ada@x.org"))
    # failed once: __cache_key__ says that they are one, the wipe goes by the text of the value
    assert wrapper(Email("Ada@x.org")) == 2


# --- across functions


@pytest.fixture
def pages(cached):
    """Functions of several signatures and caches that share a constructor; each returns how often it ran."""

    class Constructor(KeyConstructor):
        country = ArgsKeyField("country", partition=True)
        language = ArgsKeyField("language", partition=True)

    class OfUser(Constructor):
        user = ArgsKeyField("user", partition=True)

    def counting(signature, **options):
        runs = itertools.count(1)
        return eval(f"lambda {signature}: next(runs)", {"runs": runs, "next": next, "__name__": __name__})

    return types.SimpleNamespace(
        constructor=Constructor,
        heir=OfUser,
        plain=cached(key_constructor=Constructor)(counting("country, language='en', page=1")),
        swapped=cached(key_constructor=Constructor())(counting("language, country, *, page=1")),
        elsewhere=cached(key_constructor=Constructor, cache="default")(counting("country, language")),
        of_user=cached(key_constructor=OfUser)(counting("user, country, language")),
        stranger=cached(key_constructor={"country": ArgsKeyField("country", partition=True)})(
            counting("country")
        ),
    )


def ask(pages, country, language):
    """Which run of each function answers."""
    return [
        pages.plain(country, language),
        pages.swapped(language, country),
        pages.elsewhere(country, language),
        pages.of_user(5, country, language),
    ]


def test_a_wipe_of_everything(pages):
    assert ask(pages, "de", "en") == ask(pages, "de", "en") == [1, 1, 1, 1]
    assert pages.stranger("de") == 1
    pages.constructor.wipe()
    assert ask(pages, "de", "en") == [2, 2, 2, 2]
    assert pages.stranger("de") == 1


def test_a_wipe_of_a_partition(pages):
    assert (
        ask(pages, "de", "en") + ask(pages, "de", "fr") + ask(pages, "at", "en")
        == [1] * 4 + [2] * 4 + [3] * 4
    )
    pages.constructor.wipe(country="de", language="fr")
    assert ask(pages, "de", "en") + ask(pages, "at", "en") == [1] * 4 + [3] * 4
    assert ask(pages, "de", "fr") == [4] * 4
    pages.constructor.wipe(country="de")
    assert ask(pages, "at", "en") == [3] * 4
    assert ask(pages, "de", "en") == [5] * 4


def test_a_wipe_by_position_follows_each_signature(pages):
    assert pages.plain("de", "en") == pages.swapped("de", "at") == pages.elsewhere("de", "en") == 1
    assert pages.swapped("en", "de") == 2
    pages.constructor.wipe("de", "en")
    assert [pages.plain("de", "en"), pages.elsewhere("de", "en")] == [2, 2]
    assert [pages.swapped("de", "at"), pages.swapped("en", "de")] == [1, 2]
    assert [pages.swapped("de", "en"), pages.plain("en", "de")] == [3, 3]


def test_a_subclass_does_not_reach_its_parents_functions(pages):
    assert ask(pages, "de", "en") == [1] * 4
    pages.heir.wipe()
    assert ask(pages, "de", "en") == [1, 1, 1, 2]


def test_an_instance_wipes_like_its_class(pages):
    assert ask(pages, "de", "en") == [1] * 4
    pages.constructor().wipe(country="de")
    assert ask(pages, "de", "en") == [2] * 4


def test_a_keyword_that_some_functions_lack(pages):
    assert ask(pages, "de", "en") == [1] * 4
    pages.constructor.wipe(country="de", page=3)
    assert ask(pages, "de", "en") == [2] * 4
    pages.constructor.wipe(country="de", user=5)
    assert ask(pages, "de", "en") == [3] * 4


@on("locmem")
@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((), {"language": "en"}, ValueError, r"name no group.*\(country\)"),
        ((), {"page": 1}, ValueError, "name no group"),
        ((), {"user": 5}, ValueError, "name no group"),
        ((), {"cuontry": "de"}, TypeError, "Constructor.*cuontry"),
        ((), {"country": "de", "x": 1, "y": 2}, TypeError, "Constructor.*x, y"),
        (("de", "en", 1, 2), {}, TypeError, "too many positional"),
        (("de",), {"country": "de"}, TypeError, "multiple values.*country"),
    ],
)
def test_a_wipe_that_fits_not_all_functions_wipes_nothing(pages, args, kwargs, error, message):
    before = ask(pages, "de", "en")
    with pytest.raises(error, match=f"(?s){message}"):
        pages.constructor.wipe(*args, **kwargs)
    assert ask(pages, "de", "en") == before


@on("locmem")
async def test_the_async_wipe_says_the_same(pages):
    with pytest.raises(ValueError, match="name no group"):
        await pages.constructor.awipe(page=1)
    with pytest.raises(TypeError, match="cuontry"):
        await pages.constructor.awipe(cuontry="de")


async def test_async_functions_are_reached(cached, pages):
    runs = itertools.count(1)

    @cached(key_constructor=pages.constructor)
    async def function(country, language, page=1):
        return next(runs)

    assert [await function("de", "en"), await function("at", "en")] == [1, 2]
    await pages.constructor.awipe(country="de")
    assert [await function("at", "en"), await function("de", "en")] == [2, 3]
    await pages.constructor.awipe()
    assert [await function("at", "en"), await function("de", "en")] == [4, 5]


@on("locmem")
def test_sync_wipes_reach_async_functions(pages):
    async def function(country, language):
        return 1

    wrapper = wrapped(function, pages.constructor)
    key = wrapper.get_cache_key("de", "en")

    assert asyncio.run(wrapper("de", "en")) == asyncio.run(wrapper.aget_cache_only("de", "en")) == 1
    pages.constructor.wipe(country="de")
    assert asyncio.run(wrapper.aget_cache_only("de", "en")) is CACHE_MISSING
    assert wrapper.get_cache_key("de", "en") == key


@on("locmem")
def test_functions_that_are_gone_are_not_asked(pages):
    """It has no such argument as the others have."""
    gone = wrapped(lambda country, language, only_here: 1, pages.constructor)
    gone("de", "en", 1)
    pages.constructor.wipe(only_here=1, country="de")
    del gone
    gc.collect()
    with pytest.raises(TypeError, match="only_here"):
        pages.constructor.wipe(only_here=1, country="de")


@on("locmem")
def test_functions_of_equal_inline_constructors_are_wiped_together(cached):
    fields = {"country": ArgsKeyField("country", partition=True)}
    runs = itertools.count(1)
    one = cached(key_constructor={"fields": fields})(lambda country: next(runs))
    two = cached(key_constructor=InlineKeyConstructor(fields))(lambda country, page=1: next(runs))
    other = cached(key_constructor={"country": ArgsKeyField("country", partition=True)})(
        lambda country: next(runs)
    )
    assert [one("de"), two("de"), other("de"), one("at")] == [1, 2, 3, 4]
    one.key_constructor.wipe(country="de")
    assert [other("de"), one("at"), one("de"), two("de")] == [3, 4, 5, 6]


@on("locmem")
def test_a_constructor_that_nobody_uses_wipes_nothing(cache_alias):
    class Unused(KeyConstructor):
        country = ArgsKeyField("country", partition=True)

    assert Unused.wipe() is None
    assert Unused.wipe(country="de") is None


@on("locmem")
def test_methods_are_wiped_without_an_instance(cached):
    runs = itertools.count(1)

    class OfUser(KeyConstructor):
        user = ArgsKeyField("user", partition=True)

    class Service:
        @cached(key_constructor=OfUser)
        def method(self, user):
            return next(runs)

    service = Service()
    assert [service.method(1), service.method(2)] == [1, 2]
    OfUser.wipe(user=1)
    assert [service.method(2), service.method(1)] == [2, 3]
    service.method.delete_by_prefix(2)
    assert [service.method(1), service.method(2)] == [3, 4]
    OfUser.wipe(service, 1)
    assert [service.method(2), service.method(1)] == [4, 5]


@on("locmem")
def test_a_request_wipes_the_functions_of_views_too(cached):
    runs = itertools.count(1)

    class OfUser(KeyConstructor):
        user = RequestValueKeyField("user.pk", partition=True)

    @cached(key_constructor=OfUser)
    def of_request(request):
        return next(runs)

    class Basket:
        def __init__(self, request):
            self.request = request

        @cached(key_constructor=OfUser)
        def lines(self):
            return next(runs)

    assert [of_request(of_user(5)), Basket(of_user(5)).lines()] == [1, 2]
    assert [of_request(of_user(6)), Basket(of_user(6)).lines()] == [3, 4]
    # failed once: the arguments of `lines` name no group; without `of_request` nobody has a request
    OfUser.wipe(request=of_user(5))
    assert [of_request(of_user(6)), Basket(of_user(6)).lines()] == [3, 4]
    assert [of_request(of_user(5)), Basket(of_user(5)).lines()] == [5, 6]
