"""Building the key text of a call of two arguments."""

from __future__ import annotations

from typing import Any

from benchmarks.conditions import Conditions
from benchmarks.contestants import LIBRARIES, OURS, PEER, NotAHit
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, race

LIMIT = Target("at least", 50)


def orders(customer_id: int, status: str) -> list[int]:
    """Never runs: only its keys are built."""
    raise NotImplementedError


def key_building(conditions: Conditions) -> Section:
    """`get_cache_key(1, "abc")` of the default constructor, and of one with a partition field."""
    section = Section("key of two arguments")
    for label, partition, target in (("", None, LIMIT), (", one a partition", "customer_id", None)):
        contestants = [
            _contestant(
                library.name, library.wrap(orders, f"bench.key{partition or ''}", partition=partition)
            )
            for library in LIBRARIES
        ]
        result = race(contestants, conditions.rounds, conditions.batch_ns)
        section.figures.append(Figure(f"{PEER} to {OURS}{label}", result.ratio(PEER, OURS), "x", target))
        section.times += [Time(f"{name}{label}", result.spread(name)) for name in result.times]
    return section


def _contestant(name: str, wrapper: Any) -> Contestant:
    key = wrapper.get_cache_key

    def verify() -> None:
        if not isinstance(key(1, "abc"), str) or key(1, "abc") != key(1, status="abc"):
            raise NotAHit(f"{name}: equal calls must have one key, got {key(1, 'abc')!r}")
        if len({key(1, "abc"), key(2, "abc"), key(1, "abd")}) != 3:
            raise NotAHit(f"{name}: different calls share a key")

    return Contestant(name, "key(1, 'abc')", {"key": key}, verify)
