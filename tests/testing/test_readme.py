"""The README's tests run as they stand there, under pytest and under Django's runner."""

import re

from tests.test_readme import BLOCKS, README


def test_those_for_pytest(project):
    project.write(functions="", test_it=BLOCKS["testing"])
    project.pytest("-o", "filterwarnings=error").assert_outcomes(passed=2)


def test_those_for_django(project):
    (block,) = re.findall(r"```python\n(# tests.py\n.*?)```", README, re.DOTALL)
    project.write(
        urls="""
            from django.http import HttpResponse
            from django.urls import path

            urlpatterns = [path("", lambda request: HttpResponse("hello"))]
        """,
        tests=block,
    )
    result = project.manage_py_test()
    result.stderr.fnmatch_lines(["Ran 1 test*", "OK"])
