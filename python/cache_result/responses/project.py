"""Settings of the project on which responses depend, looked up once."""

from functools import cache
from typing import NamedTuple

from django.conf import settings
from django.core.signals import setting_changed


class Project(NamedTuple):
    """What requests are told apart by."""

    uses_languages: bool
    uses_time_zones: bool
    trusts_forwarded_host: bool
    trusts_forwarded_port: bool


@cache
def get_project() -> Project:
    """The settings in force."""
    return Project(
        settings.USE_I18N, settings.USE_TZ, settings.USE_X_FORWARDED_HOST, settings.USE_X_FORWARDED_PORT
    )


def _reset(*, setting: str, **kwargs: object) -> None:
    if setting in {"USE_I18N", "USE_TZ", "USE_X_FORWARDED_HOST", "USE_X_FORWARDED_PORT"}:
        get_project.cache_clear()


setting_changed.connect(_reset, dispatch_uid="cache_result.responses")
