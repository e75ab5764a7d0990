"""Small projects of their own, whose tests are run by real test runners."""

import sys

import pytest

from tests import settings as test_settings

_SETTINGS = """
from pathlib import Path

SECRET_KEY = "only for tests"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "cache_result"]
ROOT_URLCONF = "urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CACHES = %r
CACHE_RESULT = {"MODULES": ["functions"] if Path("functions.py").exists() else []}
"""
_INI = """
[pytest]
addopts = -p no:cacheprovider --strict-markers --strict-config
pythonpath = .
timeout = 60
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    # xdist leaves a socket to the garbage collector
    ignore::pytest.PytestUnraisableExceptionWarning
"""
_MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
_MEETING = """
import os

for name in "ab":
    if not os.path.exists(name):
        try:
            os.mkfifo(name)
        except FileExistsError:
            pass

def meet(party):
    "Returns when the other process has come here, too. The parties are True and False."
    if party:
        open("a", "w").close()
        open("b").read()
    else:
        open("a").read()
        open("b", "w").close()
"""


class Project:
    """A Django project in a directory of its own, with a cache of each kind; the default is LocMem."""

    def __init__(self, pytester):
        self._pytester = pytester
        caches = {
            "default": test_settings.CACHES["locmem"],
            "memory": {"BACKEND": "cache_result.backends.MemoryCache"},
            "host": {
                "BACKEND": "cache_result.backends.MemoryCache",
                "LOCATION": "host",
                "OPTIONS": {"HOST_INDEX": str(pytester.path / "generations")},
            },
            "file": {**test_settings.CACHES["file"], "LOCATION": str(pytester.path / "cache")},
            "redis": test_settings.CACHES["redis"],
        }
        pytester.makeini(_INI)
        pytester.makepyfile(
            settings=_SETTINGS % caches, manage=_MANAGE, meeting=_MEETING, urls="urlpatterns = []"
        )

    def write(self, **modules):
        self._pytester.makepyfile(**modules)

    def pytest(self, *args):
        """Runs pytest in a new process."""
        return self._pytester.runpytest_subprocess("--ds=settings", *args)

    def manage_py_test(self, *args):
        """Runs Django's own test runner."""
        return self._pytester.run(sys.executable, "manage.py", "test", *args)


@pytest.fixture
def project(pytester, redis_server):
    return Project(pytester)
