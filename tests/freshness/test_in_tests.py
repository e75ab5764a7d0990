"""What users' own tests see of the background: in a TestCase no other thread sees their rows."""

import threading

import pytest
from django.db import connection, transaction
from django.http import JsonResponse
from django.test import TestCase, override_settings
from django.urls import path

from cache_result import _core, cache_response, cache_result
from tests.app.models import Author
from tests.backends import on
from tests.freshness.conftest import TTL, asettle, seen, settle
from tests.waiting import DEADLINE

WINDOW = 20
QUICK = on("locmem", "memory", "redis")


@pytest.fixture
def names(cached):
    def decorate(**options):
        @cached(ttl=TTL, **options)
        def names():
            return threading.get_ident(), [*Author.objects.values_list("name", flat=True)]

        return names

    return decorate


def here(*authors):
    return threading.get_ident(), [*authors]


@QUICK
@pytest.mark.django_db
@pytest.mark.parametrize(
    "options", [{"stale_while_revalidate": WINDOW}, {"stale_if_error": WINDOW, "fill_timeout": DEADLINE}]
)
def test_the_run_is_made_at_once_and_sees_the_rows_of_the_test(names, clock, options):
    # Fails (no names at all, from another thread) if the background takes it.
    function = names(**options)
    Author.objects.create(name="ada")
    assert function() == here("ada")
    clock.advance(TTL + 1)
    Author.objects.create(name="bob")
    if "fill_timeout" not in options:
        assert seen(function) == (here("ada"), "STALE")
    assert function() == here("ada", "bob")
    assert connection.connection is not None


@QUICK
@pytest.mark.django_db
def test_in_a_transaction_of_the_code_under_test_nothing_is_made(names, clock):
    function = names(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    with transaction.atomic():
        Author.objects.create(name="ada")
        assert seen(function) == (here("ada"), "BYPASS")
    assert seen(function) == (here(), "STALE")
    assert seen(function) == (here("ada"), "HIT")


@QUICK
@pytest.mark.django_db
def test_an_error_of_the_run_is_none_of_the_test(cached, clock, script, caplog):
    @cached(ttl=TTL, stale_while_revalidate=WINDOW)
    def function():
        return script.run()

    function()
    clock.advance(TTL + 1)
    script.error = ValueError("no price")
    assert seen(function) == ([1], "STALE")
    assert "ValueError: no price" in caplog.text


@QUICK
@pytest.mark.django_db(transaction=True)
def test_where_rows_are_committed_the_background_runs(names, clock):
    function = names(stale_while_revalidate=WINDOW)
    function()
    clock.advance(TTL + 1)
    assert seen(function) == (here(), "STALE")
    settle()
    thread, _ = function()
    assert thread != threading.get_ident()


@cache_response(ttl=TTL, stale_while_revalidate=WINDOW)
def names_view(request):
    return JsonResponse([*Author.objects.values_list("name", flat=True)], safe=False)


urlpatterns = [path("names", names_view)]


@override_settings(ROOT_URLCONF=__name__)
class OfDjango(TestCase):
    """As Django's own test classes do it, views and asyncio included."""

    def tearDown(self):
        _core.clock_reset()

    def test_a_view(self):
        Author.objects.create(name="ada")
        assert self.client.get("/names").json() == ["ada"]
        _core.clock_advance(TTL + 1)
        Author.objects.create(name="bob")
        assert [self.client.get("/names").json() for _ in range(2)] == [["ada"], ["ada", "bob"]]

    async def test_asyncio(self):
        @cache_result(ttl=TTL, stale_while_revalidate=WINDOW)
        async def names():
            return [author.name async for author in Author.objects.all()]

        await Author.objects.acreate(name="ada")
        assert await names() == ["ada"]
        _core.clock_advance(TTL + 1)
        await Author.objects.acreate(name="bob")
        assert await names() == ["ada"]
        await asettle()
        assert await names() == ["ada", "bob"]
