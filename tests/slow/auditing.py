"""What the processes of `test_audit.py` run: writers that are killed anywhere, readers that check reads.

A row's version only grows, and tells what the row is like: an author's name is the version, an article's
title is its version and says which author it belongs to. Negative versions are rolled back.
"""

import asyncio
import contextlib
import random

from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import override_settings

from cache_result import CacheStatus, InvalidationRule, cache_result
from tests.app.models import Article, Author
from tests.race.children import shared_state

CALLS = 128  # that are judged by one look at the database
SETTINGS = {"CLOSE_TIMEOUT": 1, "LEASE_TIMEOUT": 1}  # seconds; who is killed leaves marks and leases


def owner(version, authors):
    """The author of an article of this version."""
    return authors[(version * 7 // 3) % len(authors)]


def make(alias, name):
    """The functions under audit, and what each returns for the versions of all rows."""
    of_author = InvalidationRule(Article, field_mapping={"author_id": "author_id"})
    of_pk = InvalidationRule(Author, field_mapping={"author_id": "pk"})

    @cache_result(name=f"{name}-named", cache=alias, invalidates_on=[of_pk])
    def named(author_id):
        return {author_id: int(Author.objects.get(pk=author_id).name)}

    @cache_result(name=f"{name}-owned", cache=alias, invalidates_on=[of_author])
    def owned(author_id):
        rows = Article.objects.filter(author=author_id).values_list("pk", "title")
        return {pk: int(title) for pk, title in rows}

    @cache_result(name=f"{name}-async", cache=alias, invalidates_on=[of_author])
    async def aowned(author_id):
        rows = Article.objects.filter(author=author_id).values_list("pk", "title")
        return {pk: int(title) async for pk, title in rows}

    return named, owned, aowned


def versions():
    """The committed version of each row: authors, and articles."""
    authors = {pk: int(name) for pk, name in Author.objects.values_list("pk", "name")}
    return authors, {pk: int(title) for pk, title in Article.objects.values_list("pk", "title")}


def write(parent, alias, name, number, seed, authors, articles):
    """Raises the versions of this writer's author and articles, in every way; says so now and then."""
    choice = random.Random(seed)
    with override_settings(CACHE_RESULT=SETTINGS):
        named, owned, _ = make(alias, name)
        parent.say("ready")
        while True:
            for _ in range(choice.randint(1, 8)):
                for _ in range(60):
                    choice.choice((named, owned))(choice.choice(authors))
                _write_once(choice, authors[number], articles, authors)
            parent.say("alive")


def _write_once(choice, author, articles, authors):
    atomic = choice.random() < 0.5
    rolled_back = atomic and choice.random() < 0.3
    with transaction.atomic() if atomic else contextlib.nullcontext():
        for _ in range(choice.randint(1, 3) if atomic else 1):
            choice.choice(WAYS)(choice, author, articles, authors, -1 if rolled_back else 1)
        if rolled_back:
            transaction.set_rollback(True)


def _save_author(choice, author, articles, authors, sign):
    row = Author.objects.get(pk=author)
    row.name = str(sign * (abs(int(row.name)) + 1))
    row.save()


def _update_author(choice, author, articles, authors, sign):
    version = sign * (abs(int(Author.objects.get(pk=author).name)) + 1)
    Author.objects.filter(pk=author).update(name=str(version))


def _moved(row, authors, sign):
    version = abs(int(row.title)) + 1
    row.author_id, row.title = owner(version, authors), str(sign * version)
    return row


def _save_article(choice, author, articles, authors, sign):
    _moved(Article.objects.get(pk=choice.choice(articles)), authors, sign).save()


def _update_article(choice, author, articles, authors, sign):
    row = _moved(Article.objects.get(pk=choice.choice(articles)), authors, sign)
    Article.objects.filter(pk=row.pk).update(author=row.author_id, title=row.title)


def _update_articles(choice, author, articles, authors, sign):
    rows = [_moved(row, authors, sign) for row in Article.objects.filter(pk__in=articles)]
    Article.objects.bulk_update(rows, ["author", "title"])


WAYS = (_save_author, _update_author, _save_article, _update_article, _update_articles)


def read(parent, alias, name, seed, least, authors):
    """Calls until all readers have at least so often; returns reads, hits, and what was wrong."""
    choice, audit = random.Random(f"reader {seed}"), Audit(authors)
    with override_settings(CACHE_RESULT=SETTINGS), contextlib.closing(shared_state()) as state:
        named, owned, _ = make(alias, name)
        parent.say("ready")
        parent.expect("start")
        before = versions()
        while state.incrby(f"{name}:reads", CALLS) <= least:
            seen = []
            for _ in range(CALLS):
                kind, author = choice.randrange(2), choice.choice(authors)
                seen.append((kind, author, *(named, owned)[kind].get_with_metadata(author)))
            after = versions()
            audit.judge(seen, before, after)
            before = after
            parent.say("reading")
    return audit.reads, audit.hits, audit.wrong


def read_async(parent, alias, name, seed, least, authors):
    """As `read`, on an event loop."""
    choice, audit = random.Random(f"reader {seed}"), Audit(authors)

    async def reading(owned, state):
        before = await sync_to_async(versions)()
        while state.incrby(f"{name}:reads", CALLS) <= least:
            several = [choice.choice(authors) for _ in range(CALLS)]
            found = await asyncio.gather(*(owned.aget_with_metadata(author) for author in several))
            after = await sync_to_async(versions)()
            seen = [(1, author, *one) for author, one in zip(several, found, strict=True)]
            audit.judge(seen, before, after)
            before = after
            parent.say("reading")

    with override_settings(CACHE_RESULT=SETTINGS), contextlib.closing(shared_state()) as state:
        owned = make(alias, name)[2]
        parent.say("ready")
        parent.expect("start")
        asyncio.run(reading(owned, state))
    return audit.reads, audit.hits, audit.wrong


class Audit:
    """Judges values by what was committed before their calls began and after they had ended."""

    def __init__(self, authors):
        self.reads = self.hits = 0
        self.wrong = []
        self._authors = authors

    def judge(self, seen, before, after):
        for kind, author, value, metadata in seen:
            self.reads += 1
            self.hits += metadata["cache_status"] == CacheStatus.HIT
            told = self._complaints(kind, author, value, before[kind], after[kind])
            self.wrong.extend(f"{author}: {value}: {complaint}: {metadata}" for complaint in told)

    def _complaints(self, kind, author, value, before, after):
        for pk, version in value.items():
            if not before[pk] <= version <= after[pk]:
                yield f"{pk} was of version {before[pk]} to {after[pk]}"
            elif kind and owner(version, self._authors) != author:
                yield f"{pk} was of another author"
        for pk, version in before.items() if kind else ():
            if pk not in value and version == after[pk] and owner(version, self._authors) == author:
                yield f"{pk} is missing"
