"""The setting ``CACHE_RESULT``: one dict, typed and checked, every key optional."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True)
class CacheResultSettings:
    """What ``CACHE_RESULT`` says, with defaults."""

    CACHE: str = "default"
    """Alias in ``CACHES`` that is used where a function names none."""
    ENABLED: bool = True
    """False: every call is a BYPASS, and nothing is rewarmed. Invalidations are delivered all the same."""
    AUTODISCOVER: bool = True
    """Import the modules of the project's apps that mention this package, so that rules are known."""
    MODULES: tuple[str, ...] = ()
    """More modules with rules, as dotted paths."""
    FLIGHT_TIMEOUT: float = 30.0
    """Seconds that a caller waits for another caller's fill before it runs the function itself."""
    LEASE_TIMEOUT: float = 10.0
    """Seconds after which a filler in another process counts as dead. Longer than the slowest function."""
    CLOSE_TIMEOUT: float = 5.0
    """Seconds that a generation written by an invalidation lives before a fill makes a lasting one."""
    CLOSE_SCOPES: bool = True
    """Close the scopes of a change just before its COMMIT, so that from then on nobody gets older data.
    False: change their generations right after it only."""
    ON_CLOSE_FAILURE: str = "log"
    """What happens when the cache cannot be told of a change before its COMMIT: "log", or "raise", which
    stops the COMMIT."""
    MAX_SCOPES_PER_TRANSACTION: int = 1000
    """A transaction that changes more scopes of a function than this changes the function as a whole."""
    MAX_ROWS_PER_STATEMENT: int = 1000
    """A statement that no signal announces, and that reaches more rows than this by key or by value,
    changes the functions of its model as a whole. 0: any such statement."""
    REQUEST_CACHE_CONTROL: bool = True
    """Whether a request that says ``Cache-Control: no-cache`` refreshes a cached response, and one that says
    ``no-store`` goes past the cache. False: clients cannot have views run."""
    BREAKER: tuple[int, float] = (3, 5.0)
    """After so many failures in a row the backend is left alone for so many seconds."""
    DEFAULT_DISPATCHER: str = "inline"
    """Where rewarms and custom invalidators run, of rules that do not say."""
    DISPATCHER_RAISE_EXCEPTION: bool = False
    """Whether their errors are raised to the writer, of rules and dispatchers that do not say."""
    DISPATCHER_SETTINGS: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of dispatchers, by name, in capitals."""


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _is_timeout(value: Any) -> bool:
    return _is_seconds(value) and value >= 1  # backends count whole seconds


DISPATCHER_OPTIONS = {
    "inline": {"RAISE_EXCEPTION"},
    "asyncio": {"RAISE_EXCEPTION"},
    "threadpool": {"MAX_WORKERS", "RAISE_EXCEPTION"},
    "celery": {"TASK_NAME", "QUEUE", "RAISE_EXCEPTION"},
    "django_tasks": {"BACKEND", "QUEUE", "RAISE_EXCEPTION"},
    "django_rq": {"QUEUE", "FUNCTION_PATH", "RAISE_EXCEPTION"},
    "django_q": {"CLUSTER", "GROUP", "FUNCTION_PATH", "RAISE_EXCEPTION"},
    "dramatiq": {"QUEUE", "ACTOR_NAME", "RAISE_EXCEPTION"},
}
"""Keys of ``DISPATCHER_SETTINGS``; those of a project's own dispatchers are its own affair."""


def _are_dispatcher_settings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and isinstance(options, Mapping)
        and DISPATCHER_OPTIONS.get(name, set(options)).issuperset(options)
        and isinstance(options.get("RAISE_EXCEPTION"), bool | None)
        and all(
            isinstance(options[key], str | None)
            for key in DISPATCHER_OPTIONS.get(name, set()) & set(options) - {"RAISE_EXCEPTION", "MAX_WORKERS"}
        )
        and (
            name != "threadpool"
            or (type(options.get("MAX_WORKERS", 4)) is int and options.get("MAX_WORKERS", 4) > 0)
        )
        for name, options in value.items()
    )


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "CACHE": ("an alias of CACHES", lambda v: isinstance(v, str) and bool(v)),
    "ENABLED": ("True or False", lambda v: isinstance(v, bool)),
    "AUTODISCOVER": ("True or False", lambda v: isinstance(v, bool)),
    "MODULES": (
        "a list of dotted module paths",
        lambda v: isinstance(v, list | tuple) and all(isinstance(path, str) for path in v),
    ),
    "FLIGHT_TIMEOUT": ("a positive number of seconds", _is_seconds),
    "LEASE_TIMEOUT": ("a number of seconds from 1", _is_timeout),
    "CLOSE_TIMEOUT": ("a number of seconds from 1", _is_timeout),
    "CLOSE_SCOPES": ("True or False", lambda v: isinstance(v, bool)),
    "ON_CLOSE_FAILURE": ('"log" or "raise"', lambda v: v in ("log", "raise")),
    "MAX_SCOPES_PER_TRANSACTION": (
        "a positive whole number",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v > 0,
    ),
    "MAX_ROWS_PER_STATEMENT": (
        "a whole number from 0",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0,
    ),
    "REQUEST_CACHE_CONTROL": ("True or False", lambda v: isinstance(v, bool)),
    "BREAKER": (
        "a pair (failures, seconds)",
        lambda v: (
            isinstance(v, list | tuple)
            and len(v) == 2
            and type(v[0]) is int
            and v[0] > 0
            and _is_seconds(v[1])
        ),
    ),
    "DEFAULT_DISPATCHER": ("the name of a dispatcher", lambda v: isinstance(v, str) and bool(v)),
    "DISPATCHER_RAISE_EXCEPTION": ("True or False", lambda v: isinstance(v, bool)),
    "DISPATCHER_SETTINGS": (
        "a dict of dispatchers' names to dicts of their options; there are "
        + "; ".join(f"{name}: {', '.join(sorted(keys))}" for name, keys in DISPATCHER_OPTIONS.items()),
        _are_dispatcher_settings,
    ),
}


@cache
def get_settings() -> CacheResultSettings:
    """The settings in force.

    :raises ImproperlyConfigured: for an unknown key or an unsuitable value.
    """
    given: Any = getattr(settings, "CACHE_RESULT", {})
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"CACHE_RESULT must be a dict, not {given!r}")
    known = [field.name for field in fields(CacheResultSettings)]
    for name, value in given.items():
        if name not in known:
            raise ImproperlyConfigured(
                f"CACHE_RESULT[{name!r}] is not a setting; there are {', '.join(known)}"
            )
        what, suits = _CHECKS[name]
        if not suits(value):
            raise ImproperlyConfigured(f"CACHE_RESULT[{name!r}] = {value!r} must be {what}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    return CacheResultSettings(**values)


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting == "CACHE_RESULT":
        get_settings.cache_clear()


setting_changed.connect(_reset, dispatch_uid="cache_result.conf")
