"""How thoroughly a run measures, and what it has at hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks.servers import RedisServer


@dataclass(frozen=True)
class Conditions:
    """What every row is given.

    `rounds`: rounds of a race. `batch_ns`: nanoseconds per batch. `trials`, `process_trials`: herds per
    library, within this process and over several (more, for there the races are).
    `wipes`, `peer_wipes`: repetitions of `delete_by_prefix` per keyspace. `keyspaces`: the two sizes
    compared, in keys. `redis` is None when no chosen row needs a server.
    """

    mode: str
    rounds: int
    batch_ns: int
    trials: int
    process_trials: int
    wipes: int
    peer_wipes: int
    keyspaces: tuple[int, int]
    runner: asyncio.Runner
    redis: RedisServer | None

    @property
    def server(self) -> RedisServer:
        """The private server, for rows that need it."""
        if self.redis is None:
            raise ValueError("this row needs a redis-server")
        return self.redis


def full(runner: asyncio.Runner, redis: RedisServer | None) -> Conditions:
    """The run whose figures are published; about two minutes."""
    return Conditions(
        mode="Full",
        rounds=600,
        batch_ns=1_000_000,
        trials=5,
        process_trials=25,
        wipes=200,
        peer_wipes=3,
        keyspaces=(1_000, 1_000_000),
        runner=runner,
        redis=redis,
    )


def quick(runner: asyncio.Runner, redis: RedisServer | None) -> Conditions:
    """A smoke test, well under a minute; its figures are rough, and its large keyspace is a smaller one."""
    return Conditions(
        mode="Quick",
        rounds=50,
        batch_ns=1_000_000,
        trials=2,
        process_trials=4,
        wipes=25,
        peer_wipes=1,
        keyspaces=(1_000, 50_000),
        runner=runner,
        redis=redis,
    )
