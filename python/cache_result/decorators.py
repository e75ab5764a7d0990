"""``@cache_result`` and ``@cache_response``."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from django.views import View

from cache_result.definition import SingleFlight, Tags
from cache_result.freshness import ErrorTypes, Seconds
from cache_result.keys.constructors import DefaultKeyConstructor, KeyConstructorLike, make_constructor
from cache_result.responses.policy import STATUSES
from cache_result.rules import InvalidationRule
from cache_result.views.attach import ViewDecorator
from cache_result.views.wrapper import AsyncCachedResponseWrapper, SyncCachedResponseWrapper
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, SyncCachedWrapper

P = ParamSpec("P")
T = TypeVar("T")
ViewT = TypeVar("ViewT", bound=View)


class Decorator(Protocol):
    """What ``cache_result(...)`` returns."""

    # An async function is a plain one too, so the order of the two decides.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, func: Callable[P, Coroutine[Any, Any, T]], /
    ) -> AsyncCachedWrapper[P, T]: ...
    @overload
    def __call__(self, func: Callable[P, T], /) -> SyncCachedWrapper[P, T]: ...


# A class of key constructors is callable like a function, so here too the order decides.
@overload
def cache_result(  # type: ignore[overload-overlap]
    key_constructor: KeyConstructorLike = DefaultKeyConstructor,
    ttl: Any = 3600,
    invalidates_on: Iterable[InvalidationRule] | None = None,
    cache_if: Callable[..., Any] | None = None,
    cache_unless: Callable[..., Any] | None = None,
    *,
    cache: str | None = None,
    name: str | None = None,
    single_flight: SingleFlight = "cluster",
    stale_while_revalidate: Seconds | None = None,
    stale_if_error: Seconds | None = None,
    error_types: ErrorTypes | None = None,
    fill_timeout: Seconds | None = None,
    early_refresh: bool | float = False,
    jitter: float = 0,
    tags: Tags = None,
) -> Decorator: ...
@overload
def cache_result(  # type: ignore[overload-overlap]
    key_constructor: Callable[P, Coroutine[Any, Any, T]], /
) -> AsyncCachedWrapper[P, T]: ...
@overload
def cache_result(key_constructor: Callable[P, T], /) -> SyncCachedWrapper[P, T]: ...
def cache_result(
    key_constructor: Any = DefaultKeyConstructor,
    ttl: Any = 3600,
    invalidates_on: Iterable[InvalidationRule] | None = None,
    cache_if: Callable[..., Any] | None = None,
    cache_unless: Callable[..., Any] | None = None,
    *,
    cache: str | None = None,
    name: str | None = None,
    single_flight: SingleFlight = "cluster",
    stale_while_revalidate: Seconds | None = None,
    stale_if_error: Seconds | None = None,
    error_types: ErrorTypes | None = None,
    fill_timeout: Seconds | None = None,
    early_refresh: bool | float = False,
    jitter: float = 0,
    tags: Tags = None,
) -> Any:
    """Caches a function's result in the Django cache. ``@cache_result`` alone works too.

    :param key_constructor: what makes the key: a ``KeyConstructor`` subclass or instance, or a dict
        of ``InlineKeyConstructor`` arguments. By default every argument.
    :param ttl: seconds (int, float or ``timedelta``), None for no end, 0 for not storing, or a
        callable ``(result, *args, **kwargs)`` that returns one of these.
    :param invalidates_on: ``InvalidationRule`` objects.
    :param cache_if: predicate of the result; the result is stored if it holds.
    :param cache_unless: predicate of the result; the result is stored unless it holds.
    :param cache: alias in ``CACHES``; by default ``CACHE_RESULT["CACHE"]``.
    :param name: stable name of the function in keys, instead of module and qualified name.
    :param single_flight: among whom a fill is shared: ``"cluster"`` (all processes that share the
        backend), ``"process"``, or None.
    :param stale_while_revalidate: for so many seconds after the ttl, callers get the old result at once while
        the function runs in the background.
    :param stale_if_error: for so many seconds after the ttl, callers get the old result if the function
        raises.
    :param error_types: the exceptions to which that applies; by default every ``Exception``.
    :param fill_timeout: seconds that a caller waits for the function, in ``stale_if_error``, before he gets
        the old result; the run goes on in the background.
    :param early_refresh: True, or a number: a reader may have the function run in the background shortly
        before the ttl is over; more than 1.0 is earlier.
    :param jitter: the fraction by which ttls are shortened at most, at random.
    :param tags: what else entries belong to, for ``invalidate_tags`` and rules: text, templates that name
        arguments (``"user:{user_id}"``, ``"team:{user.team_id}"``), functions of the call's arguments that
        return tags, or a list of those.
    :raises TypeError: for an option or a function of the wrong kind.
    :raises ValueError: for an unsuitable value.
    :raises ImproperlyConfigured: for rules without the app in ``INSTALLED_APPS``.
    """

    def decorate(func: Any) -> Any:
        if isinstance(func, staticmethod):
            return staticmethod(decorate(func.__func__))
        if isinstance(func, classmethod):
            return _ClassMethod(decorate(func.__func__))
        return CachedWrapper(
            func,
            constructor,
            ttl,
            invalidates_on,
            cache_if,
            cache_unless,
            cache=cache,
            name=name,
            single_flight=single_flight,
            stale_while_revalidate=stale_while_revalidate,
            stale_if_error=stale_if_error,
            error_types=error_types,
            fill_timeout=fill_timeout,
            early_refresh=early_refresh,
            jitter=jitter,
            tags=tags,
        )

    if _is_function(key_constructor):
        constructor: Any = DefaultKeyConstructor
        return decorate(key_constructor)
    constructor = make_constructor(key_constructor)
    return decorate


@overload
def cache_response(  # type: ignore[overload-overlap]
    key_constructor: KeyConstructorLike | None = None,
    ttl: Any = 3600,
    invalidates_on: Iterable[InvalidationRule] | None = None,
    cache_if: Callable[..., Any] | None = None,
    cache_unless: Callable[..., Any] | None = None,
    set_cache_headers: bool = False,
    *,
    public: bool = False,
    authorization: bool = False,
    statuses: Iterable[int] = STATUSES,
    cache: str | None = None,
    name: str | None = None,
    single_flight: SingleFlight = "cluster",
    stale_while_revalidate: Seconds | None = None,
    stale_if_error: Seconds | None = None,
    error_types: ErrorTypes | None = None,
    early_refresh: bool | float = False,
    jitter: float = 0,
    tags: Tags = None,
) -> ViewDecorator: ...
@overload
def cache_response(key_constructor: type[ViewT], /) -> type[ViewT]: ...  # type: ignore[overload-overlap]
@overload
def cache_response(  # type: ignore[overload-overlap]
    key_constructor: Callable[P, Coroutine[Any, Any, T]], /
) -> AsyncCachedResponseWrapper[P, T]: ...
@overload
def cache_response(key_constructor: Callable[P, T], /) -> SyncCachedResponseWrapper[P, T]: ...
def cache_response(
    key_constructor: Any = None,
    ttl: Any = 3600,
    invalidates_on: Iterable[InvalidationRule] | None = None,
    cache_if: Callable[..., Any] | None = None,
    cache_unless: Callable[..., Any] | None = None,
    set_cache_headers: bool = False,
    *,
    public: bool = False,
    authorization: bool = False,
    statuses: Iterable[int] = STATUSES,
    cache: str | None = None,
    name: str | None = None,
    single_flight: SingleFlight = "cluster",
    stale_while_revalidate: Seconds | None = None,
    stale_if_error: Seconds | None = None,
    error_types: ErrorTypes | None = None,
    early_refresh: bool | float = False,
    jitter: float = 0,
    tags: Tags = None,
) -> Any:
    """Caches the responses of a view: a function, a class, a method of one, an action of a viewset.
    ``@cache_response`` alone works too.

    Of GET and HEAD, by host, path, query, user, negotiated type, language, time zone and the headers in
    ``Vary``. Responses that are for one client alone (with ``Set-Cookie``, ``private``, ``no-store``, a CSRF
    token) are not kept, and neither are those to requests with ``Authorization``.

    :param key_constructor: what makes the key, beside what makes every response's; by default path, query
        and the arguments from the URL, which are the partition.
    :param ttl: as of :func:`cache_result`; a callable is given the response. A shorter ``max-age`` of the
        response counts.
    :param invalidates_on: ``InvalidationRule`` objects, without ``rewarm``.
    :param cache_if: predicate of the response.
    :param cache_unless: predicate of the response.
    :param set_cache_headers: add ``X-Cached-at``, ``X-Cache-reset-at`` and ``X-Cache-status``.
    :param public: the response is the same for every user, whatever credentials he has.
    :param authorization: responses to requests with ``Authorization`` are kept too: they depend on the user
        whom it names, and on nothing else of it.
    :param statuses: status codes of responses that are kept.
    :param cache: alias in ``CACHES``; by default ``CACHE_RESULT["CACHE"]``.
    :param name: stable name of the view in keys, instead of module and qualified name.
    :param single_flight: as of :func:`cache_result`.
    :param stale_while_revalidate: as of :func:`cache_result`, and said in ``Cache-Control``. The view runs
        again for a request that was answered, once the response is closed.
    :param stale_if_error: as of :func:`cache_result`, and said in ``Cache-Control``.
    :param error_types: as of :func:`cache_result`.
    :param early_refresh: as of :func:`cache_result`.
    :param jitter: as of :func:`cache_result`.
    :param tags: as of :func:`cache_result`; the arguments are those of the view.
    :raises TypeError: for an option or a view of the wrong kind.
    :raises ValueError: for an unsuitable value.
    :raises ImproperlyConfigured: for rules without the app in ``INSTALLED_APPS``.
    """
    if _is_function(key_constructor) or _is_view_class(key_constructor):
        return ViewDecorator()(key_constructor)
    constructor = None if key_constructor is None else make_constructor(key_constructor)
    return ViewDecorator(
        constructor,
        ttl,
        invalidates_on,
        cache_if,
        cache_unless,
        set_cache_headers,
        public=public,
        authorization=authorization,
        statuses=statuses,
        cache=cache,
        name=name,
        single_flight=single_flight,
        stale_while_revalidate=stale_while_revalidate,
        stale_if_error=stale_if_error,
        error_types=error_types,
        early_refresh=early_refresh,
        jitter=jitter,
        tags=tags,
    )


class _ClassMethod(classmethod):  # type: ignore[type-arg]
    """A classmethod whose methods (``Class.method.refresh()``) know the class, in Python 3.13 too."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)


def _is_function(given: Any) -> bool:
    """Whether the decorator was used without parentheses."""
    if isinstance(given, classmethod | staticmethod):
        return True
    return callable(given) and not isinstance(given, type)


def _is_view_class(given: Any) -> bool:
    return isinstance(given, type) and issubclass(given, View)
