"""Under `manage.py test`, alone and with workers: the mixin, and what holds without it."""

import re

FUNCTIONS = """
import os
import django.test.runner
from django.contrib.auth.models import User
from cache_result import CACHE_MISSING, InvalidationRule, cache_result

runs = []
told = []

def whose(pk):
    runs.append(pk)
    return django.test.runner._worker_id

rule = InvalidationRule(User, invalidator=lambda wrapper, instance: told.append(instance.username))
rules = {"default": [rule]}
functions = {
    alias: cache_result(cache=alias, name=f"whose-{alias}", invalidates_on=rules.get(alias))(whose)
    for alias in ["default", "memory", "host", "file", "redis"]
}
"""

MIXIN = """
from django.core.cache import cache
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from cache_result.testing import CacheResultTestMixin
from functions import *

class Common(CacheResultTestMixin):
    # Whichever comes first leaves entries for the other, if it can.
    def setUp(self):
        for whose in functions.values():
            self.assertIs(whose.get_cache_only(1), CACHE_MISSING)
            whose(1)

    def test_one(self):
        for whose in functions.values():
            self.assertIsNot(whose.get_cache_only(1), CACHE_MISSING)

    def test_two(self):
        for whose in functions.values():
            self.assertIsNot(whose.get_cache_only(1), CACHE_MISSING)

class SimpleTests(Common, SimpleTestCase): pass
class TransactionTests(Common, TransactionTestCase): pass

class Tests(Common, TestCase):
    @classmethod
    def setUpTestData(cls):
        cache.set("others", 1)
        for whose in functions.values():
            assert whose.get_cache_only(1) is CACHE_MISSING
            whose(1)

    def test_others(self):
        self.assertEqual(cache.get("others"), 1)

class SameTests(Tests): pass

class OffTests(CacheResultTestMixin, SimpleTestCase):
    cache_results_off = True

    def setUp(self):
        runs.clear()

    def test_off(self):
        for whose in functions.values():
            whose(1)
            whose(1)
        self.assertEqual(len(runs), 10)

    async def test_async(self):
        for whose in functions.values():
            await whose.aget_with_metadata(1)
        self.assertEqual(len(runs), 5)

class OnCommitTests(CacheResultTestMixin, TestCase):
    cache_results_on_commit = True

    def test_on_commit(self):
        told.clear()
        with transaction.atomic():
            User.objects.create(username="ada")
            self.assertEqual(told, [])
        self.assertEqual(told, ["ada"])

class SharedTests(CacheResultTestMixin, SimpleTestCase):
    cache_results_shared = True

    def test_keys(self):
        keys = {whose.get_cache_key(1) for whose in functions.values()}
        self.assertEqual(keys, IN_PRODUCTION)

IN_PRODUCTION = {whose.get_cache_key(1) for whose in functions.values()}
"""


def test_the_mixin(project):
    project.write(functions=FUNCTIONS, tests=MIXIN)
    result = project.manage_py_test()
    result.stderr.fnmatch_lines(["Ran 14 tests*", "OK"])
    # There the plugin does the same around it; keys of the time of import are none of production's.
    project.pytest("tests.py", "-k", "not keys").assert_outcomes(passed=13, deselected=1)


def test_without_the_mixin_they_meet(project):
    tests = MIXIN.replace("class Common(CacheResultTestMixin)", "class Common")
    project.write(functions=FUNCTIONS, tests=tests)
    result = project.manage_py_test("tests.Tests", "tests.SimpleTests", "tests.TransactionTests")
    assert re.search(r"FAILED \(failures=\d", result.stderr.str())


PARALLEL = """
from django.test import TestCase, TransactionTestCase
from functions import *
from meeting import meet

class Common:
    # No mixin: each worker has a database of its own, and must not see what the other has stored.
    def test_they_do_not_meet(self):
        own = django.test.runner._worker_id
        self.assertIn(own, (1, 2))
        for alias in ["file", "redis"]:
            whose = functions[alias]
            runs.clear()
            self.assertEqual(whose(1), own)
            meet(own == 1)
            self.assertEqual(whose(1), own)
            if own == 1:
                whose.invalidate_all()
                runs.clear()
            meet(own == 1)
            self.assertEqual(whose(1), own)
            self.assertEqual(runs, [1])

class OneTests(Common, TestCase): pass
class TwoTests(Common, TransactionTestCase): pass

# As checks and imports do, before there are any workers.
for alias in ["file", "redis"]:
    functions[alias].get_cache_only(1)
"""


def test_parallel_workers_do_not_meet(project):
    project.write(functions=FUNCTIONS, tests=PARALLEL)
    result = project.manage_py_test("--parallel", "2")
    result.stderr.fnmatch_lines(["Ran 2 tests*", "OK"])


def test_parallel_workers_with_the_mixin(project):
    with_mixin = PARALLEL.replace("class Common:", "class Common(CacheResultTestMixin):")
    imported = "from cache_result.testing import CacheResultTestMixin\n"
    project.write(functions=FUNCTIONS, tests=imported + with_mixin)
    result = project.manage_py_test("--parallel", "2")
    result.stderr.fnmatch_lines(["Ran 2 tests*", "OK"])
