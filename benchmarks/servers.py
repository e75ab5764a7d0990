"""A private redis-server on a free loopback port, without persistence, for the time of one run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

START_TIMEOUT = 10.0
"""Seconds to wait for a server's first answer."""

DATABASES = 16


class ServerError(RuntimeError):
    """The private server is not to be had."""


@dataclass(frozen=True)
class RedisServer:
    """Where a private server listens."""

    port: int

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database: int) -> redis.Redis:
        """A plain client of one database, for filling it and for looking at the server."""
        return redis.Redis(host="127.0.0.1", port=self.port, db=database)

    def commands_of(self, call: Callable[[], object]) -> str:
        """What `call` asks of this server, as the server counts it: commands, and keys found."""

        def counts() -> Counter[str]:
            calls = {name: row["calls"] for name, row in client.info("commandstats").items()}
            calls.pop("cmdstat_info", None)
            return Counter(keys=client.info("stats")["keyspace_hits"], **calls)

        with self.client(0) as client:
            before = counts()
            call()
            sent = counts() - before
        keys = sent.pop("keys", 0)
        listed = ", ".join(f"{calls} {name.removeprefix('cmdstat_').upper()}" for name, calls in sent.items())
        return f"{listed}, {keys} keys found"

    @property
    def version(self) -> str:
        with self.client(0) as client:
            return str(client.info("server")["redis_version"])


@contextmanager
def private_redis() -> Iterator[RedisServer]:
    """Run a redis-server of our own; it is stopped through its process handle."""
    program = shutil.which("redis-server")
    if program is None:
        raise ServerError("redis-server is not installed; install it, or choose rows without it by --only")
    with tempfile.TemporaryDirectory(prefix="benchmarks-redis-") as directory:
        process, server = _start(program, directory)
        try:
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(program: str, directory: str, attempts: int = 5) -> tuple[subprocess.Popen[bytes], RedisServer]:
    """Start on a port that was free a moment ago; take another one when somebody was faster."""
    for _ in range(attempts):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--save": "",
            "--appendonly": "no",
            "--databases": str(DATABASES),
            "--dir": directory,
        }
        command = [program, *(word for option in options.items() for word in option)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        server = RedisServer(port)
        if _answers(process, server):
            return process, server
        process.kill()
        process.wait()
    raise ServerError(f"redis-server did not start in {attempts} attempts")


def _answers(process: subprocess.Popen[bytes], server: RedisServer) -> bool:
    """True once our own process answers; False when it ended (its port was taken) or stays silent."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with server.client(0) as client:
                return int(client.info("server")["process_id"]) == process.pid
        except redis.ConnectionError:
            time.sleep(0.02)
    return False
