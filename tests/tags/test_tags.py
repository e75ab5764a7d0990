"""Tags that are known from the call, on every backend: which calls `invalidate_tags` reaches."""

import enum
import uuid
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    UnkeyableArgument,
    ainvalidate_tags,
    cache_invalidated,
    cache_result,
    invalidate_tags,
)
from tests.app.models import Author
from tests.backends import on


@pytest.fixture
def invalidate(cache_alias):
    return lambda *tags: invalidate_tags(*tags, cache=cache_alias)


def hits(wrapper, *keys):
    """Of which of the keys there is a valid entry."""
    return [key for key in keys if wrapper.get_cache_only(key) is not CACHE_MISSING]


def fill(wrapper, *keys):
    for key in keys:
        wrapper(key)
    assert hits(wrapper, *keys) == [*keys]


def test_a_tag_reaches_the_calls_that_have_it(make_inc, invalidate):
    f = make_inc(tags="user:{key}")
    fill(f, 1, 2)
    invalidate("user:1")
    assert hits(f, 1, 2) == [2]
    assert f(1) == f(1) == 3


def test_a_tag_reaches_every_function(make_inc, invalidate):
    text, template = make_inc(tags="users"), make_inc(tags=["user:{key}", "users"])
    called, other = make_inc(tags=lambda key, part: ["users"]), make_inc(tags="people")
    for f in (text, template, called, other):
        fill(f, 1, 2)
    invalidate("users")
    assert [hits(f, 1, 2) for f in (text, template, called, other)] == [[], [], [], [1, 2]]
    fill(text, 1)
    fill(template, 1, 2)
    invalidate("user:2")
    assert (hits(text, 1), hits(template, 1, 2)) == ([1], [1])


def test_several_tags_at_once(make_inc, invalidate):
    f = make_inc(tags="user:{key}")
    fill(f, 1, 2, 3)
    invalidate("user:1", "user:3", "user:1")
    assert hits(f, 1, 2, 3) == [2]
    invalidate()
    assert hits(f, 2) == [2]


def test_a_family_is_no_tag(make_inc, invalidate):
    f, g = make_inc(tags="user:{key}"), make_inc(tags="user")
    fill(f, 1)
    fill(g, 1)
    invalidate("user", "user:")
    assert (hits(f, 1), hits(g, 1)) == ([1], [])


def test_tags_of_another_cache_are_others(make_inc, cache_alias):
    f = make_inc(tags="users")
    fill(f, 1)
    invalidate_tags("users", cache="default")
    assert hits(f, 1) == [1]


def test_the_cache_of_the_settings_is_meant(settings, unique_name):
    settings.CACHE_RESULT = {"CACHE": "memory"}
    f = cache_result(name=unique_name(), tags="users")(lambda key: key)
    fill(f, 1)
    invalidate_tags("users")
    assert hits(f, 1) == []


def test_other_invalidations_stay(make_inc, invalidate):
    f = make_inc(tags="user:{key}")
    fill(f, 1, 2)
    f.delete_cache(1)
    assert hits(f, 1, 2) == [2]
    f.invalidate_all()
    assert hits(f, 1, 2) == []


def stored(pk, **values):
    author = Author(pk=pk, **values)
    author._state.adding = False
    return author


class Color(enum.Enum):
    RED = "red"


LOOSE = [
    (5, "5"),
    ("5", "5"),
    ("ü: {x}\n\udc80", "ü: {x}\n\udc80"),
    (None, "None"),
    (True, "True"),
    (1.5, "1.5"),
    (10**30, str(10**30)),
    (Decimal("1.50"), "1.50"),
    (date(2026, 1, 2), "2026-01-02"),
    (Color.RED, "red"),
    (uuid.UUID(int=7), str(uuid.UUID(int=7))),
    (stored(7), "7"),
    (SimpleLazyObject(lambda: stored(8)), "8"),
]


