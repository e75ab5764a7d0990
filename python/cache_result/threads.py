"""Work that must not be done on an event loop."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

P = ParamSpec("P")
T = TypeVar("T")


async def off_the_loop(make: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``make`` returns. Where it has to query the database (for ``request.user`` that is lazy) it
    runs again in Django's thread."""
    try:
        return make(*args, **kwargs)
    except SynchronousOnlyOperation:
        return await sync_to_async(make, thread_sensitive=True)(*args, **kwargs)
