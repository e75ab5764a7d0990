"""The databases of these tests are on a private PostgreSQL: rows are locked one by one."""

import runpy
from collections.abc import Iterator

import pytest
from django.db import connections

from tests import settings as test_settings
from tests.servers import PostgreSQL


@pytest.fixture(scope="session")
def django_db_modify_db_settings(run_directory: None) -> Iterator[None]:
    """Called by pytest-django before it makes the databases: have it make them there.

    The settings module chooses by an environment variable, which child processes inherit; here, where it
    was imported before any test was known, its choice is made once more.
    """
    with pytest.MonkeyPatch.context() as patch, PostgreSQL(test_settings.RUN_DIR, "postgresql"):
        patch.setenv("CACHE_RESULT_TEST_DATABASE", "postgresql")
        # A lock that nobody lets go of is a failure and no hang. Longer than tests wait for threads.
        patch.setenv("PGOPTIONS", "-c lock_timeout=40s")
        databases = runpy.run_path(test_settings.__file__)["DATABASES"]
        patch.setattr(connections, "settings", connections.configure_settings(databases))
        for unused in connections.all(initialized_only=True):  # looking at `django.db.connection` makes one
            del connections[unused.alias]
        yield
        connections.close_all()
