"""What the tests of rules share."""

import pytest

from cache_result import InvalidationRule
from tests.app.models import Article, Author
from tests.invalidation.rows import is_cached


@pytest.fixture
def following(cached):
    """`following(Model, {"arg": "field"})(func)`: cache `func`, invalidated when such a row changes."""

    def following(model, mapping=None, /, rewarm=False, **options):
        rule = InvalidationRule(model, rewarm=rewarm, field_mapping=mapping or {})
        return cached(invalidates_on=[rule], **options)

    return following


@pytest.fixture
def author_name(following):
    @following(Author, {"author_id": "pk"})
    def author_name(author_id):
        return Author.objects.get(pk=author_id).name

    return author_name


@pytest.fixture
def titles(following):
    """The titles of an author's articles: depends on rows that point to its argument."""

    @following(Article, {"author_id": "author_id"})
    def titles(author_id):
        return list(
            Article.objects.filter(author=author_id).order_by("title").values_list("title", flat=True)
        )

    return titles


@pytest.fixture
def unrelated(cached):
    """Reads authors although no rule says so."""

    @cached
    def unrelated(author_id):
        return Author.objects.get(pk=author_id).name

    return unrelated


@pytest.fixture
def author():
    return Author.objects.create(name="old")


@pytest.fixture
def authors():
    return [Author.objects.create(name=name) for name in "abc"]


@pytest.fixture
def articles(authors):
    return [Article.objects.create(author=author, title="x", slug=author.name) for author in authors]


@pytest.fixture
def gone(following):
    """`gone(Model, {"value": path}, values, write)`: the values whose calls are no hits any more."""

    def gone(model, mapping, values, write, **options):
        @following(model, mapping, **options)
        def function(value):
            return [value]

        for value in values:
            function(value)
        write()
        return [value for value in values if not is_cached(function, value)]

    return gone
