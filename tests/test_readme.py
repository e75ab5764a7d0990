"""The README's Python blocks run as they stand there."""

import asyncio
import re
from pathlib import Path

import pytest
from django.core.cache import caches
from django.core.checks import run_checks

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))


def test_every_python_block_but_the_settings_is_run():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    elsewhere = ("# settings.py", "# tests.py")
    assert {block for block in blocks if not block.startswith(elsewhere)} == set(BLOCKS.values())


@pytest.mark.django_db(transaction=True)
# That about tests is one: see tests/testing/test_readme.py.
@pytest.mark.parametrize("name", sorted(set(BLOCKS) - {"testing"}))
def test_block(name, monkeypatch):
    namespace = {"__name__": f"readme_{name}"}
    exec(compile(BLOCKS[name], f"README.md ({name})", "exec"), namespace)
    if "show" in namespace:
        asyncio.run(namespace["show"]())


@pytest.mark.parametrize("block", re.findall(r"```python\n(# settings.py\n.*?)```", README, re.DOTALL))
def test_settings(block, settings):
    namespace = {}
    exec(compile(block, "README.md", "exec"), namespace)
    if "CACHES" in namespace:
        settings.CACHES = namespace["CACHES"]
        caches["default"].set("key", ["value"])
        assert caches["default"].get("key") == ["value"]
        assert not [message for message in run_checks() if message.id == "cache_result.E009"]
    for app in namespace.get("INSTALLED_APPS", []):
        assert app in settings.INSTALLED_APPS


def test_every_target_that_the_readme_names_exists():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w[\w-]*)", README, re.MULTILINE))
    assert named == {"demo", "test"}
    for target in named | {"serve", "bench"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
