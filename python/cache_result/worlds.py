"""Worlds that tests live in: the entries of one are unknown in every other.

The world is mixed into the digest of each key, into scopes, and so into generations, leases and flights. A
new one is an empty cache on every backend, without a request to any, and what other processes do to theirs
on the same server is not seen. In the real one keys are what they are in production.
"""

import os
import secrets
import sys

from cache_result import _core

ENVIRONMENT = "CACHE_RESULT_TEST_WORLD"
"""The environment variable by which the child processes of a test live in its world."""
REAL = 0

_worker = 0
"""The worker of Django's parallel test runner that has entered the current world; 0 is no worker."""


def new() -> int:
    """A world in which nothing has happened yet."""
    return secrets.randbits(63) or 1


def current() -> int:
    """The world that this process lives in."""
    return _core.current_world()


def enter(world: int) -> None:
    """Has this process, and the children that it starts, live in ``world`` from here on."""
    global _worker
    _worker = _worker_number()
    if world == REAL:
        os.environ.pop(ENVIRONMENT, None)
    else:
        os.environ[ENVIRONMENT] = f"{world:x}"
    _core.enter_world(world)


def part_from_siblings() -> None:
    """Gives each worker of Django's parallel test runner, which has a database of its own, a world as well.
    Django tells nobody that it has begun one."""
    if _worker_number() != _worker:
        enter(new())


def _worker_number() -> int:
    number: int = getattr(sys.modules.get("django.test.runner"), "_worker_id", 0)
    return number


if ENVIRONMENT in os.environ:
    _core.enter_world(int(os.environ[ENVIRONMENT], 16))
