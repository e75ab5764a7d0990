"""Filling the cache ahead of time, for scripts and management commands."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_result import background
from cache_result._core import CACHE_MISSING
from cache_result.driving import drive
from cache_result.many import Arguments, Call, alook, check_concurrency, chunks, look, run_of, together
from cache_result.reports import logger
from cache_result.status import CacheStatus

if TYPE_CHECKING:
    from cache_result.core_wrapper import CoreWrapper

    AnyWrapper = CoreWrapper[..., Any]

CHUNK = 100
"""So many calls are looked for at once, and shown as done."""


class Warmed(NamedTuple):
    """What ``warm`` has done."""

    cached: int
    """Calls whose results were there."""
    filled: int
    """Calls for which the function ran, in the background where an old result was there."""
    failed: int
    """Calls that raised; each is in the log."""


class _Count:
    """What becomes of the calls, counted."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.cached = self.filled = self.failed = 0
        self.is_renewing = False

    def ran(self, result: Any) -> None:
        """``result`` is that of a call, with its metadata."""
        status = result[1]["cache_status"]
        self.is_renewing |= status is CacheStatus.STALE
        if status is CacheStatus.HIT:
            self.cached += 1
        else:
            self.filled += 1

    def raised(self, call: Arguments, error: Exception) -> None:
        """``error`` is what a call raised."""
        self.failed += 1
        what = Call(*call[0], **call[1])
        logger.error("cache_result: warming %s: %r raised", self.label, what, exc_info=error)

    @property
    def result(self) -> Warmed:
        return Warmed(self.cached, self.filled, self.failed)


def warm(wrapper: "AnyWrapper", calls: Iterable[Any], refresh: bool, progress: bool | None) -> Warmed:
    """Makes calls in this thread, one after the other."""
    count = _Count(wrapper.label)
    with _bar(calls, wrapper.label, progress) as advance:
        for chunk in chunks(wrapper, calls, CHUNK):
            batch, values = (None, []) if refresh else look(wrapper, chunk)
            for at, call in enumerate(chunk):
                try:
                    if batch is None:
                        count.ran(wrapper._run("refresh" if refresh else "get", "both", *call))
                    elif values[at] is CACHE_MISSING:
                        count.ran(batch.run(at, "both"))
                    else:
                        count.cached += 1
                except Exception as error:
                    count.raised(call, error)
                advance(1)
            if count.is_renewing:  # the process may end soon, and what is queued with it
                background.settle()
    return count.result


async def awarm(
    wrapper: "AnyWrapper", calls: Iterable[Any], refresh: bool, progress: bool | None, concurrency: int
) -> Warmed:
    """Makes calls on the running loop, so many at once."""
    check_concurrency(concurrency, wrapper.label)
    count = _Count(wrapper.label)
    with _bar(calls, wrapper.label, progress) as advance:
        for chunk in chunks(wrapper, calls, CHUNK):
            batch, values = (None, [CACHE_MISSING] * len(chunk)) if refresh else await alook(wrapper, chunk)

            async def make(at: int, call: Arguments, batch: Any = batch) -> None:
                try:
                    if refresh:
                        count.ran(await drive(wrapper, "refresh", "both", *call))
                    else:
                        count.ran(await run_of(wrapper, batch, at, call, "both")())
                except Exception as error:
                    count.raised(call, error)
                advance(1)

            missing = [at for at, value in enumerate(values) if value is CACHE_MISSING]
            count.cached += len(chunk) - len(missing)
            advance(len(chunk) - len(missing))
            await together([_partial(make, at, chunk[at]) for at in missing], concurrency)
            if count.is_renewing:
                await background.asettle()
    return count.result


def _partial(make: Callable[..., Any], at: int, call: Arguments) -> Callable[[], Any]:
    return lambda: make(at, call)


@contextmanager
def _bar(calls: Iterable[Any], label: str, progress: bool | None) -> Iterator[Callable[[int], object]]:
    """A progress bar's way to go on by so many calls.

    :raises ImportError: if one is wanted, and tqdm is not installed.
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda count: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        if progress:
            raise ImportError(
                "cache_result: warm(progress=True) needs tqdm; pip install 'django-cache-result[progress]'"
            ) from None
        yield lambda count: None
        return
    total = len(calls) if isinstance(calls, Collection) else None
    with tqdm(total=total, desc=label, unit=" calls") as bar:
        yield bar.update
