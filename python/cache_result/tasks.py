"""What workers of task queues import: Celery's ``autodiscover_tasks()`` and django-dramatiq look for a
module of this name in every app."""

from collections.abc import Callable
from functools import partial

from cache_result import registry
from cache_result.dispatching import Dispatcher, make_dispatcher
from cache_result.invalidation.work import run_cache_rules
from cache_result.reports import logger

__all__ = ["run_cache_rules"]


def prepare() -> None:
    """Makes this process know the tasks of all dispatchers that rules use."""
    rules = [rule for _, rule in registry.registered() if rule.dispatcher is not None]
    makers: list[Callable[[], Dispatcher]] = [partial(make_dispatcher, None, {})]
    makers.extend(rule.get_dispatcher for rule in rules)
    for make in makers:
        try:
            make().prepare()
        except Exception:
            logger.exception("cache_result: a dispatcher could not be made ready for work")


prepare()
