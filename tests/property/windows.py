"""What a cache with windows around expiry does, told in Python: the model of `test_windows.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cache_result import CACHE_MISSING, _core

TTL, REVALIDATE, ON_ERROR = 60, 30, 90
CLEAR = 0.3
"""Seconds that nothing is done before and after a moment at which something changes."""


class SparedError(Exception):
    """`error_types` names it."""


class OtherError(Exception):
    """`error_types` does not."""


class Entry(NamedTuple):
    value: list
    end: float
    tags: frozenset
    generation: "Generation"


class Generation(NamedTuple):
    """Of what a soft rule changes."""

    number: int
    drawn_at: float


class Grace(NamedTuple):
    """Which generation a soft change has replaced, and when: what is known of the first one of a burst."""

    replaced: Generation
    at: float


class Failures(NamedTuple):
    number: int
    until: float
    spared: bool


@dataclass
class Model:
    """The entries and the failures of each key.

    `lifetime` is what jitter has left of a ttl, and `is_early` whether there was an early refresh: chance
    decided both, so the test has to look.
    """

    lifetime: Callable[[int], float]
    is_early: Callable[[], bool]
    error: type[Exception] | None = None
    added: str = "added:0"
    runs: int = 0
    changes: int = 0
    entries: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    generations: dict = field(default_factory=dict)
    graces: dict = field(default_factory=dict)

    @property
    def now(self):
        return _core.clock_now() / 1000

    def edges(self):
        """When something changes by itself."""
        for key in self.entries:
            end = self.end_of(key)
            yield from (end, end + REVALIDATE, end + ON_ERROR)
        yield from (grace.at + ON_ERROR for grace in self.graces.values())
        yield from (failed.until for failed in self.failures.values())

    def steer_clear(self):
        """No outcome is to depend on the milliseconds that the test itself takes."""
        while any(abs(edge - self.now) < CLEAR for edge in self.edges()):
            _core.clock_advance(2 * CLEAR)

    def end_of(self, key):
        """When an entry is over: since a soft change, if there was one."""
        _, end, _, generation = self.entries[key]
        if generation == self.generations[key]:
            return end
        grace = self.graces[key]
        return min(end, grace.at if grace.replaced == generation else generation.drawn_at)

    def change(self, key):
        known = self.graces.get(key)
        if key in self.generations and (known is None or self.now >= known.at + ON_ERROR):
            self.graces[key] = Grace(self.generations[key], self.now)
        self.changes += 1
        self.generations[key] = Generation(self.changes, self.now)

    def run(self, key):
        if self.error is not None:
            raise self.error
        self.runs += 1
        value = [key, self.runs]
        tags = frozenset({f"key:{key}", self.added})
        self.entries[key] = Entry(value, self.now + self.lifetime(key), tags, self.generations[key])
        self.failures.pop(key, None)
        return value

    def run_for(self, key):
        """A run that is to replace an entry; the error, if it fails."""
        try:
            return self.run(key), None
        except (SparedError, OtherError) as error:
            number = self.failures[key].number if key in self.failures else 0
            until = self.now + min(2**number, 60)
            self.failures[key] = Failures(number + 1, until, isinstance(error, SparedError))
            return None, error

    def waiting(self, key):
        """What has failed so lately that it is left alone."""
        failed = self.failures.get(key)
        return failed if failed is not None and self.now < failed.until else None

    def get(self, key):
        """Value and status. What is done in the background is done then."""
        entry = self.entries.get(key)
        late = None if entry is None else self.now - self.end_of(key)
        if late is None or late >= ON_ERROR:
            return self.run(key), "MISS"
        waiting = self.waiting(key)
        if late < REVALIDATE:
            if waiting is None and (late >= 0 or self.is_early()):
                self.run_for(key)
            return entry.value, "HIT" if late < 0 else "STALE"
        if waiting is not None and waiting.spared:
            return entry.value, "STALE"
        value, error = self.run_for(key)
        if error is None:
            return value, "MISS"
        if isinstance(error, SparedError):
            return entry.value, "STALE"
        raise error

    def peek(self, key):
        if key not in self.entries or self.now >= self.end_of(key) + REVALIDATE:
            return CACHE_MISSING
        return self.entries[key].value

    def invalidate_tag(self, tag):
        self.entries = {key: entry for key, entry in self.entries.items() if tag not in entry.tags}
