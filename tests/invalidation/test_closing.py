"""From COMMIT on nobody gets older data, although its invalidation is written only after it."""

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models.signals import post_save, pre_save

from cache_result import CACHE_MISSING, CacheStatus, InvalidationRule, _core, cache_result
from cache_result.exceptions import CloseError
from cache_result.invalidation.targets import Targets
from cache_result.storage import Storage
from tests.app.models import Article, Author, Currency
from tests.backends import on
from tests.flaky import FlakyCache
from tests.invalidation.rows import is_cached, rename

pytestmark = pytest.mark.django_db(transaction=True)

# A cache that is a table has no marks: its generations are committed with the rows (tests/slow).
closable = on("locmem", "file", "redis", "django_redis", "django_redis_json", "memcached")


@pytest.fixture
def look(author_name, author, threads):
    """What another thread gets, and how."""

    def look():
        def ask():
            value, metadata = author_name.get_with_metadata(author.pk)
            return value, metadata["cache_status"], author_name.get_cache_only(author.pk)

        return threads(ask).result()

    return look


NEW = ("new", CacheStatus.BYPASS, CACHE_MISSING)


@closable
def test_between_commit_and_opening(author_name, author, look, at_opening):
    # Fails ("old", a hit) when nothing is closed before the COMMIT.
    assert author_name(author.pk) == "old"
    seen = at_opening(look)
    with transaction.atomic():
        rename(author)
    assert seen == [NEW]
    assert look()[:2] == ("new", CacheStatus.MISS)
    assert look()[:2] == ("new", CacheStatus.HIT)


@closable
@pytest.mark.parametrize(
    "change",
    [
        lambda author: rename(author),
        lambda author: Author.objects.filter(pk=author.pk).update(name="new"),
        lambda author: Author.objects.update_or_create(pk=author.pk, defaults={"name": "new"}),
    ],
    ids=["save", "update", "update_or_create"],
)
def test_without_a_transaction(author_name, author, look, at_opening, change):
    assert author_name(author.pk) == "old"
    seen = at_opening(look)
    change(author)
    assert seen == [NEW]
    assert look()[:2] == ("new", CacheStatus.MISS)
    assert look()[:2] == ("new", CacheStatus.HIT)


@on("locmem", "redis")
def test_receivers_of_others_see_the_new_row(author_name, author):
    """They run between the statement and our own receiver, or after it."""
    author_name(author.pk)
    seen = []

    def ask(instance, **kwargs):
        seen.append(author_name.get_with_metadata(instance.pk)[0])

    post_save.connect(ask, sender=Author)
    try:
        rename(author)
    finally:
        post_save.disconnect(ask, sender=Author)
    assert seen == ["new"]


@on("locmem", "redis")
async def test_async_callers_bypass_a_closed_scope(following, author, at_opening):
    @following(Author, {"author_id": "pk"})
    async def author_name(author_id):
        return (await Author.objects.aget(pk=author_id)).name

    assert await author_name(author.pk) == "old"
    targets = Targets()
    scopes = author_name._fired_scopes({"author_id": author.pk})
    targets.add(author_name, scopes)
    targets.close()
    value, metadata = await author_name.aget_with_metadata(author.pk)
    assert (value, metadata["cache_status"]) == ("old", CacheStatus.BYPASS)
    assert await author_name.aget_cached_metadata(author.pk) is None
    assert await author_name.arefresh(author.pk) == "old"
    targets.invalidate()
    assert (await author_name.aget_with_metadata(author.pk))[1]["cache_status"] == CacheStatus.MISS


@on("locmem", "redis")
def test_a_writer_that_dies_leaves_nothing_behind(author_name, author, clock):
    """Its marks go after CLOSE_TIMEOUT, and what was stored before it is not valid again."""
    author_name(author.pk)
    targets = Targets()
    targets.add(author_name, author_name._fired_scopes({"author_id": author.pk}))
    targets.close()
    Author.objects.filter(pk=author.pk)._raw_delete("default")
    Author(pk=author.pk, name="new").save(force_insert=True)
    _pass_away(author_name, targets, clock)
    value, metadata = author_name.get_with_metadata(author.pk)
    assert (value, metadata["cache_status"]) == ("new", CacheStatus.MISS)
    assert is_cached(author_name, author.pk)


