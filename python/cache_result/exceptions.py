"""Exceptions and warnings of this package."""

from django.db import DatabaseError


class UnkeyableArgument(TypeError):
    """An argument has no stable key; the message names it and the ways out."""


class CloseError(DatabaseError):
    """A COMMIT was stopped, because a cache could not be told of the change. (A ``DatabaseError``, so
    that Django rolls back.)"""


class CacheResultWarning(UserWarning):
    """Something works, but not the way it looks; the message says what to write instead."""


class UnknownRuleError(LookupError):
    """Work came for a rule that this process does not know; the message names it and says what to do."""
