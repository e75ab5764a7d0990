"""What tests of the windows around expiry share: functions that count, fail and stop, and how to wait."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from cache_result import InvalidationRule, background
from tests.app.models import Author
from tests.waiting import DEADLINE, Gate

TTL = 10
SOFT_WINDOW = 60


@dataclass
class Script:
    """What a function does when it runs: how often it has, what it raises, where it stops."""

    runs: int = 0
    seconds: float = 0
    """How long a run takes at least, for `early_refresh` goes by that."""
    error: BaseException | None = None
    gates: dict = field(default_factory=dict)

    def stop_at(self, run):
        """The gate at which the run with this number stops."""
        return self.gates.setdefault(run, Gate())

    def run(self):
        self.runs += 1
        number = self.runs
        time.sleep(self.seconds)
        if number in self.gates:
            self.gates[number].stop_here()
        if self.error is not None:
            raise self.error
        return [number]


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def scripted(cached, script):
    """`function = scripted(stale_if_error=60)`: a function of one argument that does what `script` says."""

    def decorate(**options):
        @cached(**{"ttl": TTL, **options})
        def function(key=1):
            return script.run()

        return function

    return decorate


@pytest.fixture
async def ascripted(cached, script):
    """The async twin of `scripted`; it stops in a thread, so that its loop goes on. The loop ends after what
    is done in the background, which would leave its client of the cache to the garbage collector."""

    def decorate(**options):
        @cached(**{"ttl": TTL, **options})
        async def function(key=1):
            return await asyncio.to_thread(script.run)

        return function

    yield decorate
    for gate in script.gates.values():
        gate.open()
    await asettle()


def settle():
    """Waits until nothing is done in the background any more."""
    assert background.settle(DEADLINE)


async def asettle():
    """The same for tasks."""
    await asyncio.wait_for(asyncio.gather(*background._tasks, return_exceptions=True), DEADLINE)


@pytest.fixture(autouse=True)
def nothing_is_left(script):
    """No test leaves anything behind that runs into the next one."""
    yield
    for gate in script.gates.values():
        gate.open()
    settle()


def seen(function, *args):
    """Value and status of a call."""
    value, metadata = function.get_with_metadata(*args)
    return value, metadata["cache_status"].value


async def aseen(function, *args):
    value, metadata = await function.aget_with_metadata(*args)
    return value, metadata["cache_status"].value


# --- soft rules


@pytest.fixture
def author(cache_alias, settings, unique_name):
    if cache_alias == "memory":
        # Generations of a table grow, whatever the clock does. Those of its own store are of its own time.
        memory = {**settings.CACHES["memory"], "LOCATION": unique_name()}
        settings.CACHES = {**settings.CACHES, "memory": memory}
    return Author.objects.create(name="first")


class Names:
    """Reads the name of an author, and stops where it is told to."""

    def __init__(self):
        self.runs, self.gates = 0, {}

    def stop_at(self, run):
        return self.gates.setdefault(run, Gate())

    def __call__(self, author_id):
        self.runs += 1
        number = self.runs
        name = Author.objects.get(pk=author_id).name
        if number in self.gates:
            self.gates[number].stop_here()
        return [name]


@pytest.fixture
def names():
    names = Names()
    yield names
    for gate in names.gates.values():
        gate.open()
    settle()


def softly(mapping=True, **options):
    return InvalidationRule(
        Author, field_mapping={"author_id": "pk"} if mapping else {}, soft=True, **options
    )


@pytest.fixture
def decorate(cached, names):
    """`decorate(rules)`: a function of an author's key that reads his name."""

    def decorate(*rules, **options):
        options = {"ttl": 3600, "stale_while_revalidate": SOFT_WINDOW, **options}

        @cached(invalidates_on=list(rules or [softly()]), **options)
        def name(author_id):
            return names(author_id)

        return name

    return decorate


@pytest.fixture
def name(decorate):
    return decorate()


LONG, WINDOW, AGE = 10_000, 30, 500
"""Seconds: a ttl that never ends here, `stale_while_revalidate`, and how old an entry is when it is changed:
older than any window, so that its age alone does not tell that it may be served."""


@pytest.fixture
def soft(scripted):
    """`scripted` by an author's key, with a soft rule."""

    def decorate(rules=(), *, rule=None, **options):
        rules = [InvalidationRule(Author, field_mapping={"key": "pk"}, soft=True, **rule or {}), *rules]
        return scripted(**{"ttl": LONG, "stale_while_revalidate": WINDOW, "invalidates_on": rules, **options})

    return decorate
