"""Tags that a function adds while it runs.

What is fenced: a fill reads the data, and only then says which tags its result has. Who invalidates one of
them in between must not be overlooked.
"""

import asyncio

import pytest
from django.db import transaction

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    InvalidationRule,
    _core,
    add_tags,
    ainvalidate_tags,
    cache_result,
    driving,
    invalidate_tags,
)
from tests.app.models import Article, Author
from tests.backends import on
from tests.waiting import DEADLINE, AsyncGate, Gate, all_of

SHARED = ["file", "db", "redis", "django_redis", "django_redis_json", "memcached"]


@pytest.fixture
def invalidate(cache_alias):
    return lambda *tags: invalidate_tags(*tags, cache=cache_alias)


class Source:
    def __init__(self):
        self.value, self.runs, self.gate = "old", 0, Gate()
        self.tags = ["x:1"]

    def read(self):
        self.runs += 1
        value = self.value
        self.gate.stop_here()
        return value


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def opened(source):
    source.gate.open()
    return source


@pytest.fixture
def f(cached, source):
    """Adds the tags of the source, after it has read and stopped."""

    @cached
    def f(key):
        value = source.read()
        add_tags(*source.tags)
        return value

    return f


def test_added_tags_invalidate(f, opened, invalidate):
    opened.tags = ["x:1", "y"]
    for tag in ("x:1", "y"):
        opened.value = tag
        assert [f(1), f(1)] == [tag, tag]
        invalidate("x:2", "x", "z")
        assert f.get_cache_only(1) == tag
        assert f.get_with_metadata(1)[1]["cache_status"] == "HIT"
        invalidate(tag)
        assert f.get_cache_only(1) is CACHE_MISSING
        assert f.get_cached_metadata(1) is None


def test_they_belong_to_the_entry(f, opened, invalidate):
    f(1)
    opened.tags = ["x:2"]
    f(2)
    invalidate("x:1")
    assert [f.get_cache_only(1), f.get_cache_only(2)] == [CACHE_MISSING, "old"]
    opened.tags = []
    f(1)
    invalidate("x:1")
    assert f.get_cache_only(1) == "old"
    opened.tags = ["x:3"]
    f.refresh(1)
    invalidate("x:3")
    assert f.get_cache_only(1) is CACHE_MISSING


def test_beside_those_of_the_call(cached, invalidate):
    @cached(tags="key:{key}", key_constructor={"fields": {"key": ArgsKeyField("key", partition=True)}})
    def f(key):
        add_tags("x:1", "key:0")
        return [key]

    for wipe in ("x:1", "key:0", "key:7"):
        f(7)
        invalidate("key:1", "key")
        assert f.get_cache_only(7) == [7]
        invalidate(wipe)
        assert f.get_cache_only(7) is CACHE_MISSING
    f(7)
    f.delete_by_prefix(7)
    assert f.get_cache_only(7) is CACHE_MISSING


def test_an_invalidation_before_they_are_added(f, source, invalidate, threads):
    """Fails when what is current after the function ran is taken for what was current before."""
    filling = threads(f, 1)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate("x:1")
    source.gate.open()
    assert filling.result() == "old"
    assert f.get_cache_only(1) is CACHE_MISSING
    assert [f(1), f(1)] == ["new", "new"]


def test_the_same_with_tags_that_are_in_use(f, source, invalidate, threads, clock):
    source.gate.open()
    f(0)
    clock.advance(60_000)
    source.gate = Gate()
    filling = threads(f, 1)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate("x:1")
    source.gate.open()
    assert filling.result() == "old"
    assert f.get_cache_only(1) is CACHE_MISSING


def test_an_invalidation_after_they_are_added(cached, source, invalidate, threads):
    """Fails when they are not compared at the end, or not stored."""

    @cached
    def f(key):
        add_tags("x:1")
        return source.read()

    filling = threads(f, 1)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate("x:1")
    source.gate.open()
    assert filling.result() == "old"
    assert f(1) == "new"


def test_waiters_get_nothing_older(f, source, invalidate, threads):
    """Who calls after the invalidation waits for a fill of which nobody knows that it is void. Fails when
    its result is handed to those on board."""
    filling = threads(f, 1)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate("x:1")
    waiting = threads(f, 1)
    source.gate.open()
    assert filling.result() == "old"
    assert waiting.result() == "new"


