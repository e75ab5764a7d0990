"""Wrappers under names of their own, and a field and a value as projects write them."""

import itertools
from collections.abc import Callable
from typing import Any

from cache_result import ArgsKeyField, CachedWrapper, cache_result

_numbers = itertools.count()


def wrapped(func: Callable[..., Any], constructor: Any = None, **options: Any) -> CachedWrapper[..., Any]:
    """`func`, cached in memory; `constructor` may be one key field."""
    if not (isinstance(constructor, dict | type) or hasattr(constructor, "get_fields")):
        constructor = {"field": constructor}
    return cache_result(constructor, **{"cache": "locmem", "name": f"wrapped-{next(_numbers)}", **options})(
        func
    )


class LowerCase(ArgsKeyField):
    """Extends a field that the package has."""

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        payload = super().get_key_payload(func, args, kwargs)
        return {name: str(value).lower() for name, value in payload.items()}


class Email(str):
    """Equal whatever the case."""

    __slots__ = ()

    def __cache_key__(self) -> str:
        return self.lower()
