"""What a change is going to invalidate, and what to rewarm afterwards."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from cache_result.reports import logger

if TYPE_CHECKING:
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]


class Targets:
    """Scopes by wrapper, and calls to refresh. Each once, however often it is named."""

    __slots__ = ("_rewarms", "_scopes")

    def __init__(self) -> None:
        self._scopes: dict[AnyWrapper, set[bytes]] = {}
        self._rewarms: dict[str, Callable[[], object]] = {}

    def add(self, wrapper: "AnyWrapper", scopes: Iterable[bytes]) -> None:
        """These scopes of ``wrapper`` are to change."""
        self._scopes.setdefault(wrapper, set()).update(scopes)

    def add_rewarm(self, wrapper: "AnyWrapper", arguments: dict[str, Any]) -> None:
        """This call of ``wrapper`` is to be refreshed afterwards."""
        try:
            key = wrapper.get_cache_key(**arguments)
        except TypeError:
            return  # the values have no key, so no call has them
        self._rewarms[key] = lambda: _refresh(wrapper, arguments)

    def merge(self, other: "Targets") -> None:
        """Takes over what ``other`` has."""
        for wrapper, scopes in other._scopes.items():
            self.add(wrapper, scopes)
        self._rewarms.update(other._rewarms)

    def touch(self, scopes: Iterable[bytes]) -> bool:
        """Whether one of ``scopes`` is to change."""
        return any(not mine.isdisjoint(scopes) for mine in self._scopes.values())

    def __bool__(self) -> bool:
        return bool(self._scopes)

    def invalidate(self) -> bool:
        """Starts new generations: one batch per cache. Returns whether one of them is a database."""
        batches: dict[Any, set[bytes]] = {}
        for wrapper, scopes in self._scopes.items():
            batches.setdefault(wrapper.storage, set()).update(scopes)
        self._scopes.clear()
        for storage, scopes in batches.items():
            storage.invalidate(sorted(scopes))
        return any(storage.database is not None for storage in batches)

    def rewarm(self) -> None:
        """Refreshes the calls. An error is logged and concerns nobody else."""
        rewarms, self._rewarms = self._rewarms, {}
        for refresh in rewarms.values():
            refresh()


def _refresh(wrapper: "AnyWrapper", arguments: dict[str, Any]) -> None:
    try:
        refresh = getattr(wrapper, "refresh", None) if not wrapper.is_async else None
        if refresh is None:
            async_to_sync(wrapper.arefresh)(**arguments)
        else:
            refresh(**arguments)
    except Exception:
        logger.exception("cache_result: rewarming %s failed; its next call computes", wrapper.label)
