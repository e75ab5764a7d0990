"""What is in the key of every cached response, and the constructor of those that name none."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from cache_result.keys.constructors import KeyConstructor
from cache_result.keys.fields import CacheKeyField
from cache_result.keys.requests import QueryParamsKeyField, RequestValueKeyField, ViewKwargsKeyField

FORMAT = 1
"""Of stored responses. Another format, other keys."""


class Asked(Protocol):
    """A request that is being answered."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells it from requests that have another answer."""
        ...


asked: ContextVar[Asked | None] = ContextVar("cache_result_response", default=None)
"""The request that a wrapper of a view is answering here."""


class ResponseKeyField(CacheKeyField):
    """For whom a response is: host, user, negotiated type, language, time zone, and the headers in ``Vary``.
    The wrapper of a view adds it to whatever its constructor has."""

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The identity of the request that is being answered."""
        request = asked.get()
        if request is None:
            raise RuntimeError("the key of a response needs its request")
        return dict(request.identity)

    def describe(self) -> str:
        """What distinguishes this field from others of its class."""
        return f"{super().describe()} {FORMAT}"


class ResponseCacheKeyConstructor(KeyConstructor):
    """Keys of responses that name no other constructor: path, query, and the view's URL arguments, which
    are the partition (``view.delete_by_prefix(pk=5)``).

    Host, user, negotiated type, language, time zone and the headers in ``Vary`` are part of the key of every
    response, under any constructor.
    """

    url = ViewKwargsKeyField(partition=True)
    path = RequestValueKeyField("path")
    query = QueryParamsKeyField("*", sort_lists=False)  # of values for one parameter a view takes the last

    class Meta(KeyConstructor.Meta):
        """Options."""

        namespace = "ResponseCache"
