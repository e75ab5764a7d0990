"""Caches function results in the Django cache, and keeps them right when models change."""

from cache_result._core import CACHE_MISSING, __version__
from cache_result.decorators import cache_result
from cache_result.exceptions import CacheResultWarning, UnkeyableArgument
from cache_result.keys.constructors import DefaultKeyConstructor, InlineKeyConstructor, KeyConstructor
from cache_result.keys.fields import ArgsKeyField, CacheKeyField, ConstantKeyField
from cache_result.responses import set_response_cache_header
from cache_result.rules import InvalidationRule
from cache_result.status import CacheStatus
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, SyncCachedWrapper

__all__ = [
    "CACHE_MISSING",
    "ArgsKeyField",
    "AsyncCachedWrapper",
    "CacheKeyField",
    "CacheResultWarning",
    "CacheStatus",
    "CachedWrapper",
    "ConstantKeyField",
    "DefaultKeyConstructor",
    "InlineKeyConstructor",
    "InvalidationRule",
    "KeyConstructor",
    "SyncCachedWrapper",
    "UnkeyableArgument",
    "__version__",
    "cache_result",
    "set_response_cache_header",
]
