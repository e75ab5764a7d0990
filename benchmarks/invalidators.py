"""What the process of one library does for the rows about models: its cached functions, and the work timed.

Import only after `project.configure_for()`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import redis.connection
from django.db import connection, transaction
from django.db.models import Model

from benchmarks.app.models import Article, Note, Page
from benchmarks.contestants import TTL, NotAHit, Runs
from benchmarks.project import LOADED, SAVES, TARGETS
from benchmarks.timing import Contestant

Cached = Callable[[int], Any]


def titles_of(author_id: int) -> list[str]:
    """The titles of an author's articles: depends on rows that point to its argument."""
    return list(Article.objects.filter(author_id=author_id).order_by("pk").values_list("title", flat=True))


def slug_of(page_id: int) -> str:
    """Depends on the row with this key."""
    return Page.objects.values_list("slug", flat=True).get(pk=page_id)


def cached(owner: str, func: Callable[[int], Any], model: type[Model], argument: str, path: str) -> Cached:
    """`func`, cached by the one library of this process, with one rule: `argument` is the row's `path`."""
    if owner in {"ours", "ours_open"}:
        import cache_result as ours

        rule = ours.InvalidationRule(model, field_mapping={argument: path})
        return ours.cache_result(ttl=TTL, name=f"bench.{func.__name__}", invalidates_on=[rule])(func)
    if owner == "peer":
        import restflow.caching as peer

        peer_rule = peer.InvalidationRule(model=model, field_mapping={argument: path}, trigger_on_create=True)
        fields = {argument: peer.ArgsKeyField(argument, partition=True)}
        constructor = {"fields": fields, "key_identifier": f"bench.{func.__name__}"}
        return peer.cache_result(constructor, ttl=TTL, invalidates_on=[peer_rule])(func)
    if owner == "cacheops":
        from cacheops import cached_as

        def as_rows_say(value: int) -> Any:
            rows = model._default_manager.filter(**{path: value})
            return cached_as(rows, timeout=TTL, extra=value)(lambda: func(value))()

        return as_rows_say
    return func


class Work:
    """One library's part in every row, in its own process."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.runs = Runs()

        def titles(author_id: int) -> list[str]:
            self.runs.record()
            return titles_of(author_id)

        self.titles = cached(owner, titles, Article, "author_id", "author_id")
        self.slug = cached(owner, slug_of, Page, "page_id", "pk")
        self.numbers = count()
        for model in (Article, Page, Note):
            rows = [
                model(author_id=number + 1, title="", slug="a", body="b" * 200) for number in range(LOADED)
            ]
            model.objects.bulk_create(rows)

    def contestant(self, job: str) -> Contestant:
        """What is timed for this job."""
        statement, names = getattr(self, f"_{job}")()
        return Contestant(self.owner, statement, {"numbers": self.numbers, **names}, self.verify)

    def verify(self) -> None:
        """A save, a creation and a rolled-back save are seen as they should be, and what is cached is hit."""
        author = TARGETS + next(self.numbers) + 1
        article = Article.objects.create(author_id=author, title="first")
        self._expect(author, ["first"])
        article.title = "second"
        article.save()
        self._expect(author, ["second"])
        with transaction.atomic():
            article.title = "third"
            article.save()
        self._expect(author, ["third"])
        other = Article.objects.create(author_id=author, title="fourth")
        self._expect(author, ["third", "fourth"])
        other.delete()
        article.delete()

    def _expect(self, author: int, titles: list[str]) -> None:
        found = self.titles(author)
        before = self.runs.count
        again = self.titles(author)
        ran = self.runs.count - before
        if found != titles or again != titles or ran != (self.owner == "plain"):
            raise NotAHit(f"{self.owner}: expected {titles!r}, got {found!r}, then {again!r} by {ran} runs")

    def round_trips(self, job: str) -> tuple[int, int]:
        """Requests that one turn of the job sends to Redis, and commands in them. The first turn of all
        sends more."""
        batch = self.contestant(job).batch(None)
        connection_class = redis.connection.AbstractConnection
        send, sent, commands = connection_class.send_packed_command, Runs(), Runs()

        def counted(self: Any, command: Any, *args: Any, **kwargs: Any) -> None:
            sent.record()
            text = b"".join(command) if isinstance(command, list | tuple) else command
            for _ in range(text.count(b"\r\n*") + 1):
                commands.record()
            send(self, command, *args, **kwargs)

        connection_class.send_packed_command = counted
        try:
            batch(1)
        finally:
            connection_class.send_packed_command = send
        return sent.count, commands.count

    # Each job: a statement, and what it names.

    def _save(self) -> tuple[str, dict[str, Any]]:
        return "row.title = f'title {next(numbers)}'; row.save()", {"row": Article.objects.get(pk=1)}

    def _create(self) -> tuple[str, dict[str, Any]]:
        return "create(author_id=1, title=f'title {next(numbers)}', slug='a', body='b')", {
            "create": Article.objects.create
        }

    def _save_in_transaction(self) -> tuple[str, dict[str, Any]]:
        row = Article.objects.get(pk=1)

        def save() -> None:
            with transaction.atomic():
                row.title = f"title {next(self.numbers)}"
                row.save()

        return "save()", {"save": save}

    def _many_saves(self) -> tuple[str, dict[str, Any]]:
        rows = list(Article.objects.order_by("pk")[:TARGETS])

        def save() -> None:
            with transaction.atomic():
                for number in range(SAVES):
                    row = rows[number % TARGETS]
                    row.title = f"title {number}"
                    row.save()

        return "save()", {"save": save}

    def _load_articles(self) -> tuple[str, dict[str, Any]]:
        return _load(Article)

    def _load_pages(self) -> tuple[str, dict[str, Any]]:
        return _load(Page)

    def _load_notes(self) -> tuple[str, dict[str, Any]]:
        return _load(Note)

    def _select(self) -> tuple[str, dict[str, Any]]:
        return _select(connection)

    def _select_unwatched(self) -> tuple[str, dict[str, Any]]:
        """The same on another connection, which has no execute wrapper."""
        other = connection.copy()
        other.inc_thread_sharing()
        with other.schema_editor() as editor:
            editor.create_model(Note)
        other.execute_wrappers.clear()
        return _select(other)


def _load(model: type[Model]) -> tuple[str, dict[str, Any]]:
    return f"list(objects.all()[:{LOADED}])", {"objects": model._default_manager}


def _select(connection: Any) -> tuple[str, dict[str, Any]]:
    sql, params = Note.objects.filter(pk=0).query.sql_with_params()
    cursor = connection.cursor()
    return "execute(sql, params); fetch()", {
        "execute": cursor.execute,
        "fetch": cursor.fetchone,
        "sql": sql,
        "params": params,
    }
