"""What a miss costs beyond the function: look, run, store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

from django.core.cache import caches

from benchmarks.conditions import Conditions
from benchmarks.contestants import LIBRARIES, TTL, Library, NotAHit, Ours, Runs
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Time
from benchmarks.timing import Contestant, race

RAW = "raw get, then set"
WITHOUT_LEASE = "cache_result, single_flight='process'"


def misses(conditions: Conditions, kind: str, title: str) -> Section:
    """A function that returns at once, called with a new number each time."""
    libraries = [*LIBRARIES, Ours(WITHOUT_LEASE, single_flight="process")]
    wrapped = {library.name: _contestant(library, kind) for library in libraries}
    contestants = [*wrapped.values(), _raw(kind)]
    result = race(contestants, conditions.rounds, conditions.batch_ns)
    figures = [Figure(f"{name} to {RAW}", result.ratio(name, RAW), "x") for name in wrapped]
    section = Section(title, figures, [Time(name, result.spread(name)) for name in result.times])
    if kind not in ("locmem", "memory"):
        for name, contestant in wrapped.items():
            miss = partial(contestant.names["call"], -1)
            section.notes.append(f"one miss of {name} is {conditions.server.commands_of(miss)}.")
    return section


def _counted_double() -> tuple[Callable[[int], int], Runs]:
    runs = Runs()

    def double(number: int) -> int:
        runs.record()
        return number * 2

    return double, runs


def _contestant(library: Library, kind: str) -> Contestant:
    func, runs = _counted_double()
    name = alias(kind, library.owner)
    library.use(name)
    wrapper = library.wrap(func, f"bench.miss.{kind}.{library.name}", name)
    return _counting(library.name, wrapper, runs)


def _raw(kind: str) -> Contestant:
    """The four lines that people write by hand: neither fenced nor single-flighted."""
    func, runs = _counted_double()
    backend = caches[alias(kind, "raw")]
    get, store, missing = backend.get, backend.set, object()

    def get_or_run(number: int) -> int:
        key = f"double:{number}"
        value = get(key, missing)
        if value is missing:
            value = func(number)
            store(key, value, TTL)
        return int(value)

    return _counting(RAW, get_or_run, runs)


def _counting(name: str, call: Callable[[int], int], runs: Runs) -> Contestant:
    """A contestant whose every call must have run the function, and stored what it gave."""
    numbers = count()

    def verify() -> None:
        number = next(numbers)
        if (call(number), runs.count) != (number * 2, number + 1):
            raise NotAHit(f"{name}: call {number + 1} ran the function {runs.count} times in all")
        call(number)
        if runs.count != number + 1:
            raise NotAHit(f"{name}: the value was not stored")

    return Contestant(name, "call(next(numbers))", {"call": call, "numbers": numbers}, verify)
