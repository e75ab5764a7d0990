"""`manage.py demo`: the cache at work on real data, over real HTTP; it checks itself and ends by itself."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.core.cache import caches
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from cache_result.backends import MemoryCache
from geo.demo.scenes import MANAGE, SCENES, DemoFailed, Stage
from geo.demo.server import ServerFailed, running_server
from geo.demo.terminal import Terminal
from geo.demo.workers import WorkerFailed


class Command(BaseCommand):
    help = "Loads the data, and shows hits, invalidation, rewarm, a herd and workers, on a server of its own."

    def handle(self, *args: Any, **options: Any) -> None:
        for ending in (signal.SIGTERM, signal.SIGHUP):  # so that a killed demo still cleans up
            signal.signal(ending, _leave)
        with no_index_left():
            self.show(Terminal(self.stdout, self.style))

    def show(self, terminal: Terminal) -> None:
        """Loads the data, and plays every scene."""
        terminal.title("django-cache-result: cities of the world")
        call_command("migrate", verbosity=0)
        call_command("load_cities", stdout=self.stdout)
        try:
            with running_server(MANAGE) as client:
                terminal.note(f"Django's own server runs at {client.origin} with a MemoryCache and SQLite.")
                stage = Stage(client, terminal)
                for scene in SCENES:
                    scene(stage)
        except (DemoFailed, ServerFailed, WorkerFailed) as error:
            raise CommandError(f"The demo failed: {error}") from error
        terminal.closing(f"All {stage.passed} expectations held. To browse the API yourself: make serve")


@contextmanager
def no_index_left() -> Iterator[None]:
    """Removes the file of HOST_INDEX, if it was not there before. A server that was started meanwhile
    notices, and makes another."""
    path = cast(MemoryCache, caches["default"]).host_index
    was_there = path is None or path.exists()
    try:
        yield
    finally:
        if path is not None and not was_there:
            path.unlink(missing_ok=True)


def _leave(signum: int, frame: object) -> None:
    sys.exit(128 + signum)
