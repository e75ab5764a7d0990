"""What the tests of `MemoryCache` have in common: other faces of one cache, and shapes of values."""

from types import SimpleNamespace

from cache_result import _core

_METHODS = (
    "add",
    "clear",
    "close",
    "decr",
    "decr_version",
    "delete",
    "delete_many",
    "get",
    "get_many",
    "get_or_set",
    "has_key",
    "incr",
    "incr_version",
    "set",
    "set_many",
    "touch",
)


def at_once(coroutine):
    """What a coroutine returns that waits for nothing: no event loop runs, and no thread is asked."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError(f"it waits for {waits_for!r}")


class Async:
    """A cache whose plain methods are its a-methods, which have to answer at once."""

    def __init__(self, cache):
        self.itself = cache

    def __getattr__(self, name):
        if name not in _METHODS:
            return getattr(self.itself, name)
        method = getattr(self.itself, f"a{name}")
        return lambda *args, **kwargs: at_once(method(*args, **kwargs))

    def __contains__(self, key):
        return key in self.itself


class Time:
    """The time of both kinds of cache, moved by hand."""

    def __init__(self, monkeypatch):
        self._now = 1_700_000_000.0
        for module in ("locmem", "base"):
            monkeypatch.setattr(
                f"django.core.cache.backends.{module}.time", SimpleNamespace(time=lambda: self._now)
            )

    def passes(self, seconds):
        self._now += seconds
        _core.clock_advance(seconds)
