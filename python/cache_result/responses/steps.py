"""From a request to its response, in steps that sync and async wrappers take in their own ways."""

from collections.abc import Generator, Mapping
from typing import Any

from cache_result import _core
from cache_result.conf import get_settings
from cache_result.responses.exchange import Exchange, ViewFailed
from cache_result.responses.stored import StoredResponse, is_outdated, is_pass
from cache_result.status import CacheStatus

_VARIANTS = 4
"""How often another variant of a response is looked for before the view runs for this request alone."""

BYPASSED: dict[str, Any] = {"cached_at": None, "cache_reset_at": None, "cache_status": CacheStatus.BYPASS}
"""The metadata of an answer in which the cache takes no part."""

Answer = tuple[Any, Mapping[str, Any] | None]


def steps_of(exchange: Exchange, mode: str, part: str) -> Generator[str, tuple[Any, Any], Answer]:
    """Yields in which mode the core is to be called, and is sent what it has, with the metadata or with
    whether it is stored. Returns the response, or ``CACHE_MISSING``, and how it was cached. Whose request
    it is has to be known unless the part is "bypass".
    """
    if part != "bypass" and not exchange.asker.may_be_shared():
        part = "bypass"
    look = "peek" if part == "get" and exchange.http.method == "HEAD" else part
    if look != "bypass":
        for _ in range(_VARIANTS):
            found, metadata = yield look
            if isinstance(found, ViewFailed):
                if found.exchange is exchange:
                    raise found.error
                break
            if exchange.ran:
                if not exchange.passed:
                    return exchange.answer_own(metadata), metadata
                exchange.count_pass(False, found[0])
                return exchange.answer_own(BYPASSED), BYPASSED
            if found is _core.CACHE_MISSING:
                break
            if is_pass(found):
                if look == "get" and is_outdated(found):
                    look = "refresh"
                    continue
                exchange.count_pass(True, found[0])
                break
            stored = StoredResponse(*found)
            if exchange.suits(stored):
                return exchange.answer_stored(stored, metadata), metadata
    if mode == "peek":
        return _core.CACHE_MISSING, None
    _, metadata = yield "bypass"
    return exchange.answer_own(metadata), metadata


def part_of(exchange: Exchange, mode: str) -> str:
    """The part that the cache takes in an answer, as far as it is the same for all users."""
    if not get_settings().ENABLED or exchange.verdict.stores_nothing:
        return "bypass"
    if mode == "get":
        mode = exchange.policy.part(exchange.http)
    if mode == "refresh" and exchange.http.method != "GET":
        return "bypass"  # other methods have other responses, or none with a body
    return mode
