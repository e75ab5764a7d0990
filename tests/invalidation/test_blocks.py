"""`no_invalidation()` and `invalidation_deferred()`."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import caches
from django.db import transaction

from cache_result import CacheStatus, invalidate_for, invalidation_deferred, no_invalidation
from tests.app.models import Article, Author
from tests.backends import on
from tests.invalidation.rows import is_cached, rename, rolled_back

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "redis")]


def bulk_rename(author):
    Author.objects.filter(pk=author.pk).update(name="new")


changes = pytest.mark.parametrize("change", [rename, bulk_rename])


def status(wrapper, *args):
    return wrapper.get_with_metadata(*args)[1]["cache_status"]


class TestNoInvalidation:
    @changes
    def test_changes_inside_fire_no_rule(self, author_name, author, change):
        author_name(author.pk)
        with no_invalidation():
            change(author)
            assert author_name(author.pk) == "old"
        assert author_name(author.pk) == "old"

    def test_changes_afterwards_do(self, author_name, author):
        with no_invalidation():
            author_name(author.pk)
        rename(author)
        assert author_name(author.pk) == "new"

    def test_an_exception_ends_it(self, author_name, author):
        author_name(author.pk)
        with pytest.raises(LookupError), no_invalidation():
            raise LookupError
        rename(author)
        assert author_name(author.pk) == "new"

    @pytest.mark.parametrize("changed", [lambda author: author, lambda author: Author])
    def test_what_is_invalidated_by_hand_is(self, author_name, author, changed):
        author_name(author.pk)
        with no_invalidation():
            rename(author)
            invalidate_for(changed(author))
            assert author_name(author.pk) == "new"

    def test_old_values_are_known_afterwards(self, titles, authors):
        """What was saved inside is what the next save compares with."""
        article = Article.objects.create(author=authors[0], title="a")
        with no_invalidation():
            article.author = authors[1]
            article.save()
        assert [titles(author.pk) for author in authors] == [[], ["a"], []]
        article.author = authors[2]
        article.save()
        assert [titles(author.pk) for author in authors] == [[], [], ["a"]]

    def test_a_transaction_that_began_outside_keeps_what_it_has(self, author_name, author):
        author_name(author.pk)
        with transaction.atomic():
            rename(author)
            with no_invalidation():
                rename(author, "newer")
        assert author_name(author.pk) == "newer"

    def test_other_threads_are_not_concerned(self, author_name, author, threads):
        author_name(author.pk)
        with no_invalidation():
            threads(rename, author).result()
            assert author_name(author.pk) == "new"

    async def test_of_asyncio(self, author_name, author):
        await author_name.arefresh(author.pk)
        async with no_invalidation():
            author.name = "new"
            await author.asave()
        assert await author_name.aget_cache_only(author.pk) == "old"

    async def test_other_tasks_are_not_concerned(self, author_name, author):
        await author_name.arefresh(author.pk)
        entered, saved = asyncio.Event(), asyncio.Event()

        async def other():
            await entered.wait()
            author.name = "new"
            await author.asave()
            saved.set()

        task = asyncio.create_task(other())
        async with no_invalidation():
            entered.set()
            await saved.wait()
        await task
        assert (await author_name.aget_with_metadata(author.pk))[0] == "new"
        assert await author_name.aget_cache_only(author.pk) == "new"

    def test_as_a_decorator(self, author_name, author):
        author_name(author.pk)
        no_invalidation()(rename)(author)
        assert author_name(author.pk) == "old"

    def test_as_a_decorator_of_an_async_function(self, author_name, author):
        @no_invalidation()
        async def change():
            await asyncio.sleep(0)
            author.name = "new"
            await author.asave()

        author_name(author.pk)
        async_to_sync(change)()
        assert author_name(author.pk) == "old"


class TestInvalidationDeferred:
    @changes
    def test_it_comes_at_the_end(self, author_name, author, change, threads):
        author_name(author.pk)
        with invalidation_deferred():
            change(author)
            assert threads(author_name, author.pk).result() == "old"
        assert author_name(author.pk) == "new"

    def test_own_changes_are_seen_inside(self, author_name, author):
        # Fails ("old", a hit) when calls do not ask the block.
        author_name(author.pk)
        with invalidation_deferred():
            rename(author)
            assert author_name(author.pk) == "new"
            assert status(author_name, author.pk) == CacheStatus.BYPASS

    def test_it_comes_after_an_exception(self, author_name, author):
        author_name(author.pk)
        with pytest.raises(LookupError), invalidation_deferred():
            rename(author)
            raise LookupError
        assert author_name(author.pk) == "new"

    def test_inside_a_transaction_it_comes_with_the_commit(self, author_name, author, threads):
        author_name(author.pk)
        with transaction.atomic():
            with invalidation_deferred():
                rename(author)
            assert threads(author_name, author.pk).result() == "old"
            assert author_name(author.pk) == "new"
        assert author_name(author.pk) == "new"
        assert is_cached(author_name, author.pk)

    def test_inside_a_transaction_that_is_rolled_back(self, author_name, author):
        author_name(author.pk)
        with rolled_back(), invalidation_deferred():
            rename(author)
        assert is_cached(author_name, author.pk)

    def test_around_a_transaction(self, author_name, author):
        author_name(author.pk)
        with invalidation_deferred():
            with transaction.atomic():
                rename(author)
                assert author_name(author.pk) == "new"
            assert author_name(author.pk) == "new"
            assert status(author_name, author.pk) == CacheStatus.BYPASS
        assert author_name(author.pk) == "new"

    def test_a_scope_is_written_once(self, author_name, author, cache_alias, monkeypatch):
        # Fails (a write and more for each save) when nothing is deferred.
        writes = []
        backend = type(caches[cache_alias])
        for method in ("set", "set_many"):
            original = getattr(backend, method)

            def counted(cache, *args, _original=original, **kwargs):
                writes.append(args)
                return _original(cache, *args, **kwargs)

            monkeypatch.setattr(backend, method, counted)
        with invalidation_deferred():
            for name in "abcdef":
                rename(author, name)
        assert len(writes) <= 1

    def test_a_call_is_rewarmed_once(self, following, author):
        runs = []

        @following(Author, {"author_id": "pk"}, rewarm=True)
        def author_name(author_id):
            runs.append(author_id)
            return Author.objects.get(pk=author_id).name

        with invalidation_deferred():
            for name in "abc":
                rename(author, name)
            assert runs == []
        assert runs == [author.pk]
        assert author_name.get_cache_only(author.pk) == "c"

    def test_blocks_inside_blocks(self, author_name, author):
        author_name(author.pk)
        with invalidation_deferred() as outer:
            with invalidation_deferred():
                rename(author)
            with outer:
                rename(author, "newer")
            assert author_name.get_cache_only(author.pk) != "newer"
            assert status(author_name, author.pk) == CacheStatus.BYPASS
        assert author_name(author.pk) == "newer"

    def test_inside_no_invalidation(self, author_name, author):
        author_name(author.pk)
        with no_invalidation(), invalidation_deferred():
            rename(author)
        assert author_name(author.pk) == "old"

    async def test_of_asyncio(self, author_name, author):
        await author_name.arefresh(author.pk)
        async with invalidation_deferred():
            author.name = "new"
            await author.asave()
            assert await sync_to_async(author_name)(author.pk) == "new"
        assert (await author_name.aget_with_metadata(author.pk))[0] == "new"
        assert await author_name.aget_cache_only(author.pk) == "new"

    def test_nothing_is_left_behind(self, author_name, author):
        """Calls outside of blocks and transactions do not pay for looking."""
        with invalidation_deferred(), no_invalidation():
            rename(author)
        assert author_name(author.pk) == "new"
        assert status(author_name, author.pk) == CacheStatus.HIT
