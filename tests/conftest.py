"""Fixtures of all tests: servers, one cache alias after the other, counting functions, threads, processes."""

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches

from cache_result import CachedWrapper, _core, cache_result, registry
from cache_result.invalidation.targets import Targets
from cache_result.keys import identity
from tests import settings as test_settings
from tests.backends import BACKENDS, SERVERS, params
from tests.process import Processes
from tests.servers import Memcached, PostgreSQL, Redis, Server
from tests.waiting import Threads

pytest_plugins = ["pytester"]

# --- servers and databases


@pytest.fixture(scope="session", autouse=True)
def run_directory() -> Iterator[None]:
    """The directory that holds sockets, database files and file caches."""
    test_settings.RUN_DIR.mkdir(mode=0o711)  # PostgreSQL runs as another user when we are root
    yield
    shutil.rmtree(test_settings.RUN_DIR)


def _serving(server: Server) -> Iterator[Server]:
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_server(run_directory: None) -> Iterator[Server]:
    yield from _serving(Redis(test_settings.RUN_DIR, "redis"))


@pytest.fixture(scope="session")
def memcached_server(run_directory: None) -> Iterator[Server]:
    yield from _serving(Memcached(test_settings.RUN_DIR, "memcached"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(run_directory: None) -> Iterator[None]:
    """Called by pytest-django before it makes the databases."""
    if test_settings.DATABASE == "postgresql":
        with PostgreSQL(test_settings.RUN_DIR, "postgresql"):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Nobody needs to drop the databases: their directory, or their server, goes away with the run."""
    return True


# --- caches


@pytest.fixture(params=params(*BACKENDS))
def cache_alias(request: pytest.FixtureRequest) -> str:
    """The alias of an empty cache; a test that asks for it runs once on every backend."""
    alias: str = request.param
    if alias in SERVERS:
        request.getfixturevalue(SERVERS[alias])
    if alias == "db":
        request.getfixturevalue("transactional_db")
    caches[alias].clear()
    return alias


@pytest.fixture(autouse=True)
def registry_as_before() -> Iterator[None]:
    """Functions that a test decorates are forgotten with it."""
    kept = (registry._wrappers, registry.aliases, registry.late, identity._taken)
    before = [dict(names) for names in kept]
    used = set(registry.used)
    yield
    registry.used.intersection_update(used)
    for names, known in zip(kept, before, strict=True):
        names.clear()
        names.update(known)
    registry._of_sender = {}


_numbers = itertools.count()


@pytest.fixture
def unique_name() -> Callable[[], str]:
    """Names for functions: two tests never share entries, whatever a backend remembers."""
    return lambda: f"test-{next(_numbers)}"


@pytest.fixture
def cached(cache_alias: str, unique_name: Callable[[], str]) -> Callable[..., Any]:
    """`@cached` or `@cached(ttl=..., ...)`: cache_result on the alias under test, under a name of its own."""

    def decorate(func: Any = None, /, **options: Any) -> Any:
        if func is None:
            return functools.partial(decorate, **options)
        return cache_result(**{"cache": cache_alias, "name": unique_name(), **options})(func)

    return decorate


class Incrementing:
    """A cached function that returns how often it ran, so that hit or miss is a plain equality."""

    def __init__(self, decorate: Callable[..., Any], *, asynchronous: bool) -> None:
        self.runs = 0

        def inc(key: Any = None, part: Any = None) -> int:
            self.runs += 1
            return self.runs

        async def ainc(key: Any = None, part: Any = None) -> int:
            self.runs += 1
            return self.runs

        self.wrapper: CachedWrapper[..., Any] = decorate(ainc if asynchronous else inc)


@pytest.fixture
def make_inc(cached: Callable[..., Any]) -> Callable[..., Any]:
    """`inc = make_inc(ttl=...)`: `inc(key=None, part=None)` returns how often its function ran so far."""
    return lambda **options: Incrementing(cached(**options), asynchronous=False).wrapper


@pytest.fixture
def make_ainc(cached: Callable[..., Any]) -> Callable[..., Any]:
    """The async twin of `make_inc`."""
    return lambda **options: Incrementing(cached(**options), asynchronous=True).wrapper


class Clock:
    """The package's clock, moved by hand: it decides when entries expire and what metadata says."""

    advance = staticmethod(_core.clock_advance)


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()
    _core.clock_reset()


@pytest.fixture
def at_opening(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[Any]]:
    """`seen = at_opening(look)`: `look()` is called after a COMMIT and before its scopes are opened."""

    def at_opening(look: Callable[[], Any]) -> list[Any]:
        seen: list[Any] = []
        original = Targets.invalidate

        def invalidate(self: Targets) -> bool:
            if self:
                seen.append(look())
            return original(self)

        monkeypatch.setattr(Targets, "invalidate", invalidate)
        return seen

    return at_opening


# --- threads and processes


@pytest.fixture
def threads() -> Iterator[Threads]:
    """`outcome = threads(function, *args)` runs it in a thread; `outcome.result()` waits for it."""
    started = Threads()
    yield started
    started.join()


@pytest.fixture
def processes() -> Iterator[Processes]:
    """`process = processes(function, *args)` runs `function(parent, *args)` in a new interpreter."""
    started = Processes()
    yield started
    started.close()
