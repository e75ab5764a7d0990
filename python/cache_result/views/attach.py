"""``@cache_response`` on whatever Django has for views: functions, methods, classes, and view functions that
``as_view()`` and ``@api_view`` have made."""

import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import partial, wraps
from hashlib import blake2b
from inspect import signature
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.views import View

from cache_result import _core
from cache_result.keys.identity import label_of
from cache_result.views import rest
from cache_result.views.wrapper import (
    AsyncCachedResponseWrapper,
    CachedResponseWrapper,
    SyncCachedResponseWrapper,
)

P = ParamSpec("P")
T = TypeVar("T")
ViewT = TypeVar("ViewT", bound=View)

_MARK = "_cache_response"
"""Attribute of methods that ``method_decorator`` has made, which names the decorator."""


class ViewDecorator:
    """What ``cache_response(...)`` returns."""

    def __init__(self, *args: Any, name: str | None = None, **options: Any) -> None:
        self._args = args
        self._options = {"name": name, **options}
        self._wrappers: dict[tuple[type, str], Any] = {}
        self._lock = Lock()

    @overload
    def __call__(self, view: type[ViewT], /) -> type[ViewT]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, view: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedResponseWrapper[P, T]: ...
    @overload
    def __call__(self, view: Callable[P, T], /) -> SyncCachedResponseWrapper[P, T]: ...
    def __call__(self, view: Any, /) -> Any:
        """The cached view.

        :raises TypeError: for what is no view.
        """
        if isinstance(view, type):
            return self._decorate_class(view)
        if isinstance(view, staticmethod | classmethod) or not callable(view):
            raise TypeError(f"cache_response: {view!r} is no view; decorate a function or a method")
        if _is_stand_in(view):
            setattr(view, _MARK, self)
            return view
        bound = _bound_method(view)
        if bound is not None:
            return self._decorate_bound(view, bound)
        caller = sys._getframe(1)
        if caller.f_globals.get("__name__") == "django.utils.decorators":
            raise TypeError(
                f"cache_response: {label_of(view)}, below it in method_decorator, hides the method that it "
                "wraps; use functools.wraps in that decorator"
            )
        return self._decorate(view)

    def _make(self, view: Callable[..., Any], **options: Any) -> Any:
        return CachedResponseWrapper(view, *self._args, **{**self._options, **options})

    # --- functions

    def _decorate(self, view: Any) -> Any:
        made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if not isinstance(made_of, type):
            return self._make(view)
        identity, name, gate = view, self._options["name"], None
        handler = _api_view_function(made_of)
        if isinstance(handler, CachedResponseWrapper):  # below `@api_view` too, where it has the plain name
            name = name or f"{handler.label}.as_view"
        if handler is not None:
            identity = handler
            view = _with_signature_of(handler, view)
        else:
            name = name or _name_of_view_function(made_of, view)
            view = _named_after(made_of, view)
        if rest.is_rest_view(made_of):
            gate = rest.Gate(made_of, getattr(view, "initkwargs", {}), getattr(view, "actions", None))
        return self._make(view, identity=identity, name=name, gate=gate)

    # --- classes and their methods

    def _decorate_class(self, cls: type) -> type:
        if not issubclass(cls, View):
            raise TypeError(f"cache_response: {cls!r} is no view; decorate a subclass of django.views.View")
        setattr(cls, "dispatch", self._of_method(cls, "dispatch", cls.dispatch))  # noqa: B010 - for mypy
        return cls

    def _decorate_bound(self, view: Any, bound: Any) -> Any:
        """What ``method_decorator`` asks for at each call: ``view`` calls the method ``bound``."""
        instance, name = bound.__self__, bound.__name__
        wrapper = self._of_method(self._owner(type(instance), name), name, getattr(bound, "__func__", bound))
        answer = wrapper.answer_in_place_of
        if wrapper.is_async:

            @wraps(view)
            async def acached(*args: Any, **kwargs: Any) -> Any:
                return await answer(instance, view, args, kwargs)

            return acached

        @wraps(view)
        def cached(*args: Any, **kwargs: Any) -> Any:
            return answer(instance, view, args, kwargs)

        return cached

    def _owner(self, cls: type, name: str) -> type:
        """The class on which the method was decorated."""
        for base in cls.__mro__:
            if getattr(vars(base).get(name), _MARK, None) is self:
                return base
        return cls

    def _of_method(self, owner: type, name: str, method: Any) -> Any:
        """The wrapper of a method, which is one for all instances."""
        with self._lock:
            known = self._wrappers.get((owner, name))
            if known is None:
                known = self._make(
                    _method_of(owner, name, method), name=self._options["name"] or _name(owner, name)
                )
                self._wrappers[owner, name] = known
        return known

    def register(self, owner: type, name: str) -> None:
        """Makes the rules of a method known that ``method_decorator`` has decorated."""
        self._of_method(owner, name, getattr(owner, name))


