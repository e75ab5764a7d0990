"""Bulk writes by primary key, inside a transaction: the rows are locked and read before, and read after."""

import contextlib

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat

from tests.app.models import Article, Author, City, Country, Currency
from tests.backends import on
from tests.invalidation.rows import is_cached, moved, raw, rolled_back

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


def cases(rows, b):
    whens = [When(pk=row.pk, then=Value(b.pk)) for row in rows]
    return Article.objects.filter(pk__in=[row.pk for row in rows]).update(author_id=Case(*whens))


BY_THE_ROWS = {
    "update by key": (lambda s, a, b: Article.objects.filter(pk=s[0].pk).update(title="y"), "a"),
    "update by key that moves": (lambda s, a, b: Article.objects.filter(pk=s[0].pk).update(author=b), "ab"),
    "update by keys": (
        lambda s, a, b: Article.objects.filter(pk__in=[s[0].pk, s[1].pk]).update(title="y"),
        "ab",
    ),
    "bulk_update": (lambda s, a, b: Article.objects.bulk_update([moved(s[0], b)], ["author"]), "ab"),
    "bulk_update of something else": (
        lambda s, a, b: Article.objects.bulk_update([moved(s[0], b)], ["title"]),
        "a",
    ),
    "update of an expression": (lambda s, a, b: cases(s[:1], b), "ab"),
    "update of a text by an expression": (
        lambda s, a, b: Article.objects.filter(pk=s[0].pk).update(title=Concat("title", Value("y"))),
        "a",
    ),
    "deletion without signals": (
        lambda s, a, b: Article.objects.filter(pk=s[0].pk)._raw_delete("default"),
        "a",
    ),
    # What it may reach cannot be told.
    "update by a key that is not there": (
        lambda s, a, b: Article.objects.filter(pk__in=[s[0].pk, 10**6]).update(title="y"),
        "abc",
    ),
    "update by key and more": (
        lambda s, a, b: Article.objects.filter(pk=s[0].pk, title="x").update(title="y"),
        "abc",
    ),
    "update of the key": (
        lambda s, a, b: Article.objects.filter(pk=s[0].pk).update(id=F("id") + 10**6),
        "abc",
    ),
    "update by something else": (lambda s, a, b: Article.objects.filter(slug="a").update(title="y"), "abc"),
}


@pytest.mark.parametrize(("write", "expected"), BY_THE_ROWS.values(), ids=BY_THE_ROWS)
def test_by_the_rows(gone, authors, articles, write, expected):
    a, b, c = authors

    def write_in_a_transaction():
        with transaction.atomic():
            write(articles, a, b)

    found = gone(Article, {"value": "author_id"}, [a.pk, b.pk, c.pk], write_in_a_transaction)
    names = {author.pk: author.name for author in authors}
    assert "".join(names[pk] for pk in found) == expected


def test_bulk_update_is_a_transaction_of_its_own(gone, authors, articles):
    a, b, c = authors
    keys = [a.pk, b.pk, c.pk]

    def write():
        Article.objects.bulk_update([moved(articles[0], b)], ["author"])

    assert gone(Article, {"value": "author"}, keys, write) == keys[:2]


@pytest.mark.parametrize("path", ["slug", "reference"])
def test_other_values_than_numbers(gone, articles, path):
    values = [getattr(article, path) for article in articles]

    def write():
        with transaction.atomic():
            Article.objects.filter(pk=articles[0].pk).update(title="y")

    assert gone(Article, {"value": path}, values, write) == values[:1]


def test_values_of_another_table(gone):
    countries = [Country.objects.create(code=code) for code in ("DE", "FR")]
    rows = [City.objects.create(country=country) for country in countries]

    def write():
        with transaction.atomic():
            City.objects.filter(pk=rows[0].pk).update(name="y")

    assert gone(City, {"value": "country.code"}, ["DE", "FR"], write) == ["DE", "FR"]


