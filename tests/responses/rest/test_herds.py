"""Fifty who ask a cold endpoint at once: one runs it."""

import threading

import pytest
from django.test import RequestFactory
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from tests.backends import on
from tests.responses.rest.counting import count, counts
from tests.waiting import Threads, wait

HERD = 50


class Meeting:
    """Lets the one who runs the view go on when all have passed the checks."""

    def __init__(self):
        self._passed, self._all = 0, threading.Event()
        self._lock = threading.Lock()

    def passed(self):
        with self._lock:
            self._passed += 1
            if self._passed == HERD:
                self._all.set()

    def wait(self):
        wait(self._all, "all of the herd")


@pytest.fixture
def meeting():
    return Meeting()


@pytest.fixture(params=["method", "front", "function"])
def view(request, meeting, cached_view):
    class Passing(BaseThrottle):
        def allow_request(self, request, view):
            meeting.passed()
            return True

    def answer(request):
        number = count("run")
        meeting.wait()
        if "missing" in request.query_params:
            raise NotFound
        return Response({"run": number})

    class Plain(APIView):
        throttle_classes = (Passing,)

        def get(self, request):
            return answer(request)

    def method():
        class Method(Plain):
            get = cached_view(Plain.get)

        return Method.as_view()

    @api_view(["GET"])
    def function(request):
        return answer(request)

    function.cls.throttle_classes = (Passing,)
    return {
        "method": method,
        "front": lambda: cached_view(Plain.as_view()),
        "function": lambda: cached_view(function),
    }[request.param]()


@pytest.fixture
def cached_view(cache_alias, unique_name):
    from cache_result import cache_response

    return cache_response(ttl=60, cache=cache_alias, name=unique_name())


def together(view, query):
    threads = Threads()
    outcomes = [threads(view, RequestFactory().get("/", query)) for _ in range(HERD)]
    responses = [outcome.result() for outcome in outcomes]
    threads.join()
    for response in responses:
        if hasattr(response, "render"):
            response.render()
    return [(response.status_code, response.content) for response in responses]


@on("locmem", "memory", "redis")
def test_one_runs_it(view):
    assert together(view, {}) == [(200, b'{"run":1}')] * HERD
    assert counts["run"] == 1


@on("memory")
def test_what_is_not_stored_reaches_everybody(view):
    assert together(view, {"missing": 1}) == [(404, b'{"detail":"Not found."}')] * HERD
