"""`CACHE_RESULT = {"ENABLED": False}`: no call has anything to do with the cache; what it is told of changes
still counts for others."""

import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    CacheStatus,
    InlineKeyConstructor,
    InvalidationRule,
    cache_result,
    signals,
)
from tests.app.models import Author
from tests.backends import on
from tests.flaky import FlakyCache

OFF = {"ENABLED": False}
BY_X = InlineKeyConstructor({"x": ArgsKeyField("x", partition=True)})


@pytest.fixture
def flaky(settings, tmp_path, unique_name):
    """A cache that counts what it is asked, and raises."""
    settings.CACHES = {
        **settings.CACHES,
        "flaky": {"BACKEND": "tests.flaky.FlakyCache", "LOCATION": str(tmp_path)},
    }
    FlakyCache.broken, FlakyCache.operations = True, 0
    yield lambda func: cache_result(cache="flaky", name=unique_name())(func)
    FlakyCache.broken = False


def test_no_call_asks_the_cache(flaky, settings, caplog):
    function = flaky(lambda x: [x])
    settings.CACHE_RESULT = OFF
    metadata = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}
    assert [function(1), function.refresh(1), function.bypass_cache(1)] == [[1]] * 3
    assert function.get_with_metadata(1) == ([1], metadata)
    assert function.get_cache_only(1) is CACHE_MISSING
    assert function.get_cached_metadata(1) is None
    assert FlakyCache.operations == 0
    assert not caplog.records


async def test_no_async_call_asks_the_cache(flaky, settings, caplog):
    @flaky
    async def function(x):
        return [x]

    settings.CACHE_RESULT = OFF
    assert [await function(1), await function.arefresh(1), await function.abypass_cache(1)] == [[1]] * 3
    assert (await function.aget_with_metadata(1))[1]["cache_status"] == CacheStatus.BYPASS
    assert await function.aget_cache_only(1) is CACHE_MISSING
    assert await function.aget_cached_metadata(1) is None
    assert FlakyCache.operations == 0
    assert not caplog.records


@on("locmem", "memory")
def test_no_call_makes_a_key(cached, settings):
    function = cached(lambda x: x)
    settings.CACHE_RESULT = OFF
    queryset = Author.objects.all()
    assert function(queryset) is queryset
    assert function.get_cache_key(1)
    assert function.explain_key(1).key == function.get_cache_key(1)
    with pytest.raises(TypeError):
        function.get_cache_key(queryset)


def test_what_was_cached_is_there_when_it_is_on_again(make_inc, settings):
    inc = make_inc()
    inc(1)
    settings.CACHE_RESULT = OFF
    assert [inc(1), inc(1)] == [2, 3]
    settings.CACHE_RESULT = {}
    assert inc(1) == 1


INVALIDATIONS = {
    "delete_cache": (1,),
    "delete_by_prefix": (1,),
    "invalidate_all": (),
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("method", INVALIDATIONS)
def test_invalidations_are_delivered(make_inc, settings, method, asynchronous):
    """Another process may be enabled, and this one may be again."""
    inc = make_inc(key_constructor={"fields": {"key": ArgsKeyField("key", partition=True)}})
    inc(1)
    settings.CACHE_RESULT = OFF
    if asynchronous:
        async_to_sync(getattr(inc, f"a{method}"))(*INVALIDATIONS[method])
    else:
        getattr(inc, method)(*INVALIDATIONS[method])
    settings.CACHE_RESULT = {}
    assert inc(1) == 2


@on("locmem", "memory", "redis")
def test_a_wipe_is_delivered(cached, settings):
    runs = iter(range(10))
    function = cached(key_constructor=BY_X)(lambda x: next(runs))
    function(1)
    settings.CACHE_RESULT = OFF
    BY_X.wipe(x=1)
    settings.CACHE_RESULT = {}
    assert function(1) == 1


@pytest.fixture
def rewarmed():
    told = []
    signals.cache_rewarmed.connect(receiver := lambda sender, **kwargs: told.append(sender))
    yield told
    signals.cache_rewarmed.disconnect(receiver)


@on("locmem", "memory", "redis")
@pytest.mark.django_db(transaction=True)
def test_rules_invalidate_and_rewarm_nothing(cached, settings, rewarmed):
    # Fails (the function runs in the save, for nothing) when rewarms are not left out.
    runs = []

    @cached(invalidates_on=[InvalidationRule(Author, rewarm=True, field_mapping={"pk": "pk"})])
    def name(pk):
        runs.append(pk)
        return Author.objects.get(pk=pk).name

    author = Author.objects.create(name="old")
    assert name(author.pk) == "old"
    settings.CACHE_RESULT = OFF
    author.name = "new"
    author.save()
    assert (len(runs), rewarmed) == (1, [])
    assert name(author.pk) == "new"
    settings.CACHE_RESULT = {}
    assert name.get_cached_metadata(author.pk) is None
    assert name(author.pk) == "new"
    author.save()
    assert rewarmed == [name]


@pytest.mark.django_db
def test_a_save_goes_on_without_the_cache(flaky, settings):
    rule = InvalidationRule(Author, field_mapping={"pk": "pk"})
    settings.CACHE_RESULT = OFF
    function = cache_result(invalidates_on=[rule], cache="flaky", name="off and down")(lambda pk: pk)
    author = Author.objects.create(name="old")
    author.save()
    assert function(author.pk) == author.pk
    pending = function.storage.pending
    pending.delivered(pending.snapshot())


def test_checks_do_not_mind(settings):
    before = run_checks()
    settings.CACHE_RESULT = OFF
    assert run_checks() == before
