"""`manage.py cache_result list | info | key | rules`: what it says, and how calls are named."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync

from cache_result import _core, cache_result, registry
from cache_result.invalidation import discovery
from tests.app.models import Author
from tests.management.samples import HERE, answer, aprices, data, prices, refused, run, ttl_of


def test_list():
    lines = run("list").splitlines()
    found = {line.split()[0]: line.split(maxsplit=4)[1:] for line in lines[:-1]}
    assert found["FUNCTION"] == ["TTL", "CACHE", "RULES", "PARTITIONS"]
    assert found[f"{HERE}.prices"] == ["90", "s", "file", "2      (country) or (country, language)"]
    assert found[f"{HERE}.basket"][:3] == ["3600", "s", "file"]
    assert found["tests.app.cached.country_name"] == ["3600", "s", "file", "1      (code)"]
    assert len({line.index(" s ") for line in lines if " s " in line}) <= 3
    functions = len(lines) - 2
    rules = sum(facts["rules"] for facts in data("list"))
    assert lines[-1] == f"{functions} functions, {rules} rules"


def test_list_for_scripts():
    assert {
        "function": f"{HERE}.aprices",
        "id": "prices of tomorrow",
        "async": True,
        "ttl": None,
        "cache": "file",
        "scopes": [],
        "rules": 0,
    } in data("list")


def test_info():
    _core.reset_counters()  # what other tests have counted is shown, too
    rule = f"{HERE}.prices/file@app"
    assert run("info", "prices").splitlines() == [
        f"function      {HERE}.prices",
        "ttl           90 s",
        "cache         file (django.core.cache.backends.filebased.FileBasedCache)",
        "single flight cluster",
        f"key           {HERE}.ShopKey",
        "namespace     shop",
        "version       2",
        "fields",
        "  country: ArgsKeyField(country) (partition)",
        "  language: ArgsKeyField(language) (partition)",
        "  page: ArgsKeyField(page)",
        "partitions",
        "  (country)",
        "  (country, language)",
        "rules",
        "  app.Country: country = code",
        "    require_args=False, watch_fields=('name',)",
        f"    dispatcher inline, name {rule}.Country(country=code)",
        f"  app.Author: by {HERE}.refresh_prices",
        f"    dispatcher threadpool, name {rule}.Author({HERE}.refresh_prices)",
    ]
    lines = run("info", "prices of tomorrow").splitlines()
    assert lines[:3] == [
        f"function      {HERE}.aprices (async)",
        "id            prices of tomorrow",
        "ttl           no end",
    ]
    assert {"single flight none", "partitions", "  none"} <= set(lines)


def test_info_says_what_has_been_counted_in_this_process():
    function = cache_result(name="samples counted", cache="file")(lambda x: x)
    assert "counts of this process" not in run("info", "samples counted")
    function(1), function(1)
    lines = run("info", "samples counted").splitlines()
    at = lines.index("counts of this process")
    assert lines[at + 1 : at + 4] == ["  hits: 1", "  misses: 1", "  fills: 1"]
    assert data("info", "samples counted")["counts"]["hits"] == 1


@pytest.mark.parametrize(
    ("ttl", "said", "plain"),
    [
        (0, "not stored", 0),
        (timedelta(minutes=1.5), "90 s", 90.0),
        (ttl_of, f"{HERE}.ttl_of", f"{HERE}.ttl_of"),
    ],
    ids=["0", "timedelta", "callable"],
)
def test_ttls(ttl, said, plain):
    function = cache_result(ttl=ttl, name="samples ttl", cache="file")(lambda: 1)
    assert f"ttl           {said}\n" in run("info", function.function_id)
    assert data("info", function.function_id)["ttl"] == plain


def test_info_says_that_the_cache_is_off(settings):
    settings.CACHE_RESULT = {"ENABLED": False}
    assert "enabled       no:" in run("info", "prices")
    assert data("info", "prices")["enabled"] is False


def test_info_of_a_call():
    assert "entry         none\n" in run("info", "prices", "DE", "de")
    assert data("info", "prices", "DE", "language=de")["entry"] is None
    metadata = prices.get_with_metadata("DE", "de")[1]
    cached = f"entry         cached at {metadata['cached_at']}, until {metadata['cache_reset_at']}\n"
    assert cached in run("info", "prices", "DE", "de")
    assert data("info", "prices", "DE", "de", "page=1")["entry"] == {**metadata, "cache_status": "HIT"}
    assert "entry         none\n" in run("info", "prices", "DE", "de", "2")


def test_info_of_an_async_call_without_an_end():
    async_to_sync(aprices)(1)
    assert ", without an end\n" in run("info", "aprices", "1")


def test_info_of_a_function_without_arguments():
    function = cache_result(name="samples answer", cache="file")(answer)
    assert "entry         none\n" in run("info", "samples answer")
    function()
    assert "entry         cached at" in run("info", "samples answer")


def test_entries_of_other_processes_cannot_be_seen():
    function = cache_result(name="samples answer", cache="locmem")(answer)
    unseen = "the cache 'locmem' keeps entries in each process: those of others cannot be seen from here"
    assert f"entry         none here; {unseen}\n" in run("info", function.function_id)
    assert data("info", function.function_id)["note"] == unseen
    function()
    assert data("info", function.function_id)["note"] is None


def test_key():
    assert run("key", "prices", "DE", "de") == f"{prices.explain_key('DE', 'de')}\n"
    found = data("key", "prices", "DE", "page=3", "language=de")
    assert (found["key"], found["version"]) == (prices.get_cache_key("DE", "de", 3), 2)
    assert data("key", "aprices", "2")["key"] == aprices.get_cache_key(2)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("42", 42),
        ('"42"', "42"),
        ("-1.5", -1.5),
        ("true", True),
        ("True", "True"),
        ("null", None),
        ("[1, null]", [1, None]),
        ('{"a": [2]}', {"a": [2]}),
        ("Köln am Rhein", "Köln am Rhein"),
        ("007", "007"),
        ("NaN", "NaN"),
        ("", ""),
        ("http://x?a=b", "http://x?a=b"),
        ('"a=b"', "a=b"),
        ("day=a=b", "a=b"),
        ("day=3", 3),
        ("elsewhere.Author:1", "elsewhere.Author:1"),
        ('"app.Author:1"', "app.Author:1"),
    ],
)
def test_arguments(typed, meant):
    assert data("key", "aprices", typed)["key"] == aprices.get_cache_key(meant)


@pytest.mark.django_db
def test_rows_as_arguments():
    author = Author.objects.create(name="one")
    named = f"app.Author:{author.pk}"
    for typed in (named, f"day={named}"):
        assert data("key", "aprices", typed)["key"] == aprices.get_cache_key(author)
    assert refused("key", "aprices", "app.Author:0") == "There is no app.Author with the primary key '0'"
    assert refused("key", "aprices", "app.Author:x") == "There is no app.Author with the primary key 'x'"
    assert "no installed app" not in refused("key", "aprices", "app.Autor:1")
    assert refused("key", "aprices", "app.Autor:1").startswith("App 'app' doesn't have a 'Autor' model")


def test_rules():
    lines = run("rules").splitlines()
    at = lines.index("app.Country")
    end = next((n for n, line in enumerate(lines[at + 1 :], at + 1) if not line.startswith(" ")), len(lines))
    section = lines[at + 1 : end]
    at = section.index(f"  {HERE}.prices: country = code")
    assert section[at + 1 : at + 3] == [
        "    require_args=False, watch_fields=('name',)",
        f"    dispatcher inline, name {HERE}.prices/file@app.Country(country=code)",
    ]
    assert {
        "name": f"{HERE}.prices/file@app.Author({HERE}.refresh_prices)",
        "function": f"{HERE}.prices",
        "model": "app.Author",
        "field_mapping": {},
        "invalidator": f"{HERE}.refresh_prices",
        "dispatcher": "threadpool",
        "options": {},
    } in data("rules")["app.Author"]
    names = sorted(rule["name"] for rules in data("rules").values() for rule in rules)
    assert names == [rule.name for rule in registry.registered_rules()]


# --- functions by name


def test_a_function_has_many_names():
    names = ["prices", "samples.prices", f"{HERE}.prices"]
    assert len({run("info", name) for name in names}) == 1


def test_an_unknown_name_gets_suggestions():
    said = refused("info", "pricess")
    assert said.startswith("There is no cached function 'pricess'. Did you mean\n")
    assert f"  {HERE}.prices" in said.splitlines()
    assert "`manage.py cache_result list` names those there are" in refused("info", "qqqqqqqqqqqq")


def test_modules_that_do_not_import_are_named(monkeypatch):
    monkeypatch.setitem(discovery.failed, "shop.broken", "ImportError: x")
    assert refused("info", "qqqqqqqqqqqq").splitlines()[1:] == [
        "Modules that could not be imported:",
        "  shop.broken",
    ]


def test_a_name_of_two_functions():
    said = refused("info", "open")
    assert said == (
        f"'open' is the name of 2 functions; give one of\n  {HERE}.OtherShop.open\n  {HERE}.Shop.open"
    )
    assert f"function      {HERE}.OtherShop.open\n" in run("info", "OtherShop.open")
