"""What a function's signature says about a call, in the form in which the Rust core takes it."""

from collections.abc import Iterable
from inspect import Parameter, Signature
from typing import Any

ParameterSpec = tuple[str, int, Any, bool]
"""Name, kind, default, whether there is one."""

PickSpec = tuple[int, str | None, str | None, Any, str]
"""Parameter, attribute of it, entry of that, what is meant where a partial call does not say, name."""

RequestSpec = tuple[int | None, tuple[int, str] | None, int | None, int | None, bool]
"""The parameter of that name; the one that takes all other keywords, and the name; the one that takes
all other positional arguments; the view; whether the request may be an attribute of it."""

_VIEWS = frozenset({"self", "view"})
_NO_URL_KWARGS = frozenset({"self", "cls", "request"})


def parameter_specs(parameters: Signature) -> list[ParameterSpec]:
    """Every parameter in order."""
    return [
        (p.name, int(p.kind), p.default, p.default is not Parameter.empty)
        for p in parameters.parameters.values()
    ]


def pick_arguments(parameters: Signature, names: Iterable[str] | None) -> list[PickSpec]:
    """Where the arguments ``names`` are; None means all of them.

    :raises LookupError: with the name of an argument that the function cannot have.
    """
    known = list(parameters.parameters.values())
    if names is None:
        return [_pick(at, parameter) for at, parameter in enumerate(known)]
    return [_pick_named(known, name) for name in names]


def pick_url_kwargs(parameters: Signature, names: Iterable[str] | None) -> list[PickSpec]:
    """Where the URL's arguments are: in arguments of the view, else in its attribute ``kwargs``.

    :raises LookupError: with the name of an argument that the view cannot have.
    """
    known = list(parameters.parameters.values())
    names_of_view = {parameter.name for parameter in known}
    of_helper = bool(known) and known[0].name in _VIEWS and "request" not in names_of_view
    picks: list[PickSpec]
    if names is None:
        picks = [_pick(at, p) for at, p in enumerate(known) if p.name not in _NO_URL_KWARGS]
        return [*picks, (0, "kwargs", None, None, "kwargs of the view")] if of_helper else picks
    picks = []
    for name in names:
        at = _find(known, name)
        if at is not None or not of_helper:
            picks.append(_pick_named(known, name))
        if of_helper and (at is None or known[at].name != name):
            picks.append((0, "kwargs", name, None, name if at is None else f"{name} of the view"))
    return picks


def find_request(parameters: Signature, argument: str, of_view: bool) -> RequestSpec | None:
    """Where a call's request is; None for a function that can have none.

    :param argument: the name under which it is passed.
    :param of_view: whether it may be the attribute ``request`` of the first argument.
    """
    known = list(parameters.parameters.values())
    at = next((at for at, p in enumerate(known) if p.name == argument and not _is_rest(p)), None)
    keywords = _index(known, Parameter.VAR_KEYWORD)
    rest = _index(known, Parameter.VAR_POSITIONAL)
    view = 0 if of_view and known and known[0].name in _VIEWS else None
    keyword = None if keywords is None else (keywords, argument)
    if (at, keyword, rest, view) == (None, None, None, None):
        return None
    return (at, keyword, rest, view, of_view)


def is_method_of_view(parameters: Signature) -> bool:
    """Whether the first argument may be a view."""
    return next(iter(parameters.parameters), None) in _VIEWS


def _pick(at: int, parameter: Parameter) -> PickSpec:
    unsaid: Any = None
    if parameter.kind is Parameter.VAR_POSITIONAL:
        unsaid = ()
    elif parameter.kind is Parameter.VAR_KEYWORD:
        unsaid = {}
    return (at, None, None, unsaid, parameter.name)


def _pick_named(known: list[Parameter], name: str) -> PickSpec:
    at = _find(known, name)
    if at is None:
        raise LookupError(name)
    parameter = known[at]
    if parameter.name != name:
        return (at, None, name, None, name)
    return _pick(at, parameter)


def _find(known: list[Parameter], name: str) -> int | None:
    """The parameter of that name, or the one that takes all other keywords."""
    named = next((at for at, parameter in enumerate(known) if parameter.name == name), None)
    return named if named is not None else _index(known, Parameter.VAR_KEYWORD)


def _index(known: list[Parameter], kind: Any) -> int | None:
    return next((at for at, parameter in enumerate(known) if parameter.kind is kind), None)


def _is_rest(parameter: Parameter) -> bool:
    return parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
