"""The task that ``DjangoTasksDispatcher`` enqueues; needs a tasks framework when it is imported."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import django

from cache_result.invalidation.work import run_cache_rules

_framework: Any = import_module("django.tasks" if django.VERSION >= (6, 0) else "django_tasks")


def run(rule_ids: Sequence[str], rule_kwargs: Mapping[str, Any], **context: Any) -> None:
    """Does the work."""
    run_cache_rules(rule_ids, rule_kwargs, **context)


run = _framework.task(run)
