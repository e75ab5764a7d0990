"""What is decorated: every wrapper with rules, by stable name."""

from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

_wrappers: "WeakValueDictionary[tuple[str, str], CachedWrapper[..., object]]" = WeakValueDictionary()
_lock = Lock()
_listeners: "list[Callable[[CachedWrapper[..., object]], None]]" = []
late: list[str] = []
"""Functions whose rules were registered after discovery, so that other processes may not know them."""
_discovered = False


def require_installed(label: str) -> None:
    """Rules need the signal receivers that the app connects.

    :raises ImproperlyConfigured: when ``cache_result`` is not in ``INSTALLED_APPS``.
    """
    if apps.apps_ready:
        installed = apps.is_installed("cache_result")
    else:
        entries = settings.INSTALLED_APPS
        # A project's own AppConfig for this app has any name; it is looked at once the apps are loaded.
        installed = any(
            entry == "cache_result" or entry.startswith("cache_result.") or entry.endswith("Config")
            for entry in entries
        )
    if not installed:
        raise ImproperlyConfigured(
            f"cache_result: {label} has invalidates_on=, which needs 'cache_result' in INSTALLED_APPS"
        )


def register(wrapper: "CachedWrapper[..., object]") -> None:
    """Makes a wrapper's rules known. Registering a function again replaces its former wrapper."""
    with _lock:
        _wrappers[wrapper.function_id, wrapper.label] = wrapper
        if _discovered and "<locals>" not in wrapper.label:
            late.append(wrapper.label)
    for listener in _listeners:
        listener(wrapper)


def on_register(listener: "Callable[[CachedWrapper[..., object]], None]") -> None:
    """Has ``listener`` called with every wrapper that is registered."""
    _listeners.append(listener)


def discovery_done() -> None:
    """From now on a rule that registers is a late one."""
    global _discovered
    _discovered = True


def registered() -> "Iterator[tuple[CachedWrapper[..., object], InvalidationRule]]":
    """Every rule with its wrapper."""
    with _lock:
        wrappers = list(_wrappers.values())
    for wrapper in wrappers:
        for rule in wrapper.rules:
            yield wrapper, rule
