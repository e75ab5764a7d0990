"""Soft rules of views: stale responses, and what clients and caches on the way are told of them."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.http import http_date, parse_http_date

from cache_result import InvalidationRule, cache_response
from tests.app.models import Author
from tests.freshness.conftest import settle
from tests.freshness.test_responses import told
from tests.responses.conftest import SITE

pytestmark = pytest.mark.django_db(transaction=True)

TTL, WINDOW, AGE = 10_000, 30, 500


@pytest.fixture
def request_(settings):
    for name, value in SITE.items():
        setattr(settings, name, value)
    memory = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": "soft-views"}
    settings.CACHES = {**settings.CACHES, "default": memory}
    return RequestFactory().get("/")


@pytest.fixture
def make_view(unique_name):
    def make_view(headers=(), **options):
        runs = []
        rule = InvalidationRule(Author, field_mapping={"pk": "pk"}, soft=True)
        options = {"ttl": TTL, "stale_while_revalidate": WINDOW, "set_cache_headers": True, **options}

        @cache_response(public=True, invalidates_on=[rule], name=unique_name(), **options)
        def view(request, pk):
            runs.append(pk)
            return HttpResponse(f"run {len(runs)}", headers=dict(headers))

        return view

    return make_view


def lifetime(response):
    """Seconds for which a cache on the way may still use it without asking."""
    said = dict(each.strip().partition("=")[::2] for each in response["Cache-Control"].split(","))
    return int(said["max-age"]) - int(response["Age"])


def test_the_old_response_and_then_the_new_one(request_, make_view, author, clock):
    view = make_view()
    assert told(view(request_, pk=author.pk)) == ("run 1", "MISS")
    clock.advance(AGE)
    author.save()
    stale = view(request_, pk=author.pk)
    assert told(stale) == ("run 1", "STALE")
    stale.close()
    settle()
    fresh = view(request_, pk=author.pk)
    assert told(fresh) == ("run 2", "HIT")
    assert lifetime(fresh) == TTL


@pytest.mark.parametrize("options", [{}, {"set_cache_headers": False}, {"stale_while_revalidate": 99}])
def test_caches_on_the_way_learn_that_it_is_stale(request_, make_view, author, clock, options):
    # Fails (9500 more seconds) if a stale response says what it said when it was made.
    view = make_view(**options)
    view(request_, pk=author.pk)
    clock.advance(AGE)
    assert lifetime(view(request_, pk=author.pk)) == TTL - AGE
    author.save()
    clock.advance(WINDOW - 2)
    response = view(request_, pk=author.pk)
    assert lifetime(response) == -(WINDOW - 2)
    window = options.get("stale_while_revalidate", WINDOW)
    assert f"stale-while-revalidate={window}" in response["Cache-Control"]
    assert response["Age"] == str(AGE + WINDOW - 2)


def test_a_response_may_be_stale_since_before_it_was_made(request_, make_view, author, clock):
    # Fails (-10) if its lifetime is what is left of that.
    view = make_view()
    view(request_, pk=author.pk)
    author.save()
    clock.advance(10)
    other = RequestFactory().get("/?other")
    view(other, pk=author.pk)
    author.save()  # of which is known only that it came after the first one
    assert lifetime(view(other, pk=author.pk)) == 0
    assert "max-age=0" in view(other, pk=author.pk)["Cache-Control"]


def test_what_the_view_says_itself_ends_as_well(request_, make_view, author, clock):
    expires = http_date(parse_http_date(http_date()) + TTL)
    view = make_view({"Cache-Control": f"s-maxage={TTL}, max-age=60", "Expires": expires})
    view(request_, pk=author.pk)
    clock.advance(AGE)
    author.save()
    response = view(request_, pk=author.pk)
    said = set(response["Cache-Control"].split(", "))
    assert {f"s-maxage={AGE}", "max-age=60"} <= said
    assert parse_http_date(response["Expires"]) <= parse_http_date(http_date())


def test_without_an_end_clients_ask_each_time(request_, make_view, author, clock):
    view = make_view(ttl=None)
    assert "no-cache" in view(request_, pk=author.pk)["Cache-Control"]
    clock.advance(AGE)
    author.save()
    stale = view(request_, pk=author.pk)
    assert told(stale) == ("run 1", "STALE")
    assert "no-cache" in stale["Cache-Control"]
    assert "max-age" not in stale["Cache-Control"]
