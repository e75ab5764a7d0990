"""What the core is given in place of a view, its predicate and its ttl: they are about the request that is
being answered."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from cache_result.keys.responses import asked
from cache_result.responses.exchange import Exchange


def filling(func: Callable[..., Any]) -> Callable[..., Any]:
    """What the core runs in place of a view: makes the response to the request that is being answered."""

    @wraps(func)
    def fill(*args: Any, **kwargs: Any) -> Any:
        return cast(Exchange, asked.get()).fill()

    return fill


def decided_to_store(kept: Any) -> bool:
    """Whether it is stored: predicate of what is kept of it."""
    return cast(Exchange, asked.get()).storable


def decided_ttl(kept: Any) -> float | None:
    """For how many seconds."""
    return cast(Exchange, asked.get()).ttl
