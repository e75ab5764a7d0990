"""Signal receivers: a saved or deleted instance becomes targets.

Receivers connect to each concrete sender that a rule matches, never to all: a receiver without a
sender would cost every model of the project its fast deletes.
"""

from collections.abc import Collection, Iterable
from copy import copy
from dataclasses import replace
from inspect import Parameter, signature
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections, models, router
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from cache_result import registry, transaction, writes
from cache_result.dispatching import SignalTypes
from cache_result.forks import renewed
from cache_result.invalidation import loaded, relations, statements
from cache_result.invalidation.changes import Change, OldRow, alias_of, looked_at
from cache_result.invalidation.targets import Targets
from cache_result.invalidation.work import Invalidation, Rewarm
from cache_result.model_fields import field_of

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]
    Rules = Iterable[tuple[AnyWrapper, InvalidationRule]]

_connected: set[type[models.Model]] = set()
"""Models of rules whose senders are connected."""
_lock = renewed(Lock())
_QUERIED = "_cache_result_queried"


def connect() -> None:
    """Connects everything. Called once, when the apps are ready."""
    writes.watch_connections()
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
        statements.watch(senders, registry.concerned_with)
        relations.watch(senders, _fire, _fire_all)
        for sender in senders:
            post_delete.connect(_after_delete, sender=sender, dispatch_uid="cache_result.rules")
            pre_save.connect(_before_save, sender=sender, dispatch_uid="cache_result.rules")
            post_save.connect(_on_save, sender=sender, dispatch_uid="cache_result.rules")
            pre_delete.connect(_on_delete, sender=sender, dispatch_uid="cache_result.rules")


def _before_save(
    *,
    sender: type[models.Model],
    instance: models.Model,
    using: str | None = None,
    raw: bool = False,
    **kwargs: Any,
) -> None:
    using = using or alias_of(instance)
    rules = tuple(registry.concerned_with(sender))
    _query(rules, instance, using)
    loaded.look_up(instance, using)
    # Unless the row must be there already.
    adding = instance._state.adding and not statements.is_forced_update(instance)
    # With a key of its own it may overwrite a row; one that Django draws is new.
    created = adding and (instance.pk is None or (not raw and instance._meta.pk.has_default()))
    inside = transaction.in_transaction(connections[using])
    # Who sets a key that the database draws has taken it from a row. Elsewhere `_on_save` knows in time.
    overwriting = adding and not created and not inside and _is_drawn(sender)
    olds = _olds(instance, using) if overwriting or not adding else ()
    change = Change(instance, olds, created=created)
    targets = _targets(rules, change, using, happened=False, raw=raw)
    if not targets:
        return
    if inside:
        # Should a receiver before ours raise after the save, this has been noted already.
        transaction.record(using, targets)
    else:
        statements.close_for_save(instance, targets)


def _is_drawn(model: type[models.Model]) -> bool:
    """Whether the database draws the model's keys."""
    return any(each._meta.auto_field for each in (model, *model._meta.get_parent_list()))


def _on_save(
    *,
    sender: type[models.Model],
    instance: models.Model,
    created: bool,
    using: str | None = None,
    update_fields: frozenset[str] | None = None,
    raw: bool = False,
    **kwargs: Any,
) -> None:
    using = using or alias_of(instance)
    olds = () if created else _olds(instance, using)
    change = Change(instance, olds, created=created, update_fields=update_fields)
    targets = _targets(registry.concerned_with(sender), change, using, rewarm=True, raw=raw)
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
    _query(tuple(registry.concerned_with(sender)), instance, using)
    loaded.look_up(instance, using)
    # Before the row goes, its relations can still be followed.
    _fire(sender, Change(instance, _olds(instance, using), deleted=True), using)
    statements.announce_deletion(instance, connections[using])


def _after_delete(*, instance: models.Model, using: str | None = None, **kwargs: Any) -> None:
    statements.deletion_done(instance, connections[using or alias_of(instance)])


def _query(rules: "Rules", instance: models.Model, using: str) -> None:
    """Reads the old row for the rules that ask for it."""
    if any(rule.old_values == "query" for _, rule in rules) and instance.pk is not None:
        rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
        setattr(instance._state, _QUERIED, list(rows))
    elif hasattr(instance._state, _QUERIED):
        delattr(instance._state, _QUERIED)


def _olds(instance: models.Model, using: str) -> tuple[Any, ...]:
    """What the row may have been like before."""
    return tuple(OldRow(instance, values) for values in loaded.versions(instance, using))


