"""Wrong use of cache_response fails at decoration, with the name of the thing and what to write instead."""

import datetime

import pytest
from django.http import HttpResponse
from django.views import View

from cache_result import InvalidationRule, QueryParamsKeyField, cache_response
from tests.app.models import Author


def view(request, pk=1):
    return HttpResponse()


async def aview(request, pk=1):
    return HttpResponse()


async def apredicate(response):
    return True


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"ttl": -1}, ValueError, "ttl"),
        ({"ttl": float("inf")}, ValueError, "ttl"),
        ({"ttl": datetime.timedelta(seconds=-1)}, ValueError, "ttl"),
        ({"ttl": "60"}, TypeError, "ttl"),
        ({"ttl": True}, TypeError, "ttl"),
        ({"ttl": lambda: 60}, TypeError, "ttl= of .* must take the result"),
        ({"ttl": apredicate}, TypeError, "async ttl detected"),
        ({"cache_if": apredicate}, TypeError, "async predicate detected"),
        ({"cache_unless": apredicate}, TypeError, "async predicate detected"),
        ({"cache_if": True}, TypeError, "cache_if=True"),
        ({"cache_unless": "no"}, TypeError, "cache_unless='no'"),
        ({"cache_if": bool, "cache_unless": bool}, ValueError, r"(?s)cache_if.*cache_unless"),
        ({"public": 1}, TypeError, "public=1 .*give True or False"),
        ({"public": None}, TypeError, "public=None .*give True or False"),
        ({"authorization": "yes"}, TypeError, "authorization='yes' .*give True or False"),
        ({"set_cache_headers": 1}, TypeError, "set_cache_headers=1 .*give True or False"),
        ({"statuses": 200}, TypeError, "statuses=200 .*list of status codes"),
        ({"statuses": "200"}, TypeError, "statuses='200' .*list of status codes"),
        ({"statuses": ["200"]}, TypeError, "list of status codes"),
        ({"statuses": [True]}, TypeError, "list of status codes"),
        ({"statuses": {200: True}}, TypeError, "list of status codes"),
        ({"statuses": None}, TypeError, "list of status codes"),
        ({"statuses": [100]}, ValueError, "100 in statuses .* no response that can be kept"),
        ({"statuses": [200, 206]}, ValueError, "206 in statuses .* no response that can be kept"),
        ({"statuses": [304]}, ValueError, "304 in statuses .* no response that can be kept"),
        ({"statuses": [412]}, ValueError, "412 in statuses .* no response that can be kept"),
        ({"statuses": [600]}, ValueError, "600 in statuses .* no response that can be kept"),
        ({"cache": ""}, TypeError, "cache=''"),
        ({"cache": 1}, TypeError, "cache=1"),
        ({"name": ""}, TypeError, "name=''"),
        ({"name": 1}, TypeError, "name=1"),
        ({"single_flight": "host"}, ValueError, "single_flight='host'"),
        ({"invalidates_on": "app.Author"}, TypeError, "invalidates_on='app.Author'"),
        ({"invalidates_on": [Author]}, TypeError, "give InvalidationRule objects"),
        ({"invalidates_on": [InvalidationRule(Author)]}, ValueError, "must declare either"),
        (
            {"key_constructor": {"q": QueryParamsKeyField(request_arg="req")}},
            ValueError,
            "can have no request",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_options(respond, options, error, says):
    with pytest.raises(error, match=says):
        respond(view, **options)


@pytest.mark.parametrize("constructor", ["user", 5, int, Author, [QueryParamsKeyField()]])
def test_key_constructors(constructor):
    with pytest.raises(ValueError, match="Invalid KeyConstructor"):
        cache_response(constructor)


def test_unknown_options():
    with pytest.raises(TypeError, match="timeout"):
        cache_response(timeout=60)


def generator(request):
    yield HttpResponse()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "is no view"),
        ("tests.responses.views.page", "is no view"),
        (staticmethod(view), "is no view"),
        (classmethod(view), "is no view"),
        (dict, "is no view; decorate a subclass of django.views.View"),
        (HttpResponse, "is no view; decorate a subclass of django.views.View"),
        (generator, "generator function"),
        (View(), "is no view"),
    ],
)
def test_what_is_no_view(respond, given, says):
    with pytest.raises(TypeError, match=says):
        respond()(given)


def test_async_predicates_on_async_views(respond):
    assert respond(aview, cache_if=apredicate).is_async


def test_a_view_that_takes_no_request(respond):
    with pytest.raises(ValueError, match="can have no request"):
        respond(lambda: HttpResponse())
