"""Under pytest every test begins with nothing cached, and what others keep in the caches stays."""

import pytest

# A function for each kind of cache, and tests that run once with each.
NAMES = """
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from cache_result import ArgsKeyField, KeyConstructor, cache_result

class UserKey(KeyConstructor):
    pk = ArgsKeyField("pk", partition=True)

runs = []

def get_name(pk):
    runs.append(pk)
    return [User.objects.get(pk=pk).username]

functions = {
    alias: cache_result(UserKey, cache=alias, name=f"name-{alias}")(get_name) for alias in settings.CACHES
}
on_each = pytest.mark.parametrize("alias", settings.CACHES)
"""

EACH_TEST = """
import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from cache_result import CACHE_MISSING
from names import functions, on_each, runs

@pytest.fixture(scope="session", autouse=True)
def kept_by_others():
    for cache in caches.all():
        cache.set("others", "kept", None)

@pytest.mark.django_db
@pytest.mark.parametrize("number", range(3))
@on_each
def test_begins_empty(number, alias):
    get_name, cache = functions[alias], caches[alias]
    user = User.objects.create(pk=1, username=f"user {number}")
    assert get_name.get_cache_only(1) is CACHE_MISSING
    assert get_name.get_cached_metadata(1) is None
    assert cache.get(get_name.get_cache_key(1)) is None
    runs.clear()
    assert get_name(1) == get_name(1) == [user.username]
    assert runs == [1]
    assert cache.get(get_name.get_cache_key(1)) is not None
    assert get_name.get_cache_key(1).startswith(f"name-{alias}:1:")

@on_each
def test_leaves_other_keys_alone(alias):
    assert caches[alias].get("others") == "kept"
"""


def test_each_test_begins_empty(project):
    project.write(names=NAMES, test_it=EACH_TEST)
    project.pytest().assert_outcomes(passed=20)
    project.pytest("-n2", "-k", "empty").assert_outcomes(passed=15)


def test_without_the_plugin_they_would_not(project):
    project.write(names=NAMES, test_it=EACH_TEST)
    # The first with each cache is all right.
    project.pytest("-p", "no:cache_result").assert_outcomes(passed=10, failed=10)


def test_wider_fixtures_meet_nothing_either(project):
    """Class and module fixtures run between tests; what they cache is not the next test's."""
    project.write(
        names=NAMES,
        test_it="""
            from django.contrib.auth.models import User
            from django.test import TestCase
            from cache_result import CACHE_MISSING
            from names import functions

            class Common:
                @classmethod
                def setUpTestData(cls):
                    User.objects.create(pk=1, username=cls.__name__)
                    for get_name in functions.values():
                        assert get_name(1) == [cls.__name__]

                def test_it(self):
                    for get_name in functions.values():
                        assert get_name.get_cache_only(1) is CACHE_MISSING
                        assert get_name(1) == [type(self).__name__]

            class TestOne(Common, TestCase): pass
            class TestTwo(Common, TestCase): pass
        """,
    )
    project.pytest().assert_outcomes(passed=2)


WORKERS = """
import os
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from cache_result import InvalidationRule, cache_result
from meeting import meet

runs = []

def whose(pk):
    runs.append(pk)
    return os.environ["PYTEST_XDIST_WORKER"]

rule = InvalidationRule(User, field_mapping={"pk": "pk"})
functions = {
    alias: cache_result(cache=alias, name=f"whose-{alias}", invalidates_on=[rule])(whose)
    for alias in ["file", "redis"]
}

@pytest.fixture(scope="session", autouse=True)
def outside_of_tests(worker_id):
    for whose in functions.values():
        assert whose(2) == worker_id
        meet(worker_id == "gw0")
        assert whose(2) == worker_id

@pytest.mark.django_db
@pytest.mark.parametrize("alias", functions)
def test_workers_do_not_meet(worker_id, alias):
    whose, first = functions[alias], worker_id == "gw0"
    runs.clear()
    assert whose(1) == worker_id
    meet(first)
    assert whose(1) == worker_id
    assert runs == [1]
    meet(first)
    if first:
        whose.invalidate_all()
        whose.delete_cache(1)
        User.objects.create(pk=1)
        runs.clear()
    meet(first)
    assert whose(1) == worker_id
    assert runs == [1]
"""


