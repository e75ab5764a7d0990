"""What Django keeps per thread, and a run in another thread needs: language, time zone, URLs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation


def captured() -> Callable[[], AbstractContextManager[None]]:
    """Makes context managers in which these are as they are here and now."""
    language, zone = translation.get_language(), timezone.get_current_timezone()
    urlconf, prefix = get_urlconf(), get_script_prefix()

    @contextmanager
    def surroundings() -> Iterator[None]:
        before = get_urlconf(), get_script_prefix()
        set_urlconf(urlconf)
        set_script_prefix(prefix)
        try:
            with translation.override(language), timezone.override(zone):
                yield
        finally:
            set_urlconf(before[0])
            set_script_prefix(before[1])

    return surroundings
