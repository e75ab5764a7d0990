"""Where the processes of a host find the generations that they share."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.test.utils import _TestState
from django.utils.crypto import salted_hmac


def host_index_path(option: Any, name: str) -> Path | None:
    """The file that ``HOST_INDEX`` names for the store ``name``; None: the process keeps to itself.

    Test runs do: what runs beside them must not invalidate what they look at.

    :raises ImproperlyConfigured: for anything but ``True``, ``False``, None and a path.
    """
    if option is None or option is False:
        return None
    if option is not True and not isinstance(option, str | os.PathLike):
        raise ImproperlyConfigured(
            f"cache_result: OPTIONS['HOST_INDEX'] of a MemoryCache is {option!r}; "
            "give True, or the path of a file in a directory that the processes share"
        )
    if is_testing():
        return None
    if option is True:
        user = os.geteuid() if hasattr(os, "geteuid") else "host"  # elsewhere there is no index anyway
        return _directory() / f"cache_result-{_project(name)}.{user}"  # the core goes by this extension
    return Path(option)


def is_testing() -> bool:
    """Whether this process runs tests: Django's test environment is set up, or will be.

    What an application does before that, as in ``AppConfig.ready()``, belongs to the run.
    """
    # pytest says so before it loads Django; versions before 8.2 do in the workers of xdist alone.
    by_pytest = "PYTEST_VERSION" in os.environ or "PYTEST_XDIST_WORKER" in os.environ
    return hasattr(_TestState, "saved_data") or by_pytest or _is_test_command(sys.argv)


def _is_test_command(command: list[str]) -> bool:
    """Whether this is ``manage.py test``, ``django-admin test`` or ``python -m django test``."""
    if command[1:2] != ["test"]:
        return False
    program = Path(command[0])
    return program.stem in {"manage", "django-admin"} or program.parts[-2:] == ("django", "__main__.py")


def _directory() -> Path:
    """A directory in memory, where the host has one."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


def _project(name: str) -> str:
    """Tells projects of one user apart: those that have a secret in common share generations."""
    module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    return salted_hmac("cache_result.host_index", f"{module}\0{name}").hexdigest()[:20]
