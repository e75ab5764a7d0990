"""What a rule invalidates when a row is saved or deleted, and what it leaves alone."""

import pytest

from tests.app.models import Article, Author, Place, Restaurant, Writer
from tests.backends import on
from tests.invalidation.rows import is_cached, rename

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_save_invalidates_its_row_and_no_other(author_name):
    one, two = Author.objects.create(name="one"), Author.objects.create(name="two")
    assert [author_name(one.pk), author_name(two.pk)] == ["one", "two"]
    one.name = "uno"
    one.save()
    assert not is_cached(author_name, one.pk)
    assert is_cached(author_name, two.pk)
    assert [author_name(one.pk), author_name(two.pk)] == ["uno", "two"]


def test_a_deletion_invalidates(titles):
    author = Author.objects.create()
    article = Article.objects.create(author=author, title="a")
    assert titles(author.pk) == ["a"]
    article.delete()
    assert titles(author.pk) == []


def test_a_creation_invalidates(titles):
    """Aggregates over rows change when one is added."""
    author = Author.objects.create()
    assert titles(author.pk) == []
    Article.objects.create(author=author, title="a")
    assert titles(author.pk) == ["a"]


def test_every_save_counts(author_name):
    author = Author.objects.create(name="0")
    for number in range(1, 6):
        assert author_name(author.pk) == str(number - 1)
        author.name = str(number)
        author.save()


@pytest.mark.parametrize(
    "change",
    [
        lambda author: Author.objects.update_or_create(pk=author.pk, defaults={"name": "new"}),
        lambda author: rename(author, update_fields=["name"]),
        lambda author: rename(Author.objects.get(pk=author.pk)),
        lambda author: rename(Author.objects.only("name").get(pk=author.pk)),
        lambda author: rename(Author(pk=author.pk)),
    ],
    ids=["update_or_create", "update_fields", "another instance", "deferred fields", "built by hand"],
)
@on("locmem", "redis")
def test_ways_torename(author_name, change):
    author = Author.objects.create(name="old")
    assert author_name(author.pk) == "old"
    change(author)
    assert author_name(author.pk) == "new"


async def test_async_saves_and_async_functions(following):
    @following(Author, {"author_id": "pk"})
    async def author_name(author_id):
        return (await Author.objects.aget(pk=author_id)).name

    author = await Author.objects.acreate(name="old")
    assert await author_name(author.pk) == "old"
    author.name = "new"
    await author.asave()
    assert await author_name(author.pk) == "new"
    await author.adelete()
    with pytest.raises(Author.DoesNotExist):
        await author_name(1)


@on("locmem", "redis")
def test_a_cascade_invalidates(titles):
    author = Author.objects.create()
    Article.objects.create(author=author, title="a")
    assert titles(author.pk) == ["a"]
    author.delete()
    assert titles(author.pk) == []


@on("locmem", "redis")
def test_a_queryset_deletion_invalidates(titles):
    author = Author.objects.create()
    Article.objects.create(author=author, title="a")
    assert titles(author.pk) == ["a"]
    Article.objects.filter(author=author).delete()
    assert titles(author.pk) == []


@on("locmem", "redis")
class TestInheritance:
    def test_a_proxy_is_its_model(self, author_name):
        author = Author.objects.create(name="old")
        assert author_name(author.pk) == "old"
        Writer.objects.filter(pk=author.pk).get().delete()
        with pytest.raises(Author.DoesNotExist):
            author_name(author.pk)

    def test_a_save_through_a_proxy(self, author_name):
        author = Author.objects.create(name="old")
        assert author_name(author.pk) == "old"
        writer = Writer.objects.get(pk=author.pk)
        writer.name = "new"
        writer.save()
        assert author_name(author.pk) == "new"

    def test_a_multi_table_child_is_a_row_of_its_parent(self, following):
        @following(Place, {"place_id": "pk"})
        def place_name(place_id):
            return Place.objects.get(pk=place_id).name

        restaurant = Restaurant.objects.create(name="old", stars=1)
        assert place_name(restaurant.pk) == "old"
        restaurant.name = "new"
        restaurant.save()
        assert place_name(restaurant.pk) == "new"
        restaurant.delete()
        with pytest.raises(Place.DoesNotExist):
            place_name(1)


@on("locmem", "redis")
@pytest.mark.parametrize("path", ["article_set", "save"], ids=["many rows", "a method"])
def test_a_value_that_names_no_scope_invalidates_the_whole_function(following, path):
    # Fails (the old name is a hit) when only the scope of calls without a single value goes.
    @following(Author, {"author_id": path})
    def name(author_id):
        return Author.objects.get(pk=author_id).name

    author = Author.objects.create(name="old")
    assert name(author.pk) == "old"
    author.name = "new"
    author.save()
    assert name(author.pk) == "new"
