"""How the key fields in the body of a class are collected."""

from collections.abc import Mapping
from typing import Any

from cache_result.keys.fields import CacheKeyField


class _Namespace(dict[str, Any]):
    """The body of a class, in which no key field is defined twice."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, CacheKeyField) and isinstance(self.get(name), CacheKeyField):
            raise ValueError(f"cache_result: the key field {name!r} is defined twice")
        super().__setitem__(name, value)


def _attributes(namespace: Mapping[str, Any]) -> dict[str, CacheKeyField]:
    """The attributes of a class that are fields: those of a mixin that is no constructor."""
    return {name: value for name, value in namespace.items() if isinstance(value, CacheKeyField)}


def _declared_by(base: type) -> set[str]:
    """The fields that a constructor or a mixin has."""
    of_mixins = {name for cls in base.__mro__ for name in _attributes(vars(cls))}
    return {*getattr(base, "_declared", ()), *of_mixins}


def _holds_field(value: Any) -> bool:
    """Whether a value looks like a field that was miswritten."""
    if isinstance(value, type):
        return issubclass(value, CacheKeyField)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return any(isinstance(item, CacheKeyField) or _holds_field(item) for item in items)


class KeyConstructorType(type):
    """Collects the key fields of a class. They are no attributes of it, so they may have any name."""

    _own: dict[str, CacheKeyField | None]
    _declared: dict[str, CacheKeyField]

    @classmethod
    def __prepare__(metacls, name: str, bases: tuple[type, ...], /, **kwargs: Any) -> dict[str, Any]:
        return _Namespace()

    def __new__(
        metacls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **kwargs: Any
    ) -> "KeyConstructorType":
        for attribute, value in namespace.items():
            if _holds_field(value):
                raise TypeError(
                    f"cache_result: {name}.{attribute} = {value!r} is no key field; write each field as an "
                    f'attribute of its own, as {attribute} = ArgsKeyField("user_id")'
                )
        inherited = {field for base in bases for field in _declared_by(base)}
        own = {
            attribute: value
            for attribute, value in namespace.items()
            if isinstance(value, CacheKeyField) or (value is None and attribute in inherited)
        }
        body = {attribute: value for attribute, value in namespace.items() if attribute not in own}
        cls = super().__new__(metacls, name, bases, body, **kwargs)
        cls._own = own
        declared: dict[str, CacheKeyField | None] = {}
        for base in reversed(cls.__mro__):
            declared |= vars(base).get("_own") or _attributes(vars(base))
        cls._declared = {attribute: field for attribute, field in declared.items() if field is not None}
        return cls
