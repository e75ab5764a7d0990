"""Hits of the embedded cache: `MemoryCache` beside `lru_cache`, LocMem, pickle and other libraries' memory.

Only ours and raw LocMem give every caller a value of his own; `lru_cache`, dogpile.cache and cashews hand
out one object, which a caller can spoil for all others.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

from cashews import Cache
from django.core.cache import caches
from dogpile.cache import make_region

from benchmarks.conditions import Conditions
from benchmarks.contestants import (
    OURS,
    PEER,
    TTL,
    VALUE,
    NotAHit,
    Ours,
    Peer,
    counted_async_profile,
    counted_profile,
    ran_once,
)
from benchmarks.hits import ARGUMENTS, CALL, LRU, filled, filled_async, lru_hit, raw_gets
from benchmarks.project import alias
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import Contestant, Race, race
from cache_result import invalidate_tags

HOST = f"{OURS}, HOST_INDEX"
TAGGED = f"{OURS}, two tags"
UNTAG = "invalidate_tags of one tag"
ON_LOCMEM = f"{PEER} on LocMem"
RAW_LOCMEM = "raw LocMem get, the wrapper's key"
DOGPILE = "dogpile.cache, memory"
CASHEWS = "cashews, mem"
EMPTY = "an empty coroutine"
LOADS = "pickle.loads"
DUMPS = "pickle.dumps"

NAMES = ("Ada Lovelace", "London", 1815, 1852, 36.9, None, True, b"\x01\x02", ("analysts", "editors"), "f")
"""A value that nobody can change."""

ROWS = [
    {
        **VALUE,
        "id": number,
        "name": f"Ada Lovelace the {number}th",
        "email": f"ada{number}@example.org",
        "city": f"London {number}",
        "balance": number * 1.5,
        "logins": number * 1852,
        "joined": f"1833-06-05T10:00:00.{number:06}+00:00",
        "groups": [f"analysts {number}", f"editors {number}"],
    }
    for number in range(300)
]
"""A list of dicts, each with values of its own, whose pickle has 50 KB."""


def memory_hits(conditions: Conditions) -> Section:
    """A ten-key dict for two positional arguments; with the host index and without it."""
    ours, wrapper = filled(Ours(), "memory", None)
    hosted, _ = filled(Ours(HOST), "memory_host", None)
    peer, _ = filled(Peer(ON_LOCMEM), "locmem", None)
    raw, _ = raw_gets("locmem", wrapper.get_cache_key(*ARGUMENTS), "get(key)")
    contestants = [ours, hosted, *_tagged(), peer, _renamed(raw, RAW_LOCMEM), lru_hit(), _dogpile_hit()]
    result = race(contestants, conditions.rounds, conditions.batch_ns)
    figures = [
        Figure(f"{OURS} to {LRU}", result.ratio(OURS, LRU), "x", Target("at most", 3)),
        Figure(f"{RAW_LOCMEM}, to {OURS}", result.ratio(RAW_LOCMEM, OURS), "x", Target("at least", 15)),
        Figure(f"{ON_LOCMEM} to {OURS}", result.ratio(ON_LOCMEM, OURS), "x", Target("at least", 150)),
        Figure(f"{TAGGED}, to {OURS}", result.ratio(TAGGED, OURS), "x"),
        Figure(f"{HOST}, to {OURS}", result.ratio(HOST, OURS), "x", Target("at most", 1.2)),
        Figure(f"{DOGPILE}, to {OURS}", result.ratio(DOGPILE, OURS), "x"),
    ]
    section = Section("hit, MemoryCache", figures, _times(result))
    section.notes.append(f"{LRU} and {DOGPILE} give all callers one object.")
    return section


def _tagged() -> tuple[Contestant, Contestant]:
    """The same with a tag that is text and one that names an argument; and invalidating one."""
    func, runs = counted_profile()
    library = Ours(TAGGED, tags=["profiles", "user:{user_id}"])
    wrapper = library.wrap(func, "bench.hit.memory.tagged", alias("memory", library.owner))
    wrapper(*ARGUMENTS)
    hit = Contestant(TAGGED, CALL, {"call": wrapper}, ran_once(lambda: wrapper(*ARGUMENTS), runs))
    others, others_runs = counted_profile()
    other = library.wrap(others, "bench.hit.memory.untagged", alias("memory", library.owner))
    untag = partial(invalidate_tags, "user:other", cache=alias("memory", library.owner))

    def verify() -> None:
        other("other", "x")
        before = others_runs.count
        untag()
        other("other", "x")
        if others_runs.count != before + 1:
            raise NotAHit(f"{UNTAG} has not led to a miss")

    return hit, Contestant(UNTAG, "untag()", {"untag": untag}, verify)


def memory_values(conditions: Conditions) -> Section:
    """What cannot change is shared; what can is copied, which takes longer the larger it is."""
    title = "hit, MemoryCache"
    immutable = race(
        [filled(Ours(), "memory", None, NAMES)[0], lru_hit(NAMES)], conditions.rounds, conditions.batch_ns
    )
    pickled = pickle.dumps(ROWS, pickle.HIGHEST_PROTOCOL)
    ours, wrapper = filled(Ours(), "memory", None, ROWS)
    raw, _ = raw_gets("locmem", wrapper.get_cache_key(*ARGUMENTS), "get(key)", value=ROWS)
    large = race(
        [
            ours,
            filled(Peer(ON_LOCMEM), "locmem", None, ROWS)[0],
            _renamed(raw, RAW_LOCMEM),
            Contestant(LOADS, "loads(data)", {"loads": pickle.loads, "data": pickled}),
            Contestant("copy.deepcopy", "deepcopy(value)", {"deepcopy": copy.deepcopy, "value": ROWS}),
        ],
        conditions.rounds // 3,
        2 * conditions.batch_ns,
    )
    figures = [
        Figure(f"immutable value, {OURS} to {LRU}", immutable.ratio(OURS, LRU), "x", Target("at most", 2)),
        Figure(f"50 KB, {OURS} to {LOADS}", large.ratio(OURS, LOADS), "x", Target("at most", 0.4)),
        Figure(f"50 KB, {ON_LOCMEM} to {LOADS}", large.ratio(ON_LOCMEM, LOADS), "x"),
    ]
    times = [
        Time(f"{what}: {time.who}", time.ns)
        for what, result in (("immutable value", immutable), ("50 KB", large))
        for time in _times(result)
    ]
    note = f"the large value is {len(ROWS)} dicts of ten keys, {len(pickled):,} bytes as a pickle."
    return Section(title, figures, times, [note])


def memory_async(conditions: Conditions) -> Section:
    """An awaited hit over a coroutine that does nothing."""
    runner = conditions.runner
    contestants = [
        filled_async(Ours(), "memory", runner)[0],
        filled_async(Peer(ON_LOCMEM), "locmem", runner)[0],
        _cashews_hit(conditions),
        Contestant(EMPTY, f"await {CALL}", {"call": _nothing}),
    ]
    result = race(contestants, conditions.rounds, conditions.batch_ns, runner)
    figures = [
        Figure(f"{name} over {EMPTY}", result.over(name, EMPTY).scaled(1e-3), "us", target)
        for name, target in ((OURS, Target("at most", 2)), (CASHEWS, None), (ON_LOCMEM, None))
    ]
    section = Section("async hit, MemoryCache", figures, _times(result))
    section.notes.append(f"{CASHEWS} gives all callers one object.")
    return section


def memory_raw(conditions: Conditions) -> Section:
    """`cache.get` and `cache.set` as any Django code calls them, of the ten-key dict under a short key."""
    section = Section("Django's cache API, MemoryCache")
    for method, statement in (("get", "get('user:42')"), ("set", f"set('user:42', value, {TTL})")):
        contestants = []
        for kind in ("memory", "locmem"):
            backend = caches[alias(kind, "raw")]
            backend.set("user:42", VALUE, TTL)
            names = {method: getattr(backend, method), "value": VALUE}
            contestants.append(Contestant(kind, statement, names, _holds(backend)))
        result = race(contestants, conditions.rounds, conditions.batch_ns)
        what = f"{method}, MemoryCache to LocMem"
        section.figures.append(Figure(what, result.ratio("memory", "locmem"), "x", Target("at most", 0.5)))
        section.times += [
            Time(f"{method}, MemoryCache", result.spread("memory")),
            Time(f"{method}, LocMem", result.spread("locmem")),
        ]
    return section


def _times(result: Race) -> list[Time]:
    return [Time(name, result.spread(name)) for name in result.times]


def _renamed(contestant: Contestant, name: str) -> Contestant:
    return Contestant(name, contestant.statement, contestant.names, contestant.verify)


def _holds(backend: Any) -> Callable[[], None]:
    def verify() -> None:
        value = backend.get("user:42")
        if value != VALUE or value is VALUE:
            raise NotAHit(f"{backend}: expected a copy of the ten-key dict, got {value!r}")

    return verify


def _dogpile_hit() -> Contestant:
    func, runs = counted_profile()
    region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    cached = region.cache_on_arguments()(func)
    cached(*ARGUMENTS)
    return Contestant(DOGPILE, CALL, {"call": cached}, ran_once(lambda: cached(*ARGUMENTS), runs))


def _cashews_hit(conditions: Conditions) -> Contestant:
    func, runs = counted_async_profile()
    cache = Cache()
    cache.setup("mem://", check_interval=TTL)
    cached = cache(ttl=TTL)(func)

    async def call() -> object:
        return await cached(*ARGUMENTS)

    conditions.runner.run(call())
    verify = ran_once(lambda: conditions.runner.run(call()), runs)
    return Contestant(CASHEWS, f"await {CALL}", {"call": cached}, verify)


async def _nothing(user_id: int, section: str) -> None:
    """What awaiting costs by itself."""
