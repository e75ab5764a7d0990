"""Which fills the running code is part of: a nested call of the same key runs through."""

from collections.abc import Collection
from contextlib import suppress
from contextvars import ContextVar, Token


class Fill:
    """One run of a cached function. Tasks that it started and that outlive it are not inside."""

    __slots__ = ("active", "key", "tags", "token")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.active = True
        self.tags: set[str] = set()
        self.token: Token[tuple[Fill, ...]] | None = None


_inside: ContextVar[tuple[Fill, ...]] = ContextVar("cache_result_fills", default=())


def enter(key: bytes) -> Fill:
    """The running code fills ``key`` from here on."""
    fill = Fill(key)
    fill.token = _inside.set((*_inside.get(), fill))
    return fill


def leave(fill: Fill) -> None:
    """The fill is over."""
    fill.active = False
    token, fill.token = fill.token, None
    if token is not None:
        with suppress(ValueError):  # a coroutine that was thrown away is closed in another context
            _inside.reset(token)


def forget() -> None:
    """The running code is part of no fill: it only comes from one."""
    _inside.set(())


def innermost() -> Fill | None:
    """The fill that the running code is part of, the innermost one of several."""
    inside = _inside.get()
    return inside[-1] if inside and inside[-1].active else None


def added_tags() -> Collection[str]:
    """The tags that have been added to the innermost fill."""
    fill = innermost()
    return () if fill is None else tuple(fill.tags)


def is_inside(key: bytes) -> bool:
    """Whether the running code is part of a fill of ``key``."""
    return any(fill.active and fill.key == key for fill in _inside.get())
