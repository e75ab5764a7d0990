"""What workers of task queues import: Celery's ``autodiscover_tasks()`` and django-dramatiq look for a
module of this name in every app."""

from contextlib import suppress

from cache_result import registry
from cache_result.dispatching import make_dispatcher
from cache_result.invalidation.work import run_cache_rules

__all__ = ["run_cache_rules"]


def prepare() -> None:
    """Makes this process know the tasks of all dispatchers that rules use."""
    used = {make_dispatcher(None, {})}
    for _, rule in registry.registered():
        with suppress(ImportError, KeyError):  # `manage.py check` names them
            used.add(rule.get_dispatcher())
    for dispatcher in used:
        dispatcher.prepare()


prepare()
