"""`delete_by_prefix` of ten entries, on django-redis and MemoryCache, in a small and in a large keyspace."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from django.core.cache import caches

from benchmarks.conditions import Conditions
from benchmarks.contestants import LIBRARIES, OURS, Library, NotAHit, Ours, Runs
from benchmarks.project import MEMORY_WIPE_ALIASES, WIPE_ALIASES
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.servers import RedisServer
from benchmarks.timing import Spread, collector_off

LIMIT = Target("at most", 1.5)
MEMORY_LIMIT = Target("at most", 1.2)

WIPED_USER, KEPT_USER = 7, 8
SECTIONS = tuple(f"section-{number}" for number in range(10))

FILL_SCRIPT = """
for number = ARGV[1], ARGV[2] do
    redis.call('SET', ':1:benchmarks.other_function:' .. number, 'x')
end
"""
FILL_STEP = 50_000


def wipes(conditions: Conditions) -> Section:
    """Both libraries work on the same two keyspaces, one after the other."""
    sizes = dict(zip(WIPE_ALIASES, conditions.keyspaces, strict=True))
    for alias, size in sizes.items():
        fill(conditions.server, WIPE_ALIASES[alias], size)
    small, large = sizes
    section = Section("delete_by_prefix, 10 matches, django-redis")
    for library in LIBRARIES:
        ours = library.name == OURS
        wrappers = {alias: _wrapped(library, alias) for alias in (small, large)}
        times = _wipe_times(library, wrappers, conditions.wipes if ours else conditions.peer_wipes)
        _report(section, library, times, sizes, LIMIT if ours else None)
    return section


def memory_wipes(conditions: Conditions) -> Section:
    """The keyspaces are the function's own entries, ten of each user. The peer cannot do this in memory."""
    library = Ours()
    sizes = dict(zip(MEMORY_WIPE_ALIASES, conditions.keyspaces, strict=True))
    wrappers = {alias: _wrapped(library, alias) for alias in sizes}
    for alias, size in sizes.items():
        wrapper, runs = wrappers[alias]
        for number in range(size):
            wrapper(number // len(SECTIONS), SECTIONS[number % len(SECTIONS)])
        store = caches[alias].store
        if (runs.count, len(store)) != (size, size):
            raise NotAHit(f"expected {size} entries, found {len(store)} after {runs.count} runs")
    times = _wipe_times(library, wrappers, conditions.wipes)
    section = Section("delete_by_prefix, 10 matches, MemoryCache")
    _report(section, library, times, sizes, MEMORY_LIMIT)
    for alias in sizes:
        caches[alias].clear()
    return section


def _report(
    section: Section,
    library: Library,
    times: Mapping[str, Sequence[float]],
    sizes: Mapping[str, int],
    limit: Target | None,
) -> None:
    small, large = sizes
    ratio = Spread.of([b / a for a, b in zip(times[small], times[large], strict=True)])
    what = f"{library.name}, {sizes[large]:,} keys to {sizes[small]:,}"
    section.figures.append(Figure(what, ratio, "x", limit))
    for alias, size in sizes.items():
        section.times.append(Time(f"{library.name}, {size:,} keys", Spread.of(times[alias])))


def fill(server: RedisServer, database: int, size: int) -> None:
    """Put `size` keys of somebody else's into a database, on the server's side."""
    with server.client(database) as client:
        client.flushdb()
        for first in range(1, size + 1, FILL_STEP):
            client.eval(FILL_SCRIPT, 0, first, min(first + FILL_STEP - 1, size))
        if client.dbsize() != size:
            raise NotAHit(f"expected {size} keys, found {client.dbsize()}")


def _wipe_times(
    library: Library, wrappers: Mapping[str, tuple[Any, Runs]], repetitions: int
) -> dict[str, list[float]]:
    """Nanoseconds per wipe and alias. The aliases take turns, and the one that begins alternates."""
    times: dict[str, list[float]] = {alias: [] for alias in wrappers}
    order = list(wrappers)
    with collector_off():
        for _ in range(repetitions):
            for alias in order:
                library.use(alias)
                times[alias].append(_timed_wipe(library, *wrappers[alias]))
            order.reverse()
    return times


def _wrapped(library: Library, alias: str) -> tuple[Any, Runs]:
    runs = Runs()

    def page(user_id: int, section: str) -> str:
        runs.record()
        return f"{section} of {user_id}"

    return library.wrap(page, f"bench.{alias}", alias, partition="user_id"), runs


def _timed_wipe(library: Library, wrapper: Any, runs: Runs) -> int:
    """Fill ten entries, wipe them under the clock (ns), and look that exactly those are gone."""
    for section in SECTIONS:
        wrapper(WIPED_USER, section)
        wrapper(KEPT_USER, section)
    before = runs.count
    for section in SECTIONS:
        wrapper(WIPED_USER, section)
    if runs.count != before:
        raise NotAHit(f"{library.name}: the entries to wipe were not there")
    gc.collect()
    start = perf_counter_ns()
    wrapper.delete_by_prefix(WIPED_USER)
    took = perf_counter_ns() - start
    for section in SECTIONS:
        if not library.is_missing(wrapper.get_cache_only(WIPED_USER, section)):
            raise NotAHit(f"{library.name}: an entry outlived the wipe")
        if library.is_missing(wrapper.get_cache_only(KEPT_USER, section)):
            raise NotAHit(f"{library.name}: the wipe took another partition's entry")
    return took
