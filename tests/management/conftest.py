"""What the tests of the command share."""

import pytest
from django.core.cache import caches

from cache_result import registry
from tests.management.samples import prices


@pytest.fixture(autouse=True)
def samples_as_in_a_project(registry_as_before):
    caches["file"].clear()
    caches["locmem"].clear()
    registry.register(prices)
