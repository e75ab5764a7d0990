"""Writes that no signal announces invalidate the scopes that can be told from them, and no others.

Each test of what goes fails (with a hit of older data) when what it says is not told; each test of what
stays fails when the whole function goes.
"""

import contextlib

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from cache_result import InvalidationRule
from tests.app.models import Article, Document, Label, Place, Restaurant
from tests.backends import on
from tests.invalidation.rows import is_cached, moved, raw

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


# --- what a statement says by itself: no transaction, no query

BY_ITSELF = {
    "update of an author's": (lambda s, a, b: Article.objects.filter(author=a).update(title="y"), "a"),
    "update that moves": (lambda s, a, b: Article.objects.filter(author=a).update(author=b), "ab"),
    "update of several authors'": (
        lambda s, a, b: Article.objects.filter(author__in=[a, b]).update(title="y"),
        "ab",
    ),
    "update of some of an author's": (
        lambda s, a, b: Article.objects.filter(author=a, title="x").exclude(slug="z").update(title="y"),
        "a",
    ),
    "update of a related manager": (lambda s, a, b: a.article_set.update(title="y"), "a"),
    "update that moves some": (
        lambda s, a, b: Article.objects.filter(author=a, title__startswith="x").update(author=b),
        "ab",
    ),
    "raw SQL": (lambda s, a, b: raw("UPDATE app_article SET title='y' WHERE author_id = %s", a.pk), "a"),
    "raw deletion": (
        lambda s, a, b: raw("DELETE FROM app_article WHERE author_id IN (%s, %s)", a.pk, b.pk),
        "ab",
    ),
    "deletion without signals": (lambda s, a, b: a.article_set.all()._raw_delete("default"), "a"),
    "bulk_create": (
        lambda s, a, b: Article.objects.bulk_create(
            [Article(author=a), Article(author=b), Article(author=a)]
        ),
        "ab",
    ),
    "bulk_create of one": (lambda s, a, b: Article.objects.bulk_create([Article(author=a)]), "a"),
    "bulk_create that ignores conflicts": (
        lambda s, a, b: Article.objects.bulk_create([Article(pk=s[0].pk, author=b)], ignore_conflicts=True),
        "b",
    ),
    # What it may reach cannot be told.
    "update of either": (
        lambda s, a, b: (Article.objects.filter(author=a) | Article.objects.filter(title="q")).update(
            title="y"
        ),
        "abc",
    ),
    "update of others'": (lambda s, a, b: Article.objects.exclude(author=a).update(title="y"), "abc"),
    "update of all": (lambda s, a, b: Article.objects.update(title="y"), "abc"),
    "update of an expression": (
        lambda s, a, b: Article.objects.filter(author=a).update(author_id=F("author_id") + 1),
        "abc",
    ),
    "update across a relation": (
        lambda s, a, b: Article.objects.filter(author__name="a").update(title="y"),
        "abc",
    ),
    "update by key in autocommit mode": (
        lambda s, a, b: Article.objects.filter(pk=s[0].pk).update(title="y"),
        "abc",
    ),
    "bulk_create that updates": (
        lambda s, a, b: Article.objects.bulk_create(
            [moved(s[0], b)], update_conflicts=True, update_fields=["author"], unique_fields=["id"]
        ),
        "abc",
    ),
    "raw SQL of two conditions": (
        lambda s, a, b: raw(
            "UPDATE app_article SET title = 'y' WHERE author_id = %s OR author_id = %s", a.pk, b.pk
        ),
        "abc",
    ),
}


@pytest.mark.parametrize(("write", "expected"), BY_ITSELF.values(), ids=BY_ITSELF)
@pytest.mark.parametrize("path", ["author_id", "author", "author.pk", "author.id"])
def test_by_what_the_statement_says(gone, authors, articles, write, expected, path):
    a, b, c = authors
    found = gone(Article, {"value": path}, [a.pk, b.pk, c.pk], lambda: write(articles, a, b))
    names = {author.pk: author.name for author in authors}
    assert "".join(names[pk] for pk in found) == expected


