"""Any Django cache alias behind one small interface that never raises."""

from cache_result.storage.aliases import get_storage
from cache_result.storage.shared import Storage

__all__ = ["Storage", "get_storage"]
