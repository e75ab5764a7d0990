"""Function ids: every function has one of its own, and it is the same in every process."""

import hashlib
import secrets
import warnings
from collections.abc import Callable
from threading import Lock
from types import CodeType
from typing import Any

from cache_result.exceptions import CacheResultWarning

_taken: dict[str, tuple[bytes, bool]] = {}
_lock = Lock()


def label_of(func: Callable[..., Any]) -> str:
    """Module and qualified name, for people."""
    module = getattr(func, "__module__", None) or "?"
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{module}.{name}"


def function_id(func: Callable[..., Any]) -> str:
    """Module and qualified name; a second, different function of that name gets an id of its own.

    Such an id holds in this process only, and a ``CacheResultWarning`` says so. The same code
    without captured variables, defined again (a reload), keeps its id.
    """
    name = label_of(func)
    fingerprint = (_code_digest(func), bool(getattr(func, "__closure__", None)))
    with _lock:
        known = _taken.setdefault(name, fingerprint)
        first = known is fingerprint
    if first or (known == fingerprint and not fingerprint[1]):
        return name
    warnings.warn(
        f"cache_result: there is more than one function {name}; this one gets a key of its own that no "
        "other process shares. Pass name= (or Meta.key_identifier) to give it a stable one",
        CacheResultWarning,
        stacklevel=5,
    )
    return f"{name}~{secrets.token_hex(8)}"


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
