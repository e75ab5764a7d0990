"""Invalidation rules: which model's changes reach which calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, Signature, isfunction
from math import isfinite
from typing import Any, Literal

from django.apps import apps
from django.db import models
from django.utils.module_loading import import_string

from cache_result.dispatching import Dispatcher, make_dispatcher
from cache_result.forks import with_renewed_properties
from cache_result.model_fields import RuleMember, field_of, is_generated, member
from cache_result.rule_options import (
    arguments_of_view,
    check_dispatching,
    check_invalidator,
    check_soft,
    name_of,
    read_tags,
)
from cache_result.tags import Tag, Template


@with_renewed_properties
@dataclass(frozen=True)
class InvalidationRule:
    """Saving or deleting an instance of ``model`` invalidates the calls that depend on it.

    :param model: model class, or ``"app_label.Model"``.
    :param rewarm: after the change is committed, run those calls again and store their results.
    :param field_mapping: argument of the function -> dotted path on the instance, as
        ``{"user_id": "id"}`` or ``{"country_code": "country.code"}``. May be empty only for functions
        without parameters. When a mapped value changes, the calls of the old and of the new one are
        invalidated: the old one as the instance was loaded, else the whole function.
    :param tags: tags that change with the instance, in entries of any function: templates of
        values of the instance, as ``["user:{id}", "team:{team.slug}"]``. Old and new values count, as those
        of ``field_mapping``. What is not known invalidates all tags that begin
        with the same text before the first colon. A rule with tags and no ``field_mapping`` invalidates
        these tags only.
    :param soft: whether what changes counts as expired and not as void: until it is made anew, and for the
        function's ``stale_while_revalidate`` at most, callers get the old result (STALE).
    :param require_args: mapped values that must not be None for the rule to fire: True means all of
        them, False none, a list those of these arguments. Calls that were given None, or a collection,
        are invalidated in any case.
    :param trigger_on_create: None (a new row invalidates, but rewarms nothing), True (both) or False
        (neither).
    :param watch_fields: fields of the model; a save fires only if the value of one of them has changed.
    :param invalidate_when: field -> value, or a collection of values of which it must be one; ``"!field"``
        negates. Fires when the old or the new row matches all of them.
    :param settle: seconds for which the calls stay closed after the commit (they run, and store nothing):
        how far the read replicas of the database may lag behind.
    :param old_values: ``"loaded"``, or ``"query"``: read the old row before each save.
    :param invalidator: instead of ``field_mapping``: a function, or its dotted path, that does the
        invalidating. It is called after the commit with the wrapper and the instance, and with those of
        ``signal_type``, ``instance_created`` and ``update_fields`` that it accepts. May be async.
    :param dispatcher: where rewarms and the invalidator run: a name, a ``Dispatcher`` class or an instance;
        None for ``CACHE_RESULT["DEFAULT_DISPATCHER"]``. Generations never wait for it.
    :param dispatcher_config: options of the dispatcher.
    :param batch: send the work of a transaction in one piece, where the dispatcher can.
    :param raise_exception: whether what goes wrong in the dispatcher is raised to the writer, after
        everything else is done; None for what the settings say. It is logged in any case.
    """

    model: type[models.Model] | str
    rewarm: bool = False
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    require_args: bool | Sequence[str] = True
    trigger_on_create: bool | None = None
    watch_fields: Sequence[str] | None = None
    invalidate_when: Mapping[str, Any] = field(default_factory=dict)
    old_values: Literal["loaded", "query"] = "loaded"
    settle: float = 0
    # Told apart by name, as a reloaded module has other functions.
    invalidator: Callable[..., Any] | str | None = field(default=None, compare=False)
    dispatcher: str | type[Dispatcher] | Dispatcher | None = None
    dispatcher_config: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = False
    raise_exception: bool | None = None
    tags: str | Sequence[str] = ()
    soft: bool = False
    invalidator_name: str = field(init=False, default="", repr=False)
    templates: tuple[Template, ...] = field(init=False, default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            if self.model.count(".") != 1:
                raise ValueError(
                    f"InvalidationRule(model={self.model!r}): give a model class or 'app_label.Model'"
                )
        elif not (isinstance(self.model, type) and issubclass(self.model, models.Model)):
            raise TypeError(
                f"InvalidationRule(model={self.model!r}): give a model class or 'app_label.Model'"
            )
        if not isinstance(self.rewarm, bool):
            raise TypeError(f"InvalidationRule(rewarm={self.rewarm!r}): give True or False")
        mapping = self.field_mapping
        if not isinstance(mapping, Mapping) or not all(
            isinstance(name, str) and isinstance(path, str) and path for name, path in mapping.items()
        ):
            raise TypeError(
                f"InvalidationRule(field_mapping={mapping!r}): give a dict of argument names to dotted "
                'paths, as {"user_id": "id"}'
            )
        object.__setattr__(self, "field_mapping", dict(mapping))
        templates = read_tags(self.tags, self.model_label)
        object.__setattr__(self, "tags", tuple(template.text for template in templates))
        object.__setattr__(self, "templates", templates)
        if templates and self.rewarm and not mapping:
            raise ValueError(
                f"InvalidationRule(rewarm=True, tags={self.tags!r}): rewarm=True needs field_mapping, as "
                "tags name no calls"
            )
        check_soft(self.soft, self.invalidator, templates)
        check_invalidator(self.invalidator, self.field_mapping, templates, self.rewarm)
        check_dispatching(self.dispatcher, self.dispatcher_config, self.batch, self.raise_exception)
        object.__setattr__(self, "invalidator_name", name_of(self.invalidator))
        object.__setattr__(self, "dispatcher_config", dict(self.dispatcher_config))
        self._check_gates()

    def _check_gates(self) -> None:
        require, watch, when = self.require_args, self.watch_fields, self.invalidate_when
        if not isinstance(require, bool):
            names = self._names("require_args", require, "True, False or a list of arguments")
            unknown = [name for name in names if name not in self.field_mapping]
            if unknown:
                raise ValueError(
                    f"InvalidationRule(require_args={require!r}): field_mapping has no {', '.join(unknown)}"
                )
            object.__setattr__(self, "require_args", names)
        if self.trigger_on_create is not None and not isinstance(self.trigger_on_create, bool):
            raise TypeError(
                f"InvalidationRule(trigger_on_create={self.trigger_on_create!r}): give True, False or None"
            )
        if watch is not None:
            object.__setattr__(self, "watch_fields", self._names("watch_fields", watch, "a list of fields"))
        if not isinstance(when, Mapping) or not all(
            isinstance(name, str) and name.removeprefix("!") for name in when
        ):
            raise TypeError(
                f"InvalidationRule(invalidate_when={when!r}): give a dict of fields to values, "
                'as {"status": "published"}'
            )
        object.__setattr__(self, "invalidate_when", dict(when))
        if self.old_values not in {"loaded", "query"}:
            raise ValueError(f"InvalidationRule(old_values={self.old_values!r}): give 'loaded' or 'query'")
        if isinstance(self.settle, bool) or not isinstance(self.settle, int | float):
            raise TypeError(f"InvalidationRule(settle={self.settle!r}): give a number of seconds")
        if not (isfinite(self.settle) and self.settle >= 0):
            raise ValueError(f"InvalidationRule(settle={self.settle!r}): give a number of seconds from 0")
        if self.settle and self.rewarm:
            raise ValueError(
                f"InvalidationRule(rewarm=True, settle={self.settle!r}): give one of them; calls that stay "
                "closed for a while have nothing to be rewarmed with"
            )

    def _names(self, option: str, given: Any, what: str) -> tuple[str, ...]:
        names = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError(f"InvalidationRule({option}={given!r}): give {what}")
        return names

    def __hash__(self) -> int:
        return hash((self.model, self.rewarm, tuple(sorted(self.field_mapping.items()))))

    def allows(self, values: Mapping[str, Any]) -> bool:
        """Whether mapped values that must not be None are there."""
        if isinstance(self.require_args, bool):
            return not self.require_args or all(value is not None for value in values.values())
        return all(values[name] is not None for name in self.require_args)

    def check(self, parameters: Signature, label: str, *, of_view: bool = False) -> None:
        """Whether this rule fits a function, or a view, whose arguments are those of its URL.

        :raises ValueError: when the mapping names no argument of it, or is missing.
        :raises KeyError: when there is no such dispatcher.
        """
        known = list(parameters.parameters)
        for name in self.field_mapping:
            parameter = parameters.parameters.get(name)
            if parameter is None or parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
                raise ValueError(
                    f"cache_result: field_mapping of a rule for {self.model_label} names {name!r}, which is "
                    f"no argument of {label}; it has {', '.join(known) or 'none'}"
                )
        known = arguments_of_view(parameters) if of_view else known
        if known[:1] in (["self"], ["cls"]):
            known = known[1:]
        if known and not self.field_mapping and self.invalidator is None and not self.tags:
            raise ValueError(
                f"cache_result: a rule for {self.model_label} on {label}, which has parameters, must declare "
                f'either `field_mapping=` or `invalidator=`, as field_mapping={{"{known[0]}": "id"}}, '
                "or `tags=`"
            )
        if self.dispatcher is not None:
            # `manage.py check` tells of a package that is missing.
            with suppress(ImportError):
                self.get_dispatcher()

    def get_dispatcher(self) -> Dispatcher:
        """Where this rule's work runs.

        :raises KeyError: for an unknown name.
        :raises ImportError: when a package is missing.
        """
        return make_dispatcher(self.dispatcher, self.dispatcher_config)

    @property
    def dispatcher_name(self) -> str:
        """Name of the dispatcher; empty for the project's default."""
        given = self.dispatcher
        return given or "" if given is None or isinstance(given, str) else given.name

    def resolve_invalidator(self) -> Callable[..., Any] | None:
        """The invalidator itself; None without one.

        :raises ImportError: when its path leads nowhere.
        :raises TypeError: when what is there cannot be called.
        """
        found = self.invalidator
        if isinstance(found, str):
            found = import_string(found)
        if found is not None and not callable(found):
            raise TypeError(f"InvalidationRule(invalidator={self.invalidator!r}): {found!r} is not callable")
        return found

    @cached_property
    def maps_generated(self) -> bool:
        """Whether the database computes one of the values. Needs loaded models."""
        fields = [field_of(self.resolved_model, path.partition(".")[0]) for path in self.paths.values()]
        return any(field is not None and is_generated(field) for field in fields)

    @cached_property
    def paths(self) -> dict[str, str]:
        """What of an instance tells the rule's targets: mapped arguments, and fields of tags in braces."""
        fields = {field.key: field.source for template in self.templates for field in template.fields}
        return {**self.field_mapping, **fields}

    def mapped(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values that are arguments."""
        return {name: values[name] for name in self.field_mapping}

    def tags_of(self, values: Mapping[str, Any] | None) -> list[Tag]:
        """The tags that change with these values; whole families where they do not tell."""
        found = []
        for template in self.templates:
            try:
                found.append(template.tag(self._read(values or {})))
            except Exception:
                family = template.family
                assert family is not None  # or the template was refused
                found.append(family)
        return found

    def _read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as their fields read them: what was assigned may be of another type."""
        found = {}
        for key, value in values.items():
            if key in self._readers:
                read = self._readers[key](value)
                found[key] = value if read is None else read
        return found

    @cached_property
    def _readers(self) -> dict[str, Callable[[Any], Any]]:
        paths = {key: path for key, path in self.paths.items() if key not in self.field_mapping}
        return {key: member(self.resolved_model, key, path)[2] for key, path in paths.items()}

    @property
    def model_label(self) -> str:
        """``app_label.Model``, for people."""
        return self.model if isinstance(self.model, str) else self.model._meta.label

    @cached_property
    def resolved_model(self) -> type[models.Model]:
        """The model class, once the apps are loaded.

        :raises LookupError: when there is no such model.
        """
        return apps.get_model(self.model) if isinstance(self.model, str) else self.model

    @property
    def is_resolved(self) -> bool:
        """Whether the model has been found."""
        return "resolved_model" in vars(self)

    def concerns(self, sender: type[models.Model]) -> bool:
        """Whether instances of ``sender`` are instances of the model, or rows of its table."""
        try:
            model = self.resolved_model
        except LookupError:
            return False
        return issubclass(sender, model._meta.concrete_model or model)

    @cached_property
    def members(self) -> list[RuleMember]:
        """How each mapped argument is read, sorted by name. Needs loaded models."""
        return [member(self.resolved_model, name, path) for name, path in sorted(self.field_mapping.items())]

    def missing_paths(self) -> list[str]:
        """Paths whose first step is no single value of the model: not there, a method, or many rows.

        :raises LookupError: when there is no such model.
        """
        model = self.resolved_model
        many = {f.name for f in model._meta.get_fields() if f.many_to_many or f.one_to_many}
        known = {"pk", *(f.name for f in model._meta.get_fields())} - many
        firsts = {path: path.partition(".")[0] for path in self.paths.values()}
        return [
            path
            for path, first in firsts.items()
            if first in many
            or (first not in known and (not hasattr(model, first) or isfunction(getattr(model, first))))
        ]

    def unknown_fields(self) -> list[str]:
        """Names in ``watch_fields`` and ``invalidate_when`` that the model does not have.

        :raises LookupError: when there is no such model.
        """
        model = self.resolved_model
        named = [*(self.watch_fields or ()), *(name.removeprefix("!") for name in self.invalidate_when)]
        known = {f.name for f in model._meta.get_fields()}
        return [name for name in named if name not in known and not hasattr(model, name)]

    @cached_property
    def _steps(self) -> list[tuple[str, list[str]]]:
        return [(name, path.split(".")) for name, path in self.paths.items()]

    def values(self, instance: Any) -> dict[str, Any] | None:
        """The values of ``instance`` at the paths; None when one cannot be told (an expression, a missing
        relation), so that the rule cannot name a scope."""
        found: dict[str, Any] = {}
        for name, steps in self._steps:
            value: Any = instance
            for part in steps:
                if value is None:
                    break
                try:
                    value = getattr(value, part)
                except Exception:
                    return None
            if hasattr(value, "resolve_expression"):
                return None
            found[name] = value
        return found
