"""An empty cache and fresh counters, without a request to any cache."""

from cache_result import _core, worlds
from cache_result.storage import aliases


def forget_cache_results(*, keep_entries: bool = False) -> None:
    """From here on nothing is cached for any function, nothing has failed, and all counters are zero.

    What other code keeps in the same caches stays. Costs microseconds, whatever the cache: keys have another
    digest from here on. ``keep_entries`` leaves entries where they are.
    """
    if not keep_entries:
        worlds.enter(worlds.new())
    aliases.forget(keep_entries=keep_entries)
    _core.reset_counters()