def test_a_text_for_a_key(gone):
    """Texts that differ may be equal for the database: only the rows themselves tell."""
    for code in ("EUR", "USD"):
        Currency.objects.create(code=code)

    def write():
        Currency.objects.filter(pk="EUR").update(rate=2)

    def write_in_a_transaction():
        with transaction.atomic():
            write()

    assert gone(Currency, {"value": "pk"}, ["EUR", "USD"], write) == ["EUR", "USD"]
    assert gone(Currency, {"value": "pk"}, ["EUR", "USD"], write_in_a_transaction) == ["EUR"]


def test_texts_that_may_be_equal_for_the_database(gone, articles):
    """Only the database knows the collation. Fails (the others are hits) when `_pinned` takes texts."""
    keys = ["a", "A"]
    assert gone(Article, {"value": "slug"}, keys, Article.objects.filter(slug="a").delete) == ["a"]
    write = Article.objects.filter(slug="b").update
    assert gone(Article, {"value": "slug"}, ["b", "B"], lambda: write(title="y")) == ["b", "B"]


@pytest.mark.django_db(transaction=False)
def test_inside_a_test_case(gone, authors, articles):
    """Its transaction is none of the user's, and good enough for locks."""
    keys = [author.pk for author in authors]

    def write():
        Article.objects.bulk_update([moved(articles[0], authors[1])], ["author"])

    assert gone(Article, {"value": "author_id"}, keys, write) == keys[:2]


def test_own_writes_are_seen(titles, authors, articles):
    a, b, _ = authors
    assert [titles(a.pk), titles(b.pk)] == [["x"], ["x"]]
    with transaction.atomic():
        Article.objects.bulk_update([moved(articles[0], b)], ["author"])
        assert [titles(a.pk), titles(b.pk)] == [[], ["x", "x"]]
    assert [titles(a.pk), titles(b.pk)] == [[], ["x", "x"]]
    with rolled_back():
        Article.objects.bulk_update([moved(articles[0], a)], ["author"])
        assert titles(a.pk) == ["x"]
    assert is_cached(titles, a.pk)


def test_a_statement_of_which_nobody_knows_whether_it_has_run(titles, authors, articles):
    """It has, and then something raised. Fails (the old titles are a hit) without `late(None)`."""
    a, _, c = authors
    assert titles(c.pk) == ["x"]

    def interrupted(execute, sql, *args):
        result = execute(sql, *args)
        if sql.startswith("UPDATE"):
            raise LookupError
        return result

    sql = "UPDATE app_article SET author_id = author_id + %s WHERE id = %s"
    with transaction.atomic(), pytest.raises(LookupError), connection.execute_wrapper(interrupted):
        raw(sql, c.pk - a.pk, articles[0].pk)
    assert titles(c.pk) == ["x", "x"]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_transaction_that_is_going_to_write_takes_the_lock_for_it_first(following, threads, monkeypatch):
    """On SQLite one that has read, in WAL mode, cannot write any more once another one has. Fails ("database
    is locked") when `Rows.locked` reads without its UPDATE of nothing."""
    using = connections["other"]
    sqlite = using.vendor == "sqlite"
    if sqlite:
        using.cursor().execute("PRAGMA journal_mode = wal")
        monkeypatch.setattr(using, "transaction_mode", None, raising=False)
    author = Author.objects.using("other").create()
    article = Article.objects.using("other").create(author=author, title="x")
    function = following(Article, {"author_id": "author_id"})(lambda author_id: author_id)
    function(author.pk)

    def write_something():
        if sqlite:
            connections["other"].cursor().execute("PRAGMA busy_timeout = 0")
        with contextlib.suppress(OperationalError):
            Author.objects.using("other").create()

    def before_the_update(execute, sql, *args):
        if sql.startswith("UPDATE"):
            threads(write_something).result()
        return execute(sql, *args)

    article.title = "y"
    try:
        with using.execute_wrapper(before_the_update):
            Article.objects.using("other").bulk_update([article], ["title"])
    finally:
        if sqlite:
            using.cursor().execute("PRAGMA journal_mode = delete")
    assert Article.objects.using("other").get().title == "y"
    assert not is_cached(function, author.pk)
