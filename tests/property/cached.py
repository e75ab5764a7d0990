"""Cached functions that the state machine calls: each has a rule of another kind, and a truth."""

import functools
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cache_result import ArgsKeyField, CachedWrapper, InvalidationRule
from tests.app.models import Article, Author, Document
from tests.property import truth
from tests.property.truth import Rows
from tests.waiting import Gate

_of_thread = threading.local()


@dataclass(frozen=True)
class Call:
    """One call of a cached function, and what it has to return for given rows."""

    function: CachedWrapper[..., Any]
    arguments: tuple[Any, ...]
    expected: Callable[..., Any]
    may_hesitate: bool
    """Nobody waits for a fill of it."""
    ruled: bool
    rewarmed: bool

    def __str__(self) -> str:
        return f"{self.expected.__name__}{self.arguments}"

    def run(self) -> Any:
        return self.function(*self.arguments)

    def peek(self) -> Any:
        return self.function.get_cache_only(*self.arguments)

    def refresh(self, gate: Gate) -> Any:
        """Refreshes, stopping at the gate when the database has been read."""
        with _stopping_at(gate):
            return self.function.refresh(*self.arguments)

    def may_return(self, value: Any, *views: Rows) -> bool:
        """Whether it is what each of these views says; without a rule, what one of them says."""
        return (all if self.ruled else any)(value == self.truth(view) for view in views)

    def truth(self, rows: Rows) -> Any:
        return self.expected(rows, *self.arguments)


@contextmanager
def _stopping_at(gate: Gate) -> Iterator[None]:
    _of_thread.gate = gate
    try:
        yield
    finally:
        _of_thread.gate = None


def _may_stop(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def stopping(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        gate = getattr(_of_thread, "gate", None)
        if gate is not None:
            gate.stop_here()
        return found

    return stopping


def document_key(document: int) -> uuid.UUID:
    return uuid.UUID(int=document)


def make_calls(cached: Callable[..., Any]) -> list[Call]:
    """Every call of every function; ``cached`` decorates, as the fixture of this name."""
    calls: list[Call] = []

    def known(expected: Callable[..., Any], *rules: InvalidationRule, over: Any, **options: Any) -> Any:
        def decorate(function: Callable[..., Any]) -> None:
            wrapper = cached(invalidates_on=rules, **options)(_may_stop(function))
            alone = options.get("single_flight", "") is None
            rewarmed = any(rule.rewarm for rule in rules)
            calls.extend(
                Call(wrapper, arguments, expected, alone, bool(rules), rewarmed) for arguments in over
            )

        return decorate

    alone: dict[str, Any] = {"single_flight": None}
    by_author = [(pk,) for pk in truth.AUTHORS]
    of_author = {"author_id": "author_id"}

    @known(
        truth.name_of, InvalidationRule(Author, field_mapping={"author_id": "pk"}), over=by_author, **alone
    )
    def name(author_id):
        return Author.objects.filter(pk=author_id).values_list("name", flat=True).first()

    @known(truth.name_of, over=by_author)
    def unruled_name(author_id):
        return Author.objects.filter(pk=author_id).values_list("name", flat=True).first()

    rewarming = InvalidationRule(Author, rewarm=True, field_mapping={"author_id": "pk"})

    @known(truth.name_of, rewarming, over=by_author)
    def rewarmed_name(author_id):
        return Author.objects.filter(pk=author_id).values_list("name", flat=True).first()

    def titles(rows: Rows, author: int) -> list[str]:
        return truth.articles_of(rows, author, "title")

    def slugs(rows: Rows, author: int) -> list[str]:
        return truth.articles_of(rows, author, "slug")

    @known(titles, InvalidationRule(Article, field_mapping=of_author), over=by_author, **alone)
    def titles_of(author_id):
        return sorted(Article.objects.filter(author=author_id).values_list("title", flat=True))

    queried = InvalidationRule(Article, field_mapping=of_author, old_values="query")

    @known(titles, queried, over=by_author)
    def titles_asked_for(author_id):
        return sorted(Article.objects.filter(author=author_id).values_list("title", flat=True))

    watching = InvalidationRule(Article, field_mapping=of_author, watch_fields=["slug", "author"])

    @known(slugs, watching, over=by_author)
    def slugs_of(author_id):
        return sorted(Article.objects.filter(author=author_id).values_list("slug", flat=True))

    @known(truth.everything, InvalidationRule(Article), over=[()])
    def everything():
        return sorted(map(list, Article.objects.values_list("pk", "author_id", "title")))

    partitioned = {"fields": {"a": ArgsKeyField("author_id", partition=True), "b": ArgsKeyField("attribute")}}

    @known(
        truth.articles_of,
        InvalidationRule(Article, field_mapping=of_author),
        over=[(pk, attribute) for pk in truth.AUTHORS for attribute in ("title", "slug")],
        key_constructor=partitioned,
        **alone,
    )
    def attributes(author_id, attribute):
        return sorted(Article.objects.filter(author=author_id).values_list(attribute, flat=True))

    @known(
        lambda rows, key: truth.labels_of(rows, key.int),
        InvalidationRule(Document, field_mapping={"document_id": "pk"}),
        over=[(document_key(number),) for number in truth.DOCUMENTS],
    )
    def labels(document_id):
        found = Document.labels.through.objects.filter(document=document_id)
        return sorted(found.values_list("label", flat=True))

    return calls
