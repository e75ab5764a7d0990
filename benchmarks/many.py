"""Reading the results of many calls at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache import caches

from benchmarks.conditions import Conditions
from benchmarks.contestants import OURS, TTL, VALUE, Library, NotAHit, Ours, Peer, counted_profile
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

KEYS = 100
CALLS = [(number, "profile") for number in range(KEYS)]

MANY = f"{OURS}, get_many"
ONE_BY_ONE = f"{OURS}, one by one"
PEER_ONE_BY_ONE = "drf-restflow, one by one"
RAW = "raw get_many"

TEN_TIMES = Target("at least", 10)


def many(conditions: Conditions, kind: str, title: str) -> Section:
    """The hits of a hundred calls, together and one after the other."""
    ours, peer = Ours(), Peer()
    many, runs = _filled(ours, kind)
    peers, peer_runs = _filled(peer, kind)
    raw = _raw(kind)
    contestants = [
        _contestant(MANY, lambda: many.get_many(CALLS), runs),
        _contestant(ONE_BY_ONE, lambda: [many(*call) for call in CALLS], runs),
        _contestant(PEER_ONE_BY_ONE, lambda: [peers(*call) for call in CALLS], peer_runs),
        _contestant(RAW, raw, None),
    ]
    # A round takes a hundred times as long as those of single hits.
    result = race(contestants, max(conditions.rounds // 4, 1), conditions.batch_ns)
    figures = [
        Figure(f"{ONE_BY_ONE} to {MANY}", result.ratio(ONE_BY_ONE, MANY), "x", TEN_TIMES),
        Figure(f"{PEER_ONE_BY_ONE} to {MANY}", result.ratio(PEER_ONE_BY_ONE, MANY), "x"),
        Figure(f"{MANY} to {RAW}", result.ratio(MANY, RAW), "x"),
    ]
    section = Section(title, figures, [Time(name, result.spread(name)) for name in result.times])
    section.notes.append(f"{KEYS} calls; {MANY} is {conditions.server.commands_of(contestants[0].verify)}.")
    return section


def _filled(library: Library, kind: str) -> tuple[Any, Any]:
    func, runs = counted_profile()
    name = alias(kind, library.owner)
    library.use(name)
    wrapper = library.wrap(func, f"bench.many.{kind}", name)
    for call in CALLS:
        wrapper(*call)
    return wrapper, runs


def _raw(kind: str) -> Callable[[], list[Any]]:
    """The floor: the same values under short keys, and no generations."""
    backend = caches[alias(kind, "raw")]
    keys = [f"user:{number}" for number in range(KEYS)]
    backend.set_many(dict.fromkeys(keys, VALUE), TTL)
    return lambda: list(backend.get_many(keys).values())


def _contestant(name: str, read: Callable[[], list[Any]], runs: Any) -> Contestant:
    def verify() -> None:
        before = runs.count if runs else 0
        if read() != [VALUE] * KEYS or (runs and runs.count != before):
            raise NotAHit(f"{name} did not read {KEYS} hits")

    return Contestant(name, "read()", {"read": read}, verify)
