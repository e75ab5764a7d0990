"""Checks what a decorator was given and compiles it for the Rust core."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature, isasyncgenfunction, isclass, isgeneratorfunction, signature
from typing import Any, Literal

from asgiref.sync import iscoroutinefunction

from cache_result import _core
from cache_result.freshness import Freshness
from cache_result.keys.constructors import KeyConstructor, KeyConstructorLike, make_constructor
from cache_result.keys.fields import CacheKeyField
from cache_result.keys.identity import function_id, label_of
from cache_result.keys.parameters import parameter_specs
from cache_result.rules import InvalidationRule
from cache_result.tags import compile_tags

SingleFlight = Literal["cluster", "process"] | None
Tags = str | Callable[..., Any] | Iterable[str | Callable[..., Any]] | None
_SINGLE_FLIGHT = ("cluster", "process", None)


@dataclass(frozen=True)
class Definition:
    """A checked decoration."""

    label: str
    function_id: str
    asynchronous: bool
    key_constructor: KeyConstructor
    rules: tuple[InvalidationRule, ...]
    core: tuple[Any, ...]
    """Arguments of ``_core.Wrapper``."""
    window: int
    """For how long (ms) a result is of use after its end."""


def define(
    func: Callable[..., Any],
    key_constructor: KeyConstructorLike,
    ttl: Any,
    invalidates_on: Iterable[InvalidationRule] | None,
    cache_if: Callable[..., Any] | None,
    cache_unless: Callable[..., Any] | None,
    cache: str | None,
    name: str | None,
    single_flight: SingleFlight,
    tags: Tags = None,
    *,
    freshness: Freshness,
    run: Callable[..., Any] | None = None,
    parameters: Signature | None = None,
    identity: Callable[..., Any] | None = None,
    more_fields: Mapping[str, CacheKeyField] | None = None,
    of_view: bool = False,
) -> Definition:
    """Checks everything that can be checked at decoration.

    :param freshness: what happens around the end of an entry's freshness.
    :param run: what is called in place of ``func``.
    :param parameters: of calls, where they are not those of ``func``.
    :param identity: the function after which entries are named, where it is not ``func``.
    :param more_fields: key fields beside those of the constructor.
    :param of_view: calls have a request, which no rule can map.
    :raises TypeError: for a function or an option of the wrong kind.
    :raises ValueError: for an option of the right kind with an unsuitable value.
    """
    label = _check_function(func)
    asynchronous = is_async(func)
    parameters = parameters or signature(func)
    constructor = make_constructor(key_constructor)
    rules = rules_of(invalidates_on, label)
    for rule in rules:
        rule.check(parameters, label, of_view=of_view)
        if rule.soft and not freshness.window:
            raise ValueError(
                f"cache_result: a rule for {rule.model_label} on {label} says soft=True, which has no effect "
                "without stale_while_revalidate=: the seconds for which old results are served"
            )
    _check_option("cache", cache, label)
    _check_option("name", name, label)
    if single_flight not in _SINGLE_FLIGHT:
        raise ValueError(
            f"cache_result: single_flight={single_flight!r} on {label}: give 'cluster', 'process' or None"
        )
    fields = constructor.compile(parameters, label)
    fields += [field.compile(name_, parameters, label) for name_, field in (more_fields or {}).items()]
    lifetime = check_ttl(ttl, asynchronous, label)
    predicate = check_predicate(cache_if, cache_unless, asynchronous, label)
    identifier = function_id(identity or func, name or constructor.key_identifier)
    core = (
        run or func,
        label,
        asynchronous,
        identifier,
        constructor.namespace,
        constructor.get_version(),
        constructor.style,
        parameter_specs(parameters),
        _owner(func),
        fields,
        lifetime,
        predicate,
        freshness.core,
        compile_tags(tags, func, parameters, label),
    )
    return Definition(label, identifier, asynchronous, constructor, rules, core, freshness.window)


def _check_function(func: Any) -> str:
    if not callable(func) or isclass(func):
        raise TypeError(f"cache_result: {func!r} is no function; decorate a function or a method")
    label = label_of(func)
    if isgeneratorfunction(func) or isasyncgenfunction(func):
        raise TypeError(
            f"cache_result: {label} is a generator function, whose result can be consumed only once; "
            "return a list instead"
        )
    return label


def _check_option(option: str, value: Any, label: str) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise TypeError(f"cache_result: {option}={value!r} on {label}: give text, or leave it out")


def rules_of(given: Any, label: str) -> tuple[InvalidationRule, ...]:
    """What ``invalidates_on`` names.

    :raises TypeError: for anything but rules.
    """
    if given is None:
        return ()
    if isinstance(given, InvalidationRule):
        given = [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"cache_result: invalidates_on={given!r} of {label}: give a list of InvalidationRule")
    rules = tuple(given)
    for rule in rules:
        if not isinstance(rule, InvalidationRule):
            raise TypeError(
                f"cache_result: invalidates_on of {label} has {rule!r}; give InvalidationRule objects"
            )
    return rules


def check_ttl(ttl: Any, asynchronous: bool, label: str) -> tuple[Any, bool, bool]:
    """The ttl, whether it is a callable, and whether that takes the call's arguments too.

    :raises TypeError: for anything else, and for an async one on a plain function.
    :raises ValueError: for a negative number of seconds.
    """
    if not callable(ttl):
        _core.check_ttl(ttl)
        return (ttl, False, False)
    if is_async(ttl) and not asynchronous:
        raise TypeError(
            f"cache_result: async ttl detected on {label}, which is not async; give a plain function"
        )
    return (ttl, True, _wants_call("ttl", ttl, label))


def check_predicate(
    cache_if: Any, cache_unless: Any, asynchronous: bool, label: str
) -> tuple[Callable[..., Any], bool, bool] | None:
    """The predicate, whether it says what is *not* stored, and whether it takes the call's arguments too.

    :raises TypeError: for what is no function, and for an async one on a plain function.
    :raises ValueError: for two of them.
    """
    if cache_if is not None and cache_unless is not None:
        raise ValueError(f"cache_result: {label} has both cache_if= and cache_unless=; give one of them")
    predicate = cache_if if cache_if is not None else cache_unless
    if predicate is None:
        return None
    option = "cache_if" if cache_if is not None else "cache_unless"
    if not callable(predicate):
        raise TypeError(f"cache_result: {option}={predicate!r} on {label}: give a function of the result")
    if is_async(predicate) and not asynchronous:
        raise TypeError(
            f"cache_result: async predicate detected: {option}= of {label}, which is not async; "
            "give a plain function"
        )
    return (predicate, option == "cache_unless", _wants_call(option, predicate, label))


def is_async(callable_: Any) -> bool:
    """Whether calling it gives a coroutine."""
    return iscoroutinefunction(callable_) or iscoroutinefunction(getattr(callable_, "__call__", None))  # noqa: B004


def _wants_call(option: str, callable_: Callable[..., Any], label: str) -> bool:
    """Whether a predicate or ttl takes ``(result, *args, **kwargs)`` rather than the result alone."""
    try:
        parameters = signature(callable_).parameters.values()
    except (TypeError, ValueError):
        return False  # a built-in such as `bool`
    positional = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    variable = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    taken = [p for p in parameters if p.kind in positional]
    if not taken and not any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        raise TypeError(f"cache_result: {option}= of {label} must take the result as its first argument")
    required = [p for p in taken if p.default is Parameter.empty]
    return len(required) > 1 or any(p.kind in variable for p in parameters)


def _owner(func: Callable[..., Any]) -> tuple[str, str] | None:
    """Module and qualified name of the class in whose body ``func`` is defined, if it is."""
    owner, _, _ = getattr(func, "__qualname__", "").rpartition(".")
    module = getattr(func, "__module__", None)
    if not owner or owner.endswith("<locals>") or not isinstance(module, str):
        return None
    return module, owner
