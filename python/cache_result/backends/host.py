"""Where the processes of a host find the generations that they share."""

import os
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
        return _directory() / f"cache_result-{user}-{_project(name)}.generations"
    return Path(option)


def is_testing() -> bool:
    """Whether Django's or pytest's test environment is set up in this process."""
    return hasattr(_TestState, "saved_data") or "PYTEST_XDIST_WORKER" in os.environ


def _directory() -> Path:
    """A directory in memory, where the host has one."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


def _project(name: str) -> str:
    """Tells projects of one user apart: those that have a secret in common share generations."""
    module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    return salted_hmac("cache_result.host_index", f"{module}\0{name}").hexdigest()[:20]
