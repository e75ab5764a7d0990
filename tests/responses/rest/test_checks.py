"""Authentication, permissions and throttles: run once for each request, whatever the cache has."""

import pytest
from django.urls import path

from cache_result import cache_response
from tests.responses.rest.counting import counts
from tests.responses.rest.forms import forms

pytestmark = [
    pytest.mark.django_db,
    # Each form is made anew for each test, with the same code.
    pytest.mark.filterwarnings("ignore::cache_result.exceptions.CacheResultWarning"),
]

FORMS = ["below", "above", "method", "dispatch", "class", "front", "set_front", "action"]


@pytest.fixture
def serve(site_of_module):
    def serve(**attributes):
        decorator = attributes.pop("decorator", cache_response(ttl=60))
        made = forms(decorator, **attributes)
        assert [*made] == FORMS
        urls = [path(f"{name}/", view) for name, view in made.items()]
        # Made anew, as each view in a function has a name of its own.
        site_of_module.ROOT_URLCONF = type("Site", (), {"urlpatterns": urls})

    return serve


@pytest.fixture(params=FORMS)
def url(request, serve):
    serve()
    return f"/{request.param}/"


def checks():
    return {what: counts[what] for what in ("authentication", "permission", "throttle", "run")}


def test_miss_hit_and_not_modified_check_once(api_as, url):
    alice = api_as("alice")
    miss = alice.get(url)
    assert checks() == {"authentication": 1, "permission": 1, "throttle": 2, "run": 1}
    assert alice.get(url).content == miss.content
    assert checks() == {"authentication": 2, "permission": 2, "throttle": 4, "run": 1}
    unchanged = alice.get(url, HTTP_IF_NONE_MATCH=miss["ETag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert checks() == {"authentication": 3, "permission": 3, "throttle": 6, "run": 1}


def test_head_checks_once(api_as, url):
    alice = api_as("alice")
    alice.head(url)
    alice.get(url)
    alice.head(url)
    assert counts["throttle"] == 6
    assert counts["authentication"] == 3


def test_who_is_refused_is_refused_before_the_cache(api_as, api, url):
    bob = api_as("bob")
    assert bob.get(url).status_code == 200
    counts.clear()
    throttled = bob.get(url, {"throttled": 1})
    assert throttled.status_code == 429
    assert checks() == {"authentication": 1, "permission": 1, "throttle": 2, "run": 0}
    counts.clear()
    forbidden = bob.get(url, {"forbidden": 1})
    assert forbidden.status_code == 403
    assert checks() == {"authentication": 1, "permission": 1, "throttle": 0, "run": 0}
    counts.clear()
    unknown = api.get(url, HTTP_X_USER="mallory")
    assert unknown.status_code == 401
    assert unknown["WWW-Authenticate"] == "X-User"
    assert checks() == {"authentication": 1, "permission": 0, "throttle": 0, "run": 0}
    assert api.get(url, HTTP_X_USER="bob", HTTP_ACCEPT="image/png").status_code == 406
    assert "Age" not in unknown
    assert api.post(url).status_code == 405


def test_refusals_are_those_of_the_view_without_the_cache(api_as, url, serve):
    bob = api_as("bob")
    requests = [({"throttled": 1}, {}), ({"forbidden": 1}, {}), ({}, {"HTTP_ACCEPT": "image/png"})]

    def refusals():
        answers = [bob.get(url, query, **headers) for query, headers in requests]
        return [(answer.status_code, dict(answer.items()), answer.content) for answer in answers]

    with_cache = refusals()
    serve(decorator=lambda view: view)
    assert refusals() == with_cache


def test_alice_and_bob_and_nobody_have_their_own(api_as, api, url):
    alice, bob = api_as("alice"), api_as("bob")
    answers = [client.get(url).json() for client in (alice, bob, api, bob, api, alice)]
    assert [answer["user"] for answer in answers] == [
        "alice", "bob", "AnonymousUser", "bob", "AnonymousUser", "alice",
    ]  # fmt: skip
    assert counts["run"] == 3


def test_who_lost_his_permission_gets_nothing_from_the_cache(api_as, url, django_user_model):
    alice = api_as("alice")
    alice.get(url)
    django_user_model.objects.filter(username="alice").delete()
    assert alice.get(url).status_code == 401


def test_what_decorators_below_say_is_seen(api_as, url):
    alice = api_as("alice")
    tenants = [alice.get(url, HTTP_X_TENANT=tenant).json()["tenant"] for tenant in ("a", "b", "a", "b")]
    assert tenants == ["a", "b", "a", "b"]
    assert counts["run"] == 2
    assert "X-Tenant" in alice.get(url, HTTP_X_TENANT="a")["Vary"]


def test_public_is_for_all_who_may_see_it(api_as, api, serve):
    serve(decorator=cache_response(ttl=60, public=True))
    for number, name in enumerate(FORMS, 1):
        first = api_as("alice").get(f"/{name}/")
        assert api_as("bob").get(f"/{name}/").content == api.get(f"/{name}/").content == first.content
        assert counts["run"] == number
        assert first["Cache-Control"] == "public, max-age=60"
        assert api.get(f"/{name}/", HTTP_X_USER="mallory").status_code == 401
