"""What marks a block of code: ``with``, ``async with``, or a decorator."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar, cast

from asgiref.sync import iscoroutinefunction

P = ParamSpec("P")
R = TypeVar("R")


class Block:
    """A context manager, also an asynchronous one, and a decorator of plain and async functions."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """``func`` as a block of its own at each call.

        :raises TypeError: for a class.
        """
        if isinstance(func, type):
            raise TypeError(
                f"cache_result: {type(self).__name__}() is no decorator of classes such as {func.__name__}; "
                "decorate functions or methods"
            )

        @wraps(func)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return func(*args, **kwargs)

        @wraps(func)
        async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
            async with type(self)():
                return await cast(Any, func(*args, **kwargs))

        return cast(Callable[P, R], acall) if iscoroutinefunction(func) else call
