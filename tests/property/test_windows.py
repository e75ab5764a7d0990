"""The windows around expiry, soft rules and tags against a model: reads, errors, changes, wipes and time."""

import asyncio
import itertools
import time
from datetime import datetime

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.test import override_settings
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cache_result import InvalidationRule, _core, add_tags, ainvalidate_tags, cache_result, invalidate_tags
from cache_result.invalidation.targets import Targets
from tests.app.models import Author
from tests.freshness.conftest import asettle, settle
from tests.property.windows import ON_ERROR, REVALIDATE, TTL, Model, OtherError, SparedError
from tests.waiting import DEADLINE

JITTER = 0.5
SLOW = 0.002
"""Seconds that a run takes. With `EARLY` times as much before its end an entry is often refreshed."""
EARLY = 1000
NUMBERS = itertools.count()

SOFT = InvalidationRule(Author, field_mapping={"key": "pk"}, soft=True)

keys = st.integers(0, 1)


class Comparison(RuleBasedStateMachine):
    alias: str

    @initialize(
        early=st.booleans(),
        jitter=st.booleans(),
        fill_timeout=st.sampled_from([None, DEADLINE]),
        seed=st.integers(0, 1000),
    )
    def start(self, early, jitter, fill_timeout, seed):
        self.runs = 0
        self.early, self.jitter = early, jitter
        self.model = Model(self.lifetime, lambda: self.early and self.has_run())
        self.surroundings = override_settings(**self.settings())
        self.surroundings.enable()
        caches[self.alias].clear()
        _core.seed_random(seed)

        def run(key):
            self.runs += 1
            if self.model.error is not None:
                raise self.model.error
            time.sleep(SLOW if early else 0)  # what an early refresh goes by
            self.made += 1
            return [key, self.made]

        self.made = 0
        self.function = self.wrap(run)(
            ttl=TTL,
            stale_while_revalidate=REVALIDATE,
            stale_if_error=ON_ERROR,
            error_types=SparedError,
            early_refresh=EARLY if early else False,
            jitter=JITTER if jitter else 0,
            fill_timeout=fill_timeout,
            tags="key:{key}",
            invalidates_on=[SOFT],
            cache=self.alias,
            name=f"test-windows-model-{next(NUMBERS)}",
        )
        # From here on the generations are those of changes, on every cache.
        for key in (0, 1):
            self.change(key)
        _core.clock_advance(2 * ON_ERROR)

    def settings(self):
        """Generations that writers have drawn live as long as an example takes."""
        return {"CACHE_RESULT": {"CLOSE_TIMEOUT": 3600}}

    def teardown(self):
        self.surroundings.disable()
        _core.clock_reset()
        _core.seed_random(None)

    def has_run(self):
        return self.runs > self.runs_before

    def lifetime(self, key):
        """What the metadata says of it; they have to say the truth about when it was made, too."""
        metadata = self.call("get_cached_metadata", key)
        at, end = (
            datetime.fromisoformat(metadata[name]).timestamp() for name in ("cached_at", "cache_reset_at")
        )
        assert abs(at - self.model.now) < 1
        assert end - at == TTL or (self.jitter and TTL * (1 - JITTER) <= end - at <= TTL)
        return end - at

    def compare(self, ours, models):
        """Ours comes first, as the model asks what came of chance in it."""
        self.model.steer_clear()
        self.runs_before = self.runs
        try:
            found = ours()
        except (SparedError, OtherError) as error:
            found = type(error)
        try:
            expected = models()
        except (SparedError, OtherError) as error:
            expected = type(error)
        assert found == expected

    @rule(key=keys)
    def get(self, key):
        def seen():
            value, metadata = self.call("get_with_metadata", key)
            return value, metadata["cache_status"].value

        self.compare(seen, lambda: self.model.get(key))

    @rule(key=keys)
    def peek(self, key):
        self.compare(lambda: self.call("get_cache_only", key), lambda: self.model.peek(key))

    @rule(key=keys)
    def refresh(self, key):
        self.compare(lambda: self.call("refresh", key), lambda: self.model.run(key))

    @rule(key=keys)
    def delete(self, key):
        self.call("delete_cache", key)
        self.model.entries.pop(key, None)

    @rule()
    def invalidate_all(self):
        self.call("invalidate_all")
        self.model.entries.clear()

    @rule(tag=st.sampled_from(["key:0", "key:1", "added:0", "added:1"]))
    def invalidate_tag(self, tag):
        self.invalidate(tag)
        self.model.invalidate_tag(tag)

    @rule(key=keys)
    def change(self, key):
        self.model.steer_clear()
        targets = Targets()
        targets.aim(self.function, SOFT, {"key": key})
        targets.close()
        targets.invalidate()
        self.model.change(key)

    @rule(number=st.integers(0, 1))
    def add_another_tag(self, number):
        self.model.added = f"added:{number}"

    @rule(error=st.sampled_from([None, SparedError, OtherError]))
    def break_or_mend(self, error):
        self.model.error = error

    @rule(seconds=st.sampled_from([1.3, 17.7, 29.0, 58.5, 61.1]))
    def time_passes(self, seconds):
        _core.clock_advance(seconds)
        self.leases_end()

    def leases_end(self):
        """That an error was raised is on record for a second."""


class Plain(Comparison):
    def wrap(self, run):
        def function(key):
            add_tags(self.model.added)
            return run(key)

        return lambda **options: cache_result(**options)(function)

    def call(self, method, *args):
        found = getattr(self.function, method)(*args)
        settle()
        return found

    def invalidate(self, tag):
        invalidate_tags(tag, cache=self.alias)


class OnLoop(Comparison):
    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()

    def teardown(self):
        super().teardown()
        self.runner.close()

    def wrap(self, run):
        async def function(key):
            add_tags(self.model.added)
            return run(key)

        return lambda **options: cache_result(**options)(function)

    def call(self, method, *args):
        async def call():
            try:
                return await getattr(self.function, f"a{method}")(*args)
            finally:
                await asettle()

        return self.runner.run(call())

    def invalidate(self, tag):
        self.runner.run(ainvalidate_tags(tag, cache=self.alias))


class InProcess(Plain):
    alias = "locmem"


class OwnStore:
    """Generations of a table grow, whatever the clock does. Those of its own store are of its own time."""

    alias = "memory"

    def settings(self):
        memory = {**django_settings.CACHES["memory"], "LOCATION": f"windows-{next(NUMBERS)}"}
        return {**super().settings(), "CACHES": {**django_settings.CACHES, "memory": memory}}


class Embedded(OwnStore, Plain):
    pass


class InProcessOnLoop(OnLoop):
    alias = "locmem"


class EmbeddedOnLoop(OwnStore, OnLoop):
    pass


class Shared(Plain):
    alias = "redis"

    def leases_end(self):
        # The server's own clock stands still.
        cache = caches[self.alias]
        client = cache._cache.get_client(None, write=True)
        leases = client.keys(cache.make_key("cr:l:*"))
        if leases:
            client.delete(*leases)


for machine in (InProcess, Embedded, InProcessOnLoop, EmbeddedOnLoop):
    machine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
Shared.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)

TestInProcess = InProcess.TestCase
TestEmbedded = Embedded.TestCase
TestInProcessOnLoop = InProcessOnLoop.TestCase
TestEmbeddedOnLoop = EmbeddedOnLoop.TestCase
TestShared = pytest.mark.usefixtures("redis_server")(Shared.TestCase)
