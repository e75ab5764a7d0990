"""`HOST_INDEX`: what becomes of the file, and of those who have it."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from django.core.cache import caches

from cache_result import (
    CACHE_MISSING,
    CacheStatus,
    InvalidationRule,
    _core,
    cache_result,
    invalidate_for,
)
from cache_result.backends import host
from cache_result.checks import check_memory
from tests.app.models import Author
from tests.freshness import children
from tests.memory.forking import in_a_child, joined
from tests.process import DEADLINE


@pytest.fixture
def index(tmp_path, settings, monkeypatch):
    """The path of the file, which the cache "hosted" has. Tests have none otherwise."""
    monkeypatch.setattr(host, "is_testing", lambda: False)
    tmp_path.chmod(0o700)
    path = tmp_path / "index"
    spec = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": str(path)}
    settings.CACHES = {**settings.CACHES, "hosted": {**spec, "OPTIONS": {"HOST_INDEX": path}}}
    caches["hosted"].set("key", 1)
    assert path.exists()
    return path


def status(wrapper, *args):
    return wrapper.get_with_metadata(*args)[1]["cache_status"]


@pytest.mark.django_db(transaction=True)
class TestDeleted:
    """A closing that lasts longer than the grace of a new file (10 s) outlives the old one."""

    @pytest.fixture
    def author(self):
        return Author.objects.create(name="old")

    @pytest.fixture
    def make_name_of(self, unique_name):
        def make_name_of(**options):
            rule = InvalidationRule(Author, field_mapping={"author": "pk"}, **options)

            @cache_result(cache="hosted", name=unique_name(), invalidates_on=[rule])
            def name_of(author):
                return Author.objects.get(pk=author).name

            return name_of

        return make_name_of

    def test_while_calls_settle(self, index, clock, author, make_name_of):
        name_of = make_name_of(settle=30)
        name_of(author.pk)
        author.name = "new"
        author.save()
        clock.advance(5)
        index.unlink()
        assert status(name_of, author.pk) == CacheStatus.BYPASS
        assert index.exists()
        # Fails (a result from a replica that lags behind is stored) without `Slots::adopt`.
        clock.advance(15)
        assert status(name_of, author.pk) == CacheStatus.BYPASS
        clock.advance(15)
        assert [status(name_of, author.pk) for _ in range(2)] == [CacheStatus.MISS, CacheStatus.HIT]

    def test_while_a_writer_is_slow(self, index, clock, author, make_name_of, threads, at_opening):
        """CLOSE_TIMEOUT is 60 s here: the writer may be alive for as long."""
        name_of = make_name_of()
        name_of(author.pk)

        def look():
            index.unlink()
            seen = [threads(status, name_of, author.pk).result()]
            clock.advance(20)
            return [*seen, threads(status, name_of, author.pk).result()]

        seen = at_opening(look)
        author.name = "new"
        author.save()
        assert seen == [[CacheStatus.BYPASS] * 2]
        clock.advance(60)
        assert [status(name_of, author.pk) for _ in range(2)] == [CacheStatus.MISS, CacheStatus.HIT]
        assert name_of(author.pk) == "new"


@pytest.mark.django_db(transaction=True)
def test_what_one_process_changes_softly_is_stale_in_the_others(index, unique_name, processes):
    """Since when, they know from the file. Fails if they do not: then what is stale is void."""
    name = unique_name()
    function = children.softly_invalidated(name, lambda key: ["here"])
    other = processes(children.read_softly, index, name)
    other.expect((["old"], "MISS"))
    invalidate_for(Author(pk=1))
    assert function.get_cache_only(1) is CACHE_MISSING
    other.say("changed")
    other.expect([(["old"], "STALE"), (["new"], "MISS")])
    other.expect((["new"], "HIT"))
    invalidate_for(Author(pk=1))
    other.say("changed again")
    assert other.result() is True


PROJECT = {
    "manage.py": """
        import os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
        from django.core.management import execute_from_command_line
        execute_from_command_line(sys.argv)
    """,
    "run_tests.py": """
        import os
        os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
        import django
        from django.test.runner import DiscoverRunner
        django.setup()
        raise SystemExit(DiscoverRunner().run_tests([]))
    """,
    "project_settings.py": """
        from pathlib import Path
        SECRET_KEY = "only for tests"
        INSTALLED_APPS = ["cache_result", "shop"]
        index = Path(__file__).parent / "index"
        backend = "cache_result.backends.MemoryCache"
        CACHES = {"default": {"BACKEND": backend, "OPTIONS": {"HOST_INDEX": index}}}
    """,
    "shop/__init__.py": "",
    "shop/apps.py": """
        from django.apps import AppConfig

        class Shop(AppConfig):
            name = "shop"

            def ready(self):
                from django.core.cache import caches
                from shop.prices import price
                assert price() == 5
                caches["default"].set("key", 1)
    """,
    "shop/prices.py": """
        from cache_result import cache_result

        @cache_result
        def price():
            return 5
    """,
    "shop/tests.py": """
        import threading
        from django.core.cache import caches
        from django.test import SimpleTestCase
        from shop.prices import price

        class Prices(SimpleTestCase):
            def test_threads_have_the_same_store(self):
                seen = []
                thread = threading.Thread(target=lambda: seen.append(caches["default"].get("key")))
                thread.start()
                thread.join()
                self.assertEqual([price.get_cache_only(), caches["default"].get("key"), *seen], [5, 1, 1])
    """,
}


@pytest.fixture
def run_in_project(tmp_path):
    """Runs Python in a project whose application uses the cache as soon as it is loaded; whether it has made
    the host index."""
    tmp_path.chmod(0o700)
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    # Not what this run of pytest says of itself.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "DJANGO", "CACHE"))}
    environment["PYTHONPATH"] = str(tmp_path)

    def run_in_project(*arguments, **more):
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, timeout=DEADLINE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (tmp_path / "index").exists()

    return run_in_project


@pytest.mark.parametrize(
    "arguments",
    [
        ["manage.py", "test"],
        ["./manage.py", "test", "shop"],
        ["-m", "django", "test", "--settings=project_settings"],
        [
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:cache_result",
            "--ds=project_settings",
            "shop/tests.py",
        ],
    ],
    ids=["manage.py", "a label", "django", "pytest"],
)
def test_runs_of_tests_share_nothing_that_was_made_before_they_began(run_in_project, arguments):
    assert not run_in_project(*arguments)


@pytest.mark.parametrize("command", [["manage.py", "check"], ["manage.py", "shell", "-c", "'test'"]])
def test_other_commands_share_it(run_in_project, command):
    assert run_in_project(*command)


def test_a_runner_that_sets_up_its_environment_late_has_one_store(run_in_project):
    """It shares the index, which invalidates too much at worst; but not the main thread alone."""
    assert run_in_project("run_tests.py")


def work_as(index_of, user, function):
    """What a worker of a server does that has loaded the project as another user."""
    assert function.get_cache_only() == 1
    if user != os.geteuid():
        os.setgid(user)
        os.setuid(user)
    # A miss looks for the file at once; its result is of this process.
    assert function.get_cache_only(2) is CACHE_MISSING
    assert function(2) == 2
    stat = index_of(user).stat()
    assert (stat.st_uid, stat.st_mode & 0o777) == (user, 0o600)
    assert caches["hosted"].memory.trouble is None
    # Another process of that user.
    other = _core.Memory(_core.MemoryStore(10**6, None, index_of(user)), "", 1, None, "", print)
    assert other.trouble is None
    _core.clock_advance(11)
    assert [function(2), function(2), function.get_cache_only(2)] == [2, 2, 2]
    other.clear()
    assert function.get_cache_only(2) is CACHE_MISSING


def test_workers_of_another_user_than_who_loaded_the_project(
    tmp_path, settings, monkeypatch, unique_name, clock
):
    """Who may not become another user, as tests may not everywhere, goes on with the file that he has."""
    monkeypatch.setattr(host, "is_testing", lambda: False)
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o1777)
    monkeypatch.setattr(host, "_directory", lambda: directory)
    spec = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": unique_name()}
    settings.CACHES = {**settings.CACHES, "hosted": {**spec, "OPTIONS": {"HOST_INDEX": True}}}
    own = os.geteuid()
    user = 65534 if own == 0 else own

    def index_of(user):
        return caches["hosted"].host_index.with_suffix(f".{user}")

    @cache_result(cache="hosted", name=unique_name())
    def function(x=1):
        return x

    try:
        function()
        assert list(directory.iterdir()) == [index_of(own)]
        joined(in_a_child(work_as, index_of, user, function))
        assert set(directory.iterdir()) == {index_of(own), index_of(user)}
        assert function.get_cache_only() == 1  # root's own are left alone
        found = [message.id for message in check_memory(None) if "'hosted'" in message.msg]
        assert found == (["cache_result.W008"] if user != own else [])
    finally:
        shutil.rmtree(directory)
