"""Finds rules before the first write, in every process.

The modules of the project's own apps whose source uses this package are imported, once the apps
are ready. Not every module: scripts of an app must not run.
"""

import importlib
import re
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from django.apps import AppConfig, apps

from cache_result import registry
from cache_result.conf import get_settings
from cache_result.reports import logger

_USE = re.compile(
    rb"^\s*(?:from|import)\s+cache_result\b|@\s*[\w.]*\bcache_(?:result|response)\b|\bcache_(?:result|response)\s*\(",
    re.MULTILINE,
)
_LEFT_OUT = {"migrations", "tests", "management", "scripts", "settings", "__pycache__", "node_modules"}
_LEFT_OUT_MODULES = {"conftest", "tests", "settings", "asgi", "wsgi", "manage", "__main__"}
failed: dict[str, str] = {}
"""Modules that could not be imported, with the reason; ``manage.py check`` names them."""


def discover(complete: Callable[[], None] = lambda: None) -> None:
    """Imports the modules that may have rules, and has what they have declared completed."""
    conf = get_settings()
    names = list(conf.MODULES)
    if conf.AUTODISCOVER:
        for config in apps.get_app_configs():
            names.extend(_modules_of(config))
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            failed[name] = f"{type(error).__name__}: {error}"
            logger.exception("cache_result: %s could not be imported; its rules are unknown", name)
    complete()
    registry.discovery_done()


def _modules_of(config: AppConfig) -> Iterator[str]:
    """Dotted names of an app's modules that mention this package."""
    root = Path(config.path)
    if config.name == "cache_result" or _is_installed(root):
        return
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if is_left_out(parts) or not all(part.isidentifier() for part in parts):
            continue
        if _uses_us(path):
            dotted = parts[:-1] if parts[-1] == "__init__" else parts
            yield ".".join((config.name, *dotted))


def _is_installed(root: Path) -> bool:
    """Whether an app lies among the installed packages, so that it is not the project's own."""
    places = {Path(sysconfig.get_path(key)) for key in ("purelib", "platlib", "stdlib")}
    return any(root.is_relative_to(place) for place in places)


def is_left_out(parts: Sequence[str]) -> bool:
    """Whether a module, by its path inside an app, is one that must not be imported: scripts,
    settings, migrations, commands and tests."""
    name = parts[-1]
    return bool(_LEFT_OUT.intersection(parts)) or name in _LEFT_OUT_MODULES or name.startswith("test_")


def is_left_out_of_its_app(module: str) -> bool:
    """The same, of a dotted name. A module that belongs to no app is not left out."""
    for config in apps.get_app_configs():
        if module.startswith(f"{config.name}."):
            return is_left_out(module.removeprefix(f"{config.name}.").split("."))
    return False


def _uses_us(path: Path) -> bool:
    try:
        return bool(_USE.search(path.read_bytes()))
    except OSError:
        return False
