"""What type checkers see through the decorator. Checked by `make types`, not run."""

from datetime import timedelta
from typing import assert_type

from django.http import HttpRequest, HttpResponse
from django.test import TestCase
from django.views import View

from cache_result import (
    CACHE_MISSING,
    ArgsKeyField,
    CacheInfo,
    InvalidationRule,
    KeyConstructor,
    add_tags,
    ainvalidate_tags,
    cache_response,
    cache_result,
    invalidate_tags,
    set_response_cache_header,
)
from cache_result.testing import (
    CacheResultTestMixin,
    assert_cache_calls,
    cache_clock,
    cache_results_off,
    cache_results_on_commit,
    cache_results_shared,
    forget_cache_results,
)


class UserKey(KeyConstructor):
    user = ArgsKeyField("user_id", partition=True)


@cache_result
def bare(number: int, *, flag: bool = False) -> dict[str, int]:
    return {"number": number + flag}


@cache_result(
    key_constructor=UserKey,
    ttl=timedelta(minutes=5),
    invalidates_on=[InvalidationRule(model="app.Author", field_mapping={"user_id": "id"}, rewarm=True)],
)
def with_arguments(user_id: int) -> list[str]:
    return [str(user_id)]


@cache_result(ttl=lambda result: 60 if result else 0)
async def asynchronous(name: str) -> bytes:
    return name.encode()


def team_tags(user_id: int) -> list[str] | None:
    return [f"team:{user_id}"]


@cache_result(
    ttl=60,
    tags=["user:{user_id}", team_tags],
    stale_while_revalidate=30,
    stale_if_error=timedelta(hours=1),
    error_types=(OSError, LookupError),
    fill_timeout=0.5,
    early_refresh=2.0,
    jitter=0.1,
    invalidates_on=[InvalidationRule(model="app.Author", tags=["user:{id}"])],
)
def with_windows(user_id: int) -> str:
    add_tags("all", f"user:{user_id}")
    return str(user_id)


@cache_result(tags="all", early_refresh=True, error_types=OSError, stale_if_error=60)
async def async_with_windows() -> int:
    return 1


def wrong_windows() -> None:
    cache_result(tags=5)(bare)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cache_result(stale_if_error="60")(bare)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cache_result(error_types=KeyboardInterrupt)(bare)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    cache_result(jitter=None)(bare)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    invalidate_tags(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add_tags(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Service:
    @cache_result(ttl=None)
    def method(self, number: int) -> str:
        return str(number)


def calls(request: HttpRequest, service: Service) -> HttpResponse:
    assert_type(bare(1, flag=True), dict[str, int])
    bare("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare(1, unknown=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(with_arguments(1), list[str])
    assert_type(with_arguments.refresh(1), list[str])
    assert_type(with_arguments.get_cache_key(1), str)
    assert_type(service.method(1), str)
    assert_type(service.method.refresh(1), str)
    service.method.delete_cache(1)
    service.method("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with_arguments.delete_by_prefix(user_id=1)
    with_arguments.delete_cache(1)
    with_arguments.invalidate_all()
    cached = bare.get_cache_only(1)
    if cached is not CACHE_MISSING:
        print(cached)
    assert_type(bare.cache_info(), CacheInfo)
    assert_type(bare.cache_info().stale, int)
    assert_type(with_windows(1), str)
    assert_type(with_windows.get_with_metadata(1)[0], str)
    invalidate_tags("user:1", "all", cache="default")
    assert_type(service.method.cache_info().hits, int)
    assert_type(asynchronous.cache_info().time_saved, float)
    value, metadata = bare.get_with_metadata(1)
    assert_type(value, dict[str, int])
    return set_response_cache_header(HttpResponse(str(value)), metadata)


async def awaits() -> None:
    assert_type(await asynchronous("x"), bytes)
    assert_type(await asynchronous.arefresh("x"), bytes)
    value, _ = await asynchronous.aget_with_metadata("x")
    assert_type(value, bytes)
    await asynchronous("x", "y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await asynchronous.adelete_cache("x")
    await bare.ainvalidate_all()
    assert_type(await async_with_windows(), int)
    await ainvalidate_tags("all", cache=None)


class Tests(CacheResultTestMixin, TestCase):
    cache_results_on_commit = True

    @cache_results_off()
    def off(self, number: int) -> str:
        with self.assertCacheCalls(bare, asynchronous, Service().method, hits=1, waited=0) as calls:
            assert_type(calls, assert_cache_calls)
        with assert_cache_calls(misses=2), cache_results_on_commit(), cache_results_shared():
            forget_cache_results()
        with cache_clock() as clock:
            clock.advance(timedelta(seconds=1))
        assert_cache_calls(bare, hit=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        assert_cache_calls(len, hits=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return ""

    @cache_results_off()
    async def test_async(self) -> None:
        assert_type(self.off(1), str)
        async with cache_results_off(), assert_cache_calls(asynchronous, misses=1):
            await asynchronous("x")


@cache_response
def bare_view(request: HttpRequest, pk: int = 1) -> HttpResponse:
    return HttpResponse(str(pk))


@cache_response(ttl=60, public=True)
def view_with_options(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@cache_response(ttl=60, tags="page:{pk}", stale_while_revalidate=30, stale_if_error=60, jitter=0.1)
def view_with_windows(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse()


@cache_response(UserKey, set_cache_headers=True)
async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@cache_response
class BareClass(View):
    page = 1


@cache_response(ttl=60)
class ClassWithOptions(View):
    page = 1

    @cache_response(ttl=60)
    def head(self, request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse()


def views(request: HttpRequest) -> None:
    assert_type(bare_view(request, pk=2), HttpResponse)
    bare_view("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(view_with_options(request), HttpResponse)
    assert_type(view_with_options.refresh(request), HttpResponse)
    assert_type(view_with_windows(request, pk=1), HttpResponse)
    view_with_options.delete_by_prefix()
    assert_type(BareClass.page, int)
    assert_type(ClassWithOptions().page, int)
    assert_type(ClassWithOptions().head(request, pk=1), HttpResponse)


async def async_views(request: HttpRequest) -> None:
    assert_type(await async_view(request), HttpResponse)
    assert_type(await async_view.arefresh(request), HttpResponse)
