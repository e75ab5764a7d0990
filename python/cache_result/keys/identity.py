"""Function ids: every function has one of its own, and it is the same in every process."""

import builtins
import hashlib
import secrets
import sys
import warnings
from collections.abc import Callable
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from pathlib import Path
from threading import Lock
from types import CodeType, FunctionType
from typing import Any
from weakref import ref

from cache_result import _core
from cache_result.exceptions import CacheResultWarning
from cache_result.forks import renewed

_taken: dict[str, tuple[str, bytes]] = {}
_tokens: "dict[int, tuple[ref[type], str]]" = {}
_OPERATORS = (attrgetter, itemgetter, methodcaller)
_lock = renewed(Lock())


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
    if not explicit and (not isinstance(func, FunctionType) or ("<" in name and _captures(func))):
        return _own_id(name, f"other functions may have the code of {name}")
    with _lock:
        known = _taken.setdefault(name, fingerprint)
    if known == fingerprint:
        return name
    if not explicit:
        return _own_id(name, f"there is more than one function {name}")
    if known[0] != fingerprint[0] or "<" in known[0]:
        _warn(f"{known[0]} and {fingerprint[0]} have the name {name!r} and share their entries")
    return name


def callable_id(func: Callable[..., Any]) -> str:
    """What distinguishes a callable from others: its name, where it can be imported under that; else its
    code, defaults and captured values; else an id of this process, with a ``CacheResultWarning``."""
    module, name = getattr(func, "__module__", None), getattr(func, "__qualname__", None)
    found: Any = sys.modules.get(module) if isinstance(module, str) else builtins
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if name and found is func:
        return f"{module}:{name}"
    owner = getattr(func, "__objclass__", None)  # a method such as `str.lower`
    if isinstance(owner, type) and getattr(owner, str(name).rpartition(".")[2], None) is func:
        return f"{owner.__module__}:{name}"
    try:
        if isinstance(func, FunctionType):
            captured = [cell.cell_contents for cell in func.__closure__ or ()]
            held = (captured, func.__defaults__, func.__kwdefaults__)
            return f"{label_of(func)} {_code_digest(func).hex()} {_core.canonical_bytes(held).hex()}"
        if isinstance(func, partial):
            bound = _core.canonical_bytes((func.args, func.keywords)).hex()
            return f"partial {callable_id(func.func)} {bound}"
        if type(func) in _OPERATORS:
            reduced = func.__reduce__()
            return f"{type(func).__qualname__} {_core.canonical_bytes(reduced[1:]).hex()}"
        return f"{type(func).__module__}:{type(func).__qualname__} {_core.canonical_bytes(func).hex()}"
    except (TypeError, ValueError):
        label = label_of(func)
        _warn(
            f"nothing tells {label} from others of its kind, so keys that it has a part in hold in this "
            "process only. Use a function that can be imported"
        )
        return f"{label}~{secrets.token_hex(8)}"


def class_token(cls: type) -> str:
    """What tells a class that cannot be imported from others of its name, in this process."""
    with _lock:
        # By address: classes may say of themselves that they equal others.
        known = _tokens.get(id(cls))
        if known is None or known[0]() is not cls:
            known = _tokens[id(cls)] = (ref(cls, partial(_forget, id(cls))), secrets.token_hex(8))
        return known[1]


def _forget(address: int, gone: "ref[type]") -> None:
    known = _tokens.get(address)
    if known is not None and known[0] is gone:
        del _tokens[address]


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


def _captures(func: Callable[..., Any]) -> bool:
    """Whether what a function does depends on more than its code: captured variables, or defaults
    that nothing tells from others."""
    if getattr(func, "__closure__", None):
        return True
    try:
        _core.canonical_bytes((getattr(func, "__defaults__", None), getattr(func, "__kwdefaults__", None)))
    except (TypeError, ValueError):
        return True
    return False


def _code_digest(func: Callable[..., Any]) -> bytes:
    """Of the function's code and defaults, and of those that its decorators wrap."""
    hasher = hashlib.blake2b(digest_size=16)
    seen: Any = func
    for _ in range(100):
        code = getattr(seen, "__code__", None)
        if isinstance(code, CodeType):
            _feed(hasher, code)
            hasher.update(repr(getattr(seen, "__defaults__", None)).encode())
            hasher.update(repr(getattr(seen, "__kwdefaults__", None)).encode())
        seen = getattr(seen, "__wrapped__", None)
        if seen is None:
            break
    return hasher.digest()


def _feed(hasher: "hashlib.blake2b", code: CodeType) -> None:
    hasher.update(code.co_code)
    hasher.update(repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed(hasher, constant)
        else:
            hasher.update(repr(constant).encode())
