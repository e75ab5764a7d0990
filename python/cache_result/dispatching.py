"""Dispatchers: where rewarms and custom invalidators run.

New generations never wait for them: those are written at the COMMIT itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar

from django.utils.module_loading import import_string

from cache_result.conf import get_settings

_PLACE = "cache_result.invalidation.dispatchers"
_BUILT_IN = {
    "inline": "InlineDispatcher",
    "threadpool": "ThreadPoolDispatcher",
    "asyncio": "AsyncIODispatcher",
    "celery": "CeleryDispatcher",
    "django_tasks": "DjangoTasksDispatcher",
    "django_rq": "DjangoRqDispatcher",
    "django_q": "DjangoQDispatcher",
    "dramatiq": "DramatiqDispatcher",
}
_registered: "dict[str, type[Dispatcher]]" = {}


class SignalTypes(StrEnum):
    """What has happened to an instance."""

    POST_SAVE = "POST_SAVE"
    POST_DELETE = "POST_DELETE"


class Dispatcher(ABC):
    """Takes work to where it runs. Subclasses have a ``name`` and implement :meth:`dispatch`.

    :param config: the rule's ``dispatcher_config``. What it leaves out comes from
        ``CACHE_RESULT["DISPATCHER_SETTINGS"]``, there in capitals.
    :raises ValueError: for an option that there is not, or an unsuitable value.
    :raises ImportError: when a package is missing.
    """

    name: ClassVar[str] = ""
    supports_batching: ClassVar[bool] = True
    in_process: ClassVar[bool] = False
    """The work stays in this process, so that it need not be written as JSON."""
    options: ClassVar[Mapping[str, Any] | None] = None
    """The options that there are, with defaults; None leaves that to :meth:`validate_config`."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        unknown = [] if self.options is None else [name for name in config if name not in self.options]
        if unknown:
            raise ValueError(
                f"cache_result: {type(self).__name__} has no option {', '.join(unknown)}; it has "
                f"{', '.join(self.options or ()) or 'none'}"
            )
        self.validate_config()

    def validate_config(self) -> None:  # noqa: B027
        """Checks the options, and that what the dispatcher needs is installed."""

    def prepare(self) -> None:  # noqa: B027
        """Makes a worker process know the task. Called when a worker looks for tasks."""

    def option(self, name: str) -> Any:
        """An option of this dispatcher: the rule's, else the project's, else the default."""
        if name in self.config:
            return self.config[name]
        default = (self.options or {}).get(name)
        return self.settings().get(name.upper(), default)

    def given(self, **options: str) -> dict[str, Any]:
        """Those of the options that have a value, by what the queue calls them."""
        values = {name: self.option(option) for name, option in options.items()}
        return {name: value for name, value in values.items() if value}

    def batch_key(self) -> tuple[Any, ...]:
        """What work must have in common to go in one dispatch."""
        return (type(self), *sorted((name, repr(value)) for name, value in self.config.items()))

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """This dispatcher's part of ``CACHE_RESULT["DISPATCHER_SETTINGS"]``."""
        return dict(get_settings().DISPATCHER_SETTINGS.get(cls.name, {}))

    def raises(self, wanted: bool | None) -> bool:
        """Whether errors are raised: as a rule wants it, else the dispatcher's settings, else the
        project's."""
        if wanted is None:
            wanted = self.settings().get("RAISE_EXCEPTION")
        return get_settings().DISPATCHER_RAISE_EXCEPTION if wanted is None else bool(wanted)

    @abstractmethod
    def dispatch(
        self,
        *,
        model_label: str,
        pk: Any,
        rule_ids: Sequence[str],
        signal_type: str | None,
        rule_kwargs: Mapping[str, Any],
    ) -> None:
        """Has the work done, now or later, by ``run_cache_rules(rule_ids=, rule_kwargs=)``.

        :param pk: of the instance that has changed; None where work of several is batched.
        :param rule_ids: stable names of the rules.
        :param rule_kwargs: by rule, what is to be done. Made of JSON's types, unless ``in_process``.
        """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dispatcher) and self.batch_key() == other.batch_key()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.config.items())
        return f"{type(self).__name__}({options})"


def register_dispatcher(dispatcher: type[Dispatcher]) -> type[Dispatcher]:
    """Makes a dispatcher known by its ``name``. Usable as a decorator.

    :raises TypeError: for anything but a subclass of :class:`Dispatcher`.
    :raises ValueError: for one without a name.
    """
    if not (isinstance(dispatcher, type) and issubclass(dispatcher, Dispatcher)):
        raise TypeError(f"cache_result: {dispatcher!r} is no subclass of Dispatcher")
    if not (isinstance(dispatcher.name, str) and dispatcher.name):
        raise ValueError(f"cache_result: {dispatcher.__name__} has no name; give it one: name = '...'")
    _registered[dispatcher.name] = dispatcher
    return dispatcher


def registered_dispatcher_names() -> list[str]:
    """The names that a rule's ``dispatcher`` may have, sorted."""
    return sorted({*_BUILT_IN, *_registered})


def dispatcher_named(name: str) -> type[Dispatcher]:
    """The dispatcher with this name.

    :raises KeyError: when there is none; it lists those that there are.
    """
    if name in _registered:
        return _registered[name]
    if name not in _BUILT_IN:
        known = ", ".join(registered_dispatcher_names())
        raise KeyError(f"cache_result: there is no dispatcher {name!r}; there are {known}")
    found: type[Dispatcher] = import_string(f"{_PLACE}.{_BUILT_IN[name]}")
    return found


def make_dispatcher(given: Any, config: Mapping[str, Any]) -> Dispatcher:
    """A dispatcher from what a rule says: a name, a class, an instance, or None for the project's.

    :raises KeyError: for an unknown name.
    :raises TypeError: for anything else.
    """
    if given is None:
        given = get_settings().DEFAULT_DISPATCHER
    if isinstance(given, Dispatcher):
        if config:
            raise ValueError(f"cache_result: {given!r} has its options already; leave out dispatcher_config")
        return given
    if isinstance(given, str):
        given = dispatcher_named(given)
    if not (isinstance(given, type) and issubclass(given, Dispatcher)):
        raise TypeError(
            f"cache_result: dispatcher={given!r}: give a name, a subclass of Dispatcher or an instance of one"
        )
    return given(**config)


def need(module: str, package: str, dispatcher: str) -> Any:
    """A module of another package.

    :raises ImportError: when it is missing; it says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"cache_result: the dispatcher {dispatcher!r} needs {package}: pip install {package} ({error})",
            name=error.name,
        ) from error
