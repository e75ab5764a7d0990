"""Each module here has its own views and `urlpatterns`, which are the site while its tests run."""

import pytest
from rest_framework.test import APIClient

from tests.responses.conftest import empty_the_cache_of
from tests.responses.rest import counting


@pytest.fixture(autouse=True)
def site_of_module(site, request):
    """The module's URLs, no responses from earlier tests, and nothing counted yet."""
    name = request.module.__name__
    site.ROOT_URLCONF = name
    empty_the_cache_of("tests.responses.rest")
    counting.counts.clear()
    return site


@pytest.fixture
def api():
    """A client of REST framework, of nobody."""
    return APIClient()


@pytest.fixture
def api_as(django_user_model):
    """`api_as("alice")`: a client that says with each request, outside of `Authorization`, whose it is."""

    def api_as(name):
        django_user_model.objects.get_or_create(username=name)
        return APIClient(HTTP_X_USER=name)

    return api_as