@on("locmem", "memory", "redis")
@pytest.mark.parametrize(("value", "text"), LOOSE, ids=[text.encode("ascii", "replace") for _, text in LOOSE])
def test_values_are_written_as_text(make_inc, invalidate, value, text):
    f = make_inc(tags="x:{key}")
    fill(f, value)
    invalidate(f"x:{text}x")
    assert f.get_cache_only(value) == 1
    invalidate(f"x:{text}")
    assert f.get_cache_only(value) is CACHE_MISSING


@on("locmem", "memory", "redis")
def test_one_text_of_two_values(make_inc, invalidate):
    f = make_inc(tags="x:{key}")
    fill(f, 5, "5")
    invalidate("x:5")
    assert hits(f, 5, "5") == []


@on("locmem", "memory", "redis")
def test_fields_follow_attributes_and_formats(cached, invalidate):
    @cached(
        key_constructor={"fields": {"day": ArgsKeyField("day")}},
        tags=["team:{user.team.slug}", "{{day}}:{day:%Y-%m}"],
    )
    def f(user, day):
        return day

    user, nobody = SimpleNamespace(team=SimpleNamespace(slug="red")), SimpleNamespace(team=None)

    def left(invalidated):
        f(user, date(2026, 1, 2)), f(nobody, date(2026, 2, 2))
        invalidate(invalidated)
        return [
            f.get_cache_only(who, date(2026, month, 2)) is not CACHE_MISSING
            for who, month in ((user, 1), (nobody, 2))
        ]

    assert left("team:red") == [False, True]
    assert left("team:None") == [True, False]
    assert left("{day}:2026-02") == [True, False]


@on("locmem", "memory", "redis")
def test_tags_that_the_key_does_not_tell(cached, invalidate):
    """One key, called with different tags: an entry is valid only for calls that have its tags."""

    @cached(key_constructor={"fields": {"a": ArgsKeyField("a")}}, tags="b:{b}")
    def f(a, b):
        return [a, b]

    assert f(1, 2) == [1, 2]
    assert f(1, 3) == [1, 3]
    invalidate("b:3")
    assert f(1, 3) == [1, 3]
    assert f.get_cache_only(1, 2) is CACHE_MISSING


@on("locmem", "memory", "redis")
def test_the_state_of_an_instance_is_not_in_its_key(cached, invalidate):
    @cached(tags="name:{author.name}")
    def f(author):
        return author.name

    assert f(stored(1, name="a")) == "a"
    assert f(stored(1, name="b")) == "b"
    invalidate("name:b")
    assert f.get_cache_only(stored(1, name="b")) is CACHE_MISSING


@on("locmem", "memory", "redis")
def test_a_callable_is_given_the_call_with_its_defaults(cached, invalidate):
    seen = []

    def tags(a, b, *rest, c, **more):
        seen.append((a, b, rest, c, more))
        return f"a:{a}"

    @cached(tags=[tags, lambda *args, **kwargs: None, lambda *args, **kwargs: ("x", "y")])
    def f(a, b=2, *rest, c=3, **more):
        return a

    f(1)
    f(b=2, a=1)
    f(1, 2, 4, d=5)
    assert set(map(str, seen)) == {"(1, 2, (), 3, {})", "(1, 2, (4,), 3, {'d': 5})"}
    for tag in ("a:1", "x", "y"):
        f(1)
        invalidate(tag)
        assert f.get_cache_only(1) is CACHE_MISSING


@on("locmem", "memory", "redis")
async def test_async(make_ainc, cache_alias):
    f = make_ainc(tags=["user:{key}", lambda key, part: f"part:{part}"])
    assert [await f(1, 5), await f(2, 6), await f(1, 5)] == [1, 2, 1]
    await ainvalidate_tags("user:1", cache=cache_alias)
    assert [await f(1, 5), await f(2, 6)] == [3, 2]
    await ainvalidate_tags("part:6", "part:7", cache=cache_alias)
    assert [await f(1, 5), await f(2, 6)] == [3, 4]


@on("locmem", "memory", "redis")
def test_methods(cached, invalidate):
    class Shop:
        def __init__(self, pk):
            self.pk = pk

        def __cache_key__(self):
            return self.pk

        @cached(tags="shop:{self.pk}")
        def basket(self, number):
            return [number]

    shop, other = Shop(1), Shop(2)
    shop.basket(1), other.basket(1)
    invalidate("shop:1")
    assert shop.basket.get_cache_only(1) is CACHE_MISSING
    assert other.basket.get_cache_only(1) == [1]