def test_other_tags_do_not_matter_to_tags_in_use(f, source, invalidate, threads, clock):
    """Fails when every invalidation of a tag voids the fills of all functions that add some."""
    source.tags = ["in use"]  # whose generation no other test has drawn by its clock
    source.gate.open()
    f(0)
    clock.advance(60_000)
    source.gate = Gate()
    filling = threads(f, 1)
    source.gate.wait_until_reached()
    invalidate("z")
    source.gate.open()
    assert filling.result() == "old"
    assert f.get_cache_only(1) == "old"


def through_a_helper(*tags):
    add_tags(*tags)


def test_by_a_helper(cached, invalidate, cache_alias):
    """Its code does not tell; on shared caches the first result is not stored."""
    runs = []

    @cached
    def f(key):
        runs.append(key)
        through_a_helper("x:1")
        return [key]

    [f(key) for key in (1, 1, 2, 2, 1)]
    assert runs == ([1, 1, 2] if cache_alias in SHARED else [1, 2])
    invalidate("x:1")
    assert f.get_cache_only(1) is CACHE_MISSING


def test_many(f, opened, invalidate):
    opened.tags = [f"x:{number}" for number in range(1500)]
    assert [f(1), f(1)] == ["old", "old"]
    assert opened.runs == 1
    invalidate("x:1499")
    assert f.get_cache_only(1) is CACHE_MISSING


@on("locmem", "memory", "redis")
def test_the_innermost_function_is_meant(cached, invalidate):
    @cached
    def inner():
        add_tags("inner")
        return ["inner"]

    @cached
    def outer():
        inner()
        add_tags("outer")
        return ["outer"]

    outer()
    invalidate("inner")
    assert [inner.get_cache_only(), outer.get_cache_only()] == [CACHE_MISSING, ["outer"]]
    outer()
    invalidate("outer")
    assert outer.get_cache_only() is CACHE_MISSING


def test_nothing_happens_elsewhere(settings, unique_name):
    add_tags("x")
    settings.CACHE_RESULT = {"ENABLED": False}

    @cache_result(name=unique_name())
    def f():
        add_tags("x")
        return 1

    assert [f(), f.bypass_cache(), f.refresh()] == [1, 1, 1]
    for wrong, error in ((5, TypeError), ("", ValueError), ("x" * 1001, ValueError)):
        with pytest.raises(error, match="cache_result: "):
            add_tags("ok", wrong)


@on("locmem", "memory", "redis")
def test_refused_results_are_not_handed_on_either(cached, source, invalidate, threads):
    @cached(cache_unless=lambda value: value == "old")
    def f(key):
        value = source.read()
        add_tags("x:1")
        return value

    filling = threads(f, 1)
    source.gate.wait_until_reached()
    source.value = "new"
    invalidate("x:1")
    waiting = threads(f, 1)
    source.gate.open()
    assert (filling.result(), waiting.result()) == ("old", "new")


# --- asyncio


@on("locmem", "memory", "redis", "memcached")
async def test_async(cached, cache_alias):
    runs = []

    @cached
    async def f(key):
        runs.append(key)
        add_tags("z")
        await asyncio.gather(tagging(f"x:{key}"), tagging("y"))
        return [key]

    async def tagging(tag):
        await asyncio.sleep(0)
        add_tags(tag)

    assert [await f(1), await f(2), await f(1)] == [[1], [2], [1]]
    await ainvalidate_tags("x:1", cache=cache_alias)
    assert [await f.aget_cache_only(1), await f.aget_cache_only(2)] == [CACHE_MISSING, [2]]
    await ainvalidate_tags("y", cache=cache_alias)
    assert await f.aget_cache_only(2) is CACHE_MISSING
    assert runs == [1, 2]


@on("locmem", "memory", "redis")
async def test_async_fence(cached, cache_alias):
    gate, state = AsyncGate(), {"value": "old"}

    @cached
    async def f(key):
        value = state["value"]
        await gate.stop_here()
        add_tags("x:1")
        return value

    filling = asyncio.ensure_future(f(1))
    await gate.wait_until_reached()
    state["value"] = "new"
    await ainvalidate_tags("x:1", cache=cache_alias)
    waiting = asyncio.ensure_future(f(1))
    await asyncio.sleep(0)
    gate.open()
    assert await all_of(filling, waiting) == ["old", "new"]
    assert await f(1) == "new"


@on("locmem", "memory")
async def test_errors_are_not_handed_on_either(cached, cache_alias):
    gate, state = AsyncGate(), {"value": None}

    @cached
    async def f(key):
        value = state["value"]
        await gate.stop_here()
        add_tags("x:1")
        if value is None:
            raise LookupError(key)
        return value

    filling = asyncio.ensure_future(f(1))
    await gate.wait_until_reached()
    state["value"] = "new"
    await ainvalidate_tags("x:1", cache=cache_alias)
    waiting = asyncio.ensure_future(f(1))
    await asyncio.sleep(0)
    gate.open()
    assert await all_of(waiting) == ["new"]
    with pytest.raises(LookupError):
        await filling


