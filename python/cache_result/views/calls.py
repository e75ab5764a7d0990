"""What a call of a view has among its arguments."""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature, signature
from typing import Any

from cache_result.rules import InvalidationRule
from cache_result.tags import names_in
from cache_result.views import rest


def locate(label: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """View (an instance of its class, or None) and request of a call.

    :raises TypeError: without a request.
    """
    if args and rest.is_request(args[0]):
        return rest.view_of(args[0]), args[0]
    view = args[0] if args else None
    candidates = (*args[1:2], kwargs.get("request"), getattr(view, "request", None))
    for request in candidates:
        if rest.is_request(request):
            return view if view is not None else rest.view_of(request), request
    raise TypeError(
        f"cache_response: {label} was called without a request; it is for views. Put @cache_result on "
        "functions that have none"
    )


def call_parameters(func: Callable[..., Any], rules: Iterable[Any], tags: Any) -> Signature:
    """The parameters of a view; with those arguments of its URL that rules map or tags name, and that it
    takes as ``**kwargs``, each by name."""
    found = signature(func)
    parameters = list(found.parameters.values())
    rest_of_them = next((p for p in parameters if p.kind is Parameter.VAR_KEYWORD), None)
    if rest_of_them is None:
        return found
    mapped = [name for rule in rules if isinstance(rule, InvalidationRule) for name in rule.field_mapping]
    mapped += names_in(tags)
    missing = [name for name in dict.fromkeys(mapped) if name not in found.parameters]
    at = parameters.index(rest_of_them)
    parameters[at:at] = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in missing]
    return found.replace(parameters=parameters)
