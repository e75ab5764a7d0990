"""A dispatcher to Celery workers."""

from functools import cache
from typing import Any

from cache_result.dispatching import Dispatcher, need
from cache_result.exceptions import UnknownRuleError
from cache_result.invalidation.work import run_cache_rules

MOST_RETRIES = 3
RETRY_AFTER = 1
"""Seconds."""


class CeleryDispatcher(Dispatcher):
    """Does the work in a Celery worker. Workers find the task by ``app.autodiscover_tasks()``."""

    name = "celery"
    options = {"task_name": "cache_result.run_cache_rules", "queue": None}  # noqa: RUF012

    def validate_config(self) -> None:
        """Needs Celery."""
        need("celery", "celery", self.name)

    def prepare(self) -> None:
        """Makes the task known to all Celery apps of this process."""
        _task(self.option("task_name"))

    def dispatch(self, **told: Any) -> None:
        """Sends the task."""
        _task(self.option("task_name")).apply_async(
            kwargs=told,
            ignore_result=True,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
            **self.given(queue="queue"),
        )


@cache
def _task(name: str) -> Any:
    """The task, which every Celery app knows. It tries again, unless trying again is of no use."""

    def task(**told: Any) -> None:
        run_cache_rules(**told)

    shared_task = need("celery", "celery", "celery").shared_task
    return shared_task(
        name=name,
        autoretry_for=(Exception,),
        dont_autoretry_for=(UnknownRuleError,),
        max_retries=MOST_RETRIES,
        default_retry_delay=RETRY_AFTER,
    )(task)
