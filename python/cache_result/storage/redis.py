"""Caches on Redis, where a scope opens when the last of those who have closed it is done."""

import os
import secrets
from collections.abc import Sequence
from typing import Any

from django.core.cache.backends.base import BaseCache

from cache_result import _core
from cache_result.plans import Plan
from cache_result.storage.shared import Storage

_PROCESS = secrets.token_hex(8)

# Beside each scope's token a sorted set: who has closed it, and until when he is believed to be alive (ms).
# ARGV: the writer, who opens unless he closes; his time (ms); a token and a mark for each scope.
_RENEW = """
local writer, time, closing = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local now
for at = 1, #KEYS, 2 do
  local scope, writers, last = KEYS[at], KEYS[at + 1], false
  if closing or redis.call('EXISTS', writers) == 1 then
    if not now then
      now = redis.call('TIME')
      now = now[1] * 1000 + math.floor(now[2] / 1000)
    end
    if closing then
      redis.call('ZADD', writers, now + time, writer)
    else
      redis.call('ZREM', writers, writer)
    end
    redis.call('ZREMRANGEBYSCORE', writers, '-inf', now)
    last = redis.call('ZREVRANGE', writers, 0, 0, 'WITHSCORES')[2]
  end
  if last then
    redis.call('SET', scope, ARGV[at + 4], 'PX', last - now)
    redis.call('PEXPIRE', writers, last - now)
  else
    redis.call('SET', scope, ARGV[at + 3], 'PX', time)
  end
end
"""


class RedisStorage(Storage):
    """A cache on Redis, by Django's own backend or django-redis. One round trip as elsewhere."""

    def _renew(
        self, scopes: Sequence[bytes], writer: int = 0, seconds: int | None = None, *, closing: bool = False
    ) -> Plan[None]:
        time = self._close_timeout if seconds is None else seconds
        # A forked process goes on counting where its parent was.
        who = f"{_PROCESS}:{os.getpid()}:{writer}"
        try:
            yield _renew, scopes, who, time * 1000, closing
        except Exception as error:
            if not _is_refused(error):
                raise
            yield from super()._renew(scopes, writer, seconds, closing=closing)


def _renew(cache: BaseCache, scopes: Sequence[bytes], writer: str, time: int, closing: bool) -> None:
    any_cache: Any = cache
    if hasattr(cache, "_cache"):  # Django's own
        client = any_cache._cache.get_client(None, write=True)
        key_of, encoded = cache.make_and_validate_key, any_cache._cache._serializer.dumps
    else:
        client = any_cache.client.get_client(write=True)
        key_of, encoded = any_cache.client.make_key, any_cache.client.encode
    names = [_core.generation_key(scope) for scope in scopes]
    keys = [key_of(name + ending) for name in names for ending in ("", ":w")]
    tokens = [encoded(draw()) for _ in scopes for draw in (_core.fresh_token, _core.closed_token)]
    client.eval(_RENEW, len(keys), *keys, writer, time, int(closing), *tokens)


def _is_refused(error: Exception) -> bool:
    """Whether the server, a proxy or its access rules have no scripts."""
    from redis import ResponseError

    return isinstance(error, ResponseError)
