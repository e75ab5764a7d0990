"""A shared cache that fails on demand: what a backend with a dead server does, without a server."""

from typing import Any

from django.core.cache.backends.filebased import FileBasedCache


class FlakyCache(FileBasedCache):
    """Counts its operations, and raises while `broken`; what it holds survives."""

    broken = False
    operations = 0

    def _key_to_file(self, key: str, version: int | None = None) -> Any:  # every operation starts here
        type(self).operations += 1
        if self.broken:
            raise ConnectionError("the server is gone")
        return super()._key_to_file(key, version)
