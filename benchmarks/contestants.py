"""Who runs: this package and drf-restflow behind one shape, and the functions that they cache.

Import only after `project.configure()`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import restflow.caching as peer_module
import restflow.caching.wrapper as peer_wrapper
from django.core.cache import caches
from django.utils.connection import ConnectionProxy

import cache_result as ours_module

OURS = "cache_result"
PEER = "drf-restflow"

TTL = 3600
"""Seconds; long enough that nothing expires during a run."""

VALUE: dict[str, Any] = {
    "id": 42,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "city": "London",
    "active": True,
    "balance": 1815.12,
    "logins": 1852,
    "manager": None,
    "joined": "1833-06-05T10:00:00+00:00",
    "groups": ["analysts", "editors"],
}
"""The ten-key dict that a cached function returns."""


class NotAHit(AssertionError):
    """A contestant did not do what its row is about, so its time would mean nothing."""


class Runs:
    """How often a function ran; appending is atomic, so threads may count together."""

    def __init__(self) -> None:
        self._runs: list[None] = []

    def record(self) -> None:
        self._runs.append(None)

    @property
    def count(self) -> int:
        return len(self._runs)


class Library(Protocol):
    """One caching library."""

    name: str
    owner: str

    def wrap(
        self, func: Callable[..., Any], name: str, alias: str | None = None, partition: str | None = None
    ) -> Any:
        """Decorate `func`; `partition` names the argument whose entries can be wiped together."""

    def use(self, alias: str) -> None:
        """Let the calls that follow go to this alias."""

    def is_missing(self, value: object) -> bool:
        """Whether `get_cache_only` said that there is no entry."""


class Ours:
    """This package."""

    owner = "ours"

    def __init__(self, name: str = OURS, **options: Any) -> None:
        """`options` are handed on to `cache_result`."""
        self.name = name
        self.options = options

    def wrap(
        self, func: Callable[..., Any], name: str, alias: str | None = None, partition: str | None = None
    ) -> Any:
        options = dict(self.options)
        if alias:
            options["cache"] = alias
        if partition:
            options["key_constructor"] = {"fields": _fields(ours_module.ArgsKeyField, func, partition)}
        return ours_module.cache_result(ttl=TTL, name=name, **options)(func)

    def use(self, alias: str) -> None:
        """Nothing to do: a wrapper knows its alias."""

    def is_missing(self, value: object) -> bool:
        return value is ours_module.CACHE_MISSING


class Peer:
    """drf-restflow.

    It knows the alias "default" only, through Django's `cache` proxy, so `use` hands it a proxy of the
    same class for another alias. With a `key_identifier` it need not look up the function's name, which
    makes its keys a little faster than its default ones.
    """

    owner = "peer"

    def __init__(self, name: str = PEER) -> None:
        self.name = name

    def wrap(
        self, func: Callable[..., Any], name: str, alias: str | None = None, partition: str | None = None
    ) -> Any:
        field = peer_module.ArgsKeyField
        fields = _fields(field, func, partition) if partition else {"arguments": field("*")}
        return peer_module.cache_result({"fields": fields, "key_identifier": name}, ttl=TTL)(func)

    def use(self, alias: str) -> None:
        vars(peer_wrapper)["cache"] = ConnectionProxy(caches, alias)

    def is_missing(self, value: object) -> bool:
        return value is peer_module.CACHE_MISSING


LIBRARIES: tuple[Library, ...] = (Ours(), Peer())


def _fields(field: Callable[..., Any], func: Callable[..., Any], partition: str) -> dict[str, Any]:
    """One field per argument of `func`; that of `partition` is a partition field."""
    code = func.__code__
    return {name: field(name, partition=name == partition) for name in code.co_varnames[: code.co_argcount]}


def counted_profile(value: Any = VALUE) -> tuple[Callable[..., Any], Runs]:
    """A function of two arguments that returns a fresh copy of `value`, and its count."""
    runs = Runs()

    def profile(user_id: int, section: str) -> Any:
        runs.record()
        return copy.deepcopy(value)

    return profile, runs


def counted_async_profile() -> tuple[Callable[..., Any], Runs]:
    """The asynchronous twin of `counted_profile`."""
    runs = Runs()

    async def profile(user_id: int, section: str) -> dict[str, Any]:
        runs.record()
        return copy.deepcopy(VALUE)

    return profile, runs


def ran_once(call: Callable[[], object], runs: Runs, expected: object = VALUE) -> Callable[[], None]:
    """A check that `call` is a hit: it gives the value, and the function has run exactly once, ever."""

    def verify() -> None:
        value = call()
        if value != expected:
            raise NotAHit(f"expected {expected!r}, got {value!r}")
        if runs.count != 1:
            raise NotAHit(f"expected a hit, but the function ran {runs.count} times")

    return verify