@pytest.mark.parametrize(
    ("model", "path"), [(Article, "pk"), (Article, "id"), (Document, "pk"), (Document, "id")]
)
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
def test_by_primary_key(gone, authors, model, path, many, deletes, atomic):
    related = {"author": authors[0]} if model is Article else {}
    rows = [model.objects.create(**related) for _ in range(3)]
    keys = [row.pk for row in rows]
    reached = model.objects.filter(pk__in=keys[:2]) if many else model.objects.filter(pk=keys[0])

    def write():
        with transaction.atomic() if atomic else contextlib.nullcontext():
            reached._raw_delete("default") if deletes else reached.update(title="y")

    assert gone(model, {"value": path}, keys, write) == keys[: 2 if many else 1]


def test_no_query_more(following, authors, articles, django_assert_num_queries):
    by_key = following(Article, {"key": "pk"})(lambda key: 1)
    by_author = following(Article, {"author_id": "author"})(lambda author_id: 1)
    with django_assert_num_queries(2):
        Article.objects.filter(author=authors[0], pk=articles[0].pk).update(title="y")
        Article.objects.filter(pk=articles[1].pk).update(title="y")
    assert (by_key(1), by_author(1)) == (1, 1)


def test_two_arguments(following, authors, articles):
    @following(Article, {"author_id": "author_id", "key": "pk"})
    def function(author_id, key):
        return 1

    a, b, _ = authors
    calls = [(author.pk, article.pk) for author in (a, b) for article in articles]
    for call in calls:
        function(*call)
    Article.objects.filter(pk=articles[0].pk, author=a).update(author=b)
    assert [call for call in calls if not is_cached(function, *call)] == [
        (a.pk, articles[0].pk),
        (b.pk, articles[0].pk),
    ]


def test_set_null(gone, authors):
    """The calls of None go with every firing."""
    for author in authors:
        Document.objects.create(owner=author)
    keys = [*(author.pk for author in authors), None]
    assert gone(Document, {"value": "owner_id"}, keys, authors[0].delete) == [keys[0], None]


@pytest.mark.parametrize("path", ["pk", "id"])
def test_rows_of_several_tables(gone, path):
    """A parent's table tells of its children, and a child's of its parents."""
    rows = [Restaurant.objects.create(name=name) for name in "abc"]
    keys = [row.pk for row in rows]
    one = Restaurant.objects.filter(pk=keys[0])
    assert gone(Place, {"value": path}, keys, lambda: one.update(stars=3)) == keys[:1]
    assert gone(Place, {"value": path}, keys, lambda: one.update(name="y")) == keys[:1]
    assert gone(Restaurant, {"value": path}, keys, lambda: one.update(name="z")) == keys[:1]
    place = Place.objects.filter(pk=keys[1])
    assert gone(Restaurant, {"value": path}, keys, lambda: place.update(name="z")) == [keys[1]]
    assert gone(Place, {"value": "name"}, ["a", "q"], lambda: one.update(stars=4)) == ["a", "q"]


def test_rows_of_a_relation(gone):
    through = Label.documents.through
    labels = [Label.objects.create(name=name) for name in "ab"]
    document = Document.objects.create()
    keys = [label.pk for label in labels]

    def gone_after(write):
        return gone(through, {"value": "label_id"}, keys, write)

    assert gone_after(lambda: labels[0].documents.add(document)) == keys[:1]
    assert gone_after(lambda: labels[0].documents.clear()) == keys[:1]


# --- keys that the database draws


def test_rows_that_are_new(gone, authors):
    """Inside a transaction it is soon enough when the database tells the keys that it has drawn."""
    first = Article.objects.create(author=authors[0]).pk
    keys = [first, first + 1, first + 2, first + 3]

    def write():
        with transaction.atomic():
            made = Article.objects.bulk_create([Article(author=author) for author in authors[:2]])
            assert [article.pk for article in made] == keys[1:3]

    assert gone(Article, {"value": "pk"}, keys, write) == keys[1:3]


