"""Finds rules before the first write, in every process.

The modules of the project's own apps whose source mentions this package are imported, once the
apps are ready. Not every module: scripts of an app must not run.
"""

import importlib
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from django.apps import AppConfig, apps

from cache_result import registry
from cache_result.conf import get_settings
from cache_result.reports import logger

_MENTION = re.compile(rb"\bcache_(?:result|response)\b")
_LEFT_OUT = {"migrations", "tests", "management", "__pycache__", "node_modules"}
failed: dict[str, str] = {}
"""Modules that could not be imported, with the reason; ``manage.py check`` names them."""


def discover() -> None:
    """Imports the modules that may have rules."""
    conf = get_settings()
    names = list(conf.MODULES)
    if conf.AUTODISCOVER:
        for config in apps.get_app_configs():
            names.extend(_modules_of(config))
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            logger.exception("cache_result: %s could not be imported; its rules are unknown", name)
    registry.discovery_done()


def _modules_of(config: AppConfig) -> Iterator[str]:
    """Dotted names of an app's modules that mention this package."""
    root = Path(config.path)
    if config.name == "cache_result" or _is_installed(root):
        return
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _LEFT_OUT.intersection(parts) or parts[-1].startswith(("test_", "__main__")):
            continue
        if parts[-1] in {"conftest", "tests"} or not all(part.isidentifier() for part in parts):
            continue
        if _mentions(path):
            dotted = parts[:-1] if parts[-1] == "__init__" else parts
            yield ".".join((config.name, *dotted))


def _is_installed(root: Path) -> bool:
    """Whether an app lies among the installed packages, so that it is not the project's own."""
    places = {Path(sysconfig.get_path(key)) for key in ("purelib", "platlib", "stdlib")}
    return any(root.is_relative_to(place) for place in places)


def _mentions(path: Path) -> bool:
    try:
        return bool(_MENTION.search(path.read_bytes()))
    except OSError:
        return False
