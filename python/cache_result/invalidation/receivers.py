"""Signal receivers: a saved or deleted instance becomes targets.

Receivers connect to each concrete sender that a rule matches, never to all: a receiver without a
sender would cost every model of the project its fast deletes.
"""

from collections.abc import Iterator
from inspect import Parameter, signature
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models
from django.db.models.signals import post_save, pre_delete, pre_save

from cache_result import registry, transaction
from cache_result.invalidation.targets import Targets

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]

_connected: set[type[models.Model]] = set()
"""Models of rules whose senders are connected."""
_lock = Lock()


def connect() -> None:
    """Connects everything. Called once, when the apps are ready."""
    transaction.watch_connections()
    registry.on_register(_connect_rules_of)
    for wrapper in {wrapper for wrapper, _ in registry.registered()}:
        _connect_rules_of(wrapper)


def _connect_rules_of(wrapper: "AnyWrapper") -> None:
    for rule in wrapper.rules:
        try:
            model = rule.resolved_model
        except LookupError:
            continue  # `manage.py check` names it
        with _lock:
            if model in _connected:
                continue
            _connected.add(model)
        for sender in _senders(model):
            pre_save.connect(_before_save, sender=sender, dispatch_uid="cache_result.rules")
            post_save.connect(_on_save, sender=sender, dispatch_uid="cache_result.rules")
            pre_delete.connect(_on_delete, sender=sender, dispatch_uid="cache_result.rules")


def _senders(model: type[models.Model]) -> Iterator[type[models.Model]]:
    """Models whose instances are instances of ``model``, or rows of its table."""
    for candidate in apps.get_models(include_auto_created=True):
        if issubclass(candidate, model) or candidate._meta.concrete_model is model._meta.concrete_model:
            yield candidate


def _before_save(*, sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    # Should a receiver before ours raise after the save, this has been noted already.
    if transaction.in_transaction(connections[using]):
        _changed(sender, instance, using, rewarm=False)


def _on_save(
    *, sender: type[models.Model], instance: models.Model, created: bool, using: str, **kwargs: Any
) -> None:
    _changed(sender, instance, using, rewarm=not created)


def _on_delete(*, sender: type[models.Model], instance: models.Model, using: str, **kwargs: Any) -> None:
    # Before the row goes, its relations can still be followed.
    _changed(sender, instance, using, rewarm=False)


def _changed(sender: type[models.Model], instance: models.Model, using: str, *, rewarm: bool) -> None:
    """The mapped values are read now: what happens to the instance later does not matter."""
    targets = Targets()
    for wrapper, rule in registry.registered():
        if _matches(rule, sender):
            _aim(targets, wrapper, rule, instance, rewarm=rewarm and rule.rewarm)
    if targets:
        transaction.record(using, targets)


def _matches(rule: "InvalidationRule", sender: type[models.Model]) -> bool:
    try:
        model = rule.resolved_model
    except LookupError:
        return False
    return issubclass(sender, model) or sender._meta.concrete_model is model._meta.concrete_model


def _aim(
    targets: Targets, wrapper: "AnyWrapper", rule: "InvalidationRule", instance: models.Model, *, rewarm: bool
) -> None:
    values = rule.values(instance) if rule.field_mapping else None
    scopes = wrapper._fired_scopes(values) if values else []
    # A rule that can name no scope goes for the whole function.
    targets.add(wrapper, scopes or [wrapper._function_scope()])
    if rewarm and (values or not rule.field_mapping) and _fills(wrapper, values or {}):
        targets.add_rewarm(wrapper, values or {})


def _fills(wrapper: "AnyWrapper", values: dict[str, Any]) -> bool:
    """Whether ``values`` are all that a call of the function needs."""
    return all(
        name in values or parameter.default is not Parameter.empty
        for name, parameter in signature(wrapper).parameters.items()
        if parameter.kind not in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    )
