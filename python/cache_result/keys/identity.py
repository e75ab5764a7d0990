"""Function ids: every function has one of its own, and it is the same in every process."""

import hashlib
import secrets
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from cache_result.exceptions import CacheResultWarning

_taken: dict[str, tuple[str, bytes]] = {}
_tokens: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_lock = Lock()


def label_of(func: Callable[..., Any]) -> str:
    """Module and qualified name, for people."""
    module = getattr(func, "__module__", None) or "?"
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{module}.{name}"


def function_id(func: Callable[..., Any], explicit: str | None = None) -> str:
    """The function's name in keys: ``explicit``, or module and qualified name.

    No two functions meet unawares. What the same code cannot tell apart (partials, bound methods,
    callable objects, functions inside others that capture variables), and a second, different
    function under a taken name, get an id that holds in this process only, and a
    ``CacheResultWarning`` says so. The same code, defined again (a reload), keeps its id. Functions
    that share an explicit name meet, with a warning.
    """
    name = explicit or _stable_name(func)
    fingerprint = (label_of(func), _code_digest(func))
    if explicit is None and (not isinstance(func, FunctionType) or ("<" in name and func.__closure__)):
        return _own_id(name, f"other functions may have the code of {name}")
    with _lock:
        known = _taken.setdefault(name, fingerprint)
    if known == fingerprint:
        return name
    if explicit is None:
        return _own_id(name, f"there is more than one function {name}")
    if known[0] != fingerprint[0] or "<" in known[0]:
        _warn(f"{known[0]} and {fingerprint[0]} have the name {name!r} and share their entries")
    return name


def class_token(cls: type) -> str:
    """What tells a class that cannot be imported from others of its name, in this process."""
    with _lock:
        return _tokens.setdefault(cls, secrets.token_hex(8))


def _own_id(name: str, problem: str) -> str:
    _warn(
        f"{problem}, so this one's keys hold in this process only. "
        "Pass name= (or Meta.key_identifier) to give it a stable name"
    )
    return f"{name}~{secrets.token_hex(8)}"


def _stable_name(func: Callable[..., Any]) -> str:
    name = label_of(func)
    module, _, rest = name.partition(".")
    if module == "__main__":
        # Every script is __main__; what it is run from tells them apart.
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        script = Path(getattr(main, "__file__", None) or "interactive")
        name = f"{spec.name}.{rest}" if spec else f"__main__[{script.stem}].{rest}"
    return name


def _warn(problem: str) -> None:
    warnings.warn(f"cache_result: {problem}", CacheResultWarning, stacklevel=7)


def _code_digest(func: Callable[..., Any]) -> bytes:
    code = getattr(func, "__code__", None)
    hasher = hashlib.blake2b(digest_size=16)
    if isinstance(code, CodeType):
        _feed(hasher, code)
        hasher.update(repr(getattr(func, "__defaults__", None)).encode())
        hasher.update(repr(getattr(func, "__kwdefaults__", None)).encode())
    return hasher.digest()


def _feed(hasher: "hashlib.blake2b", code: CodeType) -> None:
    hasher.update(code.co_code)
    hasher.update(repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed(hasher, constant)
        else:
            hasher.update(repr(constant).encode())
