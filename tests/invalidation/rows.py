"""What tests do to rows."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from cache_result import CACHE_MISSING, CachedWrapper
from tests.app.models import Author


def rename(author: Author, name: str = "new", **options: Any) -> None:
    author.name = name
    author.save(**options)


def is_cached(wrapper: CachedWrapper[..., Any], *args: Any) -> bool:
    return wrapper.get_cache_only(*args) is not CACHE_MISSING


@contextlib.contextmanager
def rolled_back(using: str = "default") -> Iterator[None]:
    """An atomic block that ends with a rollback."""
    with contextlib.suppress(LookupError), transaction.atomic(using):
        yield
        raise LookupError