def _pass_away(wrapper, targets, clock):
    """CLOSE_TIMEOUT seconds later, as the cache counts them."""
    clock.advance(61)
    cache = wrapper.storage.cache
    cache.delete_many([_core.generation_key(s) for scopes in targets._closed.values() for s in scopes])


@on("locmem", "redis")
def test_a_commit_that_fails_in_doubt(author_name, author, look, monkeypatch):
    """The connection was lost, and the change is there all the same."""
    assert author_name(author.pk) == "old"
    commit = connection._commit

    def lost():
        commit()
        raise OperationalError("the connection was lost")

    with pytest.raises(OperationalError), transaction.atomic():
        rename(author)
        monkeypatch.setattr(connection, "_commit", lost)
    monkeypatch.undo()
    assert look() == NEW


@on("locmem", "redis")
@pytest.mark.parametrize(
    "change",
    [
        lambda author: rename(author),
        lambda author: Author.objects.filter(pk=author.pk).update(name="new"),
    ],
    ids=["save", "update"],
)
@pytest.mark.parametrize(
    ("error", "status"),
    [(OperationalError, CacheStatus.BYPASS), (IntegrityError, CacheStatus.MISS)],
)
def test_a_statement_that_fails_in_doubt(author_name, author, look, change, error, status):
    """The connection is lost: the server may execute it all the same, and later than this."""
    # Fails (MISS, so that older data may be stored) when every failure opens the scope.
    assert author_name(author.pk) == "old"

    def lose(execute, sql, params, many, context):
        execute(sql, params, many, context)
        raise error("the server closed the connection")

    with pytest.raises(error), connection.execute_wrapper(lose):
        change(author)
    assert look()[:2] == ("new", status)


