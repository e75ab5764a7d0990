"""What the windows around expiry cost while nothing expires."""

from __future__ import annotations

from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, Ours, counted_profile, ran_once
from benchmarks.hits import ARGUMENTS, CALL
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

WITH = f"{OURS}, all windows"
WINDOWS = {
    "stale_while_revalidate": 60,
    "stale_if_error": 3600,
    "fill_timeout": 0.5,
    "early_refresh": True,
    "jitter": 0.1,
}


def windows(conditions: Conditions) -> Section:
    """A hit of a function with all of them beside one of the same function without."""
    section = Section("hit with all windows configured")
    for kind, title in (("memory", "MemoryCache"), ("locmem", "LocMem"), ("redis", "core RedisCache")):
        result = race(
            [_filled(kind, Ours()), _filled(kind, Ours(WITH, **WINDOWS))],
            conditions.rounds,
            conditions.batch_ns,
        )
        ratio = result.ratio(WITH, OURS)
        section.figures.append(Figure(f"{title}, {WITH} to {OURS}", ratio, "x", Target("at most", 1.05)))
        section.times += [Time(f"{title}: {name}", result.spread(name)) for name in result.times]
    return section


def _filled(kind: str, ours: Ours) -> Contestant:
    func, runs = counted_profile()
    wrapper = ours.wrap(func, f"bench.windows.{kind}.{len(ours.options)}", alias(kind, ours.owner))
    wrapper(*ARGUMENTS)
    return Contestant(ours.name, CALL, {"call": wrapper}, ran_once(lambda: wrapper(*ARGUMENTS), runs))
