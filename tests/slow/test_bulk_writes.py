"""Bulk writes whose rows are looked up, while other transactions change the same rows."""

import contextlib

import pytest
from django.db import OperationalError, connection, transaction

from cache_result import InvalidationRule
from tests.app.models import Article, Author, Document, Label
from tests.backends import on
from tests.invalidation.rows import is_cached
from tests.waiting import Gate

pytestmark = [pytest.mark.django_db(transaction=True), on("redis")]


@pytest.fixture
def authors():
    assert connection.vendor == "postgresql"
    return [Author.objects.create(name=name) for name in "abc"]


@pytest.fixture
def titles(cached):
    @cached(invalidates_on=[InvalidationRule(Article, field_mapping={"author_id": "author_id"})])
    def titles(author_id):
        return sorted(Article.objects.filter(author=author_id).values_list("title", flat=True))

    return titles


def before_the_update(gate):
    """Stops when the rows have been looked up, right before the statement itself."""

    def wrapper(execute, sql, *args):
        if sql.startswith("UPDATE"):
            gate.stop_here()
        return execute(sql, *args)

    return connection.execute_wrapper(wrapper)


def start(threads, write):
    """A transaction that has looked up its rows, and waits."""
    gate = Gate()

    def run():
        with before_the_update(gate), transaction.atomic():
            write()

    writing = threads(run)
    gate.wait_until_reached()
    return gate, writing


def test_a_row_that_moves_meanwhile(titles, authors, threads):
    """Fails (the old title is a hit) when `Rows.locked` does not lock: the other author is told of the
    move, and not of the title that comes with it."""
    a, b, c = authors
    article = Article.objects.create(author=a, title="x")
    assert [titles(author.pk) for author in authors] == [["x"], [], []]

    def write():
        Article.objects.filter(pk=article.pk).update(title="y")

    def move():
        with transaction.atomic():
            Article.objects.select_for_update(nowait=True).get(pk=article.pk)
            Article.objects.filter(pk=article.pk).update(author=b)

    gate, writing = start(threads, write)
    with contextlib.suppress(OperationalError):
        move()
    titles(b.pk)
    gate.open()
    writing.result()
    now = [sorted(author.article_set.values_list("title", flat=True)) for author in authors]
    assert [titles(author.pk) for author in authors] == now
    assert is_cached(titles, c.pk)
    move()
    assert [titles(author.pk) for author in authors] == [[], ["y"], []]


def test_a_row_that_comes_meanwhile(titles, authors, threads):
    """Fails (the old title is a hit) when `Rows._read` counts on it that a row is not there."""
    a, b, _ = authors
    article = Article.objects.create(author=a, title="x")
    assert [titles(a.pk), titles(b.pk)] == [["x"], []]
    keys = [article.pk, article.pk + 1000]
    gate, writing = start(threads, lambda: Article.objects.filter(pk__in=keys).update(title="y"))
    Article.objects.create(pk=keys[1], author=b, title="x")
    assert titles(b.pk) == ["x"]
    gate.open()
    writing.result()
    assert [titles(a.pk), titles(b.pk)] == [["y"], ["y"]]


def test_the_lock_is_no_stronger_than_the_statements_own(cached, authors, threads):
    """Rows that refer to the updated one can be written meanwhile. Fails (they wait for a lock that is
    not let go of) when `Rows.locked` does not ask for the weaker one."""
    rule = InvalidationRule(Document, field_mapping={"owner_id": "owner_id"})
    owned = cached(invalidates_on=[rule])(lambda owner_id: owner_id)
    owned(authors[0].pk), owned(authors[1].pk)
    document = Document.objects.create(owner=authors[0])
    label = Label.objects.create()
    gate, writing = start(threads, lambda: Document.objects.filter(pk=document.pk).update(title="y"))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'")
        try:
            Label.documents.through.objects.create(label=label, document=document)
        finally:
            cursor.execute("RESET lock_timeout")
            gate.open()
    writing.result()
    assert [is_cached(owned, author.pk) for author in authors[:2]] == [False, True]


def test_rows_that_begin_to_match(titles, authors, threads):
    """An UPDATE that waits for a row looks at it again, so that its WHERE is true of it."""
    a, b, _ = authors
    article = Article.objects.create(author=b, title="x")
    assert [titles(a.pk), titles(b.pk)] == [[], ["x"]]
    gate, writing = start(threads, lambda: Article.objects.filter(author=a).update(title="y"))
    Article.objects.filter(pk=article.pk).update(author=a)
    assert titles(a.pk) == ["x"]
    gate.open()
    writing.result()
    assert [titles(a.pk), titles(b.pk)] == [["y"], []]
