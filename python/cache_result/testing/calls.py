"""How often cached functions were answered in which way."""

from collections.abc import Iterable
from typing import Any, Self

from cache_result._core import BoundWrapper
from cache_result.keys.constructors import KeyConstructor
from cache_result.wrapper import CachedWrapper

COUNTS = ("hits", "misses", "stale", "refreshes", "bypassed", "fills", "errors", "waited")
"""What can be counted: those of ``cache_info()`` that are numbers of calls."""


class assert_cache_calls:
    """Fails unless the block makes exactly so many calls of each kind that is named; the others are free.

        with assert_cache_calls(get_user, hits=1, misses=1):
            get_user(1)
            get_user(1)

    The kinds are those of ``cache_info()``. Of several functions the calls are added up, and without any
    those of all functions. Calls count in whatever thread of this process they are made. Also ``async with``.

    :raises TypeError: for what is no cached function, and without any number.
    :raises ValueError: for a number below zero.
    """

    def __init__(
        self,
        *functions: CachedWrapper[..., Any] | BoundWrapper,
        hits: int | None = None,
        misses: int | None = None,
        stale: int | None = None,
        refreshes: int | None = None,
        bypassed: int | None = None,
        fills: int | None = None,
        errors: int | None = None,
        waited: int | None = None,
    ) -> None:
        given = (hits, misses, stale, refreshes, bypassed, fills, errors, waited)
        self._expected = {name: count for name, count in zip(COUNTS, given, strict=True) if count is not None}
        self._functions = list(dict.fromkeys(_wrapper(function) for function in functions))
        if not self._expected:
            raise TypeError(f"cache_result: name at least one number of calls: {', '.join(COUNTS)}")
        for name, count in self._expected.items():
            if count < 0:
                raise ValueError(f"cache_result: {name}={count}: no block makes so many calls")
        self._before: dict[CachedWrapper[..., Any], dict[str, int]] = {}

    def __enter__(self) -> Self:
        self._before = {function: _counts(function) for function in self._all()}
        return self

    def __exit__(self, kind: Any, *error: object) -> None:
        if kind is not None:
            return  # what went wrong in the block says more
        seen = {function: self._since(function) for function in self._all()}
        total = {name: sum(counts[name] for counts in seen.values()) for name in COUNTS}
        if any(total[name] != count for name, count in self._expected.items()):
            raise AssertionError(self._difference(seen, total))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: Any, *error: object) -> None:
        self.__exit__(kind, *error)

    def _all(self) -> Iterable[CachedWrapper[..., Any]]:
        return self._functions or KeyConstructor.wrappers()

    def _since(self, function: CachedWrapper[..., Any]) -> dict[str, int]:
        # One that is decorated in the block has counted nothing before.
        before = self._before.get(function, {})
        return {name: count - before.get(name, 0) for name, count in _counts(function).items()}

    def _difference(self, seen: dict[CachedWrapper[..., Any], dict[str, int]], total: dict[str, int]) -> str:
        called = {function.label: counts for function, counts in seen.items() if any(counts.values())}
        lines = ["calls of cached functions differ:", f"{'':12}{'expected':>10}{'seen':>10}"]
        for name, count in self._expected.items():
            mark = "" if total[name] == count else "  <--"
            lines.append(f"  {name:10}{count:>10}{total[name]:>10}{mark}")
        for label, counts in sorted(called.items()):
            shown = ", ".join(f"{name}={count}" for name, count in counts.items() if count)
            lines.append(f"{label}: {shown}")
        if not called:
            names = ", ".join(function.label for function in self._functions) or "any cached function"
            lines.append(f"no call of {names} was seen")
        return "\n".join(lines)


def _counts(function: CachedWrapper[..., Any]) -> dict[str, int]:
    info = function.cache_info()
    return {name: getattr(info, name) for name in COUNTS}


def _wrapper(function: Any) -> CachedWrapper[..., Any]:
    if isinstance(function, BoundWrapper):
        function = function.__func__
    if not isinstance(function, CachedWrapper):
        raise TypeError(f"cache_result: {function!r} is no cached function")
    return function
