"""Many calls of one function at once: what is cached is read in one round trip."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from cache_result import _core
from cache_result._core import CACHE_MISSING
from cache_result.driving import copied, drive, drive_steps
from cache_result.threads import off_the_loop

if TYPE_CHECKING:
    from cache_result.core_wrapper import CoreWrapper

    AnyWrapper = CoreWrapper[..., Any]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Want = Literal["value", "both"]
R = TypeVar("R")

CHUNK = 500
"""So many calls are read in one round trip."""
CONCURRENCY = 10
"""So many runs of an async function are under way at once."""


class Call:
    """The arguments of one call, for ``get_many`` and ``warm``: ``Call(5, part="x")``."""

    __slots__ = ("args", "kwargs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        each = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"Call({', '.join(each)})"


def arguments_of(calls: Iterable[Any], label: str) -> Iterator[Arguments]:
    """The arguments of each call. What is no ``Call``, tuple or dict is an only argument.

    :raises TypeError: for what is no iterable of calls.
    """
    if isinstance(calls, str | bytes | Mapping) or not isinstance(calls, Iterable):
        raise TypeError(
            f"cache_result: {label} was given {calls!r} as calls; give an iterable of arguments, of tuples, "
            "of dicts of keyword arguments, or of Call(...)"
        )
    return map(_arguments, calls)


def _arguments(call: Any) -> Arguments:
    """Who yields the calls, and functions that run before, may go on changing lists and dicts in them."""
    if isinstance(call, Call):
        return copied(call.args), copied(call.kwargs)
    # Exactly these: a named tuple is a value.
    if type(call) is tuple:
        return copied(call), {}
    if type(call) is dict:
        return (), copied(call)
    return (copied(call),), {}


def of_instance(method: Callable[..., R], instance: Any, calls: Iterable[Any], **options: Any) -> R:
    """``method`` with calls that have ``instance`` as their first argument."""
    each = (Call(instance, *args, **kwargs) for args, kwargs in arguments_of(calls, repr(instance)))
    return method(list(each) if isinstance(calls, Collection) else each, **options)


def get_many(wrapper: "AnyWrapper", calls: Iterable[Any]) -> list[Any]:
    """The results of calls, in their order, in this thread."""
    return [result for chunk in chunks(wrapper, calls) for result in _chunk(wrapper, chunk)]


def chunks(wrapper: "AnyWrapper", calls: Iterable[Any], size: int = CHUNK) -> Iterator[list[Arguments]]:
    """The arguments of calls, so many at a time."""
    each = arguments_of(calls, wrapper.label)
    while chunk := list(islice(each, size)):
        yield chunk


def _chunk(wrapper: "AnyWrapper", calls: list[Arguments]) -> Iterator[Any]:
    batch, values = look(wrapper, calls)
    if batch is None:
        call = cast("Callable[..., Any]", wrapper)
        yield from (call(*args, **kwargs) for args, kwargs in calls)
        return
    for at, value in enumerate(values):
        yield batch.run(at) if value is CACHE_MISSING else value


def look(wrapper: "AnyWrapper", calls: list[Arguments]) -> tuple[_core.Batch | None, list[Any]]:
    """What runs calls, the hits among them, and ``CACHE_MISSING`` in the places of the others. No batch
    where they can as well be made one by one."""
    batch = _core.Batch.of(wrapper, calls)
    if batch is None:
        return None, []
    storage = batch.storage
    added = batch.read(storage.read(batch.keys))
    if added:
        batch.compare(storage.read(added))
    return batch, batch.hits()


async def aget_many(wrapper: "AnyWrapper", calls: Iterable[Any], concurrency: int) -> list[Any]:
    """The results of calls, in their order; so many runs at once."""
    check_concurrency(concurrency, wrapper.label)
    results: list[Any] = []
    for chunk in chunks(wrapper, calls):
        batch, values = await alook(wrapper, chunk)
        missing = [at for at, value in enumerate(values) if value is CACHE_MISSING]
        runs = [run_of(wrapper, batch, at, chunk[at], "value") for at in missing]
        for at, value in zip(missing, await together(runs, concurrency), strict=True):
            values[at] = value
        results += values
    return results


def check_concurrency(concurrency: int, label: str) -> None:
    """:raises TypeError: for anything but an int.
    :raises ValueError: if it is less than 1."""
    if isinstance(concurrency, bool) or not isinstance(concurrency, int):
        raise TypeError(f"cache_result: concurrency={concurrency!r} for {label}: give an int")
    if concurrency < 1:
        raise ValueError(f"cache_result: concurrency={concurrency!r} for {label}: give at least 1")


async def alook(wrapper: "AnyWrapper", calls: list[Arguments]) -> tuple[_core.Batch | None, list[Any]]:
    """Asyncio twin of ``look``, which also looks into caches of this process."""
    batch = await off_the_loop(_core.Batch.of, wrapper, calls)
    if batch is None:
        return None, [wrapper._hit(args, kwargs) for args, kwargs in calls]
    storage = batch.storage
    added = batch.read(await storage.aperform("read", batch.keys))
    if added:
        batch.compare(await storage.aperform("read", added))
    return batch, batch.hits()


def run_of(
    wrapper: "AnyWrapper", batch: _core.Batch | None, at: int, call: Arguments, want: Want
) -> Callable[[], Coroutine[Any, Any, Any]]:
    """What makes a call that was no hit."""

    async def run() -> Any:
        if batch is None:
            return await drive(wrapper, "get", want, *call)
        return await drive_steps(wrapper, await off_the_loop(batch.steps, at, want), *call)

    return run


async def together(runs: list[Callable[[], Coroutine[Any, Any, R]]], concurrency: int) -> list[R]:
    """The results of all, so many of them under way at once. The first exception ends the others."""
    if len(runs) <= 1 or concurrency == 1:
        return [await run() for run in runs]
    limit = asyncio.Semaphore(concurrency)

    async def limited(run: Callable[[], Coroutine[Any, Any, R]]) -> R:
        async with limit:
            return await run()

    tasks = [asyncio.ensure_future(limited(run)) for run in runs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        left = [task for task in tasks if not task.done()]
        for task in left:
            if not task.cancelling():  # a second time would end what it does to end
                task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
