"""System checks: what only the whole project shows.

===================  =========================================================================
cache_result.E001    a rule names a model that does not exist
cache_result.E002    a module that mentions this package could not be imported
cache_result.E003    a rule was registered after discovery, so other processes may not know it
cache_result.E004    ``CACHE_RESULT["CACHE"]`` or ``cache=`` names no cache
cache_result.E005    a key field describes a model or a serializer that cannot be made
cache_result.E006    a rule watches a field that its model does not have
cache_result.E007    a dispatcher that is not there, or whose package is missing
cache_result.E008    the dotted path of an ``invalidator`` leads to nothing that can be called
cache_result.E009    ``LOCATION`` or ``OPTIONS`` of a ``MemoryCache`` that do not suit, or a host index
                     that cannot be used
cache_result.W001    rules on an in-process cache: other processes do not see invalidations. Where ``DEBUG``
                     is off, and under ``check --deploy``
cache_result.W002    several Memcached servers: a lost server can bring back old generations
cache_result.W003    a Redis alias that reads from replicas, which lag behind
cache_result.W004    a key prefix that leaves no room for keys
cache_result.W005    ``DatabaseCache`` in a database of the project: transactions block each other
cache_result.W006    a rule maps a path that its model does not have, so it can name no scope
cache_result.W007    a rule with ``rewarm=True`` whose mapping does not fill the function's signature
cache_result.W008    processes of several users have used ``HOST_INDEX = True``: each user has a file of
                     his own
===================  =========================================================================
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import InvalidCacheBackendError
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from cache_result import _core, registry
from cache_result.backends import MemoryCache
from cache_result.backends.host import is_testing
from cache_result.backends.memory import store_options
from cache_result.conf import get_settings
from cache_result.dispatching import make_dispatcher
from cache_result.invalidation import discovery, receivers
from cache_result.keys.constructors import KeyConstructor
from cache_result.keys.shapes import ShapeKeyField

_IN_PROCESS = {"LocMemCache", "DummyCache"}


def check_rules(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Rules that name no model, came too late, or could not be looked for."""
    found: list[CheckMessage] = []
    for wrapper, rule in registry.registered():
        try:
            missing = rule.missing_paths()
        except LookupError as error:
            hint = "Give a model class or 'app_label.Model'."
            found.append(Error(f"{wrapper.label}: {error}", hint=hint, id="cache_result.E001"))
            continue
        for name in rule.unknown_fields():
            message = f"{wrapper.label}: a rule watches {name!r}, which {rule.model_label} does not have"
            hint = "Name fields of the model in watch_fields= and invalidate_when=."
            found.append(Error(message, hint=hint, id="cache_result.E006"))
        for path in missing:
            message = f"{wrapper.label}: a rule maps {path!r}, which {rule.model_label} does not have"
            hint = "Until it is mended, every change of the model invalidates the whole function."
            found.append(Warning(message, hint=hint, id="cache_result.W006"))
    for module, reason in discovery.failed.items():
        hint = "Mend the module, or keep it out of the project's apps."
        found.append(Error(f"{module} could not be imported: {reason}", hint=hint, id="cache_result.E002"))
    for label, module in registry.late.items():
        if discovery.is_left_out_of_its_app(module):
            continue
        hint = 'Add its module to CACHE_RESULT["MODULES"].'
        message = f"The rules of {label} are not known when the process starts"
        found.append(Error(message, hint=hint, id="cache_result.E003"))
    return found


