"""When a mapped value changes, the old and the new one are invalidated."""

import copy
import pickle

import pytest
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from cache_result import InvalidationRule
from tests.app.models import Article, Author, City, Country, Remembered
from tests.backends import on
from tests.invalidation.rows import is_cached, rolled_back

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_row_that_moves_leaves_nothing_behind(titles, authors):
    # Fails (the old author still has the article) when only the row as saved counts.
    one, two, three = authors
    article = Article.objects.create(author=one, title="a")
    assert [titles(author.pk) for author in authors] == [["a"], [], []]
    article.author = two
    article.save()
    assert is_cached(titles, three.pk)
    assert [titles(author.pk) for author in authors] == [[], ["a"], []]


@pytest.mark.parametrize(
    "load",
    [
        lambda pk: Article.objects.get(pk=pk),
        lambda pk: Article.objects.select_related("author").get(pk=pk),
        lambda pk: Article.objects.defer("title").get(pk=pk),
        lambda pk: pickle.loads(pickle.dumps(Article.objects.get(pk=pk))),
        lambda pk: copy.deepcopy(Article.objects.get(pk=pk)),
        lambda pk: Article.objects.raw("SELECT * FROM app_article WHERE id = %s", [pk])[0],
    ],
    ids=["get", "select_related", "another field deferred", "pickled", "copied", "raw"],
)
@on("locmem")
def test_as_loaded(titles, authors, load):
    one, two, _ = authors
    article = load(Article.objects.create(author=one).pk)
    for author in authors:
        titles(author.pk)
    article.author_id = two.pk
    article.save()
    assert [is_cached(titles, author.pk) for author in authors] == [False, False, True]


def test_a_deferred_field_that_was_never_loaded_is_unknown(titles, authors):
    one, two, _ = authors
    article = Article.objects.only("title").get(pk=Article.objects.create(author=one).pk)
    for author in authors:
        titles(author.pk)
    article.author = two
    article.save()
    assert [is_cached(titles, author.pk) for author in authors] == [False, False, False]


