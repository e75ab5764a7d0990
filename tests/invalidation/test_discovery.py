"""Rules are known before the first write, in every process."""

import pytest

from tests.app.cached import country_name
from tests.app.models import Author, Country
from tests.app.reports.monthly import authors
from tests.invalidation import children

MODULES = ["tests.app.cached", "tests.app.reports.monthly", "tests.app.script", "tests.unlisted"]


def test_modules_that_mention_the_package_are_imported(processes):
    found = processes(children.imported, *MODULES).result()
    assert found == ["tests.app.cached", "tests.app.reports.monthly"]


def test_modules_elsewhere_are_named_in_the_settings(processes, monkeypatch):
    monkeypatch.setenv("CACHE_RESULT_TEST_SETTINGS", "{'MODULES': ['tests.unlisted']}")
    assert "tests.unlisted" in processes(children.imported, *MODULES).result()


def test_discovery_can_be_turned_off(processes, monkeypatch):
    monkeypatch.setenv("CACHE_RESULT_TEST_SETTINGS", "{'AUTODISCOVER': False}")
    assert processes(children.imported, *MODULES).result() == []


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_never_heard_of_the_function_invalidates_it(processes):
    Country.objects.create(code="DE", name="old")
    assert [country_name("DE"), authors()] == ["old", 0]
    processes(children.rename_country, "DE").result()
    assert country_name("DE") == "new"
    processes(children.add_author).result()
    assert authors() == Author.objects.count() == 1
