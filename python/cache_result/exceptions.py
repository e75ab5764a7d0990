"""Exceptions and warnings of this package."""


class UnkeyableArgument(TypeError):
    """An argument has no stable key; the message names it and the ways out."""


class CacheResultWarning(UserWarning):
    """Something works, but not the way it looks; the message says what to write instead."""