@on("locmem")
class TestInstances:
    def test_a_deferred_field_that_was_loaded_later(self, titles, authors):
        one, two, _ = authors
        article = Article.objects.only("title").get(pk=Article.objects.create(author=one).pk)
        assert article.author_id == one.pk
        for author in authors:
            titles(author.pk)
        article.author = two
        article.save()
        assert [is_cached(titles, author.pk) for author in authors] == [False, False, True]

    def test_refreshed_from_the_database(self, titles, authors):
        """Somebody else has moved the row meanwhile."""
        # Fails (the second author's titles are a hit) when `refresh_from_db` is not noticed.
        one, two, three = authors
        article = Article.objects.create(author=one)
        Article.objects.filter(pk=article.pk).update(author=two)
        article.refresh_from_db()
        for author in authors:
            titles(author.pk)
        article.author = three
        article.save()
        assert not is_cached(titles, two.pk)
        assert not is_cached(titles, three.pk)

    def test_one_field_refreshed(self, titles, authors):
        """The others are not what the row has."""
        one, two, _ = authors
        article = Article.objects.create(author=one)
        article.author = two
        article.refresh_from_db(fields=["title"])
        for author in authors:
            titles(author.pk)
        article.save()
        assert [is_cached(titles, author.pk) for author in authors] == [False, False, True]

    def test_saved_twice(self, titles, authors):
        one, two, three = authors
        article = Article.objects.create(author=one)
        article.author = two
        article.save()
        for author in authors:
            titles(author.pk)
        article.author = three
        article.save()
        assert [is_cached(titles, author.pk) for author in authors] == [True, False, False]

    def test_a_rollback_brings_back_the_former_owner(self, titles, authors):
        # Fails (the first author's titles are a hit) when a save in a transaction replaces what was loaded.
        one, two, three = authors
        article = Article.objects.create(author=one)
        with rolled_back():
            article.author = two
            article.save()
        for author in authors:
            titles(author.pk)
        article.author = three
        article.save()
        assert not is_cached(titles, one.pk)
        assert not is_cached(titles, three.pk)

    def test_update_fields_leave_the_others(self, titles, authors):
        one, two, _ = authors
        article = Article.objects.create(author=one)
        article.author = two
        article.save(update_fields=["title"])
        for author in authors:
            titles(author.pk)
        article.save()
        assert [is_cached(titles, author.pk) for author in authors] == [False, False, True]

    def test_built_by_hand_over_an_existing_row(self, titles, authors):
        one, two, _ = authors
        article = Article.objects.create(author=one)
        for author in authors:
            titles(author.pk)
        Article(pk=article.pk, author=two, reference=article.reference).save()
        assert not is_cached(titles, one.pk)
        assert not is_cached(titles, two.pk)

    def test_a_deletion_after_an_unsaved_move(self, titles, authors):
        one, two, three = authors
        article = Article.objects.create(author=one)
        for author in authors:
            titles(author.pk)
        article.author = two
        article.delete()
        assert not is_cached(titles, one.pk)
        assert is_cached(titles, three.pk)

    def test_an_object_that_is_given_out_again(self, following, monkeypatch):
        """What it has by then is not what the row has."""
        # Fails (the old name's count is a hit) when `from_db` notes an instance that was noted before.
        monkeypatch.setattr(Remembered, "loaded", {})

        @following(Author, {"name": "name"})
        def count(name):
            return Author.objects.filter(name=name).count()

        pk = Author.objects.create(name="a").pk
        author = Remembered.objects.get(pk=pk)
        assert [count("a"), count("b"), count("c")] == [1, 0, 0]
        author.name = "b"
        assert Remembered.objects.get(pk=pk) is author
        author.save()
        assert is_cached(count, "c")
        assert [count("a"), count("b")] == [0, 1]

    def test_an_instance_of_bulk_create(self, titles, authors):
        one, two, _ = authors
        (article,) = Article.objects.bulk_create([Article(author=one, title="a")])
        assert [titles(author.pk) for author in authors] == [["a"], [], []]
        article.author = two
        article.save()
        assert [titles(author.pk) for author in authors] == [[], ["a"], []]

    def test_an_expression_is_unknown(self, following):
        @following(Author, {"name": "name"})
        def count(name):
            return Author.objects.filter(name=name).count()

        author = Author.objects.create(name="a")
        assert [count("a"), count("ab")] == [1, 0]
        author.name = Concat(F("name"), Value("b"))
        author.save()
        assert [count("a"), count("ab")] == [0, 1]
        author = Author.objects.get(pk=author.pk)
        author.name = "c"
        author.save()
        assert [count("ab"), count("c")] == [0, 1]

    def test_a_move_within_a_transaction(self, titles, authors):
        one, two, three = authors
        article = Article.objects.create(author=one, title="a")
        for author in authors:
            titles(author.pk)
        with transaction.atomic():
            article.author = two
            article.save()
            article.author = three
            article.save()
            assert [titles(author.pk) for author in authors] == [[], [], ["a"]]
        assert [titles(author.pk) for author in authors] == [[], [], ["a"]]


