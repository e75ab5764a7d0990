"""Aligned, readable terminal output; coloured by Django's styles where there is a terminal."""

import textwrap

from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from geo.demo.client import Reply

WIDTH = 100


class Terminal:
    def __init__(self, out: OutputWrapper, style: Style) -> None:
        self._out = out
        self._style = style
        self._scenes = 0

    def title(self, text: str) -> None:
        self._out.write(self._style.MIGRATE_HEADING(text))
        self._out.write("=" * len(text))

    def scene(self, text: str) -> None:
        """Open a numbered scene."""
        self._scenes += 1
        heading = f"{self._scenes}. {text}"
        self._out.write("")
        self._out.write(self._style.MIGRATE_HEADING(heading))
        self._out.write("-" * len(heading))

    def note(self, text: str) -> None:
        """A line of explanation, wrapped."""
        self._out.write(textwrap.fill(text, WIDTH))

    def reply(self, reply: Reply, comment: str = "") -> None:
        """One request: what was asked, how the cache resolved it, how long it took."""
        status = reply.cache_status or str(reply.status)
        self.timed(f"{reply.method} {reply.path}", status, reply.seconds, comment)

    def timed(self, what: str, status: str, seconds: float, comment: str = "") -> None:
        """A row of `what`, `status` and a duration in the unit that reads best."""
        duration = f"{seconds * 1e3:9.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:9.1f} us"
        paint = {"HIT": self._style.SUCCESS, "MISS": self._style.WARNING}.get(status, str)
        self._out.write(f"  {what:<58}  {paint(f'{status:<5}')} {duration}  {comment}".rstrip())

    def fact(self, name: str, value: object) -> None:
        """A named value, aligned with the other facts."""
        self._out.write(f"    {name:<22} {value}")

    def passed(self, text: str) -> None:
        """An expectation that held."""
        self._out.write(self._style.SUCCESS("  ok  ") + text)

    def closing(self, text: str) -> None:
        self._out.write("")
        self._out.write(self._style.SUCCESS(text))
