"""Django cache backends of our own: name them in ``CACHES``."""

from cache_result.backends.memory import MemoryCache

__all__ = ["MemoryCache"]
