"""`manage.py cache_result wipe`: what it wipes, and what it refuses."""

import pytest
from asgiref.sync import async_to_sync

from cache_result import ArgsKeyField, cache_result
from tests.app.cached import country_name
from tests.app.models import Country
from tests.backends import on
from tests.management.samples import HERE, answer, aprices, data, prices, refused, run


def keys_left(*calls):
    return [call for call in calls if prices.get_cached_metadata(*call)]


@pytest.mark.parametrize(
    ("words", "left", "said"),
    [
        ([], [], "Invalidated every entry of {}"),
        (
            ["DE"],
            [("FR", "de", 1)],
            "Invalidated the partition of {} that (country='DE') names",
        ),
        (
            ["country=DE", "language=de"],
            [("DE", "en", 1), ("FR", "de", 1)],
            "Invalidated the partition of {} that (country='DE', language='de') names",
        ),
        (
            ["DE", "de", "2", "--exact"],
            [("DE", "de", 1), ("DE", "en", 1), ("FR", "de", 1)],
            "Deleted the entry of {}(country='DE', language='de', page=2)",
        ),
    ],
    ids=["all", "partition", "inner partition", "exact"],
)
def test_wipe(words, left, said):
    calls = [("DE", "de", 1), ("DE", "de", 2), ("DE", "en", 1), ("FR", "de", 1)]
    for call in calls:
        prices(*call)
    assert keys_left(*calls) == calls
    assert run("wipe", "prices", *words) == f"{said.format(HERE + '.prices')}, in the cache 'file'.\n"
    assert keys_left(*calls) == left


PARTITIONED = {"fields": {"x": ArgsKeyField("x", partition=True)}}


@pytest.mark.parametrize(
    ("words", "left"), [([], []), (["1"], [2]), (["x=2", "--exact"], [1])], ids=["all", "partition", "exact"]
)
def test_wipe_on_every_backend(cached, cache_alias, words, left):
    function = cached(key_constructor=PARTITIONED)(lambda x: [x])
    function(1), function(2)
    run("wipe", function.function_id, *words, "--this-process")
    assert [x for x in (1, 2) if function.get_cached_metadata(x)] == left


def test_wipe_an_async_function():
    peek = async_to_sync(aprices.aget_cached_metadata)
    for words in ([], ["1", "--exact"]):
        async_to_sync(aprices)(1)
        assert peek(1)
        run("wipe", "aprices", *words)
        assert peek(1) is None


def test_wipe_for_scripts():
    assert data("wipe", "prices") == {
        "done": f"Invalidated every entry of {HERE}.prices, in the cache 'file'"
    }


@pytest.mark.django_db
def test_wipe_by_what_a_rule_maps():
    Country.objects.create(code="DE", name="Germany")
    Country.objects.create(code="FR", name="France")
    country_name("DE"), country_name("FR")
    assert "that (code='DE') names" in run("wipe", "country_name", "DE")
    assert [bool(country_name.get_cached_metadata(code)) for code in ("DE", "FR")] == [False, True]


def test_wipe_all(monkeypatch):
    prices("DE", "de")
    answers = iter(["no", "", "yes"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    for _ in range(2):
        assert refused("wipe", "--all", "--this-process") == "Nothing was wiped."
        assert keys_left(("DE", "de"))
    said = run("wipe", "--all", "--this-process")
    assert said.startswith("This invalidates every entry of all")
    assert "\nInvalidated every entry of " in said
    assert not keys_left(("DE", "de"))


def test_wipe_all_without_a_question(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("it asked"))
    prices("DE", "de")
    assert run("wipe", "--all", "--no-input", "--this-process").startswith("Invalidated every entry of ")
    assert not keys_left(("DE", "de"))


# --- what it refuses


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wipe"], "Give a function, or --all"),
        (["wipe", "prices", "--all"], "--all wipes every function"),
        (["wipe", "--all", "--exact"], "--all wipes every function"),
        (
            ["wipe", "prices", "language=de"],
            "these arguments of tests.management.samples.prices name no group",
        ),
        (["wipe", "prices", "colour=red"], "got an unexpected keyword argument 'colour'"),
        (["wipe", "aprices", "1"], "has no partition fields, so (day=1) names no group of its entries"),
        (["wipe", "prices", "DE", "--exact"], "(country, language, page=1): missing a required argument"),
        (["key", "prices"], "missing a required argument: 'country'"),
        (["key", "prices", "a", "b", "1", "2"], "too many positional arguments"),
        (["key", "prices", "country=a", "b"], "'b' stands behind a named argument"),
        (["key", "prices", "country=a", "country=b"], "'country' is given twice"),
        (["key", "samples.basket", "1"], "needs a request, which cannot be given here"),
        (["wipe", "samples.basket", "--exact"], "needs a request"),
        (["info", "samples.basket", "1"], "get_cached_metadata(...)"),
        (["key", "Shop.open", "1", "2"], "needs the object of a method"),
        (["nothing"], "invalid choice: 'nothing'"),
        ([], "arguments are required"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done(words, said):
    assert said in refused(*words)


def test_a_refused_wipe_wipes_nothing():
    prices("DE", "de")
    for words in (["prices", "language=de"], ["prices", "DE", "--exact"], ["pricess"]):
        refused("wipe", *words)
    assert keys_left(("DE", "de"))


@on("locmem", "memory")
def test_a_cache_of_one_process_is_not_wiped_from_another(cached, cache_alias):
    function = cached()(lambda: 1)
    function()
    for words in ([function.function_id], ["--all", "--no-input"]):
        said = refused("wipe", *words)
        assert said.startswith("Nothing was wiped:")
        assert repr(cache_alias) in said
        assert "HOST_INDEX" in said
    assert function.get_cached_metadata()
    said = run("wipe", function.function_id, "--this-process")
    assert said.endswith(f"in the cache {cache_alias!r} of this process alone.\n")
    assert function.get_cached_metadata() is None


def test_a_host_index_is_reach_enough(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("cache_result.backends.host.is_testing", lambda: False)
    options = {"HOST_INDEX": str(tmp_path / "index")}
    backend = "cache_result.backends.MemoryCache"
    settings.CACHES = {
        **settings.CACHES,
        "hosted": {"BACKEND": backend, "LOCATION": "x", "OPTIONS": options},
    }
    function = cache_result(name="samples hosted", cache="hosted")(answer)
    function()
    assert run("wipe", function.function_id).endswith("in the cache 'hosted' of this host's processes.\n")
    assert function.get_cached_metadata() is None


def test_a_cache_that_is_out_of_reach():
    """Nobody is told that something was wiped that was not."""
    function = cache_result(name="samples down", cache="redis_down")(answer)
    storage = function.storage
    try:
        assert refused("wipe", function.function_id).startswith("Out of reach: 'redis_down'.")
        assert refused("info", function.function_id).startswith("Out of reach: 'redis_down'.")
    finally:
        storage.pending.delivered(storage.pending.snapshot())


def test_a_cache_that_does_not_exist():
    function = cache_result(name="samples nowhere", cache="nowhere")(lambda x: x)
    assert "cache         nowhere (which CACHES does not have)\n" in run("info", function.function_id)
    assert refused("wipe", function.function_id).startswith("there is no cache 'nowhere' in CACHES")
