"""The dispatchers that come with the package."""

from cache_result.invalidation.dispatchers.celery import CeleryDispatcher
from cache_result.invalidation.dispatchers.django_q import DjangoQDispatcher
from cache_result.invalidation.dispatchers.django_rq import DjangoRqDispatcher
from cache_result.invalidation.dispatchers.django_tasks import DjangoTasksDispatcher
from cache_result.invalidation.dispatchers.dramatiq import DramatiqDispatcher
from cache_result.invalidation.dispatchers.here import AsyncIODispatcher, InlineDispatcher
from cache_result.invalidation.dispatchers.threadpool import ThreadPoolDispatcher

__all__ = [
    "AsyncIODispatcher",
    "CeleryDispatcher",
    "DjangoQDispatcher",
    "DjangoRqDispatcher",
    "DjangoTasksDispatcher",
    "DramatiqDispatcher",
    "InlineDispatcher",
    "ThreadPoolDispatcher",
]