@on("redis", "memcached")
async def test_nobody_comes_on_board_after_the_last_look(cached, cache_alias, monkeypatch):
    """The tags have been looked at, one of them is invalidated, and somebody calls before the fill lands.
    Fails when he may still join it."""
    state, moved_on, later = {"value": "old", "runs": 0}, asyncio.Event(), []

    @cached(single_flight="process")
    async def f(key):
        state["runs"] += 1
        if later:
            moved_on.set()
        add_tags("x:1")
        return state["value"]

    perform, until_ended = f.storage.aperform, driving._until_ended

    async def aperform(name, *args):
        found = await perform(name, *args)
        if state["runs"] == 1 and not later and args[0] == [_core.generation_key(_core.tags_scope())]:
            later.append(None)
            state["value"] = "new"
            await ainvalidate_tags("x:1", cache=cache_alias)
            later.append(asyncio.ensure_future(f(1)))
            await asyncio.wait_for(moved_on.wait(), DEADLINE)
        return found

    async def boarded(steps, seconds):
        moved_on.set()
        await until_ended(steps, seconds)

    monkeypatch.setattr(f.storage, "aperform", aperform)
    monkeypatch.setattr(driving, "_until_ended", boarded)
    assert await f(1) == "old"
    assert await all_of(later[1]) == ["new"]


# --- rules and transactions


@pytest.fixture
def shelf(cached):
    """All titles; the articles that it shows are tags."""
    cached(invalidates_on=[InvalidationRule(Article, tags=["article:{id}"])])(lambda: None)

    @cached
    def shelf(key):
        found = list(Article.objects.order_by("pk"))
        add_tags(*(f"article:{article.pk}" for article in found))
        return [article.title for article in found]

    return shelf


@pytest.fixture
def article():
    return Article.objects.create(author=Author.objects.create(name="a"), title="old")


DATABASES = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    on("locmem", "memory", "redis", "memcached"),
]


def with_databases(test):
    for mark in DATABASES:
        test = mark(test)
    return test


@with_databases
def test_rules(shelf, article):
    assert shelf(1) == ["old"]
    article.title = "new"
    article.save()
    assert shelf(1) == ["new"]
    Article.objects.update(title="newest")
    assert shelf(1) == ["newest"]


@with_databases
def test_own_writes_are_seen(shelf, article, threads):
    """Fails when a transaction does not compare what was added to an entry with what it has changed."""
    assert shelf(1) == ["old"]
    with transaction.atomic():
        article.title = "new"
        article.save()
        assert shelf(1) == ["new"]
        assert shelf.get_cache_only(1) is CACHE_MISSING
        assert threads(shelf, 1).result() == ["old"]
    assert shelf(1) == ["new"]


@with_databases
def test_a_commit_during_the_fill(cached, article, threads):
    """It reads before the COMMIT and adds its tags after it. Fails when only open scopes are compared."""
    gate = Gate()
    cached(invalidates_on=[InvalidationRule(Article, tags=["article:{id}"])])(lambda: None)

    @cached
    def f(key):
        title = Article.objects.get(pk=key).title
        gate.stop_here()
        add_tags(f"article:{key}")
        return title

    filling = threads(f, article.pk)
    gate.wait_until_reached()
    article.title = "new"
    with transaction.atomic():
        article.save()
    gate.open()
    assert filling.result() == "old"
    assert f(article.pk) == "new"


@with_databases
def test_closed_tags_are_not_stored(shelf, article, at_opening, threads):
    """Whoever fills between COMMIT and opening stores nothing."""
    seen = at_opening(lambda: [threads(shelf, 1).result(), threads(shelf.get_cache_only, 1).result()])
    with transaction.atomic():
        article.title = "new"
        article.save()
    assert seen == [[["new"], CACHE_MISSING]]


@with_databases
def test_while_a_replica_lags(apart, cached, article):
    """Nothing is stored by functions that add new tags. Fails when `settle` keeps those of the rule closed
    only: which they are, a function does not know yet when it reads."""
    cached(invalidates_on=[InvalidationRule(Article, tags=["article:{id}"], settle=60)])(lambda: None)

    @cached
    def f(key):
        add_tags("other")
        return [key]

    article.save()
    f(1)
    assert f.get_cache_only(1) is CACHE_MISSING
