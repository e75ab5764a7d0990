"""Caches function results in the Django cache, and keeps them right when models change."""

from cache_result._core import ABSENT, CACHE_MISSING, __version__, register_key_encoder
from cache_result.cache_register import CacheRegister
from cache_result.decorators import cache_response, cache_result
from cache_result.dispatching import Dispatcher, register_dispatcher, registered_dispatcher_names
from cache_result.exceptions import CacheResultWarning, UnkeyableArgument, UnknownRuleError
from cache_result.explanation import KeyExplanation
from cache_result.invalidation.blocks import invalidation_deferred, no_invalidation
from cache_result.invalidation.dispatchers import (
    AsyncIODispatcher,
    CeleryDispatcher,
    DjangoQDispatcher,
    DjangoRqDispatcher,
    DjangoTasksDispatcher,
    DramatiqDispatcher,
    InlineDispatcher,
    ThreadPoolDispatcher,
)
from cache_result.invalidation.receivers import invalidate_for
from cache_result.invalidation.tags import ainvalidate_tags, invalidate_tags
from cache_result.keys.constructors import DefaultKeyConstructor, InlineKeyConstructor, KeyConstructor
from cache_result.keys.fields import ArgsKeyField, CacheKeyField, ConstantKeyField
from cache_result.keys.requests import QueryParamsKeyField, RequestValueKeyField, ViewKwargsKeyField
from cache_result.keys.responses import ResponseCacheKeyConstructor
from cache_result.keys.shapes import DjangoModelKeyField, DrfSerializerKeyField
from cache_result.many import Call
from cache_result.registry import RegisteredRule, registered_rules
from cache_result.responses import set_response_cache_header
from cache_result.rules import InvalidationRule
from cache_result.signals import cache_invalidated, cache_rewarmed
from cache_result.status import CacheInfo, CacheStatus
from cache_result.tags import add_tags
from cache_result.views.wrapper import (
    AsyncCachedResponseWrapper,
    CachedResponseWrapper,
    SyncCachedResponseWrapper,
)
from cache_result.wrapper import AsyncCachedWrapper, CachedWrapper, SyncCachedWrapper

__all__ = [
    "ABSENT",
    "CACHE_MISSING",
    "ArgsKeyField",
    "AsyncCachedResponseWrapper",
    "AsyncCachedWrapper",
    "AsyncIODispatcher",
    "CacheInfo",
    "CacheKeyField",
    "CacheRegister",
    "CacheResultWarning",
    "CacheStatus",
    "CachedResponseWrapper",
    "CachedWrapper",
    "Call",
    "CeleryDispatcher",
    "ConstantKeyField",
    "DefaultKeyConstructor",
    "Dispatcher",
    "DjangoModelKeyField",
    "DjangoQDispatcher",
    "DjangoRqDispatcher",
    "DjangoTasksDispatcher",
    "DramatiqDispatcher",
    "DrfSerializerKeyField",
    "InlineDispatcher",
    "InlineKeyConstructor",
    "InvalidationRule",
    "KeyConstructor",
    "KeyExplanation",
    "QueryParamsKeyField",
    "RegisteredRule",
    "RequestValueKeyField",
    "ResponseCacheKeyConstructor",
    "SyncCachedResponseWrapper",
    "SyncCachedWrapper",
    "ThreadPoolDispatcher",
    "UnkeyableArgument",
    "UnknownRuleError",
    "ViewKwargsKeyField",
    "__version__",
    "add_tags",
    "ainvalidate_tags",
    "cache_invalidated",
    "cache_response",
    "cache_result",
    "cache_rewarmed",
    "invalidate_for",
    "invalidate_tags",
    "invalidation_deferred",
    "no_invalidation",
    "register_dispatcher",
    "register_key_encoder",
    "registered_dispatcher_names",
    "registered_rules",
    "set_response_cache_header",
]
