"""The API against a model of a cache: whatever the order of operations, both tell the same story."""

import itertools
from dataclasses import dataclass, field

import pytest
from django.core.cache import caches
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cache_result import CACHE_MISSING, ArgsKeyField, CacheStatus, _core, cache_result

TTL = 60
FIELDS = {
    "a": ArgsKeyField("a", partition=True),
    "b": ArgsKeyField("b", partition=True),
    "c": ArgsKeyField("c"),
}
NUMBERS = itertools.count()

small = st.integers(0, 1)
calls = st.tuples(small, small, small)


@dataclass
class Model:
    """What a cache is: call -> (value, when it ends)."""

    now: float = 0
    version: int = 0
    entries: dict = field(default_factory=dict)

    def peek(self, call):
        value, end = self.entries.get(call, (CACHE_MISSING, 0))
        return value if end > self.now else CACHE_MISSING

    def run(self, call):
        self.version += 1
        return [*call, self.version]

    def refresh(self, call):
        value = self.run(call)
        self.entries[call] = value, self.now + TTL
        return value

    def get(self, call):
        cached = self.peek(call)
        return self.refresh(call) if cached is CACHE_MISSING else cached

    def wipe(self, prefix=()):
        self.entries = {call: e for call, e in self.entries.items() if call[: len(prefix)] != prefix}


class Comparison(RuleBasedStateMachine):
    alias: str

    @initialize()
    def start(self):
        self.model = Model()
        self.runs = 0
        caches[self.alias].clear()

        @cache_result({"fields": FIELDS}, TTL, cache=self.alias, name=f"test-model-{next(NUMBERS)}")
        def function(a, b, c):
            self.runs += 1
            return [a, b, c, self.runs]

        self.function = function

    def teardown(self):
        _core.clock_reset()

    @rule(call=calls)
    def get(self, call):
        result = self.function(*call)
        assert result == self.model.get(call)
        result.append("spoiled")

    @rule(call=calls)
    def get_with_metadata(self, call):
        status = CacheStatus.MISS if self.model.peek(call) is CACHE_MISSING else CacheStatus.HIT
        value, metadata = self.function.get_with_metadata(*call)
        assert (value, metadata["cache_status"]) == (self.model.get(call), status)

    @rule(call=calls)
    def peek(self, call):
        assert self.function.get_cache_only(*call) == self.model.peek(call)
        assert (self.function.get_cached_metadata(*call) is None) == (self.model.peek(call) is CACHE_MISSING)

    @rule(call=calls)
    def refresh(self, call):
        assert self.function.refresh(*call) == self.model.refresh(call)

    @rule(call=calls)
    def bypass(self, call):
        assert self.function.bypass_cache(*call) == self.model.run(call)

    @rule(call=calls)
    def delete(self, call):
        self.function.delete_cache(*call)
        self.model.entries.pop(call, None)

    @rule(call=calls, length=st.integers(1, 3))
    def wipe(self, call, length):
        self.function.delete_by_prefix(*call[:length])
        self.model.wipe(call[: min(length, 2)])

    @rule()
    def invalidate_all(self):
        self.function.invalidate_all()
        self.model.wipe()

    @rule()
    def clear_the_cache(self):
        caches[self.alias].clear()
        self.model.wipe()

    @rule(seconds=st.sampled_from([1, TTL - 1, TTL + 1]))
    def time_passes(self, seconds):
        _core.clock_advance(seconds)
        self.model.now += seconds


class InProcess(Comparison):
    alias = "locmem"


class Shared(Comparison):
    alias = "redis"


InProcess.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
Shared.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

TestInProcess = InProcess.TestCase
TestShared = pytest.mark.usefixtures("redis_server")(Shared.TestCase)
