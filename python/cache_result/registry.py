"""What is decorated: every wrapper with rules, by stable name."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING
from weakref import ReferenceType, WeakSet, WeakValueDictionary, ref

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from cache_result.exceptions import UnknownRuleError
from cache_result.forks import renewed

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    Entry = tuple[ReferenceType[CachedWrapper[..., object]], InvalidationRule]

_wrappers: "dict[Hashable, CachedWrapper[..., object]]" = {}
"""By stable name, so that a function that is defined again and again is held once."""
_transient: "WeakSet[CachedWrapper[..., object]]" = WeakSet()
"""Those whose name is this process's own: with the wrapper goes the only way to its entries."""
aliases: "WeakValueDictionary[str, CachedWrapper[..., object]]" = WeakValueDictionary()
"""Caches that functions name, with one of the functions."""
_lock = renewed(Lock())
_listeners: "list[Callable[[CachedWrapper[..., object]], None]]" = []
used: set[str | None] = set()
"""Caches that functions store in, None being the default; of functions that are gone, too."""
late: dict[str, str] = {}
"""Functions whose rules were registered after discovery, so that other processes may not know them,
with their modules."""
_discovered = False
_of_sender: "dict[type[Model], tuple[Entry, ...]]" = {}
"""The rules that concern a model. Replaced, never emptied: who looks for rules meanwhile writes what he
finds into the one that he began with. Wrappers are held weakly, so that transient ones can go."""


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
    global _of_sender
    with _lock:
        if "~" in wrapper.function_id:
            _transient.add(wrapper)
        else:
            _wrappers[wrapper.function_id, wrapper.label, wrapper._alias, wrapper.rules] = wrapper
        if _discovered and "<locals>" not in wrapper.label:
            late[wrapper.label] = wrapper.func.__module__
        _of_sender = {}
    for listener in _listeners:
        listener(wrapper)


def on_register(listener: "Callable[[CachedWrapper[..., object]], None]") -> None:
    """Has ``listener`` called with every wrapper that is registered."""
    _listeners.append(listener)


def discovery_done() -> None:
    """From now on a rule that registers is a late one."""
    global _discovered
    _discovered = True


def is_discovered() -> bool:
    """Whether the rules of the project's apps have been looked for."""
    return _discovered


def registered() -> "Iterator[tuple[CachedWrapper[..., object], InvalidationRule]]":
    """Every rule with its wrapper."""
    with _lock:
        wrappers = [*_wrappers.values(), *_transient]
    for wrapper in wrappers:
        for rule in wrapper.rules:
            yield wrapper, rule


def concerned_with(sender: type[Model]) -> "Iterator[tuple[CachedWrapper[..., object], InvalidationRule]]":
    """Every rule that concerns a model, with its wrapper. No lock is taken."""
    known = _of_sender
    entries = known.get(sender)
    if entries is None:
        every = list(registered())
        entries = tuple((ref(wrapper), rule) for wrapper, rule in every if rule.concerns(sender))
        if all(rule.is_resolved for _, rule in every):  # else its model may be loaded later
            known[sender] = entries
    for reference, rule in entries:
        wrapper = reference()
        if wrapper is not None:
            yield wrapper, rule


def forget(wrapper: "CachedWrapper[..., object]") -> None:
    """The rules of a wrapper are no longer known."""
    global _of_sender
    with _lock:
        _of_sender = {}
        _transient.discard(wrapper)
        for key in [key for key, known in _wrappers.items() if known is wrapper]:
            del _wrappers[key]


@dataclass(frozen=True)
class RegisteredRule:
    """A rule that this process knows."""

    name: str
    """The same in every process that runs the same code; work for workers is named so."""
    function: str
    model: str
    targets: "Mapping[str, str] | str"
    """The mapping of arguments to paths, or the dotted name of the custom invalidator."""
    dispatcher: str
    """Name of the dispatcher, or an empty text for the project's default."""


def registered_rules() -> list[RegisteredRule]:
    """All rules that this process knows, sorted by name."""
    return sorted(
        (
            RegisteredRule(
                name_of(wrapper, rule),
                wrapper.label,
                rule.model_label,
                rule.invalidator_name or dict(rule.field_mapping),
                rule.dispatcher_name,
            )
            for wrapper, rule in registered()
        ),
        key=lambda rule: rule.name,
    )


def name_of(wrapper: "CachedWrapper[..., object]", rule: "InvalidationRule") -> str:
    """A rule's stable name: its function, model and targets. Rules of one function that have all of these
    in common are counted in the order in which the function names them."""
    alike = [other for other in wrapper.rules if _base_name(other) == _base_name(rule)]
    place = next((n for n, other in enumerate(alike, 1) if other is rule), 1)
    cache = f"/{wrapper._alias}" if wrapper._alias else ""
    return f"{wrapper.function_id}{cache}@{_base_name(rule)}{f'#{place}' if place > 1 else ''}"


def _base_name(rule: "InvalidationRule") -> str:
    mapped = ",".join(f"{name}={path}" for name, path in sorted(rule.field_mapping.items()))
    targets = ",".join([*filter(None, [mapped]), *(f"#{tag}" for tag in rule.tags)])
    return f"{rule.model_label}({rule.invalidator_name or targets})"


def rule_named(name: str) -> "tuple[CachedWrapper[..., object], InvalidationRule]":
    """The rule with this stable name, and its wrapper.

    :raises UnknownRuleError: when this process does not know it.
    """
    found = [(wrapper, rule) for wrapper, rule in registered() if name_of(wrapper, rule) == name]
    if not found:
        raise UnknownRuleError(
            f"cache_result: this process knows no rule {name!r}; run workers with the code that the web "
            'processes run, and add the module of the function to CACHE_RESULT["MODULES"] (known rules: '
            "cache_result.registered_rules())"
        )
    return found[-1]
