"""What stands for a value where only its text counts."""

from enum import Enum
from typing import Any

from django.db import models
from django.utils.functional import LazyObject, Promise


def plain(value: Any) -> Any:
    """What a lazy object, an enum member or an instance stands for."""
    if isinstance(value, LazyObject):
        value = value.__reduce__()[1][0]
    elif isinstance(value, Promise):
        function, args, kwargs = value.__reduce__()[1][:3]  # type: ignore[misc]
        value = function(*args, **kwargs)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, models.Model):
        return value.pk
    return value