def test_rows_with_keys_of_their_own(gone):
    keys = [Document().pk for _ in range(3)]

    def write():
        Document.objects.bulk_create([Document(pk=key) for key in keys[:2]])

    assert gone(Document, {"value": "pk"}, keys, write) == keys[:2]


def test_rows_that_are_new_or_not(gone, authors, articles):
    keys = [article.pk for article in articles]

    def write():
        Article.objects.bulk_create(
            articles[:1], update_conflicts=True, update_fields=["author"], unique_fields=["id"]
        )

    assert gone(Article, {"value": "pk"}, keys, write) == keys[:1]


def test_raw_insertion_in_autocommit_mode(gone, authors):
    a, b, _ = authors
    sql = "INSERT INTO app_article (author_id, title, slug, reference) VALUES (%s, 'x', '', %s) RETURNING id"
    reference = "0" * 32
    assert gone(Article, {"value": "pk"}, [10**6], lambda: raw(sql, a.pk, reference)) == [10**6]
    found = gone(Article, {"value": "author"}, [a.pk, b.pk], lambda: raw(sql, a.pk, reference))
    assert found == [a.pk]


def test_a_key_that_is_not_given(gone):
    """NULL is no key: the database draws one. Fails (a hit) when it is taken for what it says."""
    if connection.vendor == "sqlite":
        sql = "INSERT INTO app_label (id, name) VALUES (%s, %s)"
        params = [None, "x"]
    else:
        sql, params = "INSERT INTO app_label (id, name) VALUES (DEFAULT, %s)", ["x"]
    assert gone(Label, {"value": "pk"}, [1, 2], lambda: raw(sql, *params)) == [1, 2]


def test_an_insertion_that_fails(titles, authors):
    a, b, _ = authors
    titles(b.pk)
    with pytest.raises(IntegrityError):
        Article.objects.bulk_create([Article(author=a, title=None)])
    assert titles(a.pk) == []
    assert is_cached(titles, b.pk)


# --- limits and gates


@pytest.mark.parametrize(("most", "precise"), [(2, True), (1, False), (0, False)])
def test_the_limit(gone, authors, articles, settings, most, precise):
    settings.CACHE_RESULT = {"MAX_ROWS_PER_STATEMENT": most}
    keys = [article.pk for article in articles]
    pks = [author.pk for author in authors]
    writes = {
        "pk": (keys, lambda: Article.objects.filter(pk__in=keys[:2]).update(title="y")),
        "author": (pks, lambda: Article.objects.filter(author__in=pks[:2]).update(title="z")),
        "author_id": (pks, lambda: Article.objects.bulk_update(articles[:2], ["title"])),
        "author.pk": (
            pks,
            lambda: Article.objects.bulk_create([Article(author=each) for each in authors[:2]]),
        ),
    }
    for path, (values, write) in writes.items():
        assert gone(Article, {"value": path}, values, write) == values[: 2 if precise else 3]


def test_gates(cached, authors, articles):
    options = {
        "watched": {"watch_fields": ["slug"]},
        "when": {"invalidate_when": {"title": "q"}},
        "created": {"trigger_on_create": False},
    }
    functions = {}
    for name, gate in options.items():
        rule = InvalidationRule(Article, field_mapping={"author_id": "author_id"}, **gate)
        functions[name] = cached(invalidates_on=[rule])(lambda author_id: author_id)

    def left(write):
        for function in functions.values():
            for author in authors[:2]:
                function(author.pk)
        write()
        return {
            name: [is_cached(function, author.pk) for author in authors[:2]]
            for name, function in functions.items()
        }

    yes, one = [True, True], [False, True]
    update = authors[0].article_set.update
    assert left(lambda: update(title="y")) == {"watched": yes, "when": one, "created": one}
    assert left(lambda: update(slug="y")) == {"watched": one, "when": one, "created": one}
    create = {"watched": one, "when": one, "created": yes}
    assert left(lambda: Article.objects.bulk_create([Article(author=authors[0])])) == create
