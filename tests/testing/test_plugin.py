"""The plugin's fixtures and markers, and what it does where it has nothing to do."""

USE = """
import pytest
from django.contrib.auth.models import User
from django.db import transaction
from cache_result import InvalidationRule, cache_result
from functions import get_name, runs

@pytest.fixture(autouse=True)
def no_runs():
    runs.clear()

@pytest.mark.cache_results_off
def test_marked_off():
    get_name(1)
    get_name(1)
    assert runs == [1, 1]

def test_off(cache_results_off):
    get_name(1)
    get_name(1)
    assert runs == [1, 1]

def test_on(assert_cache_calls):
    with assert_cache_calls(get_name, misses=1, hits=1):
        get_name(1)
        get_name(1)

def test_counters_are_fresh(assert_cache_calls):
    assert get_name.cache_info().misses == get_name.cache_info().hits == 0

@pytest.mark.django_db
@pytest.mark.cache_results_on_commit
def test_marked_on_commit():
    with transaction.atomic():
        User.objects.create(username="ada")
    assert runs == ["ada"]

@pytest.mark.django_db
def test_on_commit(cache_results_on_commit):
    with transaction.atomic():
        User.objects.create(username="ada")
    assert runs == ["ada"]

@pytest.mark.django_db
def test_not_on_commit():
    with transaction.atomic():
        User.objects.create(username="ada")
    assert runs == []

def test_clock(cache_clock):
    get_name(1)
    cache_clock.advance(61)
    get_name(1)
    assert runs == [1, 1]

KEY = "functions.get_name:%s"

@pytest.mark.cache_results_shared
def test_shared():
    assert get_name.get_cache_key(1) == KEY

def test_not_shared():
    assert get_name.get_cache_key(1) != KEY

def test_enabled(settings):
    get_name(1)
    settings.CACHE_RESULT = {**settings.CACHE_RESULT, "ENABLED": False}
    get_name(1)
    assert runs == [1, 1]
"""
FUNCTIONS = """
from django.contrib.auth.models import User
from cache_result import InvalidationRule, cache_result

runs = []
rule = InvalidationRule(User, invalidator=lambda wrapper, instance: runs.append(instance.username))

@cache_result(ttl=60, invalidates_on=[rule])
def get_name(pk):
    runs.append(pk)
    return pk
"""


def test_fixtures_and_markers(project):
    project.write(functions=FUNCTIONS, test_it=USE % _key_in_production())
    project.pytest().assert_outcomes(passed=11)


def _key_in_production():
    from cache_result import cache_result

    def get_name(pk):
        return pk

    return cache_result(name="functions.get_name")(get_name).get_cache_key(1).split(":")[1]


def test_they_are_listed(project):
    project.write(test_it="def test_it(): pass")
    fixtures = project.pytest("--fixtures")
    fixtures.stdout.fnmatch_lines(
        [
            "cache_results_off -- *",
            "    Every call of a cached function runs it; *",
            "cache_results_on_commit -- *",
            "assert_cache_calls -- *",
            "cache_clock -- *",
        ]
    )
    project.pytest("--markers").stdout.fnmatch_lines(
        [f"@pytest.mark.{name}: *" for name in ("cache_results_off", "cache_results_on_commit")]
    )


LIGHT = """
import os, sys

def test_nothing_is_imported_or_set():
    assert not [name for name in sys.modules if name.split(".")[0] in ("django", "cache_result")]
    assert "CACHE_RESULT_TEST_WORLD" not in os.environ
"""


def test_without_django(pytester, monkeypatch):
    """The package is installed, and the project has nothing to do with it."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makepyfile(LIGHT)
    pytester.runpytest_subprocess("-p", "no:django").assert_outcomes(passed=1)


def test_fixtures_without_django(pytester, monkeypatch):
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makepyfile(
        """
        import pytest

        def test_fixture(cache_clock):
            pass

        @pytest.mark.cache_results_off
        def test_marker():
            pass
        """
    )
    for arguments in ([], ["-p", "no:django"]):
        result = pytester.runpytest_subprocess(*arguments)
        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines(['*this fixture needs Django to be set up, with "cache_result"*'] * 2)


def test_without_the_app(pytester, monkeypatch):
    """Django is there, set up by hand, and the app is not installed: nothing is isolated."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makeconftest(
        """
        import django
        from django.conf import settings

        settings.configure(SECRET_KEY="x", INSTALLED_APPS=[])
        django.setup()
        """
    )
    pytester.makepyfile(
        """
        from cache_result import cache_result

        @cache_result
        def function():
            return 1

        def test_one():
            function()

        def test_two():
            assert function.get_cache_only() == 1
        """
    )
    pytester.runpytest_subprocess("-p", "no:django").assert_outcomes(passed=2)


def test_without_pytest_django(pytester, monkeypatch):
    """With the app it makes no difference who has set Django up."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makeconftest(
        """
        import django
        from django.conf import settings

        settings.configure(SECRET_KEY="x", INSTALLED_APPS=["cache_result"])
        django.setup()
        """
    )
    pytester.makepyfile(
        """
        import pytest
        from cache_result import CACHE_MISSING, cache_result

        @cache_result
        def function():
            return 1

        @pytest.mark.parametrize("number", range(2))
        def test_it(number):
            assert function.get_cache_only() is CACHE_MISSING
            function()
        """
    )
    pytester.runpytest_subprocess("-p", "no:django").assert_outcomes(passed=2)
