"""A small HTTP client that times requests from the first byte sent to the last byte read."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from threading import Barrier
from time import perf_counter, sleep
from typing import Any

TIMEOUT = 60  # seconds for one request
LISTEN_PAUSE = 0.005  # seconds; the listen queue of runserver holds ten, the next would wait a second


@dataclass(frozen=True)
class Reply:
    """An answer and the seconds it took."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def cache_status(self) -> str | None:
        return self.headers.get("X-Cache-status")

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one server on the loopback interface, each on a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self.origin = f"http://{host}:{port}/"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self._send("GET", path, headers=headers)

    def patch(self, path: str, data: Mapping[str, Any]) -> Reply:
        return self._send("PATCH", path, json.dumps(data).encode())

    def herd(self, path: str, size: int) -> list[Reply]:
        """GET `path` from `size` threads that all send at the same moment, over open connections."""
        connections = [HTTPConnection(*self._address, timeout=TIMEOUT) for _ in range(size)]
        for connection in connections:
            connection.connect()
            sleep(LISTEN_PAUSE)
        start = Barrier(size, timeout=TIMEOUT)

        def ask(connection: HTTPConnection) -> Reply:
            start.wait()
            return self._exchange(connection, "GET", path)

        with ThreadPoolExecutor(size) as pool:
            return list(pool.map(ask, connections))

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return self._exchange(HTTPConnection(*self._address, timeout=TIMEOUT), method, path, body, headers)

    @staticmethod
    def _exchange(
        connection: HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        more_headers: Mapping[str, str] | None = None,
    ) -> Reply:
        headers = {"Accept": "application/json", "Content-Type": "application/json", "Connection": "close"}
        headers |= more_headers or {}
        try:
            started = perf_counter()
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            seconds = perf_counter() - started
        finally:
            connection.close()
        return Reply(method, path, response.status, response.headers, content, seconds)
