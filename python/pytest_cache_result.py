"""The pytest plugin of django-cache-result; `-p no:cache_result` switches it off.

It stands beside the package because every pytest run of the environment imports it, projects without Django
included: it imports nothing but pytest until a test asks for more, and does nothing where Django is not set
up with "cache_result" in INSTALLED_APPS.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cache_result import testing

_ENVIRONMENT = "CACHE_RESULT_TEST_WORLD"  # see cache_result/worlds.py
_INI = "cache_results_isolation"
_MARKERS = {
    "cache_results_off": "every call of a cached function runs it",
    "cache_results_on_commit": "rewarming and custom invalidators run when the code under test commits, "
    "inside a TestCase and the fixture `db`, too",
    "cache_results_shared": "keys are those of production, and entries are shared with whoever uses the "
    "same cache",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        _INI,
        'what begins with nothing cached: each "test" (the default), or each "worker", a process that runs '
        "tests, for suites with servers or task workers that outlive a test",
        default="test",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, what in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {what}")
    if config.getini(_INI) not in ("test", "worker"):
        raise pytest.UsageError(f'{_INI} = {config.getini(_INI)!r}: give "test" or "worker"')
    _part_from_other_workers(config)


def _part_from_other_workers(config: pytest.Config) -> None:
    """Sessions of pytest, those of xdist's workers among them, share nothing outside of tests either."""
    if "DJANGO_SETTINGS_MODULE" not in os.environ and "cache_result" not in sys.modules:
        return
    before = os.environ.get(_ENVIRONMENT)
    _enter(f"{secrets.randbits(63):x}")
    config.add_cleanup(lambda: _enter(before))


def _enter(world: str | None) -> None:
    if "cache_result" in sys.modules:
        from cache_result import worlds

        worlds.enter(int(world or "0", 16))
    elif world is None:
        os.environ.pop(_ENVIRONMENT, None)
    else:
        os.environ[_ENVIRONMENT] = world  # where the package looks when it is imported


def _is_active() -> bool:
    registry = sys.modules.get("django.apps")
    return registry is not None and registry.apps.ready and registry.apps.is_installed("cache_result")


def _needs_django() -> None:
    if not _is_active():
        pytest.fail(
            'cache_result: this fixture needs Django to be set up, with "cache_result" in INSTALLED_APPS; '
            "pytest-django does that",
            pytrace=False,
        )


@pytest.fixture(autouse=True)
def _cache_results(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with nothing cached for any function, and with fresh counters."""
    marked = [name for name in _MARKERS if request.node.get_closest_marker(name)]
    if not _is_active():
        if marked:
            _needs_django()
        yield
        return
    from cache_result import testing

    keep = request.config.getini(_INI) == "worker"
    testing.forget_cache_results(keep_entries=keep)
    with ExitStack() as blocks:
        for name in marked:
            blocks.enter_context(getattr(testing, name)())
        yield
    # What fixtures of a wider scope do before the next test is no matter of this one's.
    testing.forget_cache_results(keep_entries=keep)


@pytest.fixture
def cache_results_off() -> Iterator[None]:
    """Every call of a cached function runs it; nothing is read from the cache or stored.

    Also a marker: `@pytest.mark.cache_results_off`.
    """
    _needs_django()
    from cache_result import testing

    with testing.cache_results_off():
        yield


@pytest.fixture
def cache_results_on_commit() -> Iterator[None]:
    """What rules do after a COMMIT is done inside `db` and Django's TestCase, too: when the outermost atomic
    block of the code under test ends, calls are rewarmed and custom invalidators run.

    Also a marker: `@pytest.mark.cache_results_on_commit`.
    """
    _needs_django()
    from cache_result import testing

    with testing.cache_results_on_commit():
        yield


@pytest.fixture
def assert_cache_calls() -> "type[testing.assert_cache_calls]":
    """`with assert_cache_calls(get_user, hits=1, misses=0): ...` fails unless the block makes exactly so many
    of the calls that are named; those that are not named are free. Without a function, of all functions
    together. Names are those of `cache_info()`.
    """
    _needs_django()
    from cache_result import testing

    return testing.assert_cache_calls


@pytest.fixture
def cache_clock() -> "Iterator[testing.cache_clock]":
    """The clock by which entries expire: `cache_clock.advance(61)` moves it by so many seconds.

    It does not move Python's clock, nor the timeouts that backends other than MemoryCache keep themselves.
    """
    _needs_django()
    from cache_result import testing

    with testing.cache_clock() as clock:
        yield clock