def register_marked_methods() -> None:
    """Makes the rules known of all methods that ``method_decorator`` has decorated, in classes that this
    process has imported. Such a method names its class at its first call only."""
    views: list[type] = [View]
    for cls in views:
        views += cls.__subclasses__()
    classes = dict.fromkeys(base for cls in views for base in cls.__mro__)  # mixins are no views
    for cls in classes:
        for name, method in list(vars(cls).items()):
            decorator = getattr(method, _MARK, None)
            if isinstance(decorator, ViewDecorator):
                decorator.register(cls, name)


def _is_stand_in(view: Any) -> bool:
    """Whether it is the function on which ``method_decorator`` tries what a decorator sets."""
    return (
        getattr(view, "__module__", None) == "django.utils.decorators"
        and getattr(view, "__qualname__", None) == "_update_method_wrapper.<locals>.dummy"
    )


def _bound_method(view: Any) -> Any:
    """The method of an instance that ``view`` calls, if ``method_decorator`` has made it."""
    seen = view
    while seen is not None:
        if isinstance(seen, partial) and isinstance(getattr(seen.func, "__self__", None), View):
            return seen.func
        seen = getattr(seen, "__wrapped__", None)
    return None


def _method_of(owner: type, name: str, method: Any) -> Callable[..., Any]:
    """The method, as a function that is named after its class."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        return await method(*args, **kwargs)

    asynchronous = iscoroutinefunction(method) or (
        name == "dispatch" and getattr(owner, "view_is_async", False)
    )
    call = wraps(method)(acall if asynchronous else call)
    call.__module__, call.__qualname__ = owner.__module__, f"{owner.__qualname__}.{name}"
    return call


def _name(owner: type, name: str) -> str | None:
    """A stable name for a class's method; None where the class has none."""
    label = f"{owner.__module__}.{owner.__qualname__}.{name}"
    return None if "<" in label else label


def _api_view_function(cls: type) -> Any:
    """The function that ``@api_view`` has made a class of."""
    if cls.__qualname__ != "WrappedAPIView":
        return None
    for handler in vars(cls).values():
        for cell in getattr(handler, "__closure__", None) or ():
            if callable(cell.cell_contents):
                return cell.cell_contents
    return None


def _with_signature_of(function: Any, view: Any) -> Callable[..., Any]:
    """``view`` with name and parameters of the function that it was made of."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    call.__dict__.update(vars(view))
    wraps(function, updated=())(call)
    return _as_async_as(view, call)


def _named_after(cls: type, view: Any) -> Callable[..., Any]:
    """``view``, which ``as_view()`` has made, under the name of its class."""

    def call(request: Any, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    own = signature(call)  # that of the view may be its class's
    wraps(view)(call)
    cast(Any, call).__signature__ = own
    call.__module__, call.__qualname__ = cls.__module__, f"{cls.__qualname__}.as_view.<locals>.view"
    return _as_async_as(view, call)


def _as_async_as(view: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    return markcoroutinefunction(call) if iscoroutinefunction(view) else call


def _name_of_view_function(cls: type, view: Any) -> str | None:
    """A stable name for what ``as_view()`` has made; None where its options have none."""
    name = _name(cls, "as_view")
    options = (
        getattr(view, "view_initkwargs", None) or getattr(view, "initkwargs", None) or {},
        getattr(view, "actions", None) or {},
        list(_decorators_of(view)),
    )
    if name is None or not any(options):
        return name
    try:
        return f"{name}#{blake2b(_core.canonical_bytes(options), digest_size=8).hexdigest()}"
    except (TypeError, ValueError):
        return None


def _decorators_of(view: Any) -> Iterator[str]:
    """Names of what is around a view function."""
    while (inner := getattr(view, "__wrapped__", None)) is not None and not isinstance(inner, type):
        yield getattr(getattr(view, "__code__", None), "co_qualname", type(view).__qualname__)
        view = inner
