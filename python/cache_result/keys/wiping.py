"""What a wipe of the functions of a key constructor concerns."""

from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

from cache_result.keys.parameters import is_method_of_view
from cache_result.keys.requests import RequestKeyField


def scopes_of(
    wrappers: list[Any], constructor: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[Any, list[bytes]]]:
    """What is to be wiped, by cache.

    :param constructor: name of the key constructor that the functions use.
    :raises TypeError: for a keyword that none of the functions has.
    :raises ValueError: when the arguments name no group of entries of one of them.
    """
    known = [_arguments(wrapper, args, kwargs) for wrapper in wrappers]
    unknown = set(kwargs).difference(*(used for _, _, used in known)) if wrappers else set()
    if unknown:
        raise TypeError(
            f"cache_result: no function that uses {constructor} has an argument {', '.join(sorted(unknown))}"
        )
    scopes: dict[int, tuple[Any, list[bytes]]] = {}
    for wrapper, (given, named, _) in zip(wrappers, known, strict=True):
        storage = wrapper.storage
        whole = not args and not kwargs
        scope = wrapper._function_scope() if whole else wrapper._prefix_scope(given, named)
        scopes.setdefault(id(storage), (storage, []))[1].append(scope)
    return list(scopes.values())


def _arguments(
    wrapper: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], set[str]]:
    """What of a wipe's arguments the wrapper's function takes, and the keywords that were used."""
    parameters = signature(wrapper.func)
    every = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.parameters.values())
    named = {name: value for name, value in kwargs.items() if every or name in parameters.parameters}
    used = set(named)
    if not args and is_method_of_view(parameters):
        # A method finds its request in the view.
        fields = wrapper.key_constructor.fields.values()
        names = {field.request_arg for field in fields if isinstance(field, RequestKeyField)}
        for name in names.intersection(kwargs).difference(named):
            args, used = (SimpleNamespace(request=kwargs[name], kwargs={}),), {*used, name}
    return args, named, used
