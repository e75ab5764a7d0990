"""Signal receivers: a saved or deleted instance becomes targets.

Receivers connect to each concrete sender that a rule matches, never to all: a receiver without a
sender would cost every model of the project its fast deletes.
"""

from collections.abc import Iterator
from dataclasses import replace
from inspect import Parameter, signature
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models, router
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from cache_result import registry, transaction
from cache_result.invalidation import loaded, relations, statements
from cache_result.invalidation.changes import Change, OldRow, alias_of, looked_at
from cache_result.invalidation.targets import Targets

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]

_connected: set[type[models.Model]] = set()
"""Models of rules whose senders are connected."""
_lock = Lock()
_QUERIED = "_cache_result_queried"


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
        senders = [sender for sender in apps.get_models(include_auto_created=True) if rule.concerns(sender)]
        for sender in senders:
            loaded.track(sender, looked_at(rule, sender))
        with _lock:
            if model in _connected:
                continue
            _connected.add(model)
        statements.watch(senders, _rules_for)
        relations.watch(senders, _fire, _fire_all)
        for sender in senders:
            post_delete.connect(_after_delete, sender=sender, dispatch_uid="cache_result.rules")
            pre_save.connect(_before_save, sender=sender, dispatch_uid="cache_result.rules")
            post_save.connect(_on_save, sender=sender, dispatch_uid="cache_result.rules")
            pre_delete.connect(_on_delete, sender=sender, dispatch_uid="cache_result.rules")


def _before_save(
    *, sender: type[models.Model], instance: models.Model, using: str | None = None, **kwargs: Any
) -> None:
    using = using or alias_of(instance)
    _query(sender, instance, using)
    loaded.look_up(instance, using)
    adding = instance._state.adding
    # With a key of its own it may overwrite a row; one that Django draws is new.
    created = adding and (instance.pk is None or instance._meta.pk.has_default())
    targets = _targets(sender, Change(instance, () if adding else _olds(instance, using), created=created))
    if not targets:
        return
    if transaction.in_transaction(connections[using]):
        # Should a receiver before ours raise after the save, this has been noted already.
        transaction.record(using, targets)
    else:
        statements.close_for_save(instance, targets)


def _on_save(
    *,
    sender: type[models.Model],
    instance: models.Model,
    created: bool,
    using: str | None = None,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    using = using or alias_of(instance)
    change = Change(instance, () if created else _olds(instance, using), created=created)
    targets = _targets(sender, change, rewarm=True)
    closed = statements.closed_for_save(instance)
    if closed is not None:
        closed.merge(targets)
        targets = closed
    if targets:
        transaction.record(using, targets)
    loaded.saved(instance, using, update_fields)


def _on_delete(
    *, sender: type[models.Model], instance: models.Model, using: str | None = None, **kwargs: Any
) -> None:
    using = using or alias_of(instance)
    _query(sender, instance, using)
    loaded.look_up(instance, using)
    # Before the row goes, its relations can still be followed.
    _fire(sender, Change(instance, _olds(instance, using), deleted=True), using)
    statements.announce_deletion(instance, connections[using])


def _after_delete(*, instance: models.Model, using: str | None = None, **kwargs: Any) -> None:
    statements.deletion_done(instance, connections[using or alias_of(instance)])


def _query(sender: type[models.Model], instance: models.Model, using: str) -> None:
    """Reads the old row for the rules that ask for it."""
    if instance.pk is not None and any(rule.old_values == "query" for _, rule in _rules_for(sender)):
        rows = sender._base_manager.using(using).filter(pk=instance.pk)
        setattr(instance._state, _QUERIED, list(rows))
    elif hasattr(instance._state, _QUERIED):
        delattr(instance._state, _QUERIED)


def _olds(instance: models.Model, using: str) -> tuple[Any, ...]:
    """What the row may have been like before."""
    return tuple(OldRow(instance, values) for values in loaded.versions(instance, using))


def _fire(sender: type[models.Model], change: Change, using: str) -> None:
    if change.relation is not None:
        change = replace(change, olds=_olds(change.instance, using))
    targets = _targets(sender, change)
    if targets:
        transaction.record(using, targets)


def _targets(sender: type[models.Model], change: Change, *, rewarm: bool = False) -> Targets:
    """The mapped values are read now: what happens to the instance later does not matter."""
    targets = Targets()
    queried: tuple[Any, ...] = tuple(getattr(change.instance._state, _QUERIED, ()))
    for wrapper, rule in _rules_for(sender):
        known = replace(change, olds=queried) if rule.old_values == "query" and change.olds else change
        rows = known.rows(rule)
        for row in rows:
            _aim(targets, wrapper, rule, row)
        wanted = rewarm and rule.rewarm and (not change.created or rule.trigger_on_create)
        if rows and wanted:
            _aim_rewarm(targets, wrapper, rule, change.instance)
    return targets


def _fire_all(model: type[models.Model], using: str) -> None:
    """Rows of the model have changed, nobody knows which."""
    targets = Targets()
    for wrapper, rule in _rules_for(model):
        targets.add(wrapper, [wrapper._function_scope()], rule.settle)
    if targets:
        transaction.record(using, targets)


def invalidate_for(changed: models.Model | type[models.Model], using: str | None = None) -> None:
    """Fires the rules of a model, for changes that no signal and no statement of Django's tells of: a
    stored procedure, a trigger, another program.

    :param changed: an instance, which counts as saved just now; or a model, all of whose rows count.
    :param using: the database alias; by default that of the instance, or where the model is written.
    """
    model = changed if isinstance(changed, type) else type(changed)
    if not issubclass(model, models.Model):
        raise TypeError(f"cache_result: invalidate_for({changed!r}): give an instance or a model class")
    if isinstance(changed, models.Model):
        alias = using or alias_of(changed)
        _fire(model, Change(changed, _olds(changed, alias)), alias)
    else:
        _fire_all(model, using or router.db_for_write(model))


def _rules_for(sender: type[models.Model]) -> "Iterator[tuple[AnyWrapper, InvalidationRule]]":
    return ((wrapper, rule) for wrapper, rule in registry.registered() if rule.concerns(sender))


def _aim(targets: Targets, wrapper: "AnyWrapper", rule: "InvalidationRule", row: Any) -> None:
    values = rule.values(row) if rule.field_mapping else None
    scopes = wrapper._fired_scopes(values) if values else []
    # A rule that can name no scope goes for the whole function.
    targets.add(wrapper, scopes or [wrapper._function_scope()], rule.settle)


def _aim_rewarm(targets: Targets, wrapper: "AnyWrapper", rule: "InvalidationRule", row: Any) -> None:
    values = rule.values(row) if rule.field_mapping else {}
    if values is not None and rule.allows(values) and _fills(wrapper, values):
        targets.add_rewarm(wrapper, values)


def _fills(wrapper: "AnyWrapper", values: dict[str, Any]) -> bool:
    """Whether ``values`` are all that a call of the function needs."""
    return all(
        name in values or parameter.default is not Parameter.empty
        for name, parameter in signature(wrapper).parameters.items()
        if parameter.kind not in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    )