def check_work(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Rules whose work after the commit cannot be done."""
    found: list[CheckMessage] = []
    try:
        make_dispatcher(None, {})
    except (LookupError, ImportError, ValueError) as error:
        hint = 'Mend CACHE_RESULT["DEFAULT_DISPATCHER"].'
        found.append(Error(_said(error), hint=hint, id="cache_result.E007"))
    for wrapper, rule in registry.registered():
        try:
            if rule.dispatcher is not None:
                rule.get_dispatcher()
        except (LookupError, ImportError, ValueError) as error:
            hint = "Its rewarms and custom invalidators do not run."
            found.append(Error(f"{wrapper.label}: {_said(error)}", hint=hint, id="cache_result.E007"))
        try:
            rule.resolve_invalidator()
        except (ImportError, TypeError) as error:
            hint = "Give the dotted path of a function."
            found.append(
                Error(f"{wrapper.label}: its invalidator: {error}", hint=hint, id="cache_result.E008")
            )
        if rule.rewarm and not receivers.fills(wrapper, rule.field_mapping):
            message = f"{wrapper.label}: a rule rewarms, but its field_mapping does not fill the signature"
            hint = "Its calls are invalidated only. Map all arguments without defaults, or leave out rewarm."
            found.append(Warning(message, hint=hint, id="cache_result.W007"))
    return found


def _said(error: Exception) -> str:
    return str(error.args[0] if error.args else error).removeprefix("cache_result: ")


def check_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Models and serializers that key fields cannot describe."""
    found: list[CheckMessage] = []
    for wrapper in KeyConstructor.wrappers():
        for name, field in wrapper.key_constructor.fields.items():
            if not isinstance(field, ShapeKeyField):
                continue
            try:
                field.shape()
            except Exception as error:
                message = f"{wrapper.label}: the key field {name!r}: {error}"
                hint = "Until it is mended, every call of the function fails."
                found.append(Error(message, hint=hint, id="cache_result.E005"))
    return found


def check_caches(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Caches on which the promises are hard to keep."""
    default = get_settings().CACHE
    with_rules = _with_rules()
    found: list[CheckMessage] = []
    for alias in sorted({default, *with_rules, *registry.aliases}):
        try:
            backend = caches[alias]
        except InvalidCacheBackendError:
            hint = f"Define it in CACHES, or name one of {', '.join(caches.settings)}."
            wrapper = registry.aliases.get(alias)
            user = wrapper.label if wrapper else 'CACHE_RESULT["CACHE"]'
            message = f"There is no cache {alias!r}, which {user} names"
            found.append(Error(message, hint=hint, id="cache_result.E004"))
            continue
        found.extend(_soft_ground(alias, backend, with_rules.get(alias)))
    # Tests have one process, and DEBUG is off in them.
    if not settings.DEBUG and not is_testing():
        found.extend(_lonely())
    return found


def check_deployment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What matters where a project is served, for `check --deploy` on the machine of a developer."""
    return list(_lonely()) if settings.DEBUG or is_testing() else []


def check_memory(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Options of every ``MemoryCache``, used by a wrapper or not. No host index is made here."""
    found: list[CheckMessage] = []
    stores: dict[str, tuple[str, Any]] = {}
    for alias in caches.settings:
        try:
            backend = caches[alias]
        except InvalidCacheBackendError:
            continue
        if not isinstance(backend, MemoryCache):
            continue
        config: dict[str, Any] = caches.settings[alias]
        location, options = config.get("LOCATION", ""), config.get("OPTIONS", {})
        try:
            *_, path = store_options(location, options)
        except ImproperlyConfigured as error:
            hint = f"Mend it in CACHES[{alias!r}]."
            found.append(Error(f"The cache {alias!r}: {_said(error)}", hint=hint, id="cache_result.E009"))
            continue
        first, agreed = stores.setdefault(location, (alias, options))
        if options != agreed:
            message = f"The caches {first!r} and {alias!r} share a store, but have different OPTIONS"
            hint = "Give them the same ones, or another LOCATION."
            found.append(Error(message, hint=hint, id="cache_result.E009"))
        refusal = _core.MemoryStore.refusal(path) if path else None
        if refusal:
            reason, remedy = refusal
            message = f"The host index {path} of the cache {alias!r} cannot be used: {reason}"
            hint = f"What helps: {remedy}."
            found.append(Error(message, hint=hint, id="cache_result.E009"))
        if path and options["HOST_INDEX"] is True:
            found.extend(_other_users(alias, path))
    return found


def _other_users(alias: str, path: Path) -> Iterator[CheckMessage]:
    """Other users' processes, which have host indexes of their own."""
    others = sorted(str(other) for other in path.parent.glob(f"{path.stem}.*") if other != path)
    if others:
        yield Warning(
            f"The cache {alias!r} has host indexes of other users than this process's: {', '.join(others)}",
            hint="Processes of several users do not hear of each other's invalidations: run all as one, and "
            "delete what is left of others. (A server that loads the project as root leaves one, which does "
            "no harm.)",
            id="cache_result.W008",
        )


def _with_rules() -> dict[str, str]:
    """The aliases whose entries rules invalidate, each with one of the functions."""
    default = get_settings().CACHE
    return {wrapper._alias or default: wrapper.label for wrapper, _ in registry.registered()}


def _lonely() -> Iterator[CheckMessage]:
    """Caches whose processes do not hear of one another's invalidations."""
    for alias, label in sorted(_with_rules().items()):
        try:
            backend = caches[alias]
        except InvalidCacheBackendError:
            continue
        if isinstance(backend, MemoryCache):
            if caches.settings[alias].get("OPTIONS", {}).get("HOST_INDEX"):
                continue
            hint = "set OPTIONS['HOST_INDEX'] to True, which is for one host, or use a cache that they share."
        elif _IN_PROCESS.isdisjoint(base.__name__ for base in type(backend).__mro__):
            continue
        else:
            hint = (
                "use a cache that they share; on one host, cache_result.backends.MemoryCache with "
                "OPTIONS['HOST_INDEX'] = True."
            )
        yield Warning(
            f"The cache {alias!r} belongs to one process, and {label} has rules",
            hint=f"With more than one worker process, {hint}",
            id="cache_result.W001",
        )


def _soft_ground(alias: str, backend: Any, with_rules: str | None) -> Iterator[CheckMessage]:
    config: dict[str, Any] = caches.settings[alias]
    location = config.get("LOCATION", "")
    many = len(location) > 1 if isinstance(location, list | tuple) else ";" in str(location)
    kinds = {base.__name__ for base in type(backend).__mro__}
    if "BaseMemcachedCache" in kinds and many:
        yield Warning(
            f"The cache {alias!r} has several Memcached servers",
            hint="A server that drops out and comes back may bring old generations back with it.",
            id="cache_result.W002",
        )
    if "RedisCache" in kinds and many:
        yield Warning(
            f"The cache {alias!r} reads from replicas",
            hint="A replica that lags behind gives values older than an invalidation.",
            id="cache_result.W003",
        )
    if len(str(config.get("KEY_PREFIX", ""))) > 40:
        yield Warning(
            f"The KEY_PREFIX of the cache {alias!r} is longer than 40 characters",
            hint="Keys have up to 200 characters, and Memcached takes 250 in all.",
            id="cache_result.W004",
        )
    if with_rules and "DatabaseCache" in kinds:
        yield Warning(
            f"The cache {alias!r} is a table of the project's database, and {with_rules} has rules",
            hint="Inside a transaction its writes commit and roll back with the data.",
            id="cache_result.W005",
        )
