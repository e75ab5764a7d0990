"""`manage.py demo`: the cache at work on real data, over real HTTP; it checks itself and ends by itself."""

import signal
import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from geo.demo.scenes import MANAGE, SCENES, DemoFailed, Stage
from geo.demo.server import ServerFailed, running_server
from geo.demo.terminal import Terminal
from geo.demo.workers import WorkerFailed


class Command(BaseCommand):
    help = "Loads the data, and shows hits, invalidation, rewarm, a herd and workers, on a server of its own."

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _leave)  # so that a killed demo still stops its server
        terminal = Terminal(self.stdout, self.style)
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


def _leave(signum: int, frame: object) -> None:
    sys.exit(128 + signum)
