"""What is particular to Django REST framework: whose request, behind which checks, and when to render.

Nothing here imports it: a project that does not use it has no views of it.
"""

import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

_PREPARED = "_cache_result_prepared"
"""Attribute of a request whose authentication, permissions and throttles are checked already."""


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


def finalized(view: Any, request: Any, response: Any) -> Any:
    """The response of a handler as ``dispatch`` would finish it, so that it can be rendered."""
    if not is_rest_view(view) or isinstance(request, HttpRequest):
        return response
    return view.finalize_response(request, response, *view.args, **view.kwargs)


def run_again(view: Any, request: Any, run: Callable[[], Any]) -> Any:
    """What ``run`` returns, for a view that has answered already."""
    if is_rest_view(view) and not isinstance(request, HttpRequest):
        view.headers = view.default_response_headers  # of which the last response has taken some out
    return run()


def is_before_checks(view: Any, request: Any) -> bool:
    """Whether a call is one of ``dispatch``, before it has authenticated the user."""
    return isinstance(request, HttpRequest) and view is not None and is_rest_view(view)


def put_behind_checks(view: Any, answer: Callable[..., Any]) -> None:
    """Has ``answer(handler, request, ...)`` called where ``dispatch`` calls the view's handlers of GET and
    HEAD: behind authentication, permissions and throttles."""
    for method in ("get", "head"):
        handler = getattr(view, method, None)
        if handler is not None:
            setattr(
                view,
                method,
                _coroutine(answer, handler) if iscoroutinefunction(handler) else partial(answer, handler),
            )


def _coroutine(answer: Callable[..., Any], handler: Any) -> Callable[..., Any]:
    async def handle(request: Any, *args: Any, **kwargs: Any) -> Any:
        return await answer(handler, request, *args, **kwargs)

    return handle


class Prepared(NamedTuple):
    """A request that has passed the checks of its view."""

    view: Any
    request: Any


class Gate:
    """The checks of a view function that REST framework has made, for a cache in front of it.

    They run once for each request: where the cache does not answer it, the view takes over what was found.
    """

    def __init__(self, cls: Any, initkwargs: dict[str, Any], actions: dict[str, str] | None) -> None:
        self._cls = cls
        self._initkwargs = initkwargs
        self._actions = actions
        _have_prepared_taken_over(cls)

    def prepare(self, request: HttpRequest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared | None:
        """Authenticates, checks permissions and throttles, negotiates. None for a request that is refused:
        the view will say so."""
        view = self._cls(**self._initkwargs)
        if self._actions is not None:
            view.action_map = self._actions
            for method, action in self._actions.items():
                setattr(view, method, getattr(view, action))
        view.setup(request, *args, **kwargs)
        try:
            view.request = view.initialize_request(request, *args, **kwargs)
            view.headers = view.default_response_headers
            view.initial(view.request, *args, **kwargs)
        except Exception:
            return None
        prepared = Prepared(view, view.request)
        setattr(request, _PREPARED, prepared)
        return prepared


def _have_prepared_taken_over(cls: Any) -> None:
    """Has instances of ``cls`` take over what a gate has found about their request, if one has."""
    if _PREPARED in vars(cls):
        return
    initialize, check = cls.initialize_request, cls.initial

    def initialize_request(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        prepared: Prepared | None = getattr(request, _PREPARED, None)
        if prepared is None or type(prepared.view) is not type(self):
            return initialize(self, request, *args, **kwargs)
        for name, value in vars(prepared.view).items():
            vars(self).setdefault(name, value)
        prepared.request.parser_context["view"] = self
        return prepared.request

    def initial(self: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        prepared: Prepared | None = vars(request._request).pop(_PREPARED, None)
        if prepared is None or prepared.request is not request:
            check(self, request, *args, **kwargs)

    setattr(cls, _PREPARED, True)
    cls.initialize_request = wraps(initialize)(initialize_request)
    cls.initial = wraps(check)(initial)
