"""Private Redis, Memcached and PostgreSQL servers on unix sockets.

Each is started by the tests, answers before `start` returns, and is stopped through its own process handle.
Nothing listens on a port, so two runs never meet.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

START_DEADLINE = 30.0  # seconds
STOP_DEADLINE = 20.0  # seconds
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _end_with_parent() -> None:
    """Have Linux kill this process when the one that started it dies without stopping it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One server process; its socket is `<directory>/<name>.sock`."""

    program: str
    package: str  # the Debian package that has the program
    greeting: bytes  # what to say to it
    answer: bytes  # what it says when it is ready

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.socket = directory / f"{name}.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def account(self) -> str | None:
        """The user to run as, or None for our own."""
        return None

    def find(self, program: str) -> str:
        found = shutil.which(program)
        if found is None:
            raise RuntimeError(f"{program} is not installed: apt-get install {self.package}")
        return found

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.directory,
            user=self.account(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for pytest, which then stops the servers
            preexec_fn=_end_with_parent,
        )
        deadline = time.monotonic() + START_DEADLINE
        while not self.answers():
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self.program} did not answer on {self.socket}")
            self._fail_if_it_ends(within=0.01)
        return self

    def _fail_if_it_ends(self, within: float) -> None:
        assert self.process is not None
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            return
        raise RuntimeError(f"{self.program} ended with status {code} instead of serving {self.socket}")

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(self.greeting)
                return client.recv(64).startswith(self.answer)
            except OSError:
                return False

    def stop(self) -> None:
        """End the process, and remove the socket so that a dead server refuses at once."""
        if self.process is None:
            return
        self.end()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.socket.unlink(missing_ok=True)

    def end(self) -> None:
        """There is nothing to save, and an orderly shutdown takes up to a second."""
        assert self.process is not None
        self.process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Redis(Server):
    program = "redis-server"
    package = "redis-server"
    greeting = b"PING\r\n"
    answer = b"+PONG"

    def command(self) -> list[str]:
        return [
            self.find(self.program),
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700"),
            *("--save", ""),
            *("--appendonly", "no"),
        ]


class Memcached(Server):
    program = "memcached"
    package = "memcached"
    greeting = b"version\r\n"
    answer = b"VERSION"

    def command(self) -> list[str]:
        as_root = ["-u", "root"] if os.geteuid() == 0 else []
        return [self.find(self.program), "-s", str(self.socket), "-a", "0700", "-m", "64", *as_root]


class PostgreSQL(Server):
    """A cluster made from nothing; without the safety of disks, which tests do not need.

    The socket is a file that libpq names itself, in `<directory>/<name>/`: that directory is the HOST.
    """

    program = "postgres"
    package = "postgresql"

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(directory, name)
        self.host = directory / name
        self.data = self.host / "data"
        self.socket = self.host / ".s.PGSQL.5432"

    def account(self) -> str | None:
        return "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root

    def find(self, program: str) -> str:
        installed = sorted(
            Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3])
        )
        return str(installed[-1]) if installed else super().find(program)

    def start(self) -> Self:
        self.host.mkdir()
        if (user := self.account()) is not None:
            shutil.chown(self.host, user)
        made = subprocess.run(
            [
                self.find("initdb"),
                *("--pgdata", str(self.data)),
                *("--username", "postgres"),
                *("--auth", "trust"),
                *("--encoding", "UTF8"),
                "--no-locale",
                "--no-sync",
            ],
            cwd=self.host,
            user=self.account(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.strip()}")
        return super().start()

    def command(self) -> list[str]:
        relaxed = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [
            self.find(self.program),
            *("-D", str(self.data)),
            *("-k", str(self.host)),
            *("-c", "listen_addresses="),
            *(word for setting in relaxed.items() for word in ("-c", "=".join(setting))),
        ]

    def answers(self) -> bool:
        ready = [self.find("pg_isready"), "--quiet", "--host", str(self.host)]
        return subprocess.run(ready, stdin=subprocess.DEVNULL).returncode == 0

    def end(self) -> None:
        """A fast shutdown: it ends the child processes too, and does not wait for clients."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
