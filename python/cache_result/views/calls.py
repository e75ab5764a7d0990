"""What a call of a view has among its arguments."""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature, signature
from typing import Any

from cache_result.rules import InvalidationRule
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
            return (
                (rest.view_of(request), request) if view is None else (view, rest.request_of(view, request))
            )
    raise TypeError(
        f"cache_response: {label} was called without a request; it is for views. Put @cache_result on "
        "functions that have none"
    )


def call_parameters(func: Callable[..., Any], rules: Iterable[Any]) -> Signature:
    """The parameters of a view; with the request (``def dispatch(self, *args, **kwargs)``), and with those
    arguments of its URL that rules map and that it takes as ``**kwargs``, each by name."""
    found = signature(func)
    parameters = list(found.parameters.values())
    kinds = [parameter.kind for parameter in parameters]
    if "request" not in found.parameters and Parameter.VAR_POSITIONAL in kinds[:2]:
        at = kinds.index(Parameter.VAR_POSITIONAL)
        if not at or parameters[0].name == "self":
            parameters.insert(at, Parameter("request", Parameter.POSITIONAL_OR_KEYWORD))
    if Parameter.VAR_KEYWORD in kinds:
        mapped = [name for rule in rules if isinstance(rule, InvalidationRule) for name in rule.field_mapping]
        missing = [name for name in dict.fromkeys(mapped) if name not in found.parameters]
        parameters[-1:-1] = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in missing]
    return found.replace(parameters=parameters)
