"""The demo: it holds, and leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import DEADLINE, ROOT

MANAGE = ROOT / "django_testproject" / "manage.py"


@pytest.fixture
def manage(tmp_path):
    """Starts a command of the demo's project, on a database and with a host index of the test's own."""
    ours = ("DJANGO_", "PYTEST_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"GEO_DATABASE": str(tmp_path / "geo.sqlite3"), "PYTHONUNBUFFERED": "1"}

    def manage(*arguments):
        command = [sys.executable, str(MANAGE), *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return manage


@pytest.fixture
def index(manage):
    """The file of HOST_INDEX."""
    ask = "from django.core.cache import caches; print(caches['default'].host_index)"
    said, _ = manage("shell", "-c", ask).communicate(timeout=DEADLINE)
    return Path(said.splitlines()[-1])


def test_it_holds_and_leaves_nothing(manage, index):
    demo = manage("demo")
    said, _ = demo.communicate(timeout=DEADLINE)
    assert demo.returncode == 0, said
    assert "expectations held" in said
    assert not index.exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_leaves_nothing_when_it_is_interrupted(manage, index, ending):
    demo = manage("demo")
    assert any("server runs at" in line for line in demo.stdout)
    assert index.exists()
    demo.send_signal(ending)
    said, _ = demo.communicate(timeout=DEADLINE)
    assert demo.returncode != 0, said
    assert not index.exists()


def test_it_leaves_what_was_there(manage, index):
    fill = "from django.core.cache import caches; caches['default'].set('key', 1)"
    manage("shell", "-c", fill).communicate(timeout=DEADLINE)
    assert index.exists()
    demo = manage("demo")
    assert any("server runs at" in line for line in demo.stdout)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=DEADLINE)
    assert index.exists()
    index.unlink()
