"""For tests of projects that cache functions. The pytest plugin offers the same as fixtures and markers."""

from cache_result.testing.blocks import cache_results_off, cache_results_on_commit, cache_results_shared
from cache_result.testing.calls import assert_cache_calls
from cache_result.testing.clock import cache_clock
from cache_result.testing.fresh import forget_cache_results
from cache_result.testing.mixins import CacheResultTestMixin

__all__ = [
    "CacheResultTestMixin",
    "assert_cache_calls",
    "cache_clock",
    "cache_results_off",
    "cache_results_on_commit",
    "cache_results_shared",
    "forget_cache_results",
]
