"""Many who ask at once: one run for what is stored, and nobody gets what is another's."""

import asyncio
import itertools
import threading

import pytest
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.test import RequestFactory
from django.views.decorators.cache import cache_control, never_cache

from cache_result import driving
from tests.backends import on
from tests.waiting import DEADLINE, AsyncGate, all_of, wait

HERD = 12
MEMORIES = on("locmem", "memory", "redis")


def asking(name, **more):
    request = RequestFactory().get("/", headers={"X-Name": name})
    request.session = SessionStore()
    request.session.update({"name": name} if more.get("session") else {})
    return request


class Meeting:
    """The first is inside the view when the others come; it goes on when all of them wait for it."""

    def __init__(self, monkeypatch):
        self.gate, self.names = AsyncGate(), []
        self._waiting, self._all_wait = 0, asyncio.Event()
        self._until_ended = driving._until_ended
        monkeypatch.setattr(driving, "_until_ended", self._wait)

    async def _wait(self, *args):
        self._waiting += 1
        if self._waiting == self._others:
            self._all_wait.set()
        await self._until_ended(*args)

    async def ran(self, request):
        """Called inside the view."""
        self.names.append(request.headers["X-Name"])
        await self.gate.stop_here()

    async def of(self, view, requests):
        """What each of them got, or the exception."""
        self._others = len(requests) - 1
        first = asyncio.ensure_future(view(requests[0]))
        await self.gate.wait_until_reached()
        others = [asyncio.ensure_future(view(request)) for request in requests[1:]]
        await asyncio.wait_for(self._all_wait.wait(), DEADLINE)
        self.gate.open()
        outcomes = await asyncio.wait_for(asyncio.gather(first, *others, return_exceptions=True), DEADLINE)
        return [o.content.decode() if isinstance(o, HttpResponse) else o for o in outcomes]


@pytest.fixture
async def meeting(monkeypatch):
    return Meeting(monkeypatch)


NAMES = [f"name {n}" for n in range(HERD)]


@MEMORIES
async def test_a_herd_runs_a_view_once(respond, cache_alias, meeting):
    @respond(cache=cache_alias)
    async def view(request):
        await meeting.ran(request)
        return HttpResponse("page")

    assert await meeting.of(view, [asking(name) for name in NAMES]) == ["page"] * HERD
    assert meeting.names == NAMES[:1]


@MEMORIES
async def test_those_who_waited_for_another_variant_get_theirs(respond, cache_alias, meeting):
    @respond(cache=cache_alias)
    async def view(request):
        await meeting.ran(request)
        return HttpResponse(request.headers["X-Name"], headers={"Vary": "X-Name"})

    names = [*NAMES, *NAMES[:3]]
    assert await meeting.of(view, [asking(name) for name in names]) == names
    assert sorted(meeting.names) == sorted(NAMES)


def set_cookie(request):
    response = HttpResponse(request.headers["X-Name"])
    response.set_cookie("name", request.headers["X-Name"])
    return response


def write_session(request):
    request.session["name"] = request.headers["X-Name"]
    return HttpResponse(request.headers["X-Name"])


def refuse(error):
    """Lets the last in and nobody else, which nothing of the response tells."""

    def make(request):
        if request.headers["X-Name"] == NAMES[-1]:
            return set_cookie(request)
        raise error(request.headers["X-Name"])

    return make


UNSTORED = {
    "cookie": set_cookie,
    "session": write_session,
    "never_cache": never_cache(lambda request: HttpResponse(request.headers["X-Name"])),
    "stale at once": cache_control(max_age=0)(lambda request: HttpResponse(request.headers["X-Name"])),
    "forbidden": lambda request: HttpResponseForbidden(request.headers["X-Name"]),
    "exception": refuse(PermissionDenied),
    "not found": refuse(Http404),
}


@pytest.mark.parametrize("make", UNSTORED.values(), ids=UNSTORED)
@MEMORIES
async def test_what_is_not_stored_is_nobody_elses(respond, cache_alias, meeting, make):
    # Fails (all get what the first got) when waiters are handed what is not stored, or an exception.
    @respond(cache=cache_alias)
    async def view(request):
        await meeting.ran(request)
        return make(request)

    outcomes = await meeting.of(view, [asking(name) for name in NAMES])
    assert [str(outcome) for outcome in outcomes] == NAMES
    assert sorted(meeting.names) == sorted(NAMES)


