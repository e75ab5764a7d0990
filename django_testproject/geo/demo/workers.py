"""Worker processes of the project, without a server: each does what it is asked on a pipe, and answers."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from geo.demo.server import stop, tail


class WorkerFailed(Exception):
    """A worker ended; the message ends with what it printed last."""


@dataclass(frozen=True)
class Answer:
    """What a cached function gave a worker, how the cache resolved the call, and the seconds it took."""

    value: Any
    cache_status: str
    seconds: float


class Worker:
    """A process of its own that runs `manage.py demo_worker`."""

    def __init__(self, process: subprocess.Popen[str], log: IO[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log

    def country_cities(self, country_code: str) -> Answer:
        """Calls the cached function in that process."""
        return Answer(**self._ask("country_cities", country_code))

    def save_population(self, city_id: int, population: int) -> float:
        """Loads a city, saves it with another population, and says how many seconds the save took."""
        seconds: float = self._ask("save_population", city_id, population)
        return seconds

    def _ask(self, *request: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerFailed(f"worker {self.pid} ended\n{tail(self._log)}")
        return json.loads(line)


@contextmanager
def running_worker(manage: Path) -> Iterator[Worker]:
    """Run a worker for the length of the block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, str(manage), "demo_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield Worker(process, log)
        finally:
            stop(process)