@on("locmem", "redis")
def test_a_row_that_is_overwritten_by_hand(titles, authors, threads):
    """Without a transaction, by an instance that nobody has loaded."""
    # Fails (the first author has it still, a hit) when only what it becomes is closed.
    one, two, _ = authors
    article = Article.objects.create(author=one, title="a")
    assert [titles(author.pk) for author in authors] == [["a"], [], []]
    seen = []

    def look(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("UPDATE"):
            seen.extend(threads(titles, author.pk).result() for author in authors)
        return result

    with connection.execute_wrapper(look):
        Article(pk=article.pk, author=two, title="b").save()
    assert seen == [[], ["b"], []]


@on("locmem", "redis")
def test_a_rollback_closes_nothing(author_name, author, look):
    assert author_name(author.pk) == "old"
    with pytest.raises(LookupError), transaction.atomic():
        rename(author)
        raise LookupError
    assert look() == ("old", CacheStatus.HIT, "old")


@on("locmem", "redis")
def test_a_save_that_fails_opens_its_scope(following, look, author_name, author):
    @following(Currency, {"code": "pk"})
    def rate(code):
        return code

    Currency.objects.create(code="EUR")
    rate("EUR")
    with pytest.raises(IntegrityError):
        Currency(code="EUR").save(force_insert=True)
    assert rate.get_with_metadata("EUR")[1]["cache_status"] == CacheStatus.MISS
    assert is_cached(rate, "EUR")


@on("locmem", "redis")
def test_a_save_that_a_receiver_stops_opens_its_scope(author_name, author):
    author_name(author.pk)

    def stop(**kwargs):
        raise LookupError

    pre_save.connect(stop, sender=Author)
    try:
        with pytest.raises(LookupError):
            rename(author)
    finally:
        pre_save.disconnect(stop, sender=Author)
    assert author_name(author.pk) == "old"
    assert is_cached(author_name, author.pk)


@on("locmem", "redis")
def test_scopes_that_are_not_touched_stay_open(author_name, author, threads, at_opening):
    other = Author.objects.create(name="other")
    for one in (author, other):
        author_name(one.pk)
    seen = at_opening(lambda: threads(author_name.get_with_metadata, other.pk).result()[1]["cache_status"])
    with transaction.atomic():
        rename(author)
    assert seen == [CacheStatus.HIT]


@on("redis")
def test_one_batch_of_closings_and_one_of_openings(cached, monkeypatch):
    """However many saves a transaction makes."""

    @cached(invalidates_on=[InvalidationRule(Article, field_mapping={"author_id": "author_id"})])
    def titles(author_id):
        return author_id

    batches = []
    for name in ("close", "reopen", "invalidate"):
        monkeypatch.setattr(Storage, name, _counting(name, getattr(Storage, name), batches))
    authors = [Author.objects.create() for _ in range(10)]
    batches.clear()
    with transaction.atomic():
        for author in authors:
            for number in range(20):
                Article.objects.create(author=author, title=str(number))
    # Ten authors, and the calls that were given none or several.
    assert batches == [("close", 11), ("reopen", 11)]


def _counting(name, method, batches):
    def counted(self, scopes, *args):
        batches.append((name, len(scopes)))
        return method(self, scopes, *args)

    counted.plan = getattr(method, "plan", None)
    return counted


@on("locmem")
def test_very_many_scopes_are_the_whole_function(following, settings):
    settings.CACHE_RESULT = {"MAX_SCOPES_PER_TRANSACTION": 3}

    @following(Author, {"author_id": "pk"})
    def name(author_id):
        return author_id

    name(0)
    with transaction.atomic():
        for _ in range(2):
            Author.objects.create()
    assert is_cached(name, 0)
    with transaction.atomic():
        for _ in range(3):
            Author.objects.create()
    assert not is_cached(name, 0)


class TestFailure:
    @pytest.fixture
    def name(self, settings, tmp_path, unique_name):
        settings.CACHES = {
            **settings.CACHES,
            "flaky": {"BACKEND": "tests.flaky.FlakyCache", "LOCATION": str(tmp_path)},
        }
        rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})

        @cache_result(cache="flaky", name=unique_name(), invalidates_on=[rule])
        def name(author_id):
            return Author.objects.get(pk=author_id).name

        yield name
        FlakyCache.broken = False

    def test_the_commit_goes_on(self, name, author, caplog):
        assert name(author.pk) == "old"
        FlakyCache.broken = True
        with transaction.atomic():
            rename(author)
        assert "could not be told of a change" in caplog.text
        FlakyCache.broken = False
        assert Author.objects.get(pk=author.pk).name == "new"
        assert name(author.pk) == "new"

    def test_what_was_closed_for_a_commit_that_is_stopped_is_open_again(
        self, name, author, settings, unique_name
    ):
        settings.CACHE_RESULT = {"ON_CLOSE_FAILURE": "raise"}
        rule = InvalidationRule(Author, field_mapping={"author_id": "pk"})
        sound = cache_result(cache="locmem", name=unique_name(), invalidates_on=[rule])(lambda author_id: 1)
        sound(author.pk)
        FlakyCache.broken = True
        with pytest.raises(CloseError), transaction.atomic():
            rename(author)
        FlakyCache.broken = False
        sound(author.pk)
        assert is_cached(sound, author.pk)

    def test_the_commit_is_stopped_where_that_is_wanted(self, name, author, settings):
        settings.CACHE_RESULT = {"ON_CLOSE_FAILURE": "raise"}
        assert name(author.pk) == "old"
        FlakyCache.broken = True
        with pytest.raises(CloseError, match="ON_CLOSE_FAILURE"), transaction.atomic():
            rename(author)
        FlakyCache.broken = False
        assert Author.objects.get(pk=author.pk).name == "old"
        assert name(author.pk) == "old"


@on("locmem", "redis")
def test_closing_can_be_turned_off(author_name, author, look, at_opening, settings):
    settings.CACHE_RESULT = {"CLOSE_SCOPES": False}
    assert author_name(author.pk) == "old"
    seen = at_opening(look)
    with transaction.atomic():
        rename(author)
    assert seen == [("old", CacheStatus.HIT, "old")]
    assert author_name(author.pk) == "new"
