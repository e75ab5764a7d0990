"""A small site with users, sessions, languages and a browsable API, on the cache that a test asks for."""

import itertools

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import path, re_path
from rest_framework.test import APIClient

from cache_result import KeyConstructor, cache_response

SITE = {
    "ALLOWED_HOSTS": ["*"],
    "ROOT_URLCONF": "tests.responses.urls",
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "LANGUAGES": [("en", "English"), ("de", "German")],
    "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage",
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ],
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {
                            "page.html": "run {{ run }} for {{ name }}",
                            "form.html": "run {{ run }} {% csrf_token %}",
                            "messages.html": (
                                "run {{ run }}{% for message in messages %} {{ message }}{% endfor %}"
                            ),
                        },
                    ),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
}
SITE["TEMPLATES"][0].pop("APP_DIRS")


@pytest.fixture(autouse=True)
def site(settings):
    """Its settings, and no responses from earlier tests."""
    from tests.responses import views

    for name, value in SITE.items():
        setattr(settings, name, value)
    empty_the_cache_of(views.__name__)
    views.runs.clear()
    return settings


def empty_the_cache_of(module):
    """Invalidates the responses of the views of a module, or of a package."""
    for wrapper in KeyConstructor.wrappers():
        if wrapper.func.__module__.startswith(module):
            wrapper.storage.invalidate([wrapper._function_scope()], (wrapper.label,))


@pytest.fixture
def get():
    """`response = get(path, **headers)`, of one anonymous client."""
    return Client().get


@pytest.fixture
def client_of(db):
    """`client_of("alice")`: a client of Django in which alice is logged in."""

    def client_of(name):
        client = Client()
        client.force_login(User.objects.get_or_create(username=name)[0])
        return client

    return client_of


@pytest.fixture
def api_of(db):
    """The same of REST framework."""

    def api_of(name=None):
        client = APIClient()
        if name is not None:
            client.force_login(User.objects.get_or_create(username=name)[0])
        return client

    return api_of


@pytest.fixture
def respond(unique_name):
    """`@respond` or `@respond(ttl=..., ...)`: cache_response for a minute, under a name of the test's own."""

    def respond(view=None, /, **options):
        decorator = cache_response(**{"ttl": 60, "name": unique_name(), **options})
        return decorator if view is None else decorator(view)

    return respond


@pytest.fixture
def serve(settings):
    """`get = serve(view)`: the view answers every path of the site, or those of a route; `get` asks."""

    def serve(view, route=None):
        settings.ROOT_URLCONF = (re_path("", view) if route is None else path(route, view),)
        return Client().get

    return serve


@pytest.fixture
def counted(respond):
    """`view = counted(**options)`: a cached view whose responses say which run they are from. What `answer`
    returns for a request is said too. The decorator `through` is below the cache."""

    def counted(answer=lambda request: "", through=lambda view: view, **options):
        runs = itertools.count(1)

        @respond(**options)
        @through
        def view(request):
            return HttpResponse(f"run {next(runs)} {answer(request)}".strip())

        return view

    return counted
