"""Promise 3 for rules: the requests that a transaction costs, counted where they are sent."""

import pytest
import redis
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
    sent, execute = [], redis.Redis.execute_command
    monkeypatch.setattr(
        redis.Redis, "execute_command", lambda *call: sent.append(call[1:4]) or execute(*call)
    )
    with transaction.atomic():
        for author in authors * 100:
            author.name = "new"
            author.save()
        assert sent == []
    # Each row's scope; and that of calls that were given none or several, which all rows have in common.
    assert [command for command, *_ in sent] == ["EVAL", "EVAL"]
    # Two keys for each of them.
    assert all(keys <= 2 * 101 for _, _, keys in sent)
    monkeypatch.undo()
    assert name(authors[0].pk) == "new"
