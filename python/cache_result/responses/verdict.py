"""What a view's decorator says about storing its responses."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from cache_result import _core
from cache_result.freshness import Freshness


@dataclass(frozen=True)
class Verdict:
    """What a view's decorator says about storing its responses."""

    label: str
    predicate: tuple[Callable[..., Any], bool, bool] | None
    """The callable, whether it says what is *not* stored, and whether it takes the view's arguments too."""
    ttl: tuple[Any, bool, bool]
    """The ttl, whether it is a callable, and whether that takes the view's arguments too."""
    freshness: Freshness
    """What happens around its end."""

    def accepts(self, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the predicate says, which may have to be awaited; True without one."""
        if self.predicate is None:
            return True
        callable_, _, with_call = self.predicate
        return callable_(response, *args, **kwargs) if with_call else callable_(response)

    @property
    def stores_nothing(self) -> bool:
        """Whether the ttl is zero, whatever the response."""
        return not self.ttl[1] and seconds_of(self.ttl[0]) == 0

    @property
    def negates(self) -> bool:
        """Whether the predicate says what is *not* stored."""
        return self.predicate is not None and self.predicate[1]

    def lifetime(self, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The ttl, which may have to be awaited."""
        ttl, called, with_call = self.ttl
        if not called:
            return ttl
        return ttl(response, *args, **kwargs) if with_call else ttl(response)


def seconds_of(ttl: Any) -> float | None:
    """A ttl as a number; None is never.

    :raises TypeError: for what is no ttl.
    :raises ValueError: for a negative one.
    """
    _core.check_ttl(ttl)
    if isinstance(ttl, timedelta):
        return ttl.total_seconds()
    return cast("float | None", ttl)
