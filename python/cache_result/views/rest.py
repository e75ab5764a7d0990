"""What is particular to Django REST framework: whose request, behind which checks, and when to render.

Nothing here imports it: a project that does not use it has no views of it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest

from cache_result.responses.policy import Policy

_CHECKED = "_cache_result_checked"
"""Attribute of a request that a gate has checked and hands to its view, and of classes that look there."""


def is_rest_view(view: Any) -> bool:
    """Whether ``view`` is a view of REST framework, or a class of such."""
    module = sys.modules.get("rest_framework.views")
    if module is None:
        return False
    return issubclass(view, module.APIView) if isinstance(view, type) else isinstance(view, module.APIView)


def is_request(value: Any) -> bool:
    """Whether it is Django's request or REST framework's."""
    if isinstance(value, HttpRequest):
        return True
    module = sys.modules.get("rest_framework.request")
    return module is not None and isinstance(value, module.Request)


def view_of(request: Any) -> Any:
    """The view that has made a request of REST framework; None for one of Django."""
    context = getattr(request, "parser_context", None)
    return context.get("view") if isinstance(context, dict) else None


def request_of(view: Any, request: Any) -> Any:
    """REST framework's request, where a view that has made one is called with Django's."""
    own = getattr(view, "request", None)
    return own if getattr(own, "_request", None) is request else request


def run_again(view: Any, run: Callable[[], Any]) -> Any:
    """What ``run`` returns, for a view that has answered already."""
    view.headers = view.default_response_headers  # of which the last response has taken some out
    return run()


def finalized(view: Any, request: Any, response: Any) -> Any:
    """The response of a handler as ``dispatch`` would finish it, so that it can be rendered."""
    if not is_rest_view(view) or isinstance(request, HttpRequest):
        return response
    headers = dict(view.headers)
    response = view.finalize_response(request, response, *view.args, **view.kwargs)
    # Which `finalize_response` has used up; and `dispatch` shall not finish this response again.
    view.headers = headers
    view.finalize_response = partial(_finalize_others, view, response, view.finalize_response)
    return response


def _finalize_others(
    view: Any,
    finished: Any,
    finalize: Callable[..., Any],
    request: Any,
    response: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    return response if response is finished else finalize(request, response, *args, **kwargs)


def may_be_shared(request: Any, policy: Policy) -> bool:
    """Whether the cache may answer a request that REST framework has authenticated.

    The browsable API is made for the one user who looks at it. What ``request.auth`` allows may be less than
    what its user may do, so it counts like the header ``Authorization`` from which it mostly comes.
    """
    if isinstance(request, HttpRequest):
        return True
    renderers = sys.modules.get("rest_framework.renderers")
    if renderers is not None and isinstance(
        getattr(request, "accepted_renderer", None), renderers.BrowsableAPIRenderer
    ):
        return False
    if policy.public or request.auth is None:
        return True
    return policy.authorization and bool(getattr(request.user, "is_authenticated", False))


@dataclass(frozen=True)
class Checked:
    """A request that has been through the checks of its view."""

    view: Any
    request: Any
    """REST framework's."""
    http: HttpRequest
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    refusal: Exception | None
    """What the checks raised, if they did."""
    in_front: bool
    """Whether the cache is in front of the view function, which makes an instance of its own."""

    @property
    def is_refused(self) -> bool:
        """Whether the view is to say what is wrong with the request."""
        return self.refusal is not None or str(self.http.method).lower() not in self.view.http_method_names

    def is_of(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call of the view is the one that was checked."""
        return request is self.http and args == self.args and kwargs == self.kwargs

    def take_over(self) -> None:
        """Has ``dispatch`` of the view go on from what was found: authentication, permissions and throttles
        are once for each request."""
        view = self.view

        def initialize_request(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            del view.initialize_request
            if self.is_of(request, args, kwargs):
                return self.request
            del view.initial
            return view.initialize_request(request, *args, **kwargs)

        def initial(request: Any, *args: Any, **kwargs: Any) -> None:
            del view.initial
            if self.refusal is not None:
                raise self.refusal

        view.initialize_request, view.initial = initialize_request, initial

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """A context in which the view runs."""
        if not self.in_front:
            self.take_over()
            yield
            return
        setattr(self.http, _CHECKED, self)
        try:
            yield
        finally:
            vars(self.http).pop(_CHECKED, None)  # in case that the view has not come to its `dispatch`


def check(
    view: Any,
    request: HttpRequest,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    in_front: bool = False,
    throttle: bool = True,
) -> Checked:
    """Does what ``dispatch`` does first: negotiates, authenticates, checks permissions and throttles."""
    view.args, view.kwargs = args, kwargs
    view.request = view.initialize_request(request, *args, **kwargs)
    view.headers = view.default_response_headers
    if not throttle:
        view.check_throttles = lambda request: None
    refusal = None
    try:
        view.initial(view.request, *args, **kwargs)
    except Exception as error:
        refusal = error
    return Checked(view, view.request, request, args, kwargs, refusal, in_front)


class Gate:
    """The checks of a view function that REST framework has made, for a cache in front of it."""

    def __init__(self, cls: Any, initkwargs: dict[str, Any], actions: dict[str, str] | None) -> None:
        self._cls = cls
        self._initkwargs = initkwargs
        self._actions = actions
        _look_for_checked(cls)

    def view(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An instance of the class, as the view function makes it."""
        view = self._cls(**self._initkwargs)
        if self._actions is None:
            view.setup(request, *args, **kwargs)
            return view
        if "get" in self._actions:
            self._actions.setdefault("head", self._actions["get"])
        view.action_map = self._actions
        for method, action in self._actions.items():
            setattr(view, method, getattr(view, action))
        view.request, view.args, view.kwargs = request, args, kwargs
        return view


def _look_for_checked(cls: Any) -> None:
    """Has view functions of ``cls`` go on with the instance that a gate has checked, if one has."""
    if _CHECKED in vars(cls):
        return
    original = cls.dispatch

    @wraps(original)
    def dispatch(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        checked: Checked | None = vars(request).pop(_CHECKED, None)
        if checked is not None and type(checked.view) is type(self) and checked.is_of(request, args, kwargs):
            self = checked.view
            checked.take_over()
        return original(self, request, *args, **kwargs)

    if iscoroutinefunction(original):
        markcoroutinefunction(dispatch)
    cls.dispatch = dispatch
    setattr(cls, _CHECKED, True)