@pytest.mark.parametrize("option", ["cache_if", "cache_unless", "ttl"])
@MEMORIES
async def test_what_is_refused_is_nobody_elses(respond, cache_alias, meeting, option):
    # Fails (the others see the draft) when a refused response is handed to those who wait.
    accepts = {"cache_if": lambda r, request: "draft" not in request.headers["X-Name"]}
    accepts["cache_unless"] = lambda r, request: "draft" in request.headers["X-Name"]
    accepts["ttl"] = lambda r, request: 0 if "draft" in request.headers["X-Name"] else 60

    @respond(cache=cache_alias, **{option: accepts[option]})
    async def view(request):
        await meeting.ran(request)
        return HttpResponse("draft" if "draft" in request.headers["X-Name"] else "page")

    outcomes = await meeting.of(view, [asking(name) for name in ("draft", "a", "b", "c")])
    assert outcomes == ["draft", "page", "page", "page"]


@MEMORIES
async def test_sessions_are_told_apart(respond, cache_alias, meeting):
    @respond(cache=cache_alias)
    async def view(request):
        await meeting.ran(request)
        return HttpResponse(request.session.get("name", "nobody"))

    requests = [asking(name, session=True) for name in NAMES]
    assert await meeting.of(view, requests) == NAMES


async def test_a_herd_on_an_unstorable_view_is_not_serialised(respond, meeting):
    """Those who waited once run side by side; from then on nobody waits at all."""
    inside, together = [], asyncio.Event()

    @respond
    async def view(request):
        await meeting.ran(request)
        if request.headers["X-Name"] != NAMES[0]:
            inside.append(request)
            if len(inside) == HERD - 1:
                together.set()
            await asyncio.wait_for(together.wait(), DEADLINE)
        return set_cookie(request)

    assert await meeting.of(view, [asking(name) for name in NAMES]) == NAMES
    # Nobody waits for the first of these, who never goes on.
    inside.clear()
    together.clear()
    responses = await all_of(*(view(asking(name)) for name in NAMES[1:]))
    assert [response.content.decode() for response in responses] == NAMES[1:]


async def test_streams_are_nobody_elses(respond, meeting):
    @respond
    async def view(request):
        await meeting.ran(request)
        return StreamingHttpResponse(iter([request.headers["X-Name"].encode()]))

    outcomes = await meeting.of(view, [asking(name) for name in NAMES])
    assert [outcome.getvalue().decode() for outcome in outcomes] == NAMES


async def test_nobody_waits_for_a_view_that_stores_nothing(respond, meeting):
    # Fails (a deadlock) when the callers of a view with ttl=0 wait for one another.
    together, inside = asyncio.Event(), []

    @respond(ttl=0)
    async def view(request):
        inside.append(1)
        if len(inside) == HERD:
            together.set()
        await asyncio.wait_for(together.wait(), DEADLINE)
        return HttpResponse(request.headers["X-Name"])

    responses = await all_of(*(view(asking(name)) for name in NAMES))
    assert [response.content.decode() for response in responses] == NAMES


async def test_a_client_that_leaves_frees_those_who_wait(respond, meeting):
    @respond
    async def view(request):
        await meeting.ran(request)
        return HttpResponse(request.headers["X-Name"])

    meeting._others = 1
    first = asyncio.ensure_future(view(asking("first")))
    await meeting.gate.wait_until_reached()
    second = asyncio.ensure_future(view(asking("second")))
    await asyncio.wait_for(meeting._all_wait.wait(), DEADLINE)
    first.cancel()
    assert (await asyncio.wait_for(second, DEADLINE)).content == b"second"
    assert first.cancelled()


# --- threads


class Herd:
    """Threads that call at once; the view does not return before all of them are about to call."""

    def __init__(self):
        self.runs = []
        self._announced, self._all_there = itertools.count(1), threading.Event()

    def announce(self):
        if next(self._announced) == HERD:
            self._all_there.set()

    def ran(self, request):
        self.runs.append(request.headers["X-Name"])
        wait(self._all_there, "the herd")


@pytest.mark.parametrize("stored", [True, False])
@MEMORIES
def test_threads(respond, cache_alias, threads, stored):
    herd = Herd()

    @respond(cache=cache_alias)
    def view(request):
        herd.ran(request)
        return HttpResponse("page") if stored else set_cookie(request)

    def call(name):
        herd.announce()
        return view(asking(name)).content.decode()

    outcomes = [threads(call, name) for name in NAMES]
    assert [outcome.result() for outcome in outcomes] == (["page"] * HERD if stored else NAMES)
    assert len(herd.runs) == (1 if stored else HERD)
