"""Tags: text that entries of any function have in common. Templates of it, and what may be one.

What precedes the first colon of a tag is its family: a change that does not tell which of a rule's tags it
concerns invalidates all of the family.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cached_property
from inspect import Parameter, Signature, signature, unwrap
from pathlib import PurePath
from string import Formatter
from types import CodeType
from typing import Any
from uuid import UUID

from asgiref.sync import iscoroutinefunction

from cache_result import _core, fills
from cache_result.exceptions import UnkeyableArgument
from cache_result.plain import plain

LONGEST = 1000
"""Characters of a tag."""
_KINDS = (str, int, float, complex, Decimal, date, time, timedelta, UUID, PurePath, type(None))
_VARIABLE = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}


@dataclass(frozen=True)
class Tag:
    """A tag, or all tags of a family."""

    text: str
    whole_family: bool = False

    @cached_property
    def scope(self) -> bytes:
        """The id of its scope."""
        return _core.tag_scope(self.text, self.whole_family)

    @property
    def wider(self) -> "Tag":
        """All tags of its family; a tag without one stays what it is."""
        family, colon, _ = self.text.partition(":")
        return Tag(family, True) if colon and not self.whole_family else self

    def __str__(self) -> str:
        return f"the tags {self.text + ':*'!r}" if self.whole_family else f"the tag {self.text!r}"


def check_tag(text: Any) -> str:
    """The text, if it is a tag.

    :raises TypeError: for anything but text.
    :raises ValueError: for no text, and too much of it.
    """
    if not isinstance(text, str):
        raise TypeError(f"cache_result: the tag {text!r} is a <{type(text).__name__}>; give text")
    if not text:
        raise ValueError("cache_result: a tag is empty; give some text")
    if len(text) > LONGEST:
        raise ValueError(
            f"cache_result: the tag {text[:50]!r}... has {len(text)} characters; give at most {LONGEST}"
        )
    return str(text)


@dataclass(frozen=True)
class TagField:
    """``{name.attribute:spec}`` in a template. Called with the value of ``name``, it returns the text."""

    source: str
    """The dotted path."""
    spec: str
    what: str
    """Whose template this is, for errors."""

    @property
    def key(self) -> str:
        """Stands for the path where arguments have names."""
        return f"{{{self.source}}}"

    @property
    def name(self) -> str:
        """The first step of the path."""
        return self.source.partition(".")[0]

    def __call__(self, value: Any) -> str:
        """The text of what the rest of the path finds in ``value``.

        :raises UnkeyableArgument: for a value that has none.
        """
        for step in self.source.split(".")[1:]:
            value = None if value is None else getattr(value, step)
        return self.text_of(value)

    def text_of(self, value: Any) -> str:
        """The text of a value: what an f-string makes of it, and of an instance its primary key, of an enum
        member its value."""
        value = plain(value)
        if not isinstance(value, _KINDS):
            raise UnkeyableArgument(
                f"cache_result: {{{self.source}}} in {self.what} is a <{type(value).__name__}>, which "
                "cannot be part of a tag; name an attribute of it, as {user.pk}, or give a callable"
            )
        return format(value, self.spec)


@dataclass(frozen=True)
class Template:
    """Text with fields, as of ``str.format``."""

    text: str
    parts: tuple[tuple[str, TagField | None], ...]

    @property
    def fields(self) -> list[TagField]:
        """Its fields in order."""
        return [field for _, field in self.parts if field is not None]

    @property
    def family(self) -> Tag | None:
        """All tags that it may become, if the text before its first field tells them; without fields, the
        tag itself."""
        before = ""
        for text, field in self.parts:
            before += text
            if field is not None:
                return Tag(before.partition(":")[0], True) if ":" in before else None
        return Tag(before)

    def tag(self, values: Mapping[str, Any]) -> Tag:
        """The tag, by the values of its fields' keys.

        :raises Exception: when one is missing, or has no text.
        """
        texts = [text + (field.text_of(values[field.key]) if field else "") for text, field in self.parts]
        return Tag(check_tag("".join(texts)))


def add_tags(*tags: str) -> None:
    """Adds tags, which only the data tells, to the entry of the cached function that is running.

    Of several functions inside of each other it is the innermost one. Where none is running, or its result is
    not going to be stored, nothing happens. Also in functions that it calls, and in tasks that it waits for.

    :raises TypeError: for anything but text.
    :raises ValueError: for an empty or too long one.
    """
    found = [check_tag(text) for text in tags]
    fill = fills.innermost()
    if fill is not None:
        fill.tags.update(found)


def seems_to_add(func: Any) -> bool:
    """Whether the code of a function names :func:`add_tags`."""
    code = getattr(unwrap(func), "__code__", None)
    return code is not None and _names(code, add_tags.__name__)


def _names(code: CodeType, name: str) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return name in code.co_names or any(_names(each, name) for each in inner)


def parse(text: Any, what: str) -> Template:
    """Reads a template.

    :param what: where it stands, for errors.
    :raises TypeError: for anything but text.
    :raises ValueError: for text that is none.
    """
    check_tag(text)
    what = f"the tag {text!r} of {what}"
    try:
        read = [*Formatter().parse(text)]
    except ValueError as error:
        raise ValueError(f"cache_result: {what}: {error}; write braces that mean themselves twice") from None
    parts: list[tuple[str, TagField | None]] = []
    for before, name, spec, conversion in read:
        if name is None:
            parts.append((before, None))
            continue
        steps = name.split(".")
        if not all(step.isidentifier() for step in steps) or conversion or "{" in (spec or ""):
            raise ValueError(
                f"cache_result: {what}: give names with attributes in braces, as {{user_id}}, "
                "{{user.team_id}} or {day:%Y-%m}; for anything else give a callable"
            )
        parts.append((before, TagField(name, spec or "", what)))
    return Template(text, tuple(parts))


def given_tags(given: Any, what: str) -> list[Any]:
    """What ``tags=`` was given, as a list.

    :raises TypeError: for anything but text, a callable, or a collection of those.
    """
    each = [given] if isinstance(given, str) or callable(given) else given
    if isinstance(each, bytes | Mapping) or not isinstance(each, Iterable):
        raise TypeError(f"cache_result: tags={given!r} of {what}: give text, a callable, or a list of those")
    return list(each)


def names_in(given: Any) -> list[str]:
    """The arguments that templates among these tags name."""
    texts = [] if given is None else [each for each in given_tags(given, "a view") if isinstance(each, str)]
    return [field.name for text in texts for field in parse(text, "a view").fields]


def compile_tags(given: Any, func: Any, parameters: Signature, label: str) -> tuple[Any, ...]:
    """Checks the tags of a function, for the core.

    :raises TypeError: for what is no tag.
    :raises ValueError: for a template that names no argument.
    """
    templates, callables = [], []
    for each in () if given is None else given_tags(given, label):
        if callable(each):
            callables.append(_check_callable(each, parameters, label))
            continue
        template = parse(each, label)
        for field in template.fields:
            _check_argument(field, parameters, label)
        templates.append(
            (
                each,
                [
                    (text, field and (field.name, field.name == field.source and not field.spec, field))
                    for text, field in template.parts
                ],
            )
        )
    return templates, _joined(callables, parameters, label) if callables else None, seems_to_add(func)


def _check_argument(field: TagField, parameters: Signature, label: str) -> None:
    parameter = parameters.parameters.get(field.name)
    if parameter is None or parameter.kind in _VARIABLE:
        known = ", ".join(p.name for p in parameters.parameters.values() if p.kind not in _VARIABLE)
        raise ValueError(
            f"cache_result: {field.what} names {field.name!r}, which is no argument of {label}; it has "
            f"{known or 'none'}"
        )


def _check_callable(tags: Callable[..., Any], parameters: Signature, label: str) -> Callable[..., Any]:
    if iscoroutinefunction(tags):
        raise TypeError(f"cache_result: tags={tags!r} of {label} is async; give a plain function")
    try:
        taken = signature(tags)
    except (TypeError, ValueError):
        return tags  # a built-in
    known = parameters.parameters.values()
    try:
        taken.bind(
            *(p for p in known if p.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}),
            **{p.name: p for p in known if p.kind is Parameter.KEYWORD_ONLY},
        )
    except TypeError as error:
        raise TypeError(
            f"cache_result: tags={tags!r} of {label}: {error}; it is called with the arguments of {label}, "
            f"{parameters}"
        ) from None
    return tags


def _joined(callables: list[Callable[..., Any]], parameters: Signature, label: str) -> Callable[..., Any]:
    """What the core calls with the arguments of a call."""

    def tags_of(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> list[str]:
        call = parameters.bind(*args, **(kwargs or {}))
        call.apply_defaults()
        found: list[str] = []
        for tags in callables:
            said = tags(*call.args, **call.kwargs)
            for text in () if said is None else [said] if isinstance(said, str) else said:
                found.append(check_tag(text))
        return found

    return tags_of
