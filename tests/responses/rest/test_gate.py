"""A cache in front of `dispatch`: what was checked is taken over once, by the very call that was checked."""

import threading
from functools import wraps

import pytest
from django.http import HttpResponseNotFound
from django.test import RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from rest_framework.decorators import api_view
from rest_framework.exceptions import APIException, Throttled
from rest_framework.permissions import BasePermission, IsAdminUser
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from cache_result import CACHE_MISSING, cache_response
from tests.responses.rest.counting import CHECKS, count, counts

cached = cache_response(ttl=60)


class EvenKeys(BasePermission):
    def has_permission(self, request, view):
        count("permission")
        return view.kwargs["pk"] % 2 == 0


class Guarded(APIView):
    permission_classes = (EvenKeys,)
    throttle_classes = CHECKS["throttle_classes"]

    def get(self, request, pk):
        return Response({"run": count("run"), "pk": pk})


class Heir(Guarded):
    def initial(self, request, *args, **kwargs):
        count("heir")
        super().initial(request, *args, **kwargs)


class Closed(Guarded):
    permission_classes = (IsAdminUser,)


def renaming_method(method):
    @wraps(method)
    def inner(request, pk):
        return method(request, pk=pk + 1)

    return inner


class RenamingDispatch(Guarded):
    @method_decorator([cached, renaming_method])
    def dispatch(self, *args, **kwargs):
        return super().dispatch(*args, **kwargs)


