"""Plans: sequences of Django cache calls, written once and run by threads and by asyncio.

A plan is a generator that yields calls as ``(method, *args)`` and receives their results, or the
exceptions that they raise. Instead of a method's name it may give a blocking function of the cache.
"""

import binascii
import pickle
import zlib
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import BaseCache

P = ParamSpec("P")
R = TypeVar("R")

Plan = Generator[tuple[Any, ...], Any, R]

UNREADABLE = (
    pickle.PickleError,
    ValueError,
    TypeError,
    EOFError,
    AttributeError,
    ImportError,
    LookupError,
    zlib.error,
    binascii.Error,
)
"""What loading a corrupt or foreign value raises; an outage raises other things."""
_REDIS = {
    ("django.core.cache.backends.redis.RedisCache", "django.core.cache.backends.redis.RedisCacheClient"),
    ("django_redis.cache.RedisCache", "django_redis.client.default.DefaultClient"),
}
"""Backends and clients, which raise what goes wrong when they write, unless told to ignore it."""


def operation(
    plan: Callable[Concatenate[Any, P], Plan[R]],
) -> Callable[Concatenate[Any, P], R]:
    """Makes a blocking method of a plan. The plan itself stays at hand for asyncio."""

    name = plan.__name__

    @wraps(plan)
    def perform(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._perform(name, plan, args))

    perform.plan = plan  # type: ignore[attr-defined]
    return cast(Callable[Concatenate[Any, P], R], perform)


def run(cache: BaseCache, plan: Plan[R]) -> R:
    """Runs a plan by plain calls."""
    try:
        call = next(plan)
        while True:
            try:
                result = _call(cache, *call)
            except Exception as error:
                call = plan.throw(error)
            else:
                call = plan.send(result)
    except StopIteration as stop:
        return cast(R, stop.value)


def _call(cache: BaseCache, method: Any, *args: Any) -> Any:
    return method(cache, *args) if callable(method) else getattr(cache, method)(*args)


async def arun(cache: BaseCache, plan: Plan[R]) -> R:
    """Runs a plan by the backend's own a-methods."""
    try:
        call = next(plan)
        while True:
            try:
                method, *args = call
                if callable(method):
                    result = await sync_to_async(method, thread_sensitive=True)(cache, *args)
                else:
                    result = await getattr(cache, f"a{method}")(*args)
            except Exception as error:
                call = plan.throw(error)
            else:
                call = plan.send(result)
    except StopIteration as stop:
        return cast(R, stop.value)


def is_redis(cache: BaseCache) -> bool:
    """Whether this is surely a backend of Redis, with one server to write to. Of other classes, and
    subclasses, nobody knows."""
    client = getattr(cache, "_class", None) or getattr(cache, "_client_cls", None)
    return (_name_of(type(cache)), _name_of(client)) in _REDIS


def raises(cache: BaseCache) -> bool:
    """Whether a write of this backend that returns has been written, for sure: Redis has answered, and an
    error would have been raised."""
    return is_redis(cache) and not getattr(cache, "_ignore_exceptions", hasattr(cache, "_client_cls"))


def _name_of(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"
