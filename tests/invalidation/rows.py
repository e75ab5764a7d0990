"""What tests do to rows."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from cache_result import CACHE_MISSING, CachedWrapper
from tests.app.models import Article, Author


def rename(author: Author, name: str = "new", **options: Any) -> None:
    author.name = name
    author.save(**options)


def raw(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def moved(article: Article, author: Author) -> Article:
    """The article with another author, not saved."""
    article.author = author
    return article


def is_cached(wrapper: CachedWrapper[..., Any], *args: Any) -> bool:
    return wrapper.get_cache_only(*args) is not CACHE_MISSING


@contextlib.contextmanager
def rolled_back(using: str = "default") -> Iterator[None]:
    """An atomic block that ends with a rollback."""
    with contextlib.suppress(LookupError), transaction.atomic(using):
        yield
        raise LookupError
