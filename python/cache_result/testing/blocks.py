"""Blocks of code in which cached functions behave otherwise."""

from typing import Any, Self

from django.conf import settings
from django.db.transaction import Atomic, get_connection
from django.test import override_settings

from cache_result import transaction, worlds
from cache_result.context import Block


class cache_results_off(Block):
    """Every cached call inside runs its function: ``CACHE_RESULT["ENABLED"]`` is False.

        with cache_results_off():
            ...

    In all threads of the process. Also ``async with``, and a decorator of plain and async functions.
    """

    def __init__(self) -> None:
        self._override: override_settings | None = None

    def __enter__(self) -> Self:
        given = getattr(settings, "CACHE_RESULT", {})
        self._override = override_settings(CACHE_RESULT={**given, "ENABLED": False})
        self._override.enable()
        return self

    def __exit__(self, *error: object) -> None:
        if self._override is not None:
            self._override.disable()


class cache_results_on_commit(Block):
    """What a rule does after a COMMIT is done inside a ``TestCase``, too, when the outermost atomic block
    of the code under test ends: calls are rewarmed, custom invalidators and dispatchers run, signals are
    sent, and the errors that are to be raised are.

        with cache_results_on_commit():
            place_order()  # which has @transaction.atomic

    Without it that waits for the next cached call or write, as no COMMIT tells of the end. Callbacks of
    ``transaction.on_commit`` are not run: see ``captureOnCommitCallbacks(execute=True)``. In all threads of
    the process. Also ``async with``, and a decorator of plain and async functions.
    """

    def __init__(self) -> None:
        self._leave: Any = None

    def __enter__(self) -> Self:
        # Where a test's own transaction is around it, nothing but the class hears of the end of a block.
        leave: Any = Atomic.__exit__

        def leave_and_tell(block: Any, *error: Any) -> None:
            connection = get_connection(block.using)
            committed = error[0] is None and not connection.needs_rollback
            try:
                leave(block, *error)
            except BaseException:
                transaction.ended(connection, committed=False)
                raise
            transaction.ended(connection, committed=committed)

        self._leave = leave
        setattr(Atomic, "__exit__", leave_and_tell)  # noqa: B010 (types know no other method there)
        return self

    def __exit__(self, *error: object) -> None:
        setattr(Atomic, "__exit__", self._leave)  # noqa: B010


class cache_results_shared(Block):
    """Keys inside are those of production, and what is cached is shared with whoever uses the same cache,
    as outside of tests: for tests of keys themselves.

        with cache_results_shared():
            assert get_user.get_cache_key(1) == "shop.users.get_user:..."

    In all threads of the process. Also ``async with``, and a decorator of plain and async functions.
    """

    def __init__(self) -> None:
        self._before = worlds.REAL

    def __enter__(self) -> Self:
        self._before = worlds.current()
        worlds.enter(worlds.REAL)
        return self

    def __exit__(self, *error: object) -> None:
        worlds.enter(self._before)
