"""What an entry takes beyond its value: the growth of a fresh process, by the entry."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.conditions import Conditions
from benchmarks.project import alias, configure
from benchmarks.report import Figure, Section
from benchmarks.timing import Spread

OURS = "cache_result on MemoryCache"
RAW = "MemoryCache.set"
LOCMEM = "LocMemCache.set"
WEIGHED = "as MAX_BYTES counts it"

ENTRIES = 100_000
TRIALS = 3


def memory_bytes(conditions: Conditions) -> Section:
    """Entries whose value is True, which takes nothing itself; the keys count as part of the entry."""
    section = Section("bytes per entry beyond the value")
    for who in (OURS, RAW, LOCMEM):
        found = [_in_new_process(who) for _ in range(TRIALS)]
        section.figures.append(Figure(who, Spread.of_counts([grown for grown, _ in found]), "B"))
        weights = [weight for _, weight in found if weight]
        if weights:
            section.figures.append(Figure(f"{who}, {WEIGHED}", Spread.of_counts(weights), "B"))
    section.notes.append(
        f"growth of the resident memory of a new process over {ENTRIES:,} entries with the value True, of "
        "functions with two arguments, and of `set` with the key 'user:<number>'; LocMem keeps a pickle."
    )
    return section


def _in_new_process(who: str) -> tuple[int, int]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_grow, who).result()


def _grow(who: str) -> tuple[int, int]:
    """In the child: bytes per entry that the process has grown, and that the store says (0: it does not)."""
    configure(None)
    from django.core.cache import caches

    from benchmarks.contestants import TTL, NotAHit, Ours

    def is_member(user_id: int, section: str) -> bool:
        return True

    wrapper = Ours().wrap(is_member, "bench.bytes", alias("memory_usual", "ours"))
    cache = caches[alias("memory_usual" if who != LOCMEM else "locmem", "ours")]

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            if who == OURS:
                wrapper(number, "profile")
            else:
                cache.set(f"user:{number}", True, TTL)

    warm = 1000
    fill(0, warm)
    before, weight_before = _resident(), _weight(cache)
    fill(warm, warm + ENTRIES)
    grown, weighed = _resident() - before, _weight(cache) - weight_before
    if who != LOCMEM and len(cache.store) != warm + ENTRIES:
        raise NotAHit(f"{who}: {len(cache.store)} entries instead of {warm + ENTRIES}")
    return grown // ENTRIES, weighed // ENTRIES


def _weight(cache: object) -> int:
    store = getattr(cache, "store", None)
    return store.weight if store is not None else 0


def _resident() -> int:
    """Bytes of memory that this process has; where that is not said, the most that it has had."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
