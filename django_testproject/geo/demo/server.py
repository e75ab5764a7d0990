"""Django's development server as a child process on a free loopback port."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

from geo.demo.client import Client

HOST = "127.0.0.1"
START_TIMEOUT = 30  # seconds until the first answer
STOP_TIMEOUT = 10  # seconds between a polite and a forced end
PAUSE = 0.05  # seconds between two knocks on the door


class ServerFailed(Exception):
    """The server ended or never answered; the message ends with what it printed last."""


@contextmanager
def running_server(manage: Path) -> Iterator[Client]:
    """Run `manage.py runserver`, one threaded process, for the length of the block. Raises `ServerFailed`."""
    port = free_port()
    # A file, not a pipe: nobody would empty a pipe while the scenes run.
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, str(manage), "runserver", "--noreload", f"{HOST}:{port}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            client = Client(HOST, port)
            wait_until_answering(client, process, log)
            yield client
        except (OSError, HTTPException) as error:
            raise ServerFailed(f"{error!r}\n{tail(log)}") from error
        finally:
            stop(process)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_answering(client: Client, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Knock until the API answers 200; `ServerFailed` when the process ends or the deadline passes."""
    deadline = monotonic() + START_TIMEOUT
    while monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"runserver ended with exit code {process.returncode}\n{tail(log)}")
        try:
            status = client.get("/api/executions/").status
        except (OSError, HTTPException):
            sleep(PAUSE)
            continue
        if status == 200:
            return
        raise ServerFailed(f"runserver answered {status} instead of 200\n{tail(log)}")
    raise ServerFailed(f"runserver did not answer within {START_TIMEOUT} s\n{tail(log)}")


def stop(process: subprocess.Popen[Any]) -> None:
    """End this very process, by force if it does not go."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: IO[bytes], limit: int = 2000) -> str:
    """The last `limit` bytes of what a process printed."""
    end = log.seek(0, 2)
    log.seek(max(0, end - limit))
    return log.read().decode(errors="replace")