@on("locmem")
class TestPaths:
    @pytest.fixture
    def cities(self, following):
        @following(City, {"code": "country.code"})
        def cities(code):
            return list(City.objects.filter(country__code=code).values_list("name", flat=True))

        return cities

    def test_a_relation_that_changes(self, cities):
        de, at, _ = (Country.objects.create(code=code) for code in ("DE", "AT", "CH"))
        city = City.objects.create(country=de, name="x")
        assert [cities("DE"), cities("AT"), cities("CH")] == [["x"], [], []]
        city.country = at
        city.save()
        assert [cities("DE"), cities("AT")] == [[], ["x"]]

    def test_a_relation_that_stays(self, cities):
        de, _ = (Country.objects.create(code=code) for code in ("DE", "AT"))
        city = City.objects.create(country=de, name="x")
        assert [cities("DE"), cities("AT")] == [["x"], []]
        city.name = "y"
        city.save()
        assert is_cached(cities, "AT")
        assert cities("DE") == ["y"]

    def test_a_property(self, following, monkeypatch):
        monkeypatch.setattr(
            Country, "initial", property(lambda country: country.code[:1].lower()), raising=False
        )

        @following(Country, {"initial": "initial"})
        def codes(initial):
            return list(Country.objects.filter(code__istartswith=initial).values_list("code", flat=True))

        country = Country.objects.create(code="DE")
        assert [codes("d"), codes("a")] == [["DE"], []]
        country.code = "AT"
        country.save()
        assert [codes("d"), codes("a")] == [[], ["AT"]]


@on("locmem")
def test_old_values_can_be_queried(cached, authors, django_assert_num_queries):
    rule = InvalidationRule(Article, field_mapping={"author_id": "author_id"}, old_values="query")

    @cached(invalidates_on=[rule])
    def titles(author_id):
        return list(Article.objects.filter(author=author_id).values_list("title", flat=True))

    one, two, three = authors
    article = Article.objects.create(author=one, title="a")
    article = Article.objects.only("title").get(pk=article.pk)
    assert [titles(author.pk) for author in authors] == [["a"], [], []]
    article.author = two
    with django_assert_num_queries(2):
        article.save(update_fields=["author"])
    assert is_cached(titles, three.pk)
    assert [titles(author.pk) for author in authors] == [[], ["a"], []]


@on("locmem")
def test_nothing_is_queried_unasked(titles, authors, django_assert_num_queries):
    article = Article.objects.create(author=authors[0])
    article.author = authors[1]
    with django_assert_num_queries(1):
        article.save(update_fields=["author"])


@on("locmem")
def test_an_instance_older_than_the_rule(cached, authors):
    """Rules are known before the first row is loaded, but for those of a module that came late."""
    article = Article.objects.create(author=authors[0])

    @cached(invalidates_on=[InvalidationRule(Article, field_mapping={"slug": "slug"})])
    def by_slug(slug):
        return Article.objects.filter(slug=slug).count()

    assert [by_slug(""), by_slug("a"), by_slug("b")] == [1, 0, 0]
    article.slug = "a"
    article.save()
    assert is_cached(by_slug, "b")
    assert [by_slug(""), by_slug("a")] == [0, 1]


class TestRollbacks:
    """What was loaded inside a transaction that is rolled back is not what the row has."""

    # Each fails (a stale list) when a rollback outdates nobody.
    @pytest.fixture
    def moved(self, titles, authors):
        """Moves an article to the second author and gives it as loaded then, unless told otherwise."""
        article = Article.objects.create(author=authors[0], title="a")
        assert [titles(author.pk) for author in authors] == [["a"], [], []]

        def moved(change):
            change(article, authors[1])
            return Article.objects.get(pk=article.pk)

        return moved

    def save(article, author):
        article.author = author
        article.save()

    def update(article, author):
        Article.objects.filter(pk=article.pk).update(author=author)

    changes = pytest.mark.parametrize("change", [save, update])

    @changes
    def test_of_the_transaction(self, titles, authors, moved, change):
        with rolled_back():
            seen = moved(change)
        seen.author = authors[2]
        seen.save()
        assert [titles(author.pk) for author in authors] == [[], [], ["a"]]

    @changes
    def test_to_a_savepoint(self, titles, authors, moved, change):
        with transaction.atomic():
            Author.objects.create(name="something else")
            with rolled_back():
                seen = moved(change)
        assert titles(authors[0].pk) == ["a"]
        seen.author = authors[2]
        seen.save()
        assert [titles(author.pk) for author in authors] == [[], [], ["a"]]
