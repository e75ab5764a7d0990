"""Key constructors: a class whose attributes are key fields."""

from collections.abc import Mapping
from inspect import Signature
from typing import Any, ClassVar

from cache_result.keys.fields import ArgsKeyField, CacheKeyField, FieldSpec


class KeyConstructor:
    """Says what makes the key of a call.

    ::

        class CityKey(KeyConstructor):
            country = ArgsKeyField("country_code", partition=True)
            rest = ArgsKeyField(["min_population", "limit"])

            class Meta:
                namespace = "geo"
                version = 2

    ``Meta`` is inherited attribute by attribute and knows ``namespace`` (text before every key),
    ``key_identifier`` (a stable name instead of the function's own), and ``version`` (a number;
    raising it makes all older entries unreachable).
    """

    _declared: ClassVar[dict[str, CacheKeyField]] = {}
    _options: ClassVar[dict[str, Any]] = {"namespace": "", "key_identifier": None, "version": None}

    class Meta:
        """Options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared: dict[str, CacheKeyField] = {}
        for base in reversed(cls.__mro__[1:]):
            declared.update(getattr(base, "_declared", {}))
        for name, value in vars(cls).items():
            if isinstance(value, CacheKeyField):
                declared[name] = value
            elif name in declared:
                del declared[name]
        cls._declared = declared
        options = dict(cls._options)
        if "Meta" in vars(cls):
            for name, value in vars(cls.Meta).items():
                if not name.startswith("_"):
                    options[name] = _option(cls.__name__, name, value)
        cls._options = options

    @property
    def fields(self) -> dict[str, CacheKeyField]:
        """The fields by name, in order."""
        return self.get_fields()

    def get_fields(self) -> dict[str, CacheKeyField]:
        """The fields by name, in order."""
        return dict(self._declared)

    def get_version(self) -> int | None:
        """``Meta.version``."""
        version: int | None = self._options["version"]
        return version

    @property
    def namespace(self) -> str:
        """``Meta.namespace``."""
        return str(self._options["namespace"] or "")

    @property
    def key_identifier(self) -> str | None:
        """``Meta.key_identifier``."""
        identifier: str | None = self._options["key_identifier"]
        return identifier

    def compile(self, parameters: Signature, label: str) -> list[FieldSpec]:
        """The fields in the form in which the Rust core runs them.

        :raises ValueError: when a field names an argument that the function does not have.
        """
        return [field.compile(name, parameters, label) for name, field in self.get_fields().items()]


def _option(owner: str, name: str, value: Any) -> Any:
    """A checked value of ``Meta.<name>``."""
    if name == "version":
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"{owner}.Meta.version = {value!r}: version must be an integer")
        return value
    if name in {"namespace", "key_identifier"}:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{owner}.Meta.{name} = {value!r}: {name} must be a string")
        return value
    if name in {"max_key_suffix_length", "hash_suffix_on_overflow"}:
        return value  # keys are never longer than 200 characters here; accepted from drf-restflow
    raise TypeError(f"{owner}.Meta.{name} is not an option; there are namespace, key_identifier and version")


class InlineKeyConstructor(KeyConstructor):
    """A key constructor written in place: ``InlineKeyConstructor({"user": ArgsKeyField("user_id")})``."""

    def __init__(
        self,
        fields: Mapping[str, CacheKeyField],
        *,
        namespace: str | None = None,
        key_identifier: str | None = None,
        version: int | str | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(fields, Mapping):
            raise TypeError(f"InlineKeyConstructor(fields={fields!r}): give a dict of key fields")
        for name, field in fields.items():
            if not isinstance(field, CacheKeyField):
                raise TypeError(
                    f"InlineKeyConstructor: {name!r} is {field!r}; give a key field such as ArgsKeyField"
                )
        given = {"namespace": namespace, "key_identifier": key_identifier, "version": version, **options}
        owner = type(self).__name__
        checked = {name: _option(owner, name, value) for name, value in given.items()}
        self._options = {**type(self)._options, **checked}  # type: ignore[misc]
        self._inline = dict(fields)

    def get_fields(self) -> dict[str, CacheKeyField]:
        """The fields by name, in order."""
        return {**self._declared, **self._inline}


class DefaultKeyConstructor(KeyConstructor):
    """Every argument is part of the key."""

    arguments = ArgsKeyField("*")


KeyConstructorLike = type[KeyConstructor] | KeyConstructor | Mapping[str, Any]
"""A subclass, an instance, or a dict of ``InlineKeyConstructor`` arguments (or of fields)."""


def make_constructor(given: KeyConstructorLike) -> KeyConstructor:
    """An instance of whatever was given as ``key_constructor``.

    :raises ValueError: for anything that is no key constructor.
    """
    if isinstance(given, KeyConstructor):
        return given
    if isinstance(given, type) and issubclass(given, KeyConstructor):
        return given()
    if isinstance(given, Mapping):
        if "fields" in given and not isinstance(given["fields"], CacheKeyField):
            return InlineKeyConstructor(**given)
        return InlineKeyConstructor(fields=given)
    raise ValueError(
        f"Invalid KeyConstructor {given!r}: give a subclass or an instance of KeyConstructor, "
        'or a dict such as {"fields": {"user": ArgsKeyField("user_id")}}'
    )
