"""`python -m benchmarks`: run the rows, print the report, and write it to benchmarks/results.md.

A quick or partial run only prints, unless --output names a file: the file holds figures of full runs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.conditions import Conditions, full, quick
from benchmarks.project import configure
from benchmarks.report import Section, as_json, as_markdown, machine_facts
from benchmarks.servers import ServerError, private_redis

RESULTS = Path(__file__).with_name("results.md")

WITHOUT_REDIS = (
    "memory",
    "memory-values",
    "memory-async",
    "memory-threads",
    "memory-raw",
    "memory-bytes",
    "memory-wipe",
    "locmem",
    "key",
    "async-locmem",
    "response-memory",
    "response-locmem",
    "response-rest",
    "wire",
    "miss-memory",
    "miss-locmem",
    "threads-locmem",
    "tasks-locmem",
)
WITH_REDIS = (
    "redis",
    "windows",
    "expiry",
    "django-redis",
    "many",
    "many-django-redis",
    "wipe",
    "threads",
    "tasks",
    "processes",
    "processes-django-redis",
    "async-redis",
    "miss-redis",
    "saves",
    "saves-django-redis",
    "many-saves",
    "loads",
)


def rows() -> dict[str, Callable[[Conditions], Section]]:
    """Every row by name, in the order of the report. Needs a configured Django."""
    from benchmarks.expiry import expiry_herd
    from benchmarks.freshness import windows
    from benchmarks.herds import local_herds, process_herds
    from benchmarks.hits import async_hits, sync_hits
    from benchmarks.keys import key_building
    from benchmarks.many import many
    from benchmarks.memory import memory_async, memory_hits, memory_raw, memory_values
    from benchmarks.memory_bytes import memory_bytes
    from benchmarks.memory_threads import memory_threads
    from benchmarks.misses import misses
    from benchmarks.responses import responses, rest_responses
    from benchmarks.saves import loads, many_saves, saves
    from benchmarks.wipes import memory_wipes, wipes
    from benchmarks.wire import wire

    partition = "user_id"
    return {
        "memory": memory_hits,
        "memory-values": memory_values,
        "memory-async": memory_async,
        "memory-threads": memory_threads,
        "memory-raw": memory_raw,
        "memory-bytes": memory_bytes,
        "memory-wipe": memory_wipes,
        "locmem": lambda c: sync_hits(c, "locmem", "hit, LocMem", None),
        "redis": lambda c: sync_hits(c, "redis", "hit, core RedisCache", partition),
        "django-redis": lambda c: sync_hits(c, "django_redis", "hit, django-redis", partition),
        "windows": windows,
        "expiry": expiry_herd,
        "many": lambda c: many(c, "redis", "many hits, core RedisCache"),
        "many-django-redis": lambda c: many(c, "django_redis", "many hits, django-redis"),
        "key": key_building,
        "wipe": wipes,
        "threads": lambda c: local_herds(c, "redis", tasks=False),
        "tasks": lambda c: local_herds(c, "redis", tasks=True),
        "processes": lambda c: process_herds(c, "redis"),
        "processes-django-redis": lambda c: process_herds(c, "django_redis"),
        "threads-locmem": lambda c: local_herds(c, "locmem", tasks=False),
        "tasks-locmem": lambda c: local_herds(c, "locmem", tasks=True),
        "async-locmem": lambda c: async_hits(c, "locmem", "async hit, LocMem"),
        "async-redis": lambda c: async_hits(c, "redis", "async hit, core RedisCache"),
        "response-memory": lambda c: responses(c, "memory", "response, MemoryCache"),
        "response-locmem": lambda c: responses(c, "locmem", "response, LocMem"),
        "response-rest": lambda c: rest_responses(c, "memory", "response of REST framework, MemoryCache"),
        "wire": wire,
        "miss-memory": lambda c: misses(c, "memory", "miss, MemoryCache"),
        "miss-locmem": lambda c: misses(c, "locmem", "miss, LocMem"),
        "miss-redis": lambda c: misses(c, "redis", "miss, core RedisCache"),
        "saves": lambda c: saves(c, "redis", "core RedisCache"),
        "saves-django-redis": lambda c: saves(c, "django_redis", "django-redis"),
        "many-saves": many_saves,
        "loads": loads,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a contestant did not do its row's work.

    A missed target is a finding, not an error.
    """
    options = _parser().parse_args(arguments)
    chosen = options.only or [*WITHOUT_REDIS, *WITH_REDIS]
    logging.basicConfig(level=logging.WARNING)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(private_redis()) if set(chosen) & set(WITH_REDIS) else None
        except ServerError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
        facts = machine_facts(server.version if server else None)
        shared = Path("/dev/shm")
        directory = TemporaryDirectory(prefix="benchmarks-", dir=shared if shared.is_dir() else None)
        configure(server.port if server else None, Path(stack.enter_context(directory), "index"))
        runner = stack.enter_context(asyncio.Runner())
        conditions = (quick if options.quick else full)(runner, server)
        sections, failed = _run(conditions, chosen)
    report = as_markdown(sections, facts, conditions.mode)
    print(report)
    output = options.output or (None if options.quick or options.only else RESULTS)
    if output:
        output.write_text(report)
    if options.json:
        options.json.write_text(as_json(sections, facts, conditions.mode))
    return 1 if failed else 0


def _run(conditions: Conditions, chosen: Sequence[str]) -> tuple[list[Section], list[str]]:
    """The sections of the chosen rows, and the names of those that failed; progress goes to stderr."""
    sections, failed = [], []
    for name, row in rows().items():
        if name not in chosen:
            continue
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        start = perf_counter()
        _forget()
        try:
            sections.append(row(conditions))
        except Exception as error:
            traceback.print_exc()
            failed.append(name)
            sections.append(Section(name, notes=[f"**failed**: {type(error).__name__}: {error}"]))
        print(f"{perf_counter() - start:.1f} s", file=sys.stderr)
    return sections, failed


def _forget() -> None:
    """Empties the caches of this process: what one row has stored is no hit of another."""
    from django.core.cache import caches

    for alias, spec in caches.settings.items():
        if spec["BACKEND"].rpartition(".")[2] in {"LocMemCache", "MemoryCache"}:
            caches[alias].clear()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of under a minute")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*WITHOUT_REDIS, *WITH_REDIS),
        metavar="ROW",
        help=f"run this row, may be repeated: {', '.join((*WITHOUT_REDIS, *WITH_REDIS))}",
    )
    parser.add_argument("--output", type=Path, help=f"write the report there (default {RESULTS.name})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, times in ns")
    return parser


if __name__ == "__main__":
    sys.exit(main())
