"""What the tests of tags share."""

import pytest


@pytest.fixture
def apart(cache_alias, settings):
    """The cache under test has generations of this test alone, which may stay closed for a while."""
    settings.CACHES = {
        **settings.CACHES,
        cache_alias: {**settings.CACHES[cache_alias], "KEY_PREFIX": "apart"},
    }