def _fire(sender: type[models.Model], change: Change, using: str) -> None:
    if change.relation is not None:
        change = replace(change, olds=_olds(change.instance, using))
    targets = _targets(registry.concerned_with(sender), change, using)
    if targets:
        transaction.record(using, targets)


def _targets(
    rules: "Rules",
    change: Change,
    using: str,
    *,
    rewarm: bool = False,
    happened: bool = True,
    raw: bool = False,
) -> Targets:
    """The mapped values are read now: what happens to the instance later does not matter.

    :param happened: the change has been made, so that custom invalidators are to be told.
    :param raw: a fixture is being loaded, so that related rows may not be there yet.
    """
    targets = Targets()
    queried: tuple[Any, ...] = tuple(getattr(change.instance._state, _QUERIED, ()))
    for wrapper, rule in rules:
        known = replace(change, olds=queried) if rule.old_values == "query" and change.olds else change
        rows = known.rows(rule)
        if rule.invalidator is not None:
            if rows and happened:
                targets.add_invalidation(_invalidation(wrapper, rule, change, using))
            continue
        if rows and (rule.maps_generated or (raw and _follows(rule, type(change.instance)))):
            targets.aim(wrapper, rule)
            continue
        if rows:
            _aim(targets, wrapper, rule, rows)
        if rewarm and rows and rule.rewarm and (not change.created or rule.trigger_on_create):
            _aim_rewarm(targets, wrapper, rule, change.instance)
    return targets


def _follows(rule: "InvalidationRule", model: type[models.Model]) -> bool:
    """Whether what the rule maps has to be loaded from other rows."""
    firsts = {path.partition(".")[0] for path in rule.paths.values()}
    fields = {name: field_of(model, name) for name in firsts}
    return any(
        field is not None and field.is_relation and name == field.name for name, field in fields.items()
    )


def _fire_all(model: type[models.Model], using: str) -> None:
    """Rows of the model have changed, nobody knows which."""
    targets = Targets()
    for wrapper, rule in registry.concerned_with(model):
        targets.aim(wrapper, rule)
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
    with transaction.undiverted():
        if isinstance(changed, models.Model):
            fire_for(changed, using or alias_of(changed))
        else:
            _fire_all(model, using or router.db_for_write(model))


def fire_for(instance: models.Model, using: str, **what: Any) -> None:
    """Fires the rules of an instance; ``what`` are more fields of the :class:`Change`."""
    _fire(type(instance), Change(instance, _olds(instance, using), **what), using)


def fire_values(wrapper: "AnyWrapper", rule: "InvalidationRule", values: dict[str, Any]) -> None:
    """Invalidates what a rule names by these arguments of the function, at the commit or now."""
    targets = Targets()
    targets.aim(wrapper, rule, values if rule.field_mapping else None)
    if rule.rewarm and rule.allows(values) and fills(wrapper, values):
        targets.add_rewarm(Rewarm(wrapper, rule, None, SignalTypes.POST_SAVE, values))
    transaction.record(router.db_for_write(rule.resolved_model), targets)


def _aim(targets: Targets, wrapper: "AnyWrapper", rule: "InvalidationRule", rows: list[Any]) -> None:
    """Adds the scopes of the old and the new rows; most often they are the same."""
    last: dict[str, Any] | None = None
    for row in rows:
        values = rule.values(row) if rule.paths else None
        if values and last and all(value is last[name] for name, value in values.items()):
            continue
        last = values
        targets.aim(wrapper, rule, values)


def _aim_rewarm(targets: Targets, wrapper: "AnyWrapper", rule: "InvalidationRule", row: Any) -> None:
    known = rule.values(row) if rule.paths else {}
    values = None if known is None else rule.mapped(known)
    if values is not None and rule.allows(values) and fills(wrapper, values):
        targets.add_rewarm(Rewarm(wrapper, rule, row, SignalTypes.POST_SAVE, values))


def _invalidation(
    wrapper: "AnyWrapper", rule: "InvalidationRule", change: Change, using: str
) -> Invalidation:
    return Invalidation(
        wrapper,
        rule,
        copy(change.instance),  # a deletion takes its key away, and the caller may go on with it
        SignalTypes.POST_DELETE if change.deleted else SignalTypes.POST_SAVE,
        using,
        change.created,
        change.update_fields,
        frozenset(connections[using].savepoint_ids),
    )


def fills(wrapper: "AnyWrapper", values: Collection[str]) -> bool:
    """Whether values for these arguments, given by name, are all that a call of the function needs."""
    return all(
        parameter.kind is not Parameter.POSITIONAL_ONLY
        if name in values
        else parameter.default is not Parameter.empty
        for name, parameter in signature(wrapper).parameters.items()
        if parameter.kind not in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    )
