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
            if view is None:
                return rest.view_of(request), request
            return view, rest.request_of(view, request)
    raise TypeError(
        f"cache_response: {label} was called without a request; it is for views. Put @cache_result on "
        "functions that have none"
    )


def call_parameters(func: Callable[..., Any], rules: Iterable[InvalidationRule], tags: Any) -> Signature:
    """The parameters of a view, of which one is ``request`` whatever its own name for it is; with those
    arguments of its URL that rules map or tags name, and that it takes as ``**kwargs``, each by name."""
    found = signature(func)
    parameters = _with_request(func, list(found.parameters.values()))
    rest_of_them = next((p for p in parameters if p.kind is Parameter.VAR_KEYWORD), None)
    if rest_of_them is None:
        return found.replace(parameters=parameters)
    mapped = [name for rule in rules for name in rule.field_mapping]
    mapped += names_in(tags)
    known = {parameter.name for parameter in parameters}
    missing = [name for name in dict.fromkeys(mapped) if name not in known]
    at = parameters.index(rest_of_them)
    parameters[at:at] = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in missing]
    return found.replace(parameters=parameters)


def _with_request(func: Callable[..., Any], parameters: list[Parameter]) -> list[Parameter]:
    """The parameters with one that is named ``request``; as they are where it may come from the view of a
    method."""
    if any(parameter.name == "request" for parameter in parameters):
        return parameters
    of_method = bool(parameters) and parameters[0].name in {"self", "view"}
    at = int(of_method)
    if of_method and getattr(func, "__name__", "") not in {"get", "head", "dispatch"}:
        return parameters
    if len(parameters) == at or parameters[at].kind in {Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD}:
        return parameters
    request = Parameter("request", Parameter.POSITIONAL_OR_KEYWORD)
    if parameters[at].kind is Parameter.VAR_POSITIONAL:
        return [*parameters[:at], request, *parameters[at:]]
    return [*parameters[:at], request.replace(kind=parameters[at].kind), *parameters[at + 1 :]]
