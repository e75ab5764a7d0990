"""Reading a cached value: LocMem, core RedisCache, django-redis; sync and async."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

from django.core.cache import caches

from benchmarks.conditions import Conditions
from benchmarks.contestants import (
    LIBRARIES,
    OURS,
    PEER,
    TTL,
    VALUE,
    Library,
    NotAHit,
    counted_async_profile,
    counted_profile,
    ran_once,
)
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, Race, race

ARGUMENTS = (42, "profile")
CALL = "call(42, 'profile')"

LRU = "functools.lru_cache"
RAW = "raw get, the wrapper's key"
RAW_SHORT = "raw get, key 'user:42'"

LIMIT = Target("at most", 1.25)


def sync_hits(conditions: Conditions, kind: str, title: str, partition: str | None) -> Section:
    """Sync hits on one kind of cache, each contestant on an alias of its own."""
    wrapped = {library.name: filled(library, kind, partition) for library in LIBRARIES}
    contestants = [contestant for contestant, _ in wrapped.values()]
    contestants += raw_gets(kind, key=wrapped[OURS][1].get_cache_key(*ARGUMENTS), statement="get(key)")
    if kind == "locmem":
        contestants.append(lru_hit())
    section = _section(title, race(contestants, conditions.rounds, conditions.batch_ns))
    if kind != "locmem":
        commands = conditions.server.commands_of(lambda: wrapped[OURS][1](*ARGUMENTS))
        section.notes.append(f"one hit of {OURS} is {commands}.")
    return section


def async_hits(conditions: Conditions, kind: str, title: str) -> Section:
    """Awaited hits on one kind of cache; no target, the sync rows set the pace."""
    wrapped = {library.name: filled_async(library, kind, conditions.runner) for library in LIBRARIES}
    key = wrapped[OURS][1].get_cache_key(*ARGUMENTS)
    contestants = [contestant for contestant, _ in wrapped.values()]
    contestants += raw_gets(
        kind, key=key, statement="await get(key)", method="aget", runner=conditions.runner
    )
    result = race(contestants, conditions.rounds, conditions.batch_ns, conditions.runner)
    section = _section(title, result, target=None)
    section.notes.append("raw is `await cache.aget(key)`.")
    return section


def _section(title: str, result: Race, target: Target | None = LIMIT) -> Section:
    figures = [
        Figure(f"{OURS} to {RAW}", result.ratio(OURS, RAW), "x", target),
        Figure(f"{OURS} to {RAW_SHORT}", result.ratio(OURS, RAW_SHORT), "x"),
        Figure(f"{PEER} to {RAW}", result.ratio(PEER, RAW), "x"),
    ]
    if LRU in result.times:
        figures.append(Figure(f"{OURS} to {LRU}", result.ratio(OURS, LRU), "x"))
    return Section(title, figures, [Time(name, result.spread(name)) for name in result.times])


def filled(library: Library, kind: str, partition: str | None, value: Any = VALUE) -> tuple[Contestant, Any]:
    """A wrapper that holds the entry, as a contestant and as itself."""
    func, runs = counted_profile(value)
    name = alias(kind, library.owner)
    library.use(name)
    wrapper = library.wrap(func, f"bench.hit.{kind}.{type(value).__name__}", name, partition)
    wrapper(*ARGUMENTS)
    verify = ran_once(lambda: wrapper(*ARGUMENTS), runs, value)
    return Contestant(library.name, CALL, {"call": wrapper}, verify), wrapper


def filled_async(library: Library, kind: str, runner: asyncio.Runner) -> tuple[Contestant, Any]:
    """The asynchronous twin of `filled`."""
    func, runs = counted_async_profile()
    name = alias(kind, library.owner)
    library.use(name)
    wrapper = library.wrap(func, f"bench.async_hit.{kind}", name)

    async def call() -> object:
        return await wrapper(*ARGUMENTS)

    runner.run(call())
    verify = ran_once(lambda: runner.run(call()), runs)
    return Contestant(library.name, f"await {CALL}", {"call": wrapper}, verify), wrapper


def lru_hit(value: Any = VALUE) -> Contestant:
    """The floor: one object for all callers, known to this process only, and no way to invalidate it."""
    func, runs = counted_profile(value)
    cached = lru_cache(maxsize=128)(func)
    cached(*ARGUMENTS)
    return Contestant(LRU, CALL, {"call": cached}, ran_once(lambda: cached(*ARGUMENTS), runs, value))


def raw_gets(
    kind: str,
    key: str,
    statement: str,
    method: str = "get",
    runner: asyncio.Runner | None = None,
    value: Any = VALUE,
) -> list[Contestant]:
    """`cache.get` of a bound backend (no proxy), under the wrapper's key text and under a short one."""
    backend = caches[alias(kind, "raw")]
    get = getattr(backend, method)

    def contestant(name: str, key: str) -> Contestant:
        backend.set(key, value, TTL)

        async def aget() -> object:
            return await get(key)

        def verify() -> None:
            found = runner.run(aget()) if runner else get(key)
            if found != value:
                raise NotAHit(f"{name}: got {found!r}")

        return Contestant(name, statement, {"get": get, "key": key}, verify)

    return [contestant(RAW, key), contestant(RAW_SHORT, "user:42")]
