"""Cached responses over HTTP: one server process, and clients with connections that stay open.

Run as a module it is the server: it prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from time import perf_counter_ns

from benchmarks.conditions import Conditions
from benchmarks.report import Figure, Section, Target, Time
from benchmarks.timing import race

KIND = "memory"
CLIENTS = 2
"""Connections, each of a thread."""

BATCH_NS = 60_000_000
"""Longer than those of other rows, as an operation takes so much longer."""

SECONDS = 60.0
"""For one request, and for the server to start."""


def wire(conditions: Conditions) -> Section:
    """Requests to the same view, cached by different libraries."""
    from benchmarks.contestants import OURS, PEER
    from benchmarks.endpoints import PAGE, UNCACHED

    plain, rest = "view of Django", "view of REST framework"
    names = {
        "/plain/ours/": f"{OURS}, {plain}",
        "/plain/page/": f"{PAGE}, {plain}",
        "/plain/none/": f"{UNCACHED}, {plain}",
        "/rest/ours/": f"{OURS}, {rest}",
        "/rest/peer/": f"{PEER}, {rest}",
        "/rest/none/": f"{UNCACHED}, {rest}",
    }
    with _server() as port:
        endpoints = [Endpoint(name, port, path) for path, name in names.items()]
        result = race(endpoints, max(10, conditions.rounds // 12), BATCH_NS)
    not_slower = Target("at most", 1)

    def figure(one: str, other: str, target: Target | None = None) -> Figure:
        return Figure(f"{names[one]} to {names[other]}", result.ratio(names[one], names[other]), "x", target)

    figures = [
        figure("/plain/ours/", "/plain/page/", not_slower),
        figure("/plain/ours/", "/plain/none/"),
        figure("/rest/ours/", "/rest/peer/", not_slower),
        figure("/rest/ours/", "/rest/none/"),
    ]
    title = "requests on the wire"
    section = Section(title, figures, [Time(name, result.spread(name)) for name in result.times])
    rates = ", ".join(f"{name} {1e9 / result.spread(name).median:,.0f}" for name in result.times)
    section.notes.append(f"requests per second of one process, {CLIENTS} connections: {rates}.")
    return section


class Endpoint:
    """One URL, asked again and again."""

    def __init__(self, name: str, port: int, path: str) -> None:
        self.name = name
        self._port, self._path = port, path

    def verify(self) -> None:
        """Two answers are the same, and the second one has not run the view."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        first, before = self._get(connection), self._runs(connection)
        if self._get(connection) != first:
            raise AssertionError(f"{self.name} does not answer the same twice")
        if "none" not in self._path and self._runs(connection) != before:
            raise AssertionError(f"{self.name} ran the view")

    def batch(self, runner: asyncio.Runner | None) -> Callable[[int], int]:
        """A function from a number of turns to the nanoseconds they took in all."""
        connections = [HTTPConnection("127.0.0.1", self._port, timeout=SECONDS) for _ in range(CLIENTS)]
        pool = ThreadPoolExecutor(CLIENTS)

        def ask(connection: HTTPConnection, turns: int) -> None:
            for _ in range(turns):
                self._get(connection)

        def run(turns: int) -> int:
            each = -(-turns // CLIENTS)
            start = perf_counter_ns()
            for _ in pool.map(ask, connections, [each] * CLIENTS):
                pass
            return round((perf_counter_ns() - start) * turns / (each * CLIENTS))

        return run

    def _get(self, connection: HTTPConnection) -> bytes:
        return _body(connection, self._path)

    def _runs(self, connection: HTTPConnection) -> int:
        runs: int = json.loads(_body(connection, "/runs/"))[self._path]
        return runs


def _body(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise AssertionError(f"{path} answers {response.status}: {body[:200]!r}")
    return body


@contextmanager
def _server() -> Iterator[int]:
    """Its port, as long as the block runs."""
    command = [sys.executable, "-m", "benchmarks.wire"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(SECONDS)


def _serve() -> None:
    from benchmarks.project import alias, configure

    configure(None)
    from django.conf import settings
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    from benchmarks.contestants import OURS, PEER, Peer
    from benchmarks.endpoints import PAGE, UNCACHED, plain_views, rest_views

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    Peer().use(alias(KIND, "peer"))
    short = {OURS: "ours", PAGE: "page", PEER: "peer", UNCACHED: "none"}
    plain = plain_views(alias(KIND, "ours"), alias(KIND, "raw"))
    rest = rest_views(alias(KIND, "ours"), alias(KIND, "raw"))
    made = {f"/plain/{short[name]}/": view for name, view in plain.items()}
    made |= {f"/rest/{short[name]}/": view for name, view in rest.items()}

    def runs(request: HttpRequest) -> JsonResponse:
        return JsonResponse({at: counted.count for at, (_, counted) in made.items()})

    settings.ROOT_URLCONF = type(
        "urls",
        (),
        {"urlpatterns": [path("runs/", runs), *(path(at[1:], view) for at, (view, _) in made.items())]},
    )
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
