"""Writes that send no signal for each row: bulk operations, SET_NULL, raw SQL, many-to-many relations."""

import json
from contextlib import nullcontext

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.signals import pre_save

from cache_result import InvalidationRule, invalidate_for
from tests.app.models import (
    Article,
    Author,
    Country,
    Document,
    Guide,
    Label,
    Place,
    Restaurant,
    Treaty,
)
from tests.backends import on
from tests.invalidation.rows import is_cached, moved, raw, rolled_back

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def authors():
    return [Author.objects.create(name=name) for name in "ab"]


WRITES = {
    "update": lambda a, b: Article.objects.filter(author=a).update(author=b),
    "update by key": lambda a, b: Article.objects.filter(pk=Article.objects.get(title="x").pk).update(
        author=b
    ),
    "update of a related manager": lambda a, b: a.article_set.update(author=b),
    "bulk_update": lambda a, b: Article.objects.bulk_update(
        [moved(article, b) for article in Article.objects.filter(author=a)], ["author"]
    ),
    "update of an expression": lambda a, b: Article.objects.update(author_id=F("author_id") + (b.pk - a.pk)),
    "bulk_create that updates": lambda a, b: Article.objects.bulk_create(
        [moved(article, b) for article in Article.objects.filter(author=a)],
        update_conflicts=True,
        update_fields=["author"],
        unique_fields=["id"],
    ),
    "raw SQL": lambda a, b: raw("UPDATE app_article SET author_id = %s WHERE author_id = %s", b.pk, a.pk),
    "raw SQL of another spelling": lambda a, b: raw(f"  update APP_ARTICLE set author_id={b.pk}"),
    "reverse set": lambda a, b: b.article_set.set(Article.objects.filter(author=a)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@on("locmem")
def test_rows_that_move(titles, authors, write):
    # Fails (the old titles are hits) when statements are not watched.
    a, b = authors
    Article.objects.create(author=a, title="x")
    assert [titles(a.pk), titles(b.pk)] == [["x"], []]
    write(a, b)
    assert [titles(a.pk), titles(b.pk)] == [[], ["x"]]


@pytest.mark.parametrize("write", [WRITES["update"], WRITES["raw SQL"]], ids=["update", "raw SQL"])
@on("redis")
def test_within_a_transaction(titles, authors, write):
    a, b = authors
    Article.objects.create(author=a, title="x")
    assert [titles(a.pk), titles(b.pk)] == [["x"], []]
    with transaction.atomic():
        write(a, b)
        assert [titles(a.pk), titles(b.pk)] == [[], ["x"]]
    assert [titles(a.pk), titles(b.pk)] == [[], ["x"]]
    with rolled_back():
        write(b, a)
    assert is_cached(titles, a.pk)


@on("locmem")
def test_rows_that_come(titles, authors):
    a, b = authors
    assert titles(a.pk) == []
    Article.objects.bulk_create([Article(author=a, title="x"), Article(author=b, title="y")])
    assert titles(a.pk) == ["x"]


@on("locmem")
def test_rows_that_go(titles, authors):
    a, _ = authors
    Article.objects.create(author=a, title="x")
    assert titles(a.pk) == ["x"]
    queryset = Article.objects.filter(author=a)
    queryset._raw_delete(queryset.db)
    assert titles(a.pk) == []


@on("locmem")
def test_set_null(following):
    @following(Document, {"owner_id": "owner_id"})
    def documents(owner_id):
        return Document.objects.filter(owner=owner_id).count()

    author = Author.objects.create()
    Document.objects.create(owner=author)
    assert [documents(author.pk), documents(None)] == [1, 0]
    key = author.pk
    author.delete()
    assert [documents(key), documents(None)] == [0, 1]


@on("locmem")
def test_fixtures(titles, authors, tmp_path):
    a, b = authors
    assert [titles(a.pk), titles(b.pk)] == [[], []]
    row = {"model": "app.article", "pk": 1, "fields": {"author": a.pk, "title": "x"}}
    path = tmp_path / "articles.json"
    path.write_text(json.dumps([row]))
    call_command("loaddata", str(path), verbosity=0)
    assert titles(a.pk) == ["x"]


async def test_async_twins(following):
    @following(Article, {"author_id": "author_id"})
    async def titles(author_id):
        return [
            title async for title in Article.objects.filter(author=author_id).values_list("title", flat=True)
        ]

    author = await Author.objects.acreate()
    assert await titles(author.pk) == []
    await Article.objects.abulk_create([Article(author=author, title="x")])
    assert await titles(author.pk) == ["x"]
    await Article.objects.filter(author=author).aupdate(title="y")
    assert await titles(author.pk) == ["y"]
    await Article.objects.filter(author=author).adelete()
    assert await titles(author.pk) == []


def _lock(article):
    with transaction.atomic():
        list(Article.objects.select_for_update().filter(pk=article.pk))


@on("locmem")
class TestPrecision:
    """What signals have announced is not taken for more than it is."""

    @pytest.mark.parametrize(
        "write",
        [
            lambda article: article.save(),
            lambda article: article.save(update_fields=["title"]),
            lambda article: article.save(force_update=True),
            lambda article: article.delete(),
            lambda article: Article.objects.filter(pk=article.pk).delete(),
            lambda article: Article.objects.update_or_create(pk=article.pk, defaults={"title": "y"}),
            lambda article: Article.objects.get_or_create(author_id=article.author_id, title="y"),
            lambda article: Article.objects.create(author_id=article.author_id),
            lambda article: Article.objects.filter(pk=article.pk).exists(),
            lambda article: _lock(article),
            lambda article: Author.objects.update(name="another table"),
        ],
        ids=[
            *("save", "update_fields", "force_update", "delete", "queryset delete", "update_or_create"),
            *("get_or_create", "create", "exists", "select_for_update", "another table"),
        ],
    )
    @pytest.mark.parametrize("atomic", [False, True])
    def test_others_stay(self, titles, authors, write, atomic):
        a, b = authors
        article = Article.objects.create(author=a)
        titles(b.pk)
        with transaction.atomic() if atomic else nullcontext():
            write(article)
        assert is_cached(titles, b.pk)

    def test_a_child_of_several_tables(self, following):
        @following(Place, {"place_id": "pk"})
        def name(place_id):
            return Place.objects.get(pk=place_id).name

        one, two = (Restaurant.objects.create(name=name) for name in "ab")
        assert [name(one.pk), name(two.pk)] == ["a", "b"]
        one.name = "c"
        one.save()
        assert is_cached(name, two.pk)
        assert name(one.pk) == "c"
        one.delete()
        assert is_cached(name, two.pk)

    def test_a_bulk_write_while_a_row_is_saved(self, titles, authors):
        """A receiver of somebody else's writes other rows of the same table."""
        a, b = authors
        article = Article.objects.create(author=a, title="x")
        Article.objects.create(author=b, title="y")
        assert [titles(a.pk), titles(b.pk)] == [["x"], ["y"]]

        def rename_others(sender, instance, **kwargs):
            Article.objects.exclude(pk=instance.pk).update(title="z")

        pre_save.connect(rename_others, sender=Article)
        try:
            article.save()
        finally:
            pre_save.disconnect(rename_others, sender=Article)
        assert titles(b.pk) == ["z"]

    def test_a_deletion_that_failed_announces_nothing_any_more(self, titles, authors):
        a, _ = authors
        article = Article.objects.create(author=a, title="x")
        key = article.pk
        with rolled_back():
            article.delete()
        assert titles(a.pk) == ["x"]
        queryset = Article.objects.filter(pk=key)
        queryset._raw_delete(queryset.db)
        assert titles(a.pk) == []

    @pytest.mark.parametrize(("field", "fires"), [("title", True), ("slug", False)])
    def test_watched_fields(self, cached, authors, field, fires):
        rule = InvalidationRule(Article, field_mapping={"author_id": "author_id"}, watch_fields=["title"])
        count = cached(invalidates_on=[rule])(lambda author_id: 1)
        count(authors[0].pk)
        Article.objects.update(**{field: "new"})
        assert is_cached(count, authors[0].pk) is not fires


@on("locmem")
class TestManyToMany:
    @pytest.fixture
    def rows(self):
        return [Label.objects.create(name=name) for name in "ab"], [
            Document.objects.create() for _ in range(2)
        ]

    @pytest.fixture
    def names(self, following):
        @following(Document, {"document_id": "pk"})
        def names(document_id):
            return sorted(Document.objects.get(pk=document_id).labels.values_list("name", flat=True))

        return names

    @pytest.fixture
    def counts(self, following):
        @following(Label, {"label_id": "pk"})
        def counts(label_id):
            return Label.objects.get(pk=label_id).documents.count()

        return counts

    @pytest.mark.parametrize(
        "write",
        [
            lambda label, document: label.documents.add(document),
            lambda label, document: document.labels.add(label),
            lambda label, document: label.documents.set([document]),
            lambda label, document: document.labels.set([label]),
        ],
        ids=["add", "add from the other end", "set", "set from the other end"],
    )
    def test_rows_that_are_added(self, rows, names, counts, write):
        labels, documents = rows
        for label, document in zip(labels, documents, strict=True):
            assert (names(document.pk), counts(label.pk)) == ([], 0)
        write(labels[0], documents[0])
        assert is_cached(names, documents[1].pk)
        assert is_cached(counts, labels[1].pk)
        assert (names(documents[0].pk), counts(labels[0].pk)) == (["a"], 1)

    @pytest.mark.parametrize(
        "write",
        [
            lambda label, document: label.documents.remove(document),
            lambda label, document: document.labels.remove(label),
            lambda label, document: label.documents.clear(),
            lambda label, document: document.labels.clear(),
            lambda label, document: label.documents.set([]),
        ],
        ids=["remove", "remove from the other end", "clear", "clear from the other end", "set to nothing"],
    )
    def test_rows_that_are_removed(self, rows, names, counts, write):
        labels, documents = rows
        for label, document in zip(labels, documents, strict=True):
            label.documents.add(document)
            assert (names(document.pk), counts(label.pk)) == ([label.name], 1)
        write(labels[0], documents[0])
        assert is_cached(names, documents[1].pk)
        assert is_cached(counts, labels[1].pk)
        assert (names(documents[0].pk), counts(labels[0].pk)) == ([], 0)

    @pytest.mark.parametrize(("watched", "fires"), [("labels", True), ("title", False)])
    def test_a_watched_relation(self, cached, rows, watched, fires):
        rule = InvalidationRule(Document, field_mapping={"pk": "pk"}, watch_fields=[watched])
        function = cached(invalidates_on=[rule])(lambda pk: 1)
        labels, documents = rows
        function(documents[0].pk)
        labels[0].documents.add(documents[0])
        assert is_cached(function, documents[0].pk) is not fires

    @pytest.mark.parametrize(
        "write",
        [
            lambda treaty, country: treaty.countries.add(country),
            lambda treaty, country: country.treaties.add(treaty),
            lambda treaty, country: treaty.countries.remove(country),
            lambda treaty, country: country.treaties.remove(treaty),
            lambda treaty, country: treaty.countries.clear(),
            lambda treaty, country: country.treaties.clear(),
        ],
        ids=["add", "add here", "remove", "remove here", "clear", "clear here"],
    )
    def test_rows_that_are_named_by_something_else_than_their_keys(self, following, write):
        # Raises ValueError, into the caller's `add`, when what names them is taken for their keys.
        @following(Country, {"pk": "pk"})
        def treaties(pk):
            return Treaty.objects.filter(countries=pk).count()

        @following(Treaty, {"pk": "pk"})
        def countries(pk):
            return Country.objects.filter(treaties=pk).count()

        rows = [Country.objects.create(code=code) for code in ("fr", "de")]
        agreed = [Treaty.objects.create(name=name) for name in "ab"]
        for treaty, country in zip(agreed, rows, strict=True):
            treaty.countries.add(country)
        agreed[0].countries.set([])
        for treaty, country in zip(agreed, rows, strict=True):
            treaties(country.pk), countries(treaty.pk)
        write(agreed[1], rows[1])
        write(agreed[1], rows[0])
        for treaty, country in zip(agreed, rows, strict=True):
            assert treaties(country.pk) == Treaty.objects.filter(countries=country.pk).count()
            assert countries(treaty.pk) == Country.objects.filter(treaties=treaty.pk).count()

    @pytest.mark.parametrize(
        "write",
        [
            lambda guide, place: guide.places.add(place),
            lambda guide, place: place.guides.add(guide),
            lambda guide, place: place.guides.set([guide]),
        ],
        ids=["add", "add here", "set here"],
    )
    def test_a_child_whose_parent_has_the_relation(self, following, write):
        # Fails (a hit without the guide) when only rules for the parent are told.
        @following(Restaurant, {"pk": "pk"})
        def guides(pk):
            return list(Guide.objects.filter(places=pk).values_list("name", flat=True))

        one, two = (Restaurant.objects.create(name=name) for name in "ab")
        assert guides(one.pk) == guides(two.pk) == []
        write(Guide.objects.create(name="guide"), Place.objects.get(pk=one.pk))
        assert is_cached(guides, two.pk)
        assert guides(one.pk) == ["guide"]


@on("locmem")
class TestInvalidateFor:
    def test_an_instance(self, titles, authors):
        article = Article.objects.create(author=authors[0])
        for author in authors:
            titles(author.pk)
        invalidate_for(article)
        assert [is_cached(titles, author.pk) for author in authors] == [False, True]

    def test_a_model(self, titles, authors):
        for author in authors:
            titles(author.pk)
        invalidate_for(Article)
        assert [is_cached(titles, author.pk) for author in authors] == [False, False]

    def test_at_commit(self, titles, authors):
        a, _ = authors
        titles(a.pk)
        with rolled_back():
            invalidate_for(Article)
        assert is_cached(titles, a.pk)

    def test_something_else(self, titles):
        with pytest.raises(TypeError, match="instance or a model"):
            invalidate_for(3)


@on("locmem", "db")
def test_rows_that_a_statement_returns(titles, authors):
    """On SQLite it is committed only with the last row."""
    a, _ = authors
    assert titles(a.pk) == []
    with connection.cursor() as cursor:
        columns = "(author_id, title, slug, reference)"
        sql = f"INSERT INTO app_article {columns} VALUES (%s, %s, '', %s) RETURNING title"
        cursor.execute(sql, [a.pk, "x", "0" * 32])
        assert titles(a.pk) == ["x"]
        assert (cursor.fetchone(), cursor.fetchone()) == (("x",), None)
        cursor.execute(sql, [a.pk, "y", "0" * 32])
        assert list(cursor) == [("y",)]
        cursor.execute(sql, [a.pk, "z", "0" * 32])
        assert (cursor.fetchmany(5), cursor.fetchall()) == ([("z",)], [])
        cursor.execute("SELECT count(*) FROM app_article")
        assert cursor.fetchone() == (3,)
    assert titles(a.pk) == ["x", "y", "z"]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@on("locmem")
def test_another_database(following):
    @following(Article, {"author_id": "author_id"})
    def titles(author_id):
        return author_id

    titles(1)
    Article.objects.using("other").update(title="x")
    assert not is_cached(titles, 1)
