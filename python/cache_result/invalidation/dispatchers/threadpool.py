"""A dispatcher to threads of this process."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

from django.db import connections

from cache_result.dispatching import Dispatcher
from cache_result.forks import renewed
from cache_result.invalidation.work import run_here

_pools: dict[int, ThreadPoolExecutor] = {}
"""By number of threads."""
_lock = renewed(Lock())


class ThreadPoolDispatcher(Dispatcher):
    """Does the work in one of ``max_workers`` threads, which all rules with as many share. What is waiting
    is done before the interpreter ends, but lost when the process is killed."""

    name = "threadpool"
    in_process = True
    options = {"max_workers": 4}  # noqa: RUF012

    def validate_config(self) -> None:
        """Checks the number of threads."""
        given = self.option("max_workers")
        if type(given) is not int or given < 1:
            raise ValueError(
                f"cache_result: max_workers={given!r} of the dispatcher 'threadpool': give 1 or more"
            )

    def dispatch(self, *, rule_kwargs: Mapping[str, Any], **told: Any) -> None:
        """Puts the work in the threads' queue. Its errors are logged."""
        _pool(self.option("max_workers")).submit(_run, rule_kwargs, self)


def _run(rule_kwargs: Mapping[str, Any], dispatcher: Dispatcher) -> None:
    try:
        run_here(rule_kwargs, dispatcher)
    finally:
        connections.close_all()  # those of this thread


def _pool(size: int) -> ThreadPoolExecutor:
    with _lock:
        if size not in _pools:
            _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="cache_result")
        return _pools[size]


def _after_fork() -> None:
    """A child has none of its parent's threads."""
    _pools.clear()


os.register_at_fork(after_in_child=_after_fork)
