"""The README's Python blocks run as they stand there."""

import asyncio
import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- test: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))


def test_every_python_block_but_the_settings_is_run():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert {block for block in blocks if not block.startswith("# settings.py")} == set(BLOCKS.values())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", BLOCKS)
def test_block(name, monkeypatch):
    namespace = {"__name__": f"readme_{name}"}
    exec(compile(BLOCKS[name], f"README.md ({name})", "exec"), namespace)
    if "show" in namespace:
        asyncio.run(namespace["show"]())


def test_every_target_that_the_readme_names_exists():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w[\w-]*)", README, re.MULTILINE))
    assert named == {"demo", "test"}
    for target in named | {"serve", "bench"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
