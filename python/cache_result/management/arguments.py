"""Arguments of calls as they are typed in a terminal."""

import json
import re
from collections.abc import Sequence
from inspect import Parameter, signature
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import models

from cache_result.keys.requests import RequestKeyField
from cache_result.management.functions import Wrapper

HELP = (
    "positional, or name=value. What is JSON is read as JSON (42 is a number, true, null, [1, 2]), anything "
    "else is text; text that looks like JSON goes in double quotes, which the shell needs to be told of: "
    "'\"42\"'. A saved row of a model: app.Model:pk"
)

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)
_ROW = re.compile(r"(\w+)\.(\w+):(.+)", re.DOTALL)

Call = tuple[tuple[Any, ...], dict[str, Any]]


def read_call(given: Sequence[str]) -> Call:
    """Positional and named arguments.

    :raises CommandError: for a name that is there twice, a positional one behind a named one, and a row
        that is not there.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in given:
        named = _NAMED.fullmatch(text)
        if named is None:
            if kwargs:
                raise CommandError(f"{text!r} stands behind a named argument; give positional ones first")
            args.append(read_value(text))
        elif named[1] in kwargs:
            raise CommandError(f"The argument {named[1]!r} is given twice")
        else:
            kwargs[named[1]] = read_value(named[2])
    return tuple(args), kwargs


def read_value(text: str) -> Any:
    """What is meant by ``text``; see ``HELP``."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        row = _ROW.fullmatch(text)
        return text if row is None or row[1] not in apps.app_configs else _row(*row.groups())


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are no JSON, though Python reads them


def _row(app: str, name: str, pk: str) -> models.Model:
    try:
        model = apps.get_model(app, name)
    except LookupError as error:
        raise CommandError(f"{error}; text with a colon in it goes in double quotes") from error
    try:
        row: models.Model = model._base_manager.get(pk=pk)
    except (model.DoesNotExist, ValueError, ValidationError) as error:
        raise CommandError(f"There is no {model._meta.label} with the primary key {pk!r}") from error
    return row


def require_whole_call(wrapper: Wrapper, call: Call) -> None:
    """Whether one call of the function can be named in a terminal.

    :raises CommandError: when its key is made of what cannot be typed, or arguments are missing.
    """
    parameters = signature(wrapper.func)
    names = list(parameters.parameters)
    fields = wrapper.key_constructor.fields.values()
    args, kwargs = call
    if any(isinstance(field, RequestKeyField) for field in fields) or (
        "request" in names and "request" not in kwargs and len(args) <= names.index("request")
    ):
        raise CommandError(_untypeable(wrapper, "a request"))
    if names[:1] in (["self"], ["cls"]) and not (args and isinstance(args[0], models.Model)):
        raise CommandError(
            _untypeable(wrapper, f"the {'class' if names[0] == 'cls' else 'object'} of a method")
        )
    try:
        parameters.bind(*args, **kwargs)
    except TypeError as error:
        raise CommandError(f"{wrapper.label}{_shown(parameters.parameters.values())}: {error}") from error


def _untypeable(wrapper: Wrapper, what: str) -> str:
    return (
        f"A call of {wrapper.label} needs {what}, which cannot be given here. In `manage.py shell` or in the "
        f"project's code use its methods: explain_key(...), get_cached_metadata(...), delete_cache(...). "
        f"`manage.py cache_result wipe` reaches all of its entries, or a partition that needs no such thing."
    )


def _shown(parameters: Any) -> str:
    return f"({', '.join(str(p.replace(annotation=Parameter.empty)) for p in parameters)})"


def show_call(wrapper: Wrapper, call: Call) -> str:
    """The arguments by name, for people.

    :raises CommandError: when the function does not have them.
    """
    args, kwargs = call
    parameters = signature(wrapper.func)
    try:
        bound = parameters.bind_partial(*args, **kwargs).arguments
    except TypeError as error:
        raise CommandError(f"{wrapper.label}{_shown(parameters.parameters.values())}: {error}") from error
    return ", ".join(f"{name}={value!r}" for name, value in bound.items())
