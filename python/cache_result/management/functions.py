"""The cached functions that this process knows, by the names that people give them."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from django.core.management.base import CommandError

from cache_result.invalidation import discovery
from cache_result.keys.constructors import KeyConstructor
from cache_result.wrapper import CachedWrapper

Wrapper = CachedWrapper[..., Any]


def known() -> list[Wrapper]:
    """Every cached function, sorted by label."""
    # A module that is loaded again defines its functions again.
    found = {(w.label, w.function_id, w._alias): w for w in KeyConstructor.wrappers()}
    return [found[key] for key in sorted(found, key=str)]


def find(name: str) -> Wrapper:
    """The function with this label, id, or end of one of them.

    :raises CommandError: when there is none, or more than one.
    """
    wrappers = known()
    exact = [wrapper for wrapper in wrappers if name in {wrapper.label, wrapper.function_id}]
    found = exact or [wrapper for wrapper in wrappers if name in _ends_of(wrapper)]
    if len(found) == 1:
        return found[0]
    if found:
        names = _listed(_distinct(wrapper, found) for wrapper in found)
        raise CommandError(f"{name!r} is the name of {len(found)} functions; give one of\n{names}")
    raise CommandError(f"There is no cached function {name!r}.{_instead_of(name, wrappers)}")


def _ends_of(wrapper: Wrapper) -> list[str]:
    """All that a function may be called for short: ``api.price`` and ``price`` for ``shop.api.price``."""
    ends = []
    for name in (wrapper.label, wrapper.function_id):
        parts = name.split(".")
        ends += [".".join(parts[at:]) for at in range(len(parts))]
    return ends


def _distinct(wrapper: Wrapper, among: list[Wrapper]) -> str:
    same = [other for other in among if other.label == wrapper.label]
    return wrapper.label if len(same) == 1 else wrapper.function_id


def _instead_of(name: str, wrappers: list[Wrapper]) -> str:
    labels = {end: wrapper.label for wrapper in wrappers for end in _ends_of(wrapper)}
    alike = dict.fromkeys(labels[end] for end in get_close_matches(name, labels, n=6))
    if alike:
        said = f" Did you mean\n{_listed(list(alike)[:3])}"
    else:
        said = (
            " `manage.py cache_result list` names those there are. Is its module imported when the project "
            'starts? CACHE_RESULT["MODULES"] is for those that are not found.'
        )
    if discovery.failed:
        said += f"\nModules that could not be imported:\n{_listed(discovery.failed)}"
    return said


def _listed(names: Iterable[str]) -> str:
    return "\n".join(f"  {name}" for name in names)
