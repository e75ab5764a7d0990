"""Writes that look like others: what code of fields does, old migrations, forced updates, refused commits."""

import contextlib

import django
import pytest
from django.db import connection, models, transaction
from django.db.models.signals import post_save

from cache_result import InvalidationRule, invalidation_deferred
from cache_result.invalidation.targets import Targets
from tests.app.models import Article, Author, Document
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "other"]), on("locmem", "redis")]
told = []


def tell(wrapper, instance):
    told.append(instance.name)


@pytest.mark.parametrize("created", [False, True])
def test_a_field_that_writes_to_other_rows(titles, authors, monkeypatch, created):
    # Fails (a hit) when every UPDATE during a save counts as the save's own.
    def demote_others(instance, add):
        Article.objects.exclude(pk=instance.pk).update(title="demoted")
        return instance.slug

    one, two, _ = authors
    Article.objects.create(author=one, title="one")
    article = Article(author=two, title="two")
    if not created:
        article.save()
    assert [titles(one.pk), titles(two.pk)] == [["one"], [] if created else ["two"]]
    monkeypatch.setattr(Article._meta.get_field("slug"), "pre_save", demote_others, raising=False)
    article.save()
    assert [titles(one.pk), titles(two.pk)] == [["demoted"], ["two"]]


@contextlib.contextmanager
def before_the_migration():
    """A table in which a column has still its old name."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app_article RENAME COLUMN author_id TO writer_id")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE app_article RENAME COLUMN writer_id TO author_id")


def test_a_table_of_another_shape(titles, authors):
    """As in a migration of data that is older than the column."""
    # Fails (an error, on PostgreSQL of the whole transaction) when what we look up is not given up.
    article = Article.objects.create(author=authors[0], title="old")
    assert titles(authors[0].pk) == ["old"]
    update = 'UPDATE "app_article" SET "title" = %s WHERE "app_article"."id" = %s'
    with before_the_migration(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(update, ["new", article.pk])
        assert cursor.rowcount == 1
    assert titles(authors[0].pk) == ["new"]


@pytest.fixture
def first_to_hear(request):
    """Connects a receiver of `post_save` in front of all others."""
    before = post_save.receivers[:]

    def first_to_hear(receiver, sender):
        post_save.connect(receiver, sender=sender, weak=False)
        post_save.receivers.insert(0, post_save.receivers.pop())
        post_save.sender_receivers_cache.clear()

    yield first_to_hear
    post_save.receivers = before
    post_save.sender_receivers_cache.clear()


if django.VERSION >= (5,):  # before, Django made an INSERT of it

    def test_an_update_of_what_was_made_by_hand(following, first_to_hear, authors):
        """With a key that could have been drawn it looks like a new row."""
        # Fails (the old owner's hit) when only the new owner is closed before it.
        one, two, _ = authors
        document = Document.objects.create(owner=one)

        @following(Document, {"owner_id": "owner_id"})
        def count(owner_id):
            return Document.objects.filter(owner=owner_id).count()

        assert [count(one.pk), count(two.pk)] == [1, 0]
        seen = []
        first_to_hear(lambda **kwargs: seen.append([count(one.pk), count(two.pk)]), Document)
        Document(pk=document.pk, owner=two).save(force_update=True)
        assert seen == [[0, 1]]


def test_leaving_manual_transaction_management_is_refused(author_name, author, monkeypatch):
    # Fails ("never") when the transaction counts as over: it goes on, and is rolled back.
    def refuse(autocommit):
        raise LookupError

    transaction.set_autocommit(False)
    try:
        rename(author, "never")
        with monkeypatch.context() as patch, pytest.raises(LookupError):
            patch.setattr(connection, "_set_autocommit", refuse)
            transaction.set_autocommit(True)
        assert author_name(author.pk) == "never"
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert author_name(author.pk) == "old"


class TestDeferred:
    def test_one_database_fails(self, following, author, monkeypatch):
        # Fails (a hit) when the first error ends the block.
        @following(Author, {"author_id": "pk"})
        def name_there(author_id):
            return Author.objects.using("other").get(pk=author_id).name

        there = Author.objects.using("other").create(name="old")
        assert name_there(there.pk) == "old"

        def fail(self):
            raise LookupError

        with pytest.raises(LookupError), monkeypatch.context() as patch, invalidation_deferred():
            rename(author)
            rename(there)
            patch.setattr(Targets, "rewarm", fail)
        assert name_there(there.pk) == "new"

    def test_what_is_rolled_back_has_not_happened(self, cached, author):
        # Fails when a block takes what a transaction changes before its commit.
        cached(invalidates_on=[InvalidationRule(Author, invalidator=tell)])(lambda author_id: author_id)
        told.clear()
        with invalidation_deferred(), rolled_back():
            rename(author, "never")
        assert told == []


if hasattr(models, "GeneratedField"):
    from tests.app.models import Shouted

    class TestGeneratedFields:
        """What an instance has of them is not what its save makes of them."""

        # Each fails (a hit) when they are compared like others.
        @pytest.fixture
        def row(self):
            return Shouted.objects.get(pk=Shouted.objects.create(text="a").pk)

        @pytest.fixture
        def shown(self, cached):
            rule = InvalidationRule(Shouted, field_mapping={"pk": "pk"}, watch_fields=["shown"])

            @cached(invalidates_on=[rule])
            def shown(pk):
                return Shouted.objects.get(pk=pk).shown

            return shown

        def test_an_update(self, shown, row):
            assert shown(row.pk) == "A"
            Shouted.objects.filter(pk=row.pk).update(text="b")
            assert shown(row.pk) == "B"

        def test_a_save(self, shown, row):
            assert shown(row.pk) == "A"
            row.text = "b"
            row.save()
            assert shown(row.pk) == "B"

        def test_a_mapping(self, following, row):
            @following(Shouted, {"shown": "shown"})
            def count(shown):
                return Shouted.objects.filter(shown=shown).count()

            assert [count("A"), count("B")] == [1, 0]
            row.text = "b"
            row.save()
            assert [count("A"), count("B")] == [0, 1]
