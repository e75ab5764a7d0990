"""Key fields: what of a call goes into its key."""

from collections.abc import Callable, Iterable, Mapping
from inspect import Signature, signature
from typing import Any, ClassVar

FieldSpec = tuple[str, str, Any, bool, bool, bool]
"""Name, kind ("arguments", "constant", "payload"), data, partition, hash_value, sort_lists."""


class Absent:
    """What a key has where an attribute is missing: it equals no value that is there."""

    def __cache_key__(self) -> tuple[()]:
        return ()


ABSENT = Absent()


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
        for name, value in (
            ("partition", partition),
            ("hash_value", hash_value),
            ("sort_lists", sort_lists),
        ):
            if not isinstance(value, bool):
                raise TypeError(f"{type(self).__name__}({name}={value!r}): give True or False")
        self.partition = partition
        self.hash_value = hash_value
        self.sort_lists = sort_lists

    def get_key_payload(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What this field contributes to the key: a dict, or any other value that has a key.

        ``args`` and ``kwargs`` are the call's arguments, bound to the signature and with defaults
        applied, so that calls that bind alike contribute alike.
        """
        raise TypeError(f"{type(self).__name__} must override get_key_payload(func, args, kwargs)")

    def describe(self) -> str:
        """What distinguishes this field from others: entries written under another description are
        misses. Subclasses with options of their own add them."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        """The form in which the Rust core runs this field."""
        return (name, "payload", self, self.partition, self.hash_value, self.sort_lists)


class ArgsKeyField(CacheKeyField):
    """The values of arguments.

    :param arguments: one name, a list of names, or ``"*"`` for all of them.
    :param path: dotted attributes (or mapping keys) to follow from the argument, as ``"pk"``.
        An attribute that is not there counts as a value of its own.
    :param normalizer: function applied to each value; if it raises, the value stays as it is.
    """

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
        if not isinstance(arguments, Iterable):
            raise TypeError(f"ArgsKeyField({arguments!r}): give an argument's name, a list of names, or '*'")
        names = [arguments] if isinstance(arguments, str) else list(arguments)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError(
                f"ArgsKeyField({arguments!r}): give an argument's name, a list of names, or '*' for all"
            )
        if path is not None and not (isinstance(path, str) and path):
            raise TypeError(f"ArgsKeyField(path={path!r}): give dotted attribute names, as 'pk'")
        if normalizer is not None and not callable(normalizer):
            raise TypeError(f"ArgsKeyField(normalizer={normalizer!r}): give a function of one value")
        self.arguments = names
        self.path = path
        self.normalizer = normalizer

    def _names(self, parameters: Signature, label: str) -> list[str]:
        known = list(parameters.parameters)
        if self.arguments == [self.everything]:
            return known
        for name in self.arguments:
            if name not in known:
                raise ValueError(
                    f"cache_result: ArgsKeyField({name!r}) names no argument of {label}; "
                    f"it has {', '.join(known) or 'none'}"
                )
        return list(dict.fromkeys(self.arguments))

    def compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        """The form in which the Rust core runs this field."""
        names = self._names(parameters, label)
        if self.path is not None or self.normalizer is not None:
            return super().compile(name, parameters, label)
        known = list(parameters.parameters)
        slots = [known.index(argument) for argument in names]
        return (name, "arguments", slots, self.partition, self.hash_value, self.sort_lists)

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments' values, after path and normalizer."""
        # Partially: delete_by_prefix gives what it has, and a KeyError says that it is not enough.
        bound = signature(func).bind_partial(*args, **kwargs)
        values: Mapping[str, Any] = bound.arguments
        return {name: self._value(values[name]) for name in self._names(bound.signature, func.__qualname__)}

    def describe(self) -> str:
        """What distinguishes this field from others of its class."""
        normalizer = getattr(self.normalizer, "__qualname__", type(self.normalizer).__qualname__)
        return f"{super().describe()} {self.arguments} {self.path} {normalizer}"

    def _value(self, value: Any) -> Any:
        for part in self.path.split(".") if self.path is not None else ():
            try:
                value = value[part] if isinstance(value, Mapping) else getattr(value, part)
            except (AttributeError, KeyError):
                return ABSENT
        if self.normalizer is None:
            return value
        try:
            return self.normalizer(value)
        except Exception:
            return value


class ConstantKeyField(CacheKeyField):
    """The same for every call: ``ConstantKeyField("schema", 3)``."""

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

    def get_key_payload(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The constant under its key."""
        return {self.key: self.value}

    def compile(self, name: str, parameters: Signature, label: str) -> FieldSpec:
        """The form in which the Rust core runs this field."""
        data = (self.key, self.value)
        return (name, "constant", data, self.partition, self.hash_value, self.sort_lists)
