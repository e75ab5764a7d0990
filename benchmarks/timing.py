"""Interleaved timing: contestants take turns in small batches, and ratios are taken within a round.

All times are nanoseconds per operation.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Protocol

_BATCH = """
{kind} batch(_turns, _clock):
    _start = _clock()
    for _ in _turns:
        {statement}
    return _clock() - _start
"""

WARM_UP_NS = 20_000_000


@dataclass(frozen=True)
class Spread:
    """Median of some samples, with the tenth and the ninetieth percentile."""

    median: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of at least one sample; percentiles are interpolated linearly."""
        ordered = sorted(samples)

        def percentile(share: float) -> float:
            position = share * (len(ordered) - 1)
            below = int(position)
            above = min(below + 1, len(ordered) - 1)
            return ordered[below] + (ordered[above] - ordered[below]) * (position - below)

        return cls(percentile(0.5), percentile(0.1), percentile(0.9), len(ordered))

    @classmethod
    def of_counts(cls, samples: Sequence[int]) -> Spread:
        """Median, least and most: a count that was wrong once must not hide behind a percentile."""
        return cls(cls.of(samples).median, min(samples), max(samples), len(samples))

    def scaled(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.samples)


class Entrant(Protocol):
    """Who takes part in a race."""

    @property
    def name(self) -> str: ...

    @property
    def verify(self) -> Callable[[], None]:
        """Raises unless the work is done as the row says."""

    def batch(self, runner: asyncio.Runner | None) -> Callable[[int], int]:
        """A function from a number of turns to the nanoseconds they took in all."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing a row's work.

    `statement` is Python source, timed as it stands (no call of ours around it); `names` are its globals.
    One that contains `await` runs on an event loop. `verify` raises unless the statement does what the row
    says; it runs before the first and after the last round.
    """

    name: str
    statement: str
    names: Mapping[str, Any]
    verify: Callable[[], None] = field(default=lambda: None)

    @property
    def is_async(self) -> bool:
        return "await " in self.statement

    def batch(self, runner: asyncio.Runner | None) -> Callable[[int], int]:
        """A function from a number of turns to the nanoseconds they took in all."""
        timed = self.compile()
        if not self.is_async:
            return lambda turns: timed(repeat(None, turns), perf_counter_ns)
        if runner is None:
            raise ValueError(f"{self.name} awaits, so race() needs a runner")

        def run(turns: int) -> int:
            coroutine: Coroutine[Any, Any, int] = timed(repeat(None, turns), perf_counter_ns)
            return runner.run(coroutine)

        return run

    def compile(self) -> Callable[..., Any]:
        """A function `(turns, clock)` that runs the statement once per turn and returns nanoseconds."""
        scope = dict(self.names)
        source = _BATCH.format(kind="async def" if self.is_async else "def", statement=self.statement)
        exec(compile(source, f"<{self.name}>", "exec"), scope)
        batch: Callable[..., Any] = scope["batch"]
        return batch


@dataclass(frozen=True)
class Race:
    """The times of one row: per contestant, nanoseconds per operation of every round."""

    times: Mapping[str, Sequence[float]]

    def spread(self, name: str) -> Spread:
        """Nanoseconds per operation."""
        return Spread.of(self.times[name])

    def ratio(self, name: str, to: str) -> Spread:
        """How many times as long `name` takes as `to`, from ratios within each round."""
        return Spread.of([a / b for a, b in zip(self.times[name], self.times[to], strict=True)])

    def over(self, name: str, base: str) -> Spread:
        """Nanoseconds per operation that `name` takes longer than `base`, within each round."""
        return Spread.of(self._extra(name, base))

    def ratio_over(self, name: str, to: str, base: str) -> Spread:
        """How many times as much `name` takes over `base` as `to` does. Differences of single rounds may
        be next to nothing, so that they are set against the median of `to`."""
        denominator = Spread.of(self._extra(to, base)).median
        return Spread.of([extra / denominator for extra in self._extra(name, base)])

    def _extra(self, name: str, base: str) -> list[float]:
        return [a - b for a, b in zip(self.times[name], self.times[base], strict=True)]


def race(
    contestants: Sequence[Entrant], rounds: int, batch_ns: int, runner: asyncio.Runner | None = None
) -> Race:
    """Time the contestants in turn, `rounds` times, in batches of about `batch_ns` nanoseconds each.

    The garbage collector runs before each round and is off inside it. The contestant that begins changes from
    round to round. `runner` is needed by asynchronous contestants.
    """
    batches = {contestant.name: contestant.batch(runner) for contestant in contestants}
    for contestant in contestants:
        contestant.verify()
    turns = {name: _turns_for(batch, batch_ns) for name, batch in batches.items()}
    times: dict[str, list[float]] = {name: [] for name in batches}
    order = list(batches)
    with collector_off():
        for _ in range(rounds):
            gc.collect()
            for name in order:
                times[name].append(batches[name](turns[name]) / turns[name])
            order.append(order.pop(0))
    for contestant in contestants:
        contestant.verify()
    return Race(times)


@contextmanager
def collector_off() -> Iterator[None]:
    """No garbage collection but by `gc.collect()`, which is cheap here: what exists already is left aside."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _turns_for(batch: Callable[[int], int], batch_ns: int) -> int:
    """Warm the contestant up, then say how many turns last about `batch_ns` nanoseconds."""
    turns, spent = 1, 0
    while True:
        took = max(batch(turns), 1)
        spent += took
        if took >= batch_ns or spent >= WARM_UP_NS:
            return max(1, round(turns * batch_ns / took))
        turns *= 2
