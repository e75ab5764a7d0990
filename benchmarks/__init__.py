"""Benchmarks of cache_result beside other libraries, raw `cache.get` and `functools.lru_cache`: `make bench`.

Every contestant of a row runs in the same process and in turn with the others, so that a slow moment of the
machine hits all of them; what counts are ratios within a round, and their median over many rounds.
"""
