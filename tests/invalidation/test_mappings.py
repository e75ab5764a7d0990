"""How a rule's `field_mapping` names the calls that a row concerns."""

import pytest

from cache_result import ArgsKeyField, InvalidationRule
from tests.app.models import Article, Author, City, Country
from tests.backends import on
from tests.invalidation.rows import is_cached

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "redis")]


def test_dotted_paths(following):
    @following(City, {"code": "country.code"})
    def population(code):
        return sum(City.objects.filter(country__code=code).values_list("population", flat=True))

    de, at = Country.objects.create(code="DE"), Country.objects.create(code="AT")
    assert [population("DE"), population("AT")] == [0, 0]
    City.objects.create(country=de, name="Berlin", population=3)
    assert [population.get_cache_only("AT"), population("DE")] == [0, 3]
    City.objects.create(country=at, name="Wien", population=2)
    assert [population.get_cache_only("DE"), population("AT")] == [3, 2]


def test_some_of_the_arguments(following):
    runs = []

    @following(Author, {"author_id": "pk"})
    def page(author_id, language, *, draft=False):
        runs.append((author_id, language, draft))
        return len(runs)

    one, two = Author.objects.create(), Author.objects.create()
    assert [page(one.pk, "en"), page(one.pk, "de", draft=True), page(two.pk, "en")] == [1, 2, 3]
    one.save()
    assert is_cached(page, two.pk, "en")
    assert [page(one.pk, "en"), page(one.pk, "de", draft=True), page(two.pk, "en")] == [4, 5, 3]


def test_several_arguments(following):
    """An entry belongs to the scope of both values together."""

    @following(City, {"country_id": "country_id", "name": "name"})
    def population(country_id, name):
        return City.objects.filter(country=country_id, name=name).values_list("population", flat=True)[0]

    de = Country.objects.create(code="DE")
    berlin = City.objects.create(country=de, name="Berlin", population=3)
    City.objects.create(country=de, name="Bonn", population=1)
    assert [population(de.pk, "Berlin"), population(de.pk, "Bonn")] == [3, 1]
    berlin.population = 4
    berlin.save()
    assert is_cached(population, de.pk, "Bonn")
    assert population(de.pk, "Berlin") == 4


def test_a_function_without_parameters(following):
    @following(Author)
    def count():
        return Author.objects.count()

    assert count() == 0
    Author.objects.create()
    assert count() == 1
    Author.objects.get().delete()
    assert count() == 0


def test_several_rules(cached):
    rules = [
        InvalidationRule(Author, field_mapping={"author_id": "pk"}),
        InvalidationRule(Article, field_mapping={"author_id": "author_id"}),
    ]

    @cached(invalidates_on=rules)
    def shelf(author_id):
        author = Author.objects.get(pk=author_id)
        return author.name, author.article_set.count()

    author = Author.objects.create(name="a")
    assert shelf(author.pk) == ("a", 0)
    Article.objects.create(author=author)
    assert shelf(author.pk) == ("a", 1)
    author.name = "b"
    author.save()
    assert shelf(author.pk) == ("b", 1)


def test_mapped_arguments_need_not_be_in_the_key(following):
    """A rule follows the call, whatever the key constructor makes of it."""
    runs = []

    @following(Author, {"author_id": "pk"}, key_constructor={"fields": {"x": ArgsKeyField("x")}})
    def function(author_id, x):
        runs.append(1)
        return len(runs)

    author = Author.objects.create()
    assert function(author.pk, 1) == function(author.pk, 1) == 1
    author.save()
    assert function(author.pk, 1) == 2


def test_methods(following):
    class Shop:
        @following(Author, {"author_id": "pk"}, key_constructor={"fields": {"a": ArgsKeyField("author_id")}})
        def name_of(self, author_id):
            return Author.objects.get(pk=author_id).name

    author = Author.objects.create(name="old")
    assert Shop().name_of(author.pk) == "old"
    author.name = "new"
    author.save()
    assert Shop().name_of(author.pk) == "new"
