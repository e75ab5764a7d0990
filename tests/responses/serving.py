"""Real HTTP servers, in threads of the test, and what goes over the wire to them."""

import socket
import threading
from contextlib import closing, contextmanager

import uvicorn
from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.utils.decorators import sync_and_async_middleware

from tests.waiting import DEADLINE, wait


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Threaded(ThreadedWSGIServer):
    request_queue_size = 128


@contextmanager
def wsgi():
    """Django's own server, one thread for each connection; the value is its port."""
    with Threaded(("127.0.0.1", 0), QuietHandler) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(DEADLINE)


class Uvicorn(uvicorn.Server):
    def __init__(self):
        config = uvicorn.Config(ASGIHandler(), http="h11", ws="none", lifespan="off", log_config=None)
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.up.set()


@contextmanager
def asgi():
    """An ASGI server, one event loop in one thread; the value is its port."""
    server = Uvicorn()
    with closing(socket.create_server(("127.0.0.1", 0), backlog=128)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        wait(server.up, "the server")
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(DEADLINE)
            assert not thread.is_alive(), "the server never ended"


SERVERS = {"wsgi": wsgi, "asgi": asgi}


class Answer:
    """A response as it came over the wire."""

    def __init__(self, data):
        self.data = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.status, *self.lines = head.decode("latin-1").split("\r\n")
        self.headers = {name: value for name, _, value in (line.partition(": ") for line in self.lines)}

    def get(self, name):
        """A header, however its name is written."""
        return next((value for known, value in self.headers.items() if known.lower() == name.lower()), None)

    def without(self, *names):
        """All lines but those headers."""
        return [line for line in self.lines if line.partition(":")[0].lower() not in names]


def ask(port, path="/", method="GET", **headers):
    """Sends a request as curl would, and reads to the end of the connection."""
    lines = {"Host": "testserver", "Connection": "close", "User-Agent": "test", **headers}
    head = [
        f"{method} {path} HTTP/1.1",
        *(f"{name.replace('_', '-')}: {value}" for name, value in lines.items()),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    return Answer(data)


class Arrivals:
    """Counts the requests of a herd, before any of them reaches its view."""

    expected = 0

    def __init__(self):
        self._lock, self._seen = threading.Lock(), 0
        self.complete = threading.Event()

    def count(self):
        with self._lock:
            self._seen += 1
            if self._seen == self.expected:
                self.complete.set()


arrivals = Arrivals()


@sync_and_async_middleware
def counting_arrivals(get_response):
    if iscoroutinefunction(get_response):

        async def answer(request):
            arrivals.count()
            return await get_response(request)

    else:

        def answer(request):
            arrivals.count()
            return get_response(request)

    return answer
