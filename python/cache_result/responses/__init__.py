"""Whole responses: what of them is stored, for whom, and what the cache says in their headers."""

from cache_result.responses.headers import set_response_cache_header

__all__ = ["set_response_cache_header"]
