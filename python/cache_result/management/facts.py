"""What is to be known of functions and rules, as plain data: `--json` prints it as it is."""

from datetime import timedelta
from operator import itemgetter
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache

from cache_result import registry
from cache_result.backends import MemoryCache
from cache_result.backends.memory import store_options
from cache_result.conf import get_settings
from cache_result.keys.fields import ArgsKeyField, CacheKeyField
from cache_result.keys.identity import label_of
from cache_result.management.functions import Wrapper
from cache_result.rules import InvalidationRule
from cache_result.storage import Storage


def summary(wrapper: Wrapper) -> dict[str, Any]:
    """A function in one line."""
    return {
        "function": wrapper.label,
        "id": wrapper.function_id,
        "async": wrapper.is_async,
        "ttl": _ttl(wrapper.ttl),
        "cache": wrapper._alias or get_settings().CACHE,
        "scopes": scopes(wrapper),
        "rules": len(wrapper.rules),
    }


def details(wrapper: Wrapper) -> dict[str, Any]:
    """All of a function. Counts are those of this process."""
    facts = summary(wrapper)
    constructor = wrapper.key_constructor
    fields = constructor.fields
    return {
        **facts,
        "backend": caches.settings.get(facts["cache"], {}).get("BACKEND"),
        "enabled": get_settings().ENABLED,
        "single_flight": wrapper._single_flight,
        "key_constructor": f"{type(constructor).__module__}.{type(constructor).__qualname__}",
        "namespace": constructor.namespace,
        "version": constructor.get_version(),
        "fields": {name: field_text(field) for name, field in fields.items()},
        "partition": [name for name, field in fields.items() if field.partition],
        "rules": [rule_facts(wrapper, rule) for rule in wrapper.rules],
        "counts": wrapper.cache_info()._asdict(),
    }


def rules_by_model() -> dict[str, list[dict[str, Any]]]:
    """The rules that fire, by model."""
    found: dict[str, list[dict[str, Any]]] = {}
    for wrapper, rule in registry.registered():
        found.setdefault(_model(rule), []).append(rule_facts(wrapper, rule))
    return {model: sorted(found[model], key=itemgetter("name")) for model in sorted(found)}


def rule_facts(wrapper: Wrapper, rule: InvalidationRule) -> dict[str, Any]:
    """A rule; of its options those that are not left at their defaults."""
    defaults = InvalidationRule(rule.model)
    names = [
        "rewarm",
        "require_args",
        "trigger_on_create",
        "watch_fields",
        "invalidate_when",
        "old_values",
        "settle",
        "batch",
        "raise_exception",
        "tags",
    ]
    given = {name: getattr(rule, name) for name in names}
    return {
        "name": registry.name_of(wrapper, rule),
        "function": wrapper.label,
        "model": _model(rule),
        "field_mapping": dict(rule.field_mapping),
        "invalidator": rule.invalidator_name or None,
        "dispatcher": rule.dispatcher_name or get_settings().DEFAULT_DISPATCHER,
        "options": {name: value for name, value in given.items() if value != getattr(defaults, name)},
    }


def scopes(wrapper: Wrapper) -> list[list[str]]:
    """What names a group of entries that can be wiped: leading partition fields, and what rules map."""
    found: list[list[str]] = []
    run: list[str] = []
    for field in wrapper.key_constructor.fields.values():
        if field.partition:
            run = [*run, *_needs(field)]
            found.append(run)
    found += [sorted(rule.field_mapping) for rule in wrapper.rules if rule.field_mapping]
    return [scope for at, scope in enumerate(found) if scope not in found[:at]]


def field_text(field: CacheKeyField) -> str:
    """A key field as its declaration says it, for people."""
    given = vars(field)
    about = [given[name] for name in ("arguments", "params", "key", "model", "serializer") if name in given]
    about += [f"path={given['path']!r}"] if given.get("path") else []
    return f"{type(field).__name__}({', '.join(_plain(value) for value in about)})"


def reach(storage: Storage) -> str | None:
    """Where an invalidation made here is heard of, if that is not everywhere: "host", or "process"."""
    cache = caches[storage.alias]
    if storage.shared or isinstance(cache, DummyCache):
        return None
    if not isinstance(cache, MemoryCache):
        return "process"
    config: dict[str, Any] = caches.settings[storage.alias]
    *_, host_index = store_options(config.get("LOCATION", ""), config.get("OPTIONS", {}))
    return "process" if host_index is None else "host"


def _needs(field: CacheKeyField) -> list[str]:
    named = isinstance(field, ArgsKeyField) and field.arguments != [field.everything]
    return list(field.arguments) if named else [field_text(field)]  # type: ignore[attr-defined]


def _ttl(ttl: Any) -> float | str | None:
    if callable(ttl):
        return label_of(ttl)
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


def _model(rule: InvalidationRule) -> str:
    try:
        return str(rule.resolved_model._meta.label)
    except LookupError:
        return rule.model_label


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return str(getattr(getattr(value, "_meta", None), "label", None) or getattr(value, "__qualname__", value))
