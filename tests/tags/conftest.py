"""What the tests of tags share."""

import pytest


@pytest.fixture
def apart(settings):
    """Every cache has generations of this test alone, which may stay closed for a while."""
    settings.CACHES = {alias: {**config, "KEY_PREFIX": "apart"} for alias, config in settings.CACHES.items()}
