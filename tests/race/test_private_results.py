"""Promises 1 and 5: what belongs to one transaction, or to before a change, stays with who made it."""

import pytest
from django.core.cache import caches
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.redis import RedisCache
from django.db import DatabaseError, transaction

from tests.app.models import Author
from tests.backends import on
from tests.waiting import Gate

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


class Undone(Exception):
    pass


def test_a_function_that_writes_inside_a_transaction_is_not_stored(cached):
    # Fails (the row that was rolled back is a hit) when only the moment before the run is looked at.
    @cached
    def names():
        Author.objects.get_or_create(name="uncommitted")
        return list(Author.objects.values_list("name", flat=True))

    with pytest.raises(Undone), transaction.atomic():
        assert names() == ["uncommitted"]
        raise Undone
    assert names.get_cached_metadata() is None
    Author.objects.create(name="other")
    assert sorted(names()) == ["other", "uncommitted"]


@on("locmem", "redis")
def test_nobody_gets_what_a_function_wrote_inside_a_transaction(cached, threads):
    # Fails (the waiter says "mine") when the flight is landed for those who wait.
    gate = Gate()
    answers = iter(["mine", "theirs"])

    @cached
    def function():
        answer = next(answers)
        if answer == "mine":
            Author.objects.create(name="uncommitted")
        gate.stop_here()
        return answer

    def writer():
        with pytest.raises(Undone), transaction.atomic():
            assert function() == "mine"
            raise Undone

    writing = threads(writer)
    gate.wait_until_reached()
    waiting = threads(function)
    gate.open()
    writing.result()
    assert waiting.result() == "theirs"


@pytest.mark.parametrize("refused", ["commit", "rollback"])
def test_an_end_that_django_refuses_is_no_end(cached, refused):
    # Fails (the value that was rolled back is a hit) when a refused commit() ends the transaction.
    @cached
    def name(pk):
        return Author.objects.get(pk=pk).name

    author = Author.objects.create(name="old")
    with pytest.raises(Undone), transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="uncommitted")
        with pytest.raises(transaction.TransactionManagementError):
            getattr(transaction, refused)()
        assert name(author.pk) == "uncommitted"
        raise Undone
    assert name(author.pk) == "old"


class WithoutAdd(FileBasedCache):
    """A backend in which no token can be made."""

    def add(self, *args, **kwargs):
        return None


def test_a_run_that_cannot_be_stored_is_joined_only_by_those_who_came_before(
    settings, tmp_path, unique_name, threads
):
    # Fails (the late caller says "old") when a run without generations admits everybody.
    from cache_result import cache_result

    settings.CACHES = {
        **settings.CACHES,
        "without add": {"BACKEND": f"{__name__}.WithoutAdd", "LOCATION": str(tmp_path)},
    }
    gate = Gate()
    truth = ["old"]

    @cache_result(cache="without add", name=unique_name())
    def function():
        value = truth[0]
        gate.stop_here()
        return value

    first = threads(function)
    gate.wait_until_reached()
    truth[0] = "new"
    function.invalidate_all()
    assert function() == "new"
    gate.open()
    assert first.result() == "old"


@on("file", "memcached")
def test_a_write_that_the_backend_swallows_is_kept_and_delivered(cached, cache_alias, monkeypatch):
    # Fails (the old value is a hit) when nobody reads the new generation back.
    truth = ["old"]

    @cached
    def function():
        return truth[0]

    assert function() == "old"
    backend = type(caches[cache_alias])
    with monkeypatch.context() as swallowing:
        for name in ("set", "set_many", "delete", "delete_many"):
            swallowing.setattr(backend, name, lambda self, *args, **kwargs: None)
        swallowing.setattr(backend, "get_many", lambda self, keys, **kwargs: {})
        truth[0] = "new"
        function.invalidate_all()
        assert function() == "new"
    assert function() == "new"
    assert function() == "new"


class Forgetful(RedisCache):
    """Swallows what goes wrong, as a project's own backend may."""

    failing = False

    def set(self, *args, **kwargs):
        if not self.failing:
            super().set(*args, **kwargs)

    def get_many(self, *args, **kwargs):
        return {} if self.failing else super().get_many(*args, **kwargs)


@on("redis")
def test_a_subclass_of_a_backend_that_raises_may_swallow(cache_alias, settings, monkeypatch, unique_name):
    # Fails (the old value is a hit) when `plans.raises` takes a subclass for its base.
    from cache_result import cache_result

    backend = {**settings.CACHES[cache_alias], "BACKEND": f"{__name__}.Forgetful"}
    settings.CACHES = {**settings.CACHES, "forgetful": backend}
    truth = ["old"]

    @cache_result(cache="forgetful", name=unique_name())
    def function():
        return truth[0]

    assert function() == "old"
    with monkeypatch.context() as outage:
        outage.setattr(Forgetful, "failing", True)
        truth[0] = "new"
        function.invalidate_all()
    assert function() == "new"


def test_an_exception_inside_a_transaction_is_its_own(cached):
    @cached
    def function():
        Author.objects.create(name="uncommitted")
        raise DatabaseError("mine")

    with pytest.raises(DatabaseError, match="mine"), transaction.atomic():
        function()
    assert function.get_cached_metadata() is None
