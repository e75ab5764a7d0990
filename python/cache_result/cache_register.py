"""``CacheRegister``: what is registered, under the names of drf-restflow. New code needs
:func:`cache_result.registered_rules` only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from django.db import models

from cache_result import _core, dispatching, registry
from cache_result.exceptions import UnknownRuleError
from cache_result.invalidation import discovery, receivers, work
from cache_result.invalidation.changes import alias_of
from cache_result.rules import InvalidationRule
from cache_result.wrapper import CachedWrapper

Entry = dict[str, Any]
"""``{"id": name, "func": wrapper, "invalidation_rule": rule}``."""


class CacheRegistry:
    """The rules of this process. There is one: ``CacheRegister``."""

    name = "default"
    SignalTypes = dispatching.SignalTypes

    def add(self, model: Any, func: Any, invalidation_rule: InvalidationRule) -> None:
        """Gives a wrapper one more rule, for this model.

        :raises AttributeError: for anything but a wrapper.
        :raises ValueError: when the rule does not fit the function.
        """
        if not isinstance(func, CachedWrapper):
            raise AttributeError(f"cache_result: {func!r} is not a function decorated with @cache_result")
        rule = replace(invalidation_rule, model=model)
        if rule in func.rules:
            return
        rule.check(signature(func.func), func.label)
        registry.require_installed(func.label)
        registry.forget(func)
        func.rules = (*func.rules, rule)
        registry.register(func)
        _core.reconfigured()

    register = add

    def auto_discover(self) -> "CacheRegistry":
        """Finds the rules of the project's apps, unless that was done already."""
        if not self.is_discovered:
            discovery.discover()
        return self

    @property
    def is_discovered(self) -> bool:
        """Whether the rules have been looked for."""
        return registry.is_discovered()

    @property
    def pending_count(self) -> int:
        """How many rules wait for their model, which the apps do not have (yet)."""
        return sum(_model_of(rule) is None for _, rule in registry.registered())

    @property
    def model_count(self) -> int:
        """How many models have rules."""
        return len({_model_of(rule) for _, rule in registry.registered()} - {None})

    def clear(self) -> None:
        """Forgets all rules: for tests."""
        for wrapper in {wrapper for wrapper, _ in registry.registered()}:
            registry.forget(wrapper)

    def get_rule(self, rule_id: str) -> Entry | None:
        """The rule with this stable name, or None."""
        try:
            return _entry(*registry.rule_named(rule_id))
        except UnknownRuleError:
            return None

    def invalidate_for_instance(
        self,
        instance: models.Model,
        instance_created: bool = False,
        signal_type: dispatching.SignalTypes = dispatching.SignalTypes.POST_SAVE,
        update_fields: frozenset[str] | None = None,
    ) -> None:
        """Fires the rules of an instance as if it had been saved or deleted just now."""
        receivers.fire_for(
            instance,
            alias_of(instance),
            created=instance_created,
            deleted=signal_type == dispatching.SignalTypes.POST_DELETE,
            update_fields=update_fields,
        )

    def process_rule(self, rule: Entry, func_kwargs: Mapping[str, Any]) -> None:
        """Invalidates what a rule names by these arguments of its function, and refreshes the call if
        the rule wants it."""
        wrapper: CachedWrapper[..., Any] = rule["func"]
        receivers.fire_values(wrapper, rule["invalidation_rule"], dict(func_kwargs))

    def run_cache_rules(self, rule_ids: Sequence[str], rule_kwargs: Mapping[str, Any]) -> None:
        """Does what a dispatcher was given.

        :raises UnknownRuleError: for a name that this process does not know.
        """
        work.run_cache_rules(rule_ids, rule_kwargs)

    def get_status(self) -> dict[str, Any]:
        """What is registered, by model."""
        found: dict[Any, list[dict[str, str]]] = {}
        for wrapper, rule in registry.registered():
            model = _model_of(rule)
            if model is not None:
                function = f"{wrapper.func.__module__}.{wrapper.func.__name__}"
                found.setdefault(model, []).append(
                    {"function": function, "id": registry.name_of(wrapper, rule)}
                )
        return {
            "name": self.name,
            "discovered": self.is_discovered,
            "pending": self.pending_count,
            "models": found,
        }


def _entry(wrapper: Any, rule: InvalidationRule) -> Entry:
    return {"id": registry.name_of(wrapper, rule), "func": wrapper, "invalidation_rule": rule}


def _model_of(rule: InvalidationRule) -> type[models.Model] | None:
    try:
        return rule.resolved_model
    except LookupError:
        return None


CacheRegister = CacheRegistry()
