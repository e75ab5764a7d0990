"""The options in ``Meta`` of a key constructor."""

from typing import Any

PARTITION_CHARS = 48
"""The longest readable partition; a key has 200 characters at most."""

OPTIONS: dict[str, Any] = {
    "namespace": "",
    "key_identifier": None,
    "version": 1,
    "max_key_suffix_length": PARTITION_CHARS,
    "hash_suffix_on_overflow": False,
}


def check_option(owner: str, name: str, value: Any) -> Any:
    """A checked value of ``Meta.<name>``; None is the default.

    :raises TypeError: for an option that does not exist, or a value of the wrong type.
    :raises ValueError: for a number out of range.
    """
    if name not in OPTIONS:
        raise TypeError(f"{owner}.Meta.{name} is not an option; there are {', '.join(OPTIONS)}")
    if value is None or (name == "key_identifier" and value == ""):
        return OPTIONS[name]
    given = f"{owner}.Meta.{name} = {value!r}"
    if name == "version":
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{given}: version must be an integer")
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{given}: version must have 64 bits at most")
    elif name == "max_key_suffix_length":
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{given}: max_key_suffix_length must be an integer")
        if value < 1:
            raise ValueError(f"{given}: max_key_suffix_length must be positive")
    elif name == "hash_suffix_on_overflow":
        if not isinstance(value, bool):
            raise TypeError(f"{given}: hash_suffix_on_overflow must be a boolean")
    elif not isinstance(value, str):
        raise TypeError(f"{given}: {name} must be a string")
    return value
