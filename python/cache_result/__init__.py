"""Caches function results in the Django cache, and keeps them right when models change."""

from cache_result._core import ABSENT, CACHE_MISSING, __version__, register_key_encoder
from cache_result.decorators import cache_result
from cache_result.exceptions import CacheResultWarning, UnkeyableArgument
from cache_result.explanation import KeyExplanation
from cache_result.invalidation.blocks import invalidation_deferred, no_invalidation
from cache_result.invalidation.receivers import invalidate_for
from cache_result.keys.constructors import DefaultKeyConstructor, InlineKeyConstructor, KeyConstructor
from cache_result.keys.fields import ArgsKeyField, CacheKeyField, ConstantKeyField
from cache_result.keys.requests import QueryParamsKeyField, RequestValueKeyField, ViewKwargsKeyField
from cache_result.keys.shapes import DjangoModelKeyField, DrfSerializerKeyField
from cache_result.responses import set_response_cache_header
from cache_result.rules import InvalidationRule
from cache_result.status import CacheStatus
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, SyncCachedWrapper

__all__ = [
    "ABSENT",
    "CACHE_MISSING",
    "ArgsKeyField",
    "AsyncCachedWrapper",
    "CacheKeyField",
    "CacheResultWarning",
    "CacheStatus",
    "CachedWrapper",
    "ConstantKeyField",
    "DefaultKeyConstructor",
    "DjangoModelKeyField",
    "DrfSerializerKeyField",
    "InlineKeyConstructor",
    "InvalidationRule",
    "KeyConstructor",
    "KeyExplanation",
    "QueryParamsKeyField",
    "RequestValueKeyField",
    "SyncCachedWrapper",
    "UnkeyableArgument",
    "ViewKwargsKeyField",
    "__version__",
    "cache_result",
    "invalidate_for",
    "invalidation_deferred",
    "no_invalidation",
    "register_key_encoder",
    "set_response_cache_header",
]
