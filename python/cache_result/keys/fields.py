"""Key fields: what of a call goes into its key."""

from collections.abc import Callable, Iterable, Set
from inspect import Signature, signature
from typing import Any, ClassVar

from asgiref.sync import iscoroutinefunction

from cache_result import _core
from cache_result.keys.identity import callable_id, label_of
from cache_result.keys.parameters import PickSpec, parameter_specs, pick_arguments

FieldSpec = tuple[str, str, tuple[Any, str | None], bool, bool, bool]
"""Name, kind, (data of that kind, what distinguishes it), partition, hash_value, sort_lists."""


class CacheKeyField:
    """Base class of key fields. Subclass it and override :meth:`get_key_payload`.

    :param partition: entries that share this field's value can be wiped together
        (``delete_by_prefix``).
    :param hash_value: do not show the value in the readable part of the key.
    :param sort_lists: lists are equal in whatever order their items are.
    """

    def __init__(
        self, *, partition: bool = False, hash_value: bool = False, sort_lists: bool = False
    ) -> None:
        self.partition = self._flag("partition", partition)
        self.hash_value = self._flag("hash_value", hash_value)
        self.sort_lists = self._flag("sort_lists", sort_lists)

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """What this field contributes to the key: a dict of values that have keys.

        ``args`` and ``kwargs`` are the call's arguments, bound to the signature and with defaults
        applied, so that calls that bind alike contribute alike. What is not there is ``ABSENT``. A wipe
        asks a partition field with the arguments that it was given alone: where they do not do, raise
        an error.
        """
        raise TypeError(f"{type(self).__name__} must override get_key_payload(func, args, kwargs)")

    def describe(self) -> str:
        """What distinguishes this field from others: under another description there are other keys.
        Subclasses with options of their own add them."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        """The form in which the Rust core runs this field.

        :raises ValueError: when the function cannot have what the field is about.
        """
        if type(self).get_key_payload is CacheKeyField.get_key_payload:
            raise TypeError(f"{type(self).__name__} must override get_key_payload(func, args, kwargs)")
        data = (self, self.describe())
        return (name, "payload", data, self.partition, self.hash_value, self.sort_lists)

    def _flag(self, option: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{type(self).__name__}({option}={value!r}): give True or False")
        return value


class CompiledKeyField(CacheKeyField):
    """A field that the Rust core runs by itself, unless a subclass overrides ``get_key_payload``."""

    kind: ClassVar[str]

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        raise NotImplementedError

    def compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        """The form in which the Rust core runs this field."""
        if type(self).get_key_payload is not CompiledKeyField.get_key_payload:
            return super().compile(name, parameters, label)
        return self._compile(name, parameters, label)

    def _compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        data = self.specify(parameters, label)
        return (name, self.kind, data, self.partition, self.hash_value, self.sort_lists)

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """What this field contributes to the key."""
        parameters = signature(func)
        field = self._compile("", parameters, label_of(func))
        return _core.field_payload(field, parameter_specs(parameters), func, args, kwargs)


class ArgsKeyField(CompiledKeyField):
    """The values of arguments.

    :param arguments: one name, a list of names, or ``"*"`` for all of them. Names that are no
        parameters are looked for among the keywords of a function that takes any.
    :param path: dotted attributes, mapping keys or indexes to follow from each argument, as ``"pk"``.
        What is not there counts as a value of its own.
    :param normalizer: function applied to each value; if it raises, the value stays as it is.
    """

    kind = "arguments"
    everything: ClassVar[str] = "*"

    def __init__(
        self,
        arguments: str | Iterable[str] = "*",
        path: str | None = None,
        normalizer: Callable[[Any], Any] | None = None,
        *,
        partition: bool = False,
        hash_value: bool = False,
        sort_lists: bool = False,
    ) -> None:
        super().__init__(partition=partition, hash_value=hash_value, sort_lists=sort_lists)
        self.arguments = name_list(type(self).__name__, arguments, "an argument")
        self.path = path
        self._parts = None if path is None else split_path(f"{type(self).__name__}(path=...)", path)
        if normalizer is not None and (not callable(normalizer) or iscoroutinefunction(normalizer)):
            raise TypeError(
                f"{type(self).__name__}(normalizer={normalizer!r}): give a plain function of one value"
            )
        self.normalizer = normalizer

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        try:
            picks = self._pick(parameters, None if self.arguments == [self.everything] else self.arguments)
        except LookupError as error:
            known = ", ".join(parameters.parameters) or "none"
            raise ValueError(
                f"cache_result: {type(self).__name__}({error.args[0]!r}) names no argument of {label}; "
                f"it has {known}"
            ) from None
        names = [name for *_, name in picks]
        return (picks, self._parts, self.normalizer), f"{names} {self.path!r} {self._normalizer_id()}"

    def _compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        data = self.specify(parameters, label)
        picks = data[0][0]
        partition = self.partition and bool(picks)  # without arguments there are no parts
        return (name, self.kind, data, partition, self.hash_value, self.sort_lists)

    def _pick(self, parameters: Signature, names: list[str] | None) -> list[PickSpec]:
        return pick_arguments(parameters, names)

    def describe(self) -> str:
        """What distinguishes this field from others of its class."""
        return f"{super().describe()} {self.arguments} {self.path!r} {self._normalizer_id()}"

    def _normalizer_id(self) -> str:
        return "" if self.normalizer is None else callable_id(self.normalizer)


class ConstantKeyField(CompiledKeyField):
    """The same for every call: ``ConstantKeyField("schema", 3)``."""

    kind = "constant"

    def __init__(
        self,
        key: str,
        value: Any,
        *,
        partition: bool = False,
        hash_value: bool = False,
        sort_lists: bool = False,
    ) -> None:
        super().__init__(partition=partition, hash_value=hash_value, sort_lists=sort_lists)
        if not isinstance(key, str):
            raise TypeError(f"ConstantKeyField({key!r}, ...): the key must be text")
        self.key = key
        self.value = value

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        return (self.key, self.value), self.key


def name_list(owner: str, given: Any, what: str) -> list[str]:
    """A list of names, from one name or from several.

    :raises TypeError: for anything else.
    :raises ValueError: for a name that is there twice.
    """
    if not isinstance(given, Iterable):
        raise TypeError(f"{owner}({given!r}): give the name of {what}, a list of names, or '*' for all")
    names = [given] if isinstance(given, str) else list(given)
    whole = len(names) > 1 and "*" in names
    if whole or not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"{owner}({given!r}): give the name of {what}, a list of names, or '*' for all")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{owner}({given!r}) names {', '.join(sorted(twice))} twice")
    return sorted(names) if isinstance(given, Set) else names


def split_path(owner: str, path: Any) -> list[str]:
    """The parts of a dotted path.

    :raises TypeError: when it is no text.
    :raises ValueError: when a part of it is empty.
    """
    if not isinstance(path, str):
        raise TypeError(f"{owner}: {path!r} is no path; give dotted names, as 'user.pk'")
    parts = path.split(".")
    if not all(parts):
        raise ValueError(f"{owner}: {path!r} is no path; give dotted names, as 'user.pk'")
    return parts