def test_workers_of_xdist_do_not_meet(project):
    """They share caches, and each has a test database of its own."""
    project.write(test_it=WORKERS)
    project.pytest("--dist=each", "--tx=2*popen").assert_outcomes(passed=4)


def test_without_the_plugin_they_would(project):
    project.write(test_it=WORKERS)
    arguments = ("--dist=each", "--tx=2*popen", "-p", "no:cache_result", "-o", "timeout=3")
    result = project.pytest(*arguments)
    assert "passed" not in result.parseoutcomes()
    result.stdout.re_match_lines([r".*AssertionError: assert 'gw(0' == 'gw1|1' == 'gw0)'.*"])


def test_threads_and_child_processes_live_in_the_world_of_the_test(project):
    project.write(
        test_it='''
            import os, subprocess, sys
            from threading import Thread
            import pytest
            from cache_result import cache_result

            runs = []

            def which():
                runs.append(1)
                return os.getpid()

            functions = {alias: cache_result(cache=alias, name=alias)(which) for alias in ["file", "redis"]}
            CODE = """if 1:
                import sys, django
                django.setup()
                import test_it
                print(test_it.functions[sys.argv[1]]())
            """

            @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
            @pytest.mark.parametrize("number", range(2))
            @pytest.mark.parametrize("alias", functions)
            def test_it(number, alias):
                runs.clear()
                which = functions[alias]
                mine = which()
                assert mine == os.getpid() and runs == [1]
                thread = Thread(target=which)
                thread.start()
                thread.join()
                assert runs == [1]
                environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}
                command = [sys.executable, "-c", CODE, alias]
                child = subprocess.run(command, env=environment, capture_output=True, check=True)
                assert int(child.stdout) == mine
                pid = os.fork()
                if not pid:
                    os._exit(which() != mine)
                assert os.waitpid(pid, 0)[1] == 0
        ''',
    )
    project.pytest().assert_outcomes(passed=4)


def test_what_a_test_leaves_behind_is_no_matter_of_the_next(project):
    project.write(
        test_it="""
            import pytest
            from django.core.cache import cache
            from django.core.cache.backends.filebased import FileBasedCache
            from cache_result import CacheStatus, cache_result

            @cache_result(cache="file")
            def function():
                return 1

            @cache_result
            def in_memory(number):
                return number

            def broken(*args, **kwargs):
                raise OSError("the disk is on fire")

            @pytest.fixture(autouse=True)
            def primed():
                function()

            def test_fixtures_of_a_test_are_part_of_it():
                assert function.get_cache_only() == 1

            def test_an_outage(monkeypatch):
                for name in ("get", "set", "add"):
                    monkeypatch.setattr(FileBasedCache, name, broken)
                for _ in range(5):
                    assert function() == 1
                function.invalidate_all()
                assert function.storage.pending

            def test_no_outage():
                assert not function.storage.pending
                assert function.get_with_metadata()[1]["cache_status"] == CacheStatus.HIT

            # LocMem has room for few entries, which other tests' must not take.
            def test_many_entries():
                for number in range(50):
                    in_memory(number)
                assert len([key for key in cache._cache if "in_memory" in key]) == 50

            def test_no_entries():
                assert not [key for key in cache._cache if "in_memory" in key]
        """,
    )
    project.pytest().assert_outcomes(passed=5)


@pytest.mark.parametrize("kind", ["test", "worker"])
def test_one_world_for_each_worker(project, kind):
    project.write(
        test_it="""
            from cache_result import cache_result

            @cache_result
            def function():
                return 1

            def test_fills():
                function()

            def test_finds():
                assert function.get_cache_only() == 1
        """,
    )
    result = project.pytest("-o", f"cache_results_isolation={kind}")
    result.assert_outcomes(passed=1 + (kind == "worker"), failed=int(kind == "test"))


def test_the_isolation_has_two_kinds(project):
    project.write(test_it="def test_it(): pass")
    result = project.pytest("-o", "cache_results_isolation=none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*cache_results_isolation = \'none\': give "test" or "worker"*'])
