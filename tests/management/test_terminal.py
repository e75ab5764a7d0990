"""The command in a terminal: processes of its own, exit codes, the demo project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.cached import country_name
from tests.app.models import Country

ROOT = Path(__file__).parent.parent.parent


def manage(*words, settings="tests.settings", **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "django_testproject" / "manage.py"), "cache_result", *words],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.django_db
def test_another_process_wipes():
    Country.objects.create(code="DE", name="Germany")
    country_name("DE")
    done = manage("wipe", "country_name", "code=DE")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Invalidated the partition of tests.app.cached.country_name that (code='DE') names, in the cache "
        "'file'.\n"
    )
    assert country_name.get_cached_metadata("DE") is None


def test_failures_have_an_exit_code():
    done = manage("wipe", "country_nam")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "CommandError: There is no cached function 'country_nam'. Did you mean\n"
        "  tests.app.cached.country_name\n"
    )


def test_the_demo_project(tmp_path):
    demo = {"settings": "testproject.settings", "GEO_DATABASE": str(tmp_path / "none.sqlite3")}
    done = manage("list", **demo)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "FUNCTION                        TTL     CACHE    RULES  PARTITIONS\n"
        "geo.services.countries          600 s   default  2      -\n"
        "geo.services.country_cities     600 s   default  2      (country_code)\n"
        "geo.services.country_distances  3600 s  default  1      (country_code)\n"
        "geo.services.nearest_cities     600 s   default  2      (country_code)\n"
        "geo.views.CityView.retrieve     600 s   default  1      (ViewKwargsKeyField(*)) or (pk)\n"
        "5 functions, 8 rules\n"
    )
    rules = json.loads(manage("rules", "--json", **demo).stdout)
    assert {model: len(found) for model, found in rules.items()} == {"geo.City": 5, "geo.Country": 3}
    assert rules["geo.City"][2]["options"] == {"rewarm": True}