class Stateful(APIView):
    """What `initial` finds is needed by the handler, and the constructor has set something else."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tenant = None
        self.seen = []

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        self.tenant = request.query_params["tenant"]
        self.seen.append(count("initial"))

    def get(self, request):
        count("run")
        return Response(
            {"tenant": self.tenant, "seen": self.seen, "own": request.parser_context["view"] is self}
        )


class DispatchingStateful(Stateful):
    @method_decorator(cached)
    def dispatch(self, *args, **kwargs):
        return super().dispatch(*args, **kwargs)


class Set(ViewSet):
    throttle_classes = CHECKS["throttle_classes"]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        self.during = self.action

    def list(self, request):
        return Response({"run": count("run"), "action": self.action, "during": self.during})

    def other(self, request):
        return self.list(request)


class Broken(APIView):
    throttle_classes = CHECKS["throttle_classes"]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        raise RuntimeError("no connection")

    def get_exception_handler(self):
        return lambda error, context: Response({"error": str(error)}, status=503)

    def get(self, request):
        raise AssertionError("it is refused")


class Unparsed(APIView):
    def initialize_request(self, request, *args, **kwargs):
        raise RuntimeError(f"cannot wrap {count('wrap')}")


front = cached(Guarded.as_view())


@cached
def outer(request, pk):
    """Answers from another view, behind whose gate the same request comes."""
    return front(request, pk=pk)


def renaming(view):
    def inner(request, pk):
        return view(request, pk=pk + 1)

    inner.cls, inner.initkwargs = view.cls, view.initkwargs
    return inner


def repeating(view):
    """Calls a view twice with one request."""

    def inner(request, pk):
        front(request, pk=2)  # which the second time is a hit
        return view(request, pk=pk)

    return inner


def trying(first):
    """Calls one view with the request, and then the one that it decorates."""

    def decorator(view):
        def inner(request, pk):
            counts["tried"] = first(request, pk=pk).status_code
            return view(request, pk=pk)

        inner.cls, inner.initkwargs = view.cls, view.initkwargs
        return inner

    return decorator


def short(view):
    """Answers in place of a view."""

    def inner(request, pk):
        return HttpResponseNotFound()

    inner.cls, inner.initkwargs = view.cls, view.initkwargs
    return inner


class Nested(APIView):
    @cached
    def get(self, request):
        return Response({"run": count("run")})


@cached
@api_view(["GET"])
@cached
def nested_front(request):
    return Response({"run": count("run")})


urlpatterns = [
    path("front/<int:pk>/", front),
    path("again/<int:pk>/", cached(Guarded.as_view())),
    path("plain/<int:pk>/", Guarded.as_view()),
    path("heir/<int:pk>/", cached(Heir.as_view())),
    path("heir-plain/<int:pk>/", Heir.as_view()),
    path("open/<int:pk>/", cached(Guarded.as_view(permission_classes=[]))),
    path("outer/<int:pk>/", outer),
    path("renaming/<int:pk>/", cached(renaming(Guarded.as_view()))),
    path("repeating/<int:pk>/", repeating(Guarded.as_view())),
    path("renaming-dispatch/<int:pk>/", RenamingDispatch.as_view()),
    path("stateful/", cached(Stateful.as_view())),
    path("dispatching-stateful/", DispatchingStateful.as_view()),
    path("set/", cached(Set.as_view({"get": "list"}))),
    path("set/other/", cached(Set.as_view({"get": "other"}))),
    path("broken/", cached(Broken.as_view())),
    path("unparsed/", cached(Unparsed.as_view())),
    path("nested/", cached(Nested.as_view())),
    path("nested-front/", nested_front),
]


@pytest.mark.parametrize("name", ["front", "again", "heir"])
def test_mounts_and_heirs_of_one_class(api, name):
    for _ in range(2):
        assert api.get(f"/{name}/2/").json() == {"run": 1, "pk": 2}
    assert (counts["permission"], counts["throttle"]) == (2, 4)
    assert counts["heir"] == (2 if name == "heir" else 0)
    assert api.get(f"/{name}/1/").status_code == 403


@pytest.mark.parametrize("name", ["plain", "heir-plain"])
def test_mounts_without_a_cache_are_as_before(api, name):
    api.get("/front/2/")
    api.get("/heir/2/")
    counts.clear()
    for number in (1, 2):
        assert api.get(f"/{name}/2/").json() == {"run": number, "pk": 2}
    assert counts["permission"] == 2
    assert api.get(f"/{name}/1/").status_code == 403


def test_options_of_as_view_are_those_of_their_mount(api):
    assert api.get("/open/1/").json() == {"run": 1, "pk": 1}
    assert api.get("/front/1/").status_code == 403


def test_what_initial_found_is_there_when_the_view_runs(api):
    for url in ("/stateful/", "/dispatching-stateful/"):
        counts.clear()
        first = api.get(url, {"tenant": "a"}).json()
        assert first == {"tenant": "a", "seen": [1], "own": True}
        assert api.get(url, {"tenant": "a"}).json() == first
        assert (counts["initial"], counts["run"]) == (2, 1)


def test_viewsets_know_their_action(api):
    assert api.get("/set/").json() == {"run": 1, "action": "list", "during": "list"}
    assert api.get("/set/other/").json() == {"run": 2, "action": "other", "during": "other"}
    assert api.get("/set/").json()["run"] == 1
    assert counts["throttle"] == 6


def test_one_request_in_two_views(api):
    for _ in range(2):
        assert api.get("/outer/2/").json() == {"run": 1, "pk": 2}
    assert api.get("/outer/1/").status_code == 403


def test_other_arguments_are_checked_anew(api):
    """What a decorator below the cache changes is what counts."""
    for number in (1, 2):
        assert api.get("/renaming/1/").json() == {"run": number, "pk": 2}  # and the cache has no part in it
    assert api.get("/renaming/2/").status_code == 403
    assert counts["permission"] == 6


def test_other_arguments_of_dispatch_are_checked_anew(api):
    assert api.get("/renaming-dispatch/1/").json() == {"run": 1, "pk": 2}
    assert api.get("/renaming-dispatch/2/").status_code == 403
    assert counts["permission"] == 4


def test_what_was_checked_for_one_class_is_nothing_to_its_heirs(rf):
    view = Guarded.as_view()
    front = cache_response(ttl=60, name="test_gate.trying_closed")(trying(Closed.as_view())(view))
    assert front(rf.get("/"), pk=2).data == {"run": 1, "pk": 2}
    assert counts["tried"] == 403


def test_what_was_checked_is_good_for_one_call(rf):
    view = Guarded.as_view()
    front = cache_response(ttl=60, name="test_gate.trying_twice")(trying(view)(view))
    assert front(rf.get("/"), pk=2).data == {"run": 2, "pk": 2}
    assert (counts["tried"], counts["permission"], counts["throttle"]) == (200, 2, 4)


def test_a_class_is_prepared_for_gates_once():
    before = Guarded.dispatch
    cache_response(ttl=60, name="test_gate.once_more")(Guarded.as_view())
    assert Guarded.dispatch is before


def test_a_hit_leaves_nothing_behind_on_its_request(api):
    for _ in range(2):
        assert api.get("/repeating/1/").status_code == 403
    assert counts["run"] == 1


def test_a_view_that_was_not_reached_leaves_nothing_behind(rf):
    view = Guarded.as_view()
    front = cache_response(ttl=60, name="test_gate.short")(short(view))
    request = rf.get("/short/")
    assert front(request, pk=2).status_code == 404
    assert counts["permission"] == 1
    assert view(request, pk=2).status_code == 200
    assert counts["permission"] == 2


def test_errors_of_initial_are_for_the_exception_handler_once(api):
    for number in (1, 2):
        response = api.get("/broken/")
        assert (response.status_code, response.json()) == (503, {"error": "no connection"})
        assert counts["throttle"] == 2 * number


def test_errors_before_that_are_raised_once(api):
    with pytest.raises(RuntimeError, match="cannot wrap 1"):
        api.get("/unparsed/")
    assert counts["wrap"] == 1


@pytest.mark.parametrize("name", ["nested", "nested-front"])
def test_a_cache_in_front_of_a_cache(api, name):
    first = api.get(f"/{name}/")
    assert api.get(f"/{name}/").content == first.content == b'{"run":1}'
    assert counts["run"] == 1


def test_keys_and_peeks_run_no_throttle_and_no_view(rf):
    request = rf.get("/front/2/")
    key = front.get_cache_key(request, pk=2)
    assert counts == {"permission": 1}
    assert front.get_cache_only(request, pk=2) is CACHE_MISSING
    front(request, pk=2)
    assert front.get_cache_only(rf.get("/front/2/"), pk=2).content == b'{"run":1,"pk":2}'
    assert front.get_cache_key(rf.get("/front/2/"), pk=2) == key
    front.delete_cache(rf.get("/front/2/"), pk=2)
    assert front.get_cached_metadata(rf.get("/front/2/"), pk=2) is None
    assert counts["run"] == 1


def test_who_is_refused_learns_nothing_from_peeks(rf):
    assert front.get_cache_only(rf.get("/front/1/"), pk=1) is CACHE_MISSING
    assert front.get_cached_metadata(rf.get("/front/1/"), pk=1) is None
    with pytest.raises(ValueError, match="refuses this request") as raised:
        front.get_cache_key(rf.get("/front/1/"), pk=1)
    assert isinstance(raised.value.__cause__, APIException)
    with pytest.raises(ValueError, match="refuses this request"):
        front.delete_cache(rf.get("/front/1/"), pk=1)
    assert front.refresh(rf.get("/front/1/"), pk=1).status_code == 403
    assert front.refresh(rf.get("/front/1/", {"throttled": 1}), pk=2).status_code == Throttled.status_code
    assert counts["run"] == 0


def test_threads_have_their_own_views():
    """Both have been checked before one of them runs."""
    both, answers = threading.Barrier(2, timeout=30), {}

    class Meeting(Guarded):
        throttle_classes = ()

        def initial(self, request, *args, **kwargs):
            super().initial(request, *args, **kwargs)
            self.mine = kwargs["pk"]
            both.wait()

        def get(self, request, pk):
            return Response({"pk": pk, "mine": self.mine, "request": request.query_params["pk"]})

    view = cache_response(ttl=60, name="test_gate.Meeting")(Meeting.as_view())

    def ask(pk):
        answers[pk] = view(RequestFactory().get("/", {"pk": pk}), pk=pk).data

    threads = [threading.Thread(target=ask, args=(pk,)) for pk in (2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {pk: {"pk": pk, "mine": pk, "request": str(pk)} for pk in (2, 4)}
