"""Dispatchers that do the work where the commit was: at once, or as a task of the running loop."""

import asyncio
from collections.abc import Mapping
from typing import Any

from cache_result.dispatching import Dispatcher
from cache_result.invalidation.work import arun_here, run_here

_tasks: set["asyncio.Task[None]"] = set()
"""Event loops hold their tasks weakly."""


class InlineDispatcher(Dispatcher):
    """Does the work at once, in the thread that has committed."""

    name = "inline"
    supports_batching = False
    in_process = True
    options = {}  # noqa: RUF012

    def dispatch(self, *, rule_kwargs: Mapping[str, Any], **told: Any) -> None:
        """Does the work.

        :raises Exception: the first error, where the rules or the settings want it raised.
        """
        run_here(rule_kwargs, self)


class AsyncIODispatcher(Dispatcher):
    """Does the work as a task of the running event loop; at once where none is running, as in
    ``sync_to_async``, where the ORM is."""

    name = "asyncio"
    supports_batching = False
    in_process = True
    options = {}  # noqa: RUF012

    def dispatch(self, *, rule_kwargs: Mapping[str, Any], **told: Any) -> None:
        """Starts the task. Its errors are logged, and raised only where there is no loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            run_here(rule_kwargs, self)
            return
        task = loop.create_task(arun_here(rule_kwargs, self))
        _tasks.add(task)
        task.add_done_callback(_done)


def _done(task: "asyncio.Task[None]") -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # it was logged; nobody else asks for it
