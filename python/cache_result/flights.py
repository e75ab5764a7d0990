"""Which fills the running code is part of."""

from contextvars import ContextVar

leading: ContextVar[frozenset[bytes]] = ContextVar("cache_result_leading", default=frozenset())
"""Keys whose fills the running code is inside of: a nested call of one of them runs through."""
