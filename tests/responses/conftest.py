"""A small site with users, sessions, languages and a browsable API, on the cache that a test asks for."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from cache_result import KeyConstructor

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
                            "messages.html": "run {{ run }}{% for each in messages %} {{ each }}{% endfor %}",
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
    for wrapper in KeyConstructor.wrappers():
        if wrapper.func.__module__ == views.__name__:
            wrapper.storage.invalidate([wrapper._function_scope()], (wrapper.label,))
    views.runs.clear()
    return settings


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
