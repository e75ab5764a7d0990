"""Key constructors: a class whose attributes are key fields."""

from collections.abc import Mapping
from inspect import Parameter, Signature, signature
from threading import Lock
from types import SimpleNamespace
from typing import Any, ClassVar
from weakref import WeakSet, WeakValueDictionary

from asgiref.sync import sync_to_async

from cache_result.forks import renewed
from cache_result.keys.fields import ArgsKeyField, CacheKeyField, FieldSpec
from cache_result.keys.parameters import is_method_of_view
from cache_result.keys.requests import RequestKeyField
from cache_result.reports import tell
from cache_result.signals import cache_invalidated
from cache_result.threads import off_the_loop

_PARTITION_CHARS = 48
"""The longest readable partition; a key has 200 characters at most."""

_OPTIONS: dict[str, Any] = {
    "namespace": "",
    "key_identifier": None,
    "version": 1,
    "max_key_suffix_length": _PARTITION_CHARS,
    "hash_suffix_on_overflow": False,
}


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


class KeyConstructor(metaclass=KeyConstructorType):
    """Says what makes the key of a call.

    ::

        class CityKey(KeyConstructor):
            country = ArgsKeyField("country_code", partition=True)
            rest = ArgsKeyField(["min_population", "limit"])

            class Meta:
                namespace = "geo"
                version = 2

    Fields are inherited; a subclass replaces one by another of the same name, or drops it with None.
    ``Meta`` is inherited attribute by attribute; None sets an option back to its default. It knows

    - ``namespace``: text before every key;
    - ``version``: a number, 1 by default; raising it makes all older entries unreachable;
    - ``key_identifier``: a stable name instead of the function's own;
    - ``max_key_suffix_length``: the longest readable partition in a key, in characters (at most 48,
      whatever is given: a key is never longer than 200 characters);
    - ``hash_suffix_on_overflow``: whether a longer one is replaced by its hash, instead of being
      shortened. Neither has anything to do with what a key stands for: that is in its digest.
    """

    _options: ClassVar[dict[str, Any]] = _OPTIONS
    _wrappers: ClassVar[WeakSet[Any]] = WeakSet()
    _lock: ClassVar[Lock] = renewed(Lock())

    class Meta:
        """Options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        options: dict[str, Any] = dict(_OPTIONS)
        for base in reversed(cls.__mro__):
            meta = vars(base).get("Meta")
            if meta is not None and not isinstance(meta, type):
                raise TypeError(
                    f"cache_result: {base.__name__}.Meta = {meta!r}: write `class Meta:` with options in it"
                )
            for name in dir(meta) if meta is not None else ():
                if not name.startswith("_"):
                    options[name] = _option(cls.__name__, name, getattr(meta, name))
        cls._options = options
        cls._wrappers = WeakSet()

    @property
    def fields(self) -> dict[str, CacheKeyField]:
        """The fields by name, in order."""
        return self.get_fields()

    def get_fields(self) -> dict[str, CacheKeyField]:
        """The fields by name, in order."""
        return dict(type(self)._declared)

    @property
    def has_only_partition_fields(self) -> bool:
        """Whether every field is a partition field."""
        return all(field.partition for field in self.fields.values())

    def get_version(self) -> int:
        """``Meta.version``."""
        version: int = self._options["version"]
        return version

    @property
    def namespace(self) -> str:
        """``Meta.namespace``."""
        return str(self._options["namespace"])

    @property
    def key_identifier(self) -> str | None:
        """``Meta.key_identifier``."""
        identifier: str | None = self._options["key_identifier"]
        return identifier

    @property
    def style(self) -> tuple[int, bool]:
        """The longest readable partition, and whether a longer one is hashed."""
        longest = min(self._options["max_key_suffix_length"], _PARTITION_CHARS)
        return longest, self._options["hash_suffix_on_overflow"]

    def compile(self, parameters: Signature, label: str) -> list[FieldSpec]:
        """The fields in the form in which the Rust core runs them.

        :raises ValueError: when a field is about something that the function cannot have.
        """
        return [field.compile(name, parameters, label) for name, field in self.get_fields().items()]

    @classmethod
    def register(cls, wrapper: Any) -> None:
        """Makes the wrapper one of those that :meth:`wipe` reaches, as long as it exists."""
        with cls._lock:
            cls._wrappers.add(wrapper)

    @classmethod
    def wrappers(cls) -> list[Any]:
        """The functions of this process that use the constructor, or a subclass of it."""
        with cls._lock:
            found = list(cls._wrappers)
        for subclass in cls.__subclasses__():
            found += subclass.wrappers()
        return list({id(wrapper): wrapper for wrapper in found}.values())

    @classmethod
    def wipe(cls, *args: Any, **kwargs: Any) -> None:
        """Invalidates entries of every function that uses this constructor, or a subclass of it.

        Without arguments all of their entries. With arguments those of the partition that the
        arguments name, as ``delete_by_prefix`` does; keywords that a function does not have are left
        out for it. Reaches the functions whose modules this process has imported.

        :raises ValueError: when the arguments name no group of entries of one of the functions;
            nothing is invalidated then.
        """
        for storage, scopes in cls._scopes(args, kwargs):
            storage.invalidate(scopes, (cls.__qualname__,))
        cls._tell()

    @classmethod
    async def awipe(cls, *args: Any, **kwargs: Any) -> None:
        """Asyncio twin of :meth:`wipe`."""
        for storage, scopes in await off_the_loop(cls._scopes, args, kwargs):
            await storage.aperform("invalidate", scopes, (cls.__qualname__,))
        if cache_invalidated.has_listeners():
            await sync_to_async(cls._tell, thread_sensitive=True)()

    @classmethod
    def _tell(cls) -> None:
        for wrapper in cls.wrappers():
            tell(cache_invalidated, wrapper, reason="wipe", arguments=None)

    @classmethod
    def _scopes(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Any, list[bytes]]]:
        """What is to be wiped, by cache."""
        wrappers = cls.wrappers()
        known = [_arguments(wrapper, args, kwargs) for wrapper in wrappers]
        unknown = set(kwargs).difference(*(used for _, _, used in known)) if wrappers else set()
        if unknown:
            raise TypeError(
                f"cache_result: no function that uses {cls.__name__} has an argument "
                f"{', '.join(sorted(unknown))}"
            )
        scopes: dict[int, tuple[Any, list[bytes]]] = {}
        for wrapper, (given, named, _) in zip(wrappers, known, strict=True):
            storage = wrapper.storage
            whole = not args and not kwargs
            scope = wrapper._function_scope() if whole else wrapper._prefix_scope(given, named)
            scopes.setdefault(id(storage), (storage, []))[1].append(scope)
        return list(scopes.values())

    @classmethod
    def delete_previous_versions(cls) -> int:
        """Deletes the entries of the functions that use this constructor which were written under its
        namespace and a smaller ``Meta.version``; returns how many. They are unreachable anyway: this
        frees their bytes.

        Looks through the keys that begin with the namespace, in batches: a maintenance command, for
        caches that can list their keys (MemoryCache, LocMem, Redis, the database), by a KEY_FUNCTION, if
        there is one, that leaves them at the end; elsewhere entries go when they expire. Does nothing at
        version 1.

        :raises ValueError: without ``Meta.namespace``.
        """
        return sum(wrapper._delete_previous_versions() for wrapper in cls._versioned())

    @classmethod
    async def adelete_previous_versions(cls) -> int:
        """Asyncio twin of :meth:`delete_previous_versions`."""
        return sum([await wrapper._adelete_previous_versions() for wrapper in cls._versioned()])

    @classmethod
    def _versioned(cls) -> list[Any]:
        if cls._options["version"] <= 1:
            return []
        if not cls._options["namespace"]:
            raise ValueError(
                f"cache_result: {cls.__name__}.delete_previous_versions() needs a namespace in "
                f"{cls.__name__}.Meta, under which to look for entries"
            )
        return cls.wrappers()


def _arguments(
    wrapper: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], set[str]]:
    """What of a wipe's arguments the wrapper's function takes, and the keywords that were used."""
    parameters = signature(wrapper.func)
    every = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.parameters.values())
    named = {name: value for name, value in kwargs.items() if every or name in parameters.parameters}
    used = set(named)
    if not args and is_method_of_view(parameters):
        # A method finds its request in the view.
        fields = wrapper.key_constructor.fields.values()
        names = {field.request_arg for field in fields if isinstance(field, RequestKeyField)}
        for name in names.intersection(kwargs).difference(named):
            args, used = (SimpleNamespace(request=kwargs[name], kwargs={}),), {*used, name}
    return args, named, used


def _option(owner: str, name: str, value: Any) -> Any:
    """A checked value of ``Meta.<name>``; None is the default.

    :raises TypeError: for an option that does not exist, or a value of the wrong type.
    :raises ValueError: for a number out of range.
    """
    if name not in _OPTIONS:
        raise TypeError(f"{owner}.Meta.{name} is not an option; there are {', '.join(_OPTIONS)}")
    if value is None or (name == "key_identifier" and value == ""):
        return _OPTIONS[name]
    given = f"{owner}.Meta.{name} = {value!r}"
    if name == "version":
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{given}: version must be an integer")
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{given}: version must have 64 bits at most")
    elif name == "max_key_suffix_length":
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{given}: max_key_suffix_length must be an integer")
        if value < 1:
            raise ValueError(f"{given}: max_key_suffix_length must be positive")
    elif name == "hash_suffix_on_overflow":
        if not isinstance(value, bool):
            raise TypeError(f"{given}: hash_suffix_on_overflow must be a boolean")
    elif not isinstance(value, str):
        raise TypeError(f"{given}: {name} must be a string")
    return value


class InlineKeyConstructor(KeyConstructor):
    """A key constructor written in place: ``InlineKeyConstructor({"user": ArgsKeyField("user_id")})``.

    The same fields and options are the same constructor, so that :meth:`~KeyConstructor.wipe` of one
    reaches all functions that were given them.

    :param fields: key fields by name.
    :param options: what ``Meta`` knows.
    """

    _made: ClassVar[WeakValueDictionary[Any, "InlineKeyConstructor"]] = WeakValueDictionary()

    def __new__(
        cls,
        fields: Mapping[str, CacheKeyField],
        version: int | str | None = None,
        max_key_suffix_length: int | None = None,
        hash_suffix_on_overflow: bool | None = None,
        namespace: str | None = None,
        key_identifier: str | None = None,
    ) -> "InlineKeyConstructor":
        if not isinstance(fields, Mapping):
            raise TypeError(f"InlineKeyConstructor(fields={fields!r}): give a dict of key fields")
        for name, field in fields.items():
            if not isinstance(name, str):
                raise TypeError(f"InlineKeyConstructor: the field name {name!r} is no text")
            if not isinstance(field, CacheKeyField):
                raise TypeError(
                    f"InlineKeyConstructor: {name!r} is {field!r}; give a key field such as ArgsKeyField"
                )
            if name in cls._declared:
                raise ValueError(f"cache_result: the key field {name!r} is defined twice")
        options = {
            "version": version,
            "max_key_suffix_length": max_key_suffix_length,
            "hash_suffix_on_overflow": hash_suffix_on_overflow,
            "namespace": namespace,
            "key_identifier": key_identifier,
        }
        options = {name: _option(cls.__name__, name, value) for name, value in options.items()}
        # The constructor holds its fields, so their addresses are theirs as long as it is remembered.
        made_of = (cls, tuple((name, id(field)) for name, field in fields.items()), *options.items())
        with cls._lock:
            known = cls._made.get(made_of)
        if known is not None:
            return known
        subclass: Any = KeyConstructorType(cls.__name__, (cls,), {"Meta": type("Meta", (), options)})
        subclass._own = dict(fields)
        subclass._declared = {**cls._declared, **fields}
        made: InlineKeyConstructor = object.__new__(subclass)
        with cls._lock:
            return cls._made.setdefault(made_of, made)


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
