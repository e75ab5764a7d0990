"""Key fields of views: what of the request and its URL goes into the key."""

from collections.abc import Iterable
from inspect import Signature
from typing import Any

from cache_result.keys.fields import ArgsKeyField, CompiledKeyField, name_list, split_path
from cache_result.keys.parameters import PickSpec, RequestSpec, find_request, pick_url_kwargs


class RequestKeyField(CompiledKeyField):
    """Base class of fields that look into the request: Django's ``HttpRequest`` or DRF's ``Request``.

    :param request_arg: the name of the argument that is the request.
    :param view_self_request_fallback: whether the request may be ``self.request`` of a view.
    """

    def __init__(
        self,
        request_arg: str,
        view_self_request_fallback: bool,
        *,
        partition: bool,
        hash_value: bool,
        sort_lists: bool,
    ) -> None:
        super().__init__(partition=partition, hash_value=hash_value, sort_lists=sort_lists)
        if not (isinstance(request_arg, str) and request_arg):
            raise TypeError(f"{type(self).__name__}(request_arg={request_arg!r}): give an argument's name")
        self.request_arg = request_arg
        self.view_self_request_fallback = self._flag("view_self_request_fallback", view_self_request_fallback)

    def _find_request(self, parameters: Signature, label: str) -> RequestSpec:
        found = find_request(parameters, self.request_arg, self.view_self_request_fallback)
        if found is None:
            raise ValueError(
                f"cache_result: {type(self).__name__} on {label}, which can have no request; its arguments "
                f"are {', '.join(parameters.parameters) or 'none'}. Give it an argument named "
                f"{self.request_arg!r}, name the one that is the request with request_arg=, or use "
                "ArgsKeyField"
            )
        return found


class RequestValueKeyField(RequestKeyField):
    """A value of the request: ``RequestValueKeyField("user.pk")``.

    :param path: dotted attributes, mapping keys or indexes to follow from the request, as
        ``"user.pk"``, ``"headers.Accept-Language"`` or ``"session.cart_id"``. What is not there counts
        as a value of its own.
    """

    kind = "request"

    def __init__(
        self,
        path: str,
        request_arg: str = "request",
        view_self_request_fallback: bool = True,
        *,
        partition: bool = False,
        hash_value: bool = False,
        sort_lists: bool = False,
    ) -> None:
        super().__init__(
            request_arg,
            view_self_request_fallback,
            partition=partition,
            hash_value=hash_value,
            sort_lists=sort_lists,
        )
        self._parts = split_path("RequestValueKeyField", path)
        self.path = path

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        data = (self._find_request(parameters, label), self._parts, self.path)
        return data, f"{self.path!r} {self.request_arg!r}"

    def describe(self) -> str:
        """What distinguishes this field from others of its class."""
        return f"{super().describe()} {self.path!r} {self.request_arg!r}"


class QueryParamsKeyField(RequestKeyField):
    """Parameters of the query string: ``QueryParamsKeyField(["page", "q"])``.

    The order of the parameters does not count, nor (with ``sort_lists``, the default) that of the
    values of one parameter; how often a value is there does.

    :param params: one name, a list of names, or ``"*"`` for all of them.
    """

    kind = "query"

    def __init__(
        self,
        params: str | Iterable[str] = "*",
        request_arg: str = "request",
        view_self_request_fallback: bool = True,
        *,
        partition: bool = False,
        hash_value: bool = False,
        sort_lists: bool = True,
    ) -> None:
        super().__init__(
            request_arg,
            view_self_request_fallback,
            partition=partition,
            hash_value=hash_value,
            sort_lists=sort_lists,
        )
        self.params = name_list("QueryParamsKeyField", params, "a query parameter")

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        params = None if self.params == ["*"] else self.params
        return (self._find_request(parameters, label), params), f"{self.params} {self.request_arg!r}"

    def describe(self) -> str:
        """What distinguishes this field from others of its class."""
        return f"{super().describe()} {self.params} {self.request_arg!r}"


class ViewKwargsKeyField(ArgsKeyField):
    """The arguments that a view has from its URL: those of the call without ``self``, ``cls`` and
    ``request``. On a view's helper, a method without ``request``, those in ``self.kwargs`` besides.

    Takes what :class:`ArgsKeyField` takes.
    """

    def _pick(self, parameters: Signature, names: list[str] | None) -> list[PickSpec]:
        return pick_url_kwargs(parameters, names)
