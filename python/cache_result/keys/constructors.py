"""Key constructors: a class whose attributes are key fields."""

from collections.abc import Mapping
from inspect import Signature
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakSet, WeakValueDictionary

from asgiref.sync import sync_to_async

from cache_result.forks import renewed
from cache_result.keys.declared import KeyConstructorType
from cache_result.keys.fields import ArgsKeyField, CacheKeyField, FieldSpec
from cache_result.keys.meta import OPTIONS, PARTITION_CHARS, check_option
from cache_result.keys.wiping import scopes_of
from cache_result.reports import tell
from cache_result.signals import cache_invalidated
from cache_result.threads import off_the_loop


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

    _options: ClassVar[dict[str, Any]] = OPTIONS
    _wrappers: ClassVar[WeakSet[Any]] = WeakSet()
    _lock: ClassVar[Lock] = renewed(Lock())

    class Meta:
        """Options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        options: dict[str, Any] = dict(OPTIONS)
        for base in reversed(cls.__mro__):
            meta = vars(base).get("Meta")
            if meta is not None and not isinstance(meta, type):
                raise TypeError(
                    f"cache_result: {base.__name__}.Meta = {meta!r}: write `class Meta:` with options in it"
                )
            for name in dir(meta) if meta is not None else ():
                if not name.startswith("_"):
                    options[name] = check_option(cls.__name__, name, getattr(meta, name))
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
        longest = min(self._options["max_key_suffix_length"], PARTITION_CHARS)
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
        return scopes_of(cls.wrappers(), cls.__name__, args, kwargs)

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
        options = {name: check_option(cls.__name__, name, value) for name, value in options.items()}
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
