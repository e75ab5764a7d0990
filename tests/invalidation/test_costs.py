"""Promise 3 for rules: what a transaction costs the cache, counted where Django calls it."""

import pytest
from django.core.cache import caches
from django.db import transaction

from cache_result import InvalidationRule
from tests.app.models import Author
from tests.backends import on

pytestmark = [pytest.mark.django_db(transaction=True)]


@on("redis")
def test_a_large_transaction_closes_and_opens_each_target_once(cached, monkeypatch):
    """10,000 saves of 100 rows: at most 100 closings, in one batch, and as many openings, in another."""

    @cached(invalidates_on=[InvalidationRule(Author, field_mapping={"author_id": "pk"})])
    def name(author_id):
        return Author.objects.get(pk=author_id).name

    authors = [Author.objects.create(name="old") for _ in range(100)]
    assert name(authors[0].pk) == "old"
    written, backend = [], type(caches["redis"])
    for method in ("set", "set_many", "add", "delete", "delete_many"):
        monkeypatch.setattr(backend, method, _counting(getattr(backend, method), method, written))
    with transaction.atomic():
        for author in authors * 100:
            author.name = "new"
            author.save()
        assert written == []
    # Each row's scope; and that of calls that were given none or several, which all rows have in common.
    assert [method for method, _ in written] == ["set_many", "set_many"]
    assert all(count <= 101 for _, count in written)
    monkeypatch.undo()
    assert name(authors[0].pk) == "new"


def _counting(original, method, written):
    def counted(self, what, *args, **kwargs):
        written.append((method, len(what) if method.endswith("_many") else 1))
        return original(self, what, *args, **kwargs)

    return counted