@on("locmem", "memory", "redis")
def test_explained(make_inc):
    f = make_inc(tags=["user:{key}", "users", "user:x", lambda key, part: ["part"]])
    names = [scope.name for scope in f.explain_key(7).scopes]
    assert names == [
        "every entry of the function",
        'tag "users"',
        'tag "user:x"',
        'tags that begin with "user"',
        'tag "user:7"',
        'tag "part"',
        "this entry",
    ]


@on("locmem", "memory", "redis")
def test_no_signal_is_sent(make_inc, invalidate):
    f, told = make_inc(tags="users"), []
    receiver = lambda **kwargs: told.append(kwargs)  # noqa: E731
    cache_invalidated.connect(receiver)
    try:
        invalidate("users")
    finally:
        cache_invalidated.disconnect(receiver)
    assert told == []
    assert hits(f, 1) == []


WRONG_TAGS = [
    (5, TypeError, "give text, a callable"),
    (b"x", TypeError, "give text, a callable"),
    ({"a": "b"}, TypeError, "give text, a callable"),
    ([5], TypeError, "give text"),
    ("", ValueError, "is empty"),
    (["ok", "x" * 1001], ValueError, "1001 characters"),
    ("user:{nobody}", ValueError, "no argument of .*; it has a, b"),
    ("user:{rest}", ValueError, "no argument of .*; it has a, b"),
    ("user:{", ValueError, "braces that mean themselves"),
    ("user:{}", ValueError, "names with attributes"),
    ("user:{0}", ValueError, "names with attributes"),
    ("user:{a[0]}", ValueError, "names with attributes"),
    ("user:{a!r}", ValueError, "names with attributes"),
    ("user:{a:{b}}", ValueError, "names with attributes"),
    (lambda a: a, TypeError, "is called with the arguments of"),
]


@pytest.mark.parametrize(("tags", "error", "why"), WRONG_TAGS, ids=[str(each[0])[:20] for each in WRONG_TAGS])
def test_wrong_tags_fail_at_decoration(tags, error, why, unique_name):
    with pytest.raises(error, match=why):

        @cache_result(name=unique_name(), tags=tags)
        def f(a, b, *rest):
            return a


def test_an_async_callable_is_refused(unique_name):
    async def tags(a):
        return "x"

    with pytest.raises(TypeError, match="is async"):
        cache_result(name=unique_name(), tags=tags)(lambda a: a)


@on("locmem", "memory", "redis")
def test_values_without_text_are_refused(cached):
    f = cached(tags="x:{a}")(lambda a: a)
    with pytest.raises(UnkeyableArgument, match=r"\{a\} in the tag 'x:\{a\}' of .* is a <list>"):
        f([1])
    with pytest.raises(ValueError, match="characters"):
        f("x" * 1001)
    g = cached(tags=lambda a: [5])(lambda a: a)
    with pytest.raises(TypeError, match="the tag 5 is a <int>"):
        g(1)


WRONG_TEXTS = [(5, TypeError), (None, TypeError), ("", ValueError), ("x" * 1001, ValueError)]


@pytest.mark.parametrize(("wrong", "error"), WRONG_TEXTS, ids=["number", "None", "empty", "long"])
async def test_wrong_tags_are_refused(wrong, error):
    with pytest.raises(error, match="cache_result: "):
        invalidate_tags("ok", wrong)
    with pytest.raises(error, match="cache_result: "):
        await ainvalidate_tags("ok", wrong)


def test_an_unknown_cache_is_refused():
    with pytest.raises(ImproperlyConfigured, match="no cache 'nowhere'"):
        invalidate_tags("x", cache="nowhere")


def test_a_cleared_cache_has_no_entries(make_inc, cache_alias, invalidate):
    f = make_inc(tags="user:{key}")
    fill(f, 1)
    caches[cache_alias].clear()
    assert f(1) == 2
    invalidate("user:1")
    assert f(1) == 3
