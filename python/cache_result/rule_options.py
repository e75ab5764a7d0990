"""Checks of what a rule says about work after the commit: its invalidator and its dispatcher."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from cache_result.tags import Template, given_tags, parse


def check_invalidator(invalidator: Any, mapping: Mapping[str, str], tags: Any, rewarm: bool) -> None:
    """Whether a rule's ``invalidator`` can be one.

    :raises TypeError: for anything but a callable or text.
    :raises ValueError: for text that is no dotted path, or together with what excludes it.
    """
    if invalidator is None:
        return
    given = f"InvalidationRule(invalidator={invalidator!r})"
    if not callable(invalidator) and not isinstance(invalidator, str):
        raise TypeError(f"{given}: give a callable or a dotted-path string")
    if isinstance(invalidator, str) and not all(
        part.isidentifier() for part in (*invalidator.split("."), "" if "." not in invalidator else "x")
    ):
        raise ValueError(f"{given}: give a dotted import path, as 'shop.caching.invalidate'")
    if mapping:
        raise ValueError(f"{given}: invalidator and field_mapping are mutually exclusive; give one of them")
    if tags:
        raise ValueError(f"{given}: invalidator and tags exclude each other; let it call invalidate_tags()")
    if rewarm:
        raise ValueError(f"{given}: rewarm=True needs field_mapping; let the invalidator call refresh()")


def check_soft(soft: Any, invalidator: Any, tags: Any) -> None:
    """Whether a rule can be soft.

    :raises TypeError: for anything but a bool.
    :raises ValueError: together with what excludes it.
    """
    if not isinstance(soft, bool):
        raise TypeError(f"InvalidationRule(soft={soft!r}): give True or False")
    if soft and invalidator is not None:
        raise ValueError(
            "InvalidationRule(soft=True): a rule with an invalidator has no entries of its own; give "
            "field_mapping instead"
        )
    if soft and tags:
        raise ValueError(
            "InvalidationRule(soft=True): tags are common to functions, some of which serve nothing stale; "
            "give field_mapping instead, or a rule of its own"
        )


def read_tags(given: Any, model: str) -> tuple[Template, ...]:
    """The templates of a rule.

    :raises TypeError: for anything but text, or a list of it.
    :raises ValueError: for a template of which nobody knows the family.
    """
    what = f"InvalidationRule({model})"
    found = []
    for each in given_tags(given, what):
        template = parse(each, what)
        if template.family is None:
            raise ValueError(
                f"InvalidationRule(tags={given!r}): {each!r} needs a text with a colon before its fields, as "
                "'user:{id}': a change that does not tell the values invalidates all tags that begin so"
            )
        found.append(template)
    return tuple(found)


def check_dispatching(dispatcher: Any, config: Any, batch: Any, raise_exception: Any) -> None:
    """Whether the options of dispatching are of the right kinds. Names are looked up at decoration.

    :raises TypeError: when one is not.
    """
    if (
        dispatcher is not None
        and not isinstance(dispatcher, str | type)
        and not hasattr(dispatcher, "dispatch")
    ):
        raise TypeError(
            f"InvalidationRule(dispatcher={dispatcher!r}): give a name, a subclass of Dispatcher or an "
            "instance of one"
        )
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise TypeError(f"InvalidationRule(dispatcher_config={config!r}): give a dict of options")
    if not isinstance(batch, bool):
        raise TypeError(f"InvalidationRule(batch={batch!r}): give True or False")
    if raise_exception is not None and not isinstance(raise_exception, bool):
        raise TypeError(
            f"InvalidationRule(raise_exception={raise_exception!r}): give True, False, or None for what the "
            "settings say"
        )


def name_of(invalidator: Callable[..., Any] | str | None) -> str:
    """An invalidator's dotted name, the same in every process; empty without one."""
    if invalidator is None or isinstance(invalidator, str):
        return invalidator or ""
    named: Any = invalidator if hasattr(invalidator, "__qualname__") else type(invalidator)
    return f"{named.__module__}.{named.__qualname__}"


def arguments_of_view(parameters: Signature) -> list[str]:
    """What a view has from its URL by name: its parameters without ``self`` and the request."""
    rest = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
    named = [name for name, parameter in parameters.parameters.items() if parameter.kind not in rest]
    if named[:1] == ["self"]:
        named = named[1:]
        return named[1:] if named[:1] == ["request"] else named
    return named[1:]
