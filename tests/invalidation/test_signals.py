"""`cache_invalidated`: who wants to know what was invalidated."""

import logging

import pytest
from django.db import transaction

from cache_result import CACHE_MISSING, ArgsKeyField, KeyConstructor, cache_invalidated, invalidation_deferred
from tests.app.models import Author
from tests.backends import on
from tests.invalidation.rows import rename, rolled_back

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "redis")]


@pytest.fixture
def heard(author_name, author):
    """What was sent for `author_name`, as (reason, arguments)."""
    heard = []

    def receive(sender, signal, wrapper, reason, arguments):
        assert sender is wrapper is author_name
        heard.append((reason, arguments))

    cache_invalidated.connect(receive, sender=author_name)
    yield heard
    cache_invalidated.disconnect(receive, sender=author_name)


def test_a_save(heard, author):
    rename(author)
    assert heard == [("rule", [{"author_id": author.pk}])]


def test_it_comes_when_it_has_happened(heard, author_name, author):
    author_name(author.pk)
    seen = []

    def look(**kwargs):
        seen.append(author_name.get_cache_only(author.pk))

    cache_invalidated.connect(look, sender=author_name)
    rename(author)
    cache_invalidated.disconnect(look, sender=author_name)
    assert seen == [CACHE_MISSING]


def test_a_transaction_is_told_once(heard, author):
    other = Author.objects.create(name="other")
    heard.clear()
    with transaction.atomic():
        rename(author, "b")
        rename(other, "c")
        rename(author, "d")
        assert heard == []
    assert heard == [("rule", [{"author_id": author.pk}, {"author_id": other.pk}])]


def test_a_rollback_is_not_told(heard, author):
    with rolled_back():
        rename(author)
    rename(author, "newer")
    assert heard == [("rule", [{"author_id": author.pk}])]


def test_rows_by_key(heard, author):
    Author.objects.filter(pk=author.pk).update(name="new")
    assert heard == [("rule", [{"author_id": author.pk}])]


def test_nobody_knows_which_rows(heard, author):
    Author.objects.update(name="new")
    assert heard == [("rule", None)]


def test_together(heard, author):
    with transaction.atomic():
        rename(author)
        Author.objects.update(name="new")
    assert heard == [("rule", None)]


def test_a_deferred_block(heard, author):
    with invalidation_deferred():
        rename(author, "b")
        rename(author, "c")
    assert heard == [("rule", [{"author_id": author.pk}])]


def test_by_hand(heard, author_name):
    author_name.delete_cache(1)
    author_name.delete_by_prefix(author_id=2)
    author_name.invalidate_all()
    assert heard == [
        ("delete_cache", [{"author_id": 1}]),
        ("delete_by_prefix", [{"author_id": 2}]),
        ("invalidate_all", None),
    ]


async def test_by_hand_of_asyncio(heard, author_name):
    await author_name.adelete_cache(1)
    await author_name.adelete_by_prefix(author_id=2)
    await author_name.ainvalidate_all()
    assert [reason for reason, _ in heard] == ["delete_cache", "delete_by_prefix", "invalidate_all"]


def test_a_wipe(cached):
    class Key(KeyConstructor):
        key = ArgsKeyField("key")

    @cached(key_constructor=Key)
    def function(key):
        return key

    heard = []

    def receive(wrapper, reason, **kwargs):
        heard.append((wrapper, reason))

    cache_invalidated.connect(receive)
    Key.wipe()
    cache_invalidated.disconnect(receive)
    assert heard == [(function, "wipe")]


def test_a_receiver_that_raises_disturbs_nobody(author_name, author, caplog):
    def receive(**kwargs):
        raise LookupError("mine")

    cache_invalidated.connect(receive, sender=author_name)
    author_name(author.pk)
    with caplog.at_level(logging.ERROR, logger="cache_result"):
        rename(author)
    cache_invalidated.disconnect(receive, sender=author_name)
    assert author_name(author.pk) == "new"
    assert "receiver" in caplog.text
