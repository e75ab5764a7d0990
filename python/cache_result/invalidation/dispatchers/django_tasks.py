"""A dispatcher to Django's own tasks framework: ``django.tasks``, or the package ``django-tasks``."""

from typing import Any

import django

from cache_result.dispatching import Dispatcher, need


class DjangoTasksDispatcher(Dispatcher):
    """Does the work where the ``TASKS`` setting says. Trying again is up to that backend."""

    name = "django_tasks"
    options = {"backend": None, "queue": None}  # noqa: RUF012

    def validate_config(self) -> None:
        """Needs Django 6.0, or django-tasks."""
        if django.VERSION < (6, 0):
            need("django_tasks", "django-tasks", self.name)

    def prepare(self) -> None:
        """Imports the task."""
        _task()

    def dispatch(self, **told: Any) -> None:
        """Enqueues the task."""
        _task().using(**self.given(backend="backend", queue_name="queue")).enqueue(**told)


def _task() -> Any:
    # Made by a module of its own, because a worker imports it by its path.
    from cache_result.invalidation.dispatchers import django_task

    return django_task.run
