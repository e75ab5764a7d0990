"""The windows around expiry against a model: whatever the order of reads, errors, wipes and time."""

import itertools
from dataclasses import dataclass, field

import pytest
from django.core.cache import caches
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cache_result import CACHE_MISSING, _core, cache_result
from tests.freshness.conftest import settle

TTL, REVALIDATE, ON_ERROR = 60, 30, 90
NUMBERS = itertools.count()

keys = st.integers(0, 1)


class BrokenError(Exception):
    pass


@dataclass
class Model:
    """Entries: key -> (value, when it is over). Failures: key -> (how many, not before)."""

    runs: int = 0
    broken: bool = False
    entries: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)

    @property
    def now(self):
        return _core.clock_now() / 1000

    def late(self, key):
        """For how long the entry has been over; None without one."""
        return self.now - self.entries[key][1] if key in self.entries else None

    def run(self, key):
        if self.broken:
            raise BrokenError
        self.runs += 1
        self.entries[key] = [key, self.runs], self.now + TTL
        self.failures.pop(key, None)
        return [key, self.runs]

    def fails(self, key):
        count, _ = self.failures.get(key, (0, 0))
        self.failures[key] = count + 1, self.now + min(2**count, 60)

    def waits(self, key):
        return key in self.failures and self.now < self.failures[key][1]

    def get(self, key):
        """Value and status; what happens in the background has happened then."""
        late = self.late(key)
        if late is not None and late < 0:
            return self.entries[key][0], "HIT"
        if late is not None and late < ON_ERROR:
            value = self.entries[key][0]
            if self.waits(key):
                return value, "STALE"
            try:
                new = self.run(key)
            except BrokenError:
                self.fails(key)
                return value, "STALE"
            return (value, "STALE") if late < REVALIDATE else (new, "MISS")
        return self.run(key), "MISS"

    def peek(self, key):
        late = self.late(key)
        return self.entries[key][0] if late is not None and late < REVALIDATE else CACHE_MISSING


class Comparison(RuleBasedStateMachine):
    alias: str

    @initialize()
    def start(self):
        self.model = Model()
        self.runs = 0
        caches[self.alias].clear()

        @cache_result(
            ttl=TTL,
            stale_while_revalidate=REVALIDATE,
            stale_if_error=ON_ERROR,
            cache=self.alias,
            name=f"test-windows-model-{next(NUMBERS)}",
        )
        def function(key):
            if self.model.broken:
                raise BrokenError
            self.runs += 1
            return [key, self.runs]

        self.function = function

    def teardown(self):
        _core.clock_reset()

    def compare(self, ours, models):
        try:
            expected = models()
        except BrokenError:
            with pytest.raises(BrokenError):
                ours()
        else:
            assert ours() == expected
        settle()

    def seen(self, key):
        value, metadata = self.function.get_with_metadata(key)
        return value, metadata["cache_status"].value

    @rule(key=keys)
    def get(self, key):
        self.compare(lambda: self.seen(key), lambda: self.model.get(key))

    @rule(key=keys)
    def peek(self, key):
        self.compare(lambda: self.function.get_cache_only(key), lambda: self.model.peek(key))

    @rule(key=keys)
    def refresh(self, key):
        self.compare(lambda: self.function.refresh(key), lambda: self.model.run(key))

    @rule(key=keys)
    def delete(self, key):
        self.function.delete_cache(key)
        self.model.entries.pop(key, None)

    @rule()
    def invalidate_all(self):
        self.function.invalidate_all()
        self.model.entries.clear()

    @rule(broken=st.booleans())
    def break_or_mend(self, broken):
        self.model.broken = broken

    # No sum of these comes near an edge of a window.
    @rule(seconds=st.sampled_from([1.3, 17.7, 61.1]))
    def time_passes(self, seconds):
        _core.clock_advance(seconds)


class InProcess(Comparison):
    alias = "locmem"


class Embedded(Comparison):
    alias = "memory"


class Shared(Comparison):
    alias = "redis"


InProcess.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
Embedded.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
Shared.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)

TestInProcess = InProcess.TestCase
TestEmbedded = Embedded.TestCase
TestShared = pytest.mark.usefixtures("redis_server")(Shared.TestCase)
