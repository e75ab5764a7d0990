"""Async twins, methods that look before they write, and `loaddata`."""

import json

import pytest
from django.core.management import call_command
from django.db import connection

from cache_result import CACHE_MISSING
from tests.app.models import Article, Author, City
from tests.backends import on
from tests.invalidation.rows import is_cached

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


async def test_async_twins(following):
    @following(Article, {"author_id": "author_id"})
    async def titles(author_id):
        return [
            title async for title in Article.objects.filter(author=author_id).values_list("title", flat=True)
        ]

    a, b = [await Author.objects.acreate() for _ in range(2)]

    async def stays_for_b(write):
        for author in (a, b):
            await titles(author.pk)
        await write
        return [(await titles.aget_cache_only(author.pk)) is not CACHE_MISSING for author in (a, b)] == [
            False,
            True,
        ]

    assert await stays_for_b(Article.objects.abulk_create([Article(author=a, title="x")]))
    assert await titles(a.pk) == ["x"]
    article = await Article.objects.aget()
    article.title = "y"
    assert await stays_for_b(Article.objects.abulk_update([article], ["title"]))
    assert await titles(a.pk) == ["y"]
    assert await stays_for_b(Article.objects.filter(author=a).aupdate(title="z"))
    assert await titles(a.pk) == ["z"]
    assert await stays_for_b(
        Article.objects.aupdate_or_create(author=a, slug="", defaults={"title": "u"}),
    )
    assert await titles(a.pk) == ["u"]
    assert await stays_for_b(Article.objects.aget_or_create(author=a, slug="new", defaults={"title": "v"}))
    assert sorted(await titles(a.pk)) == ["u", "v"]
    assert await stays_for_b(Article.objects.filter(author=a).adelete())
    assert await titles(a.pk) == []


@pytest.mark.parametrize("made", [False, True])
def test_update_or_create(titles, authors, articles, made):
    a, b, _ = authors
    for author in (a, b):
        titles(author.pk)
    slug = "new" if made else "a"
    _, created = Article.objects.update_or_create(author=a, slug=slug, defaults={"title": "y"})
    assert created is made
    assert titles(a.pk) == (["x", "y"] if made else ["y"])
    assert is_cached(titles, b.pk)


def test_fixtures(titles, authors, tmp_path):
    a, b, _ = authors
    for author in (a, b):
        titles(author.pk)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"model": "app.article", "pk": 1, "fields": {"author": a.pk, "title": "x"}}]))
    call_command("loaddata", str(path), verbosity=0)
    assert titles(a.pk) == ["x"]
    assert not is_cached(titles, None)


@pytest.mark.parametrize("path", ["country.code", "country"])
def test_fixtures_whose_related_objects_come_later(following, tmp_path, path):
    """Fails (the country is asked for) when `_targets` follows relations of raw instances."""

    @following(City, {"country": path})
    def names(country):
        return [city.name for city in City.objects.all()]

    assert names("7") == []
    file = tmp_path / "rows.json"
    rows = [
        {"model": "app.city", "pk": 1, "fields": {"country": 7, "name": "Bonn"}},
        {"model": "app.country", "pk": 7, "fields": {"code": "DE"}},
    ]
    file.write_text(json.dumps(rows))
    asked = []

    def watch(execute, sql, *args):
        asked.append(sql)
        return execute(sql, *args)

    with connection.execute_wrapper(watch):
        call_command("loaddata", str(file), verbosity=0)
    assert not [sql for sql in asked if sql.startswith('SELECT "app_country"')]
    assert names("7") == ["Bonn"]
