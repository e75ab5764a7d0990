"""One view in every form that a cache in front of REST framework's checks, or behind them, may take."""

from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_headers
from rest_framework.decorators import (
    action,
    api_view,
    authentication_classes,
    permission_classes,
    renderer_classes,
    throttle_classes,
)
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from tests.responses.rest.counting import CHECKS, count


def answer(request):
    return Response(
        {"run": count("run"), "user": str(request.user), "tenant": request.headers.get("X-Tenant")}
    )


def forms(decorator, **attributes):
    """View functions by name, all of which depend on the header `X-Tenant` and say so."""
    attributes = {**CHECKS, **attributes}
    varied = vary_on_headers("X-Tenant")

    def policies(function):
        function = authentication_classes(attributes["authentication_classes"])(function)
        function = permission_classes(attributes["permission_classes"])(function)
        function = throttle_classes(attributes["throttle_classes"])(function)
        if "renderer_classes" in attributes:
            function = renderer_classes(attributes["renderer_classes"])(function)
        return function

    class Plain(APIView):
        def get(self, request):
            return answer(request)

    class Method(APIView):
        @decorator
        @varied
        def get(self, request):
            return answer(request)

    class Dispatch(Plain):
        @method_decorator([decorator, varied])
        def dispatch(self, *args, **kwargs):
            return super().dispatch(*args, **kwargs)

    @decorator
    @method_decorator(varied, name="dispatch")
    class Whole(Plain):
        pass

    class Set(ViewSet):
        def list(self, request):
            return answer(request)

        @method_decorator([decorator, varied])
        @action(detail=False)
        def act(self, request):
            return answer(request)

    below = api_view(["GET"])(policies(decorator(varied(_named("below")))))
    above = decorator(varied(api_view(["GET"])(policies(_named("above")))))
    for cls in (Plain, Method, Dispatch, Whole, Set):
        for name, value in attributes.items():
            setattr(cls, name, value)
    return {
        "below": below,
        "above": above,
        "method": Method.as_view(),
        "dispatch": Dispatch.as_view(),
        "class": Whole.as_view(),
        "front": decorator(varied(Plain.as_view())),
        "set_front": decorator(varied(Set.as_view({"get": "list"}))),
        "action": Set.as_view({"get": "act"}),
    }


def _named(name):
    def function(request):
        return answer(request)

    function.__name__ = function.__qualname__ = name
    return function
