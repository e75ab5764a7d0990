"""A process per library, asked in turn by the process that times them.

Libraries that watch connections or patch Django would burden one another in one process. Only one process
works at a time; the others wait for its answer.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.project import LIBRARY_DATABASES, configure_for
from benchmarks.servers import RedisServer

NAMES = {
    "plain": "plain Django",
    "ours": "cache_result",
    "ours_open": "cache_result, CLOSE_SCOPES=False",
    "peer": "drf-restflow",
    "cacheops": "django-cacheops",
}


class LibraryError(RuntimeError):
    """A library's process could not do what it was asked."""


class LibraryProcess:
    """A process with one library."""

    def __init__(self, owner: str, connection: Connection) -> None:
        self.owner = owner
        self.database = LIBRARY_DATABASES[owner]
        self._connection = connection

    def ask(self, method: str, *args: Any) -> Any:
        """The answer of the process; its error is raised here."""
        self._connection.send((method, args))
        failed, answer = self._connection.recv()
        if failed:
            raise LibraryError(f"{NAMES[self.owner]}: {answer}")
        return answer

    def contestant(self, job: str, name: str | None = None) -> Remote:
        """Its part in a race, by default under the library's name."""
        return Remote(name or NAMES[self.owner], self, job)


@dataclass(frozen=True)
class Remote:
    """A contestant of a race that runs in another process."""

    name: str
    process: LibraryProcess
    job: str

    @property
    def verify(self) -> Callable[[], None]:
        return lambda: self.process.ask("verify")

    def batch(self, runner: asyncio.Runner | None) -> Callable[[int], int]:
        self.process.ask("prepare", self.job)
        return lambda turns: self.process.ask("batch", self.job, turns)


@contextmanager
def library_processes(kind: str, server: RedisServer) -> Iterator[list[LibraryProcess]]:
    """One process for plain Django and for each library, on a cache of this kind."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        processes = []
        for owner, database in LIBRARY_DATABASES.items():
            with server.client(database) as client:
                client.flushdb()
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(owner, kind, server.port, theirs), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.close)  # which ends it
            processes.append(LibraryProcess(owner, ours))
        yield processes


def _serve(owner: str, kind: str, port: int, connection: Connection) -> None:
    """In the child: answers until nobody asks any more."""
    configure_for(owner, kind, port)
    import gc

    from benchmarks.invalidators import Work

    work = Work(owner)
    batches: dict[str, Callable[[int], int]] = {}
    while True:
        try:
            method, args = connection.recv()
        except EOFError:
            return
        try:
            answer: Any = None
            if method == "prepare":
                (job,) = args
                batches[job] = work.contestant(job).batch(None)
                gc.collect()
                gc.freeze()
            elif method == "batch":
                job, turns = args
                gc.collect()
                gc.disable()
                if turns > 1:
                    batches[job](1)  # the core and its caches have been others' meanwhile
                answer = batches[job](turns)
                gc.enable()
            else:
                answer = getattr(work, method)(*args)
            connection.send((False, answer))
        except Exception:
            connection.send((True, traceback.format_exc()))
