"""Locks after a fork: whoever held one of them in the parent is no thread of the child."""

import os
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakSet

Lockable = TypeVar("Lockable")

_locks: "WeakSet[Any]" = WeakSet()


def renewed(lock: Lockable) -> Lockable:
    """This ``Lock`` or ``RLock``, which is open at the start of every forked child."""
    _locks.add(lock)
    return lock


def with_renewed_properties(cls: type[Lockable]) -> type[Lockable]:
    """A class whose cached properties can be computed in a forked child.

    Python 3.11 computes them under a lock, one for all objects of the class.
    """
    for attribute in vars(cls).values():
        lock = getattr(attribute, "lock", None) if isinstance(attribute, cached_property) else None
        if lock is not None:
            renewed(lock)
    return cls


def _after_fork() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # as the standard library renews its own


os.register_at_fork(after_in_child=_after_fork)
