"""The house rules: imports run downwards, nothing imports in a circle, only `src/py/` knows Python."""

import ast
import functools
import graphlib
import re
from pathlib import Path

import pytest

import cache_result

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "cache_result"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the top down: a module imports only from layers below its own; those of one layer do not meet.
LAYERS = [
    {"apps"},
    {"testing"},
    {""},  # the package's face, `__init__`
    {"cache_register", "checks", "decorators", "management", "tasks"},
    {"views"},
    {"invalidation"},
    {"wrapper"},
    {"core_wrapper"},
    {"warming"},
    {"many"},
    {"definition", "driving", "keyspace", "registry", "responses", "storage"},
    {"rules", "keys", "backends", "breaker", "pending", "plans", "writes"},
    {"transaction"},
    {"background", "dispatching", "rule_options"},
    {"model_fields", "tags"},
    {
        "conf",
        "context",
        "exceptions",
        "explanation",
        "fills",
        "forks",
        "freshness",
        "isolation",
        "plain",
        "reports",
        "signals",
        "status",
        "surroundings",
        "threads",
        "worlds",
    },
    {"_core"},
]
HEIGHT = {name: len(LAYERS) - level for level, names in enumerate(LAYERS) for name in names}


def module(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def part(name):
    """The house's name for a module: the first component below the package."""
    return name.split(".")[0]


@functools.cache
def imports(path):
    """The package's own modules that a file imports when it runs, wherever in the file."""
    package = ["cache_result", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {_resolve(name) for name in names if name.split(".")[0] == "cache_result"}
    return found


def _running(node):
    """All nodes but those for type checkers alone."""
    yield node
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from _running(child)


def _resolve(name):
    """The module behind a dotted name, which may go on to a name within it."""
    parts = name.split(".")[1:]
    if parts[:1] == ["_core"]:
        return "_core"
    while parts:
        at = PACKAGE.joinpath(*parts)
        if at.with_suffix(".py").exists() or (at / "__init__.py").exists():
            return ".".join(parts)
        parts.pop()
    return ""


def test_there_is_something_to_look_at():
    assert {"decorators", "wrapper", "conf"} <= {module(path) for path in SOURCES}


def test_every_module_has_a_layer():
    assert {part(module(path)) for path in SOURCES} <= set(HEIGHT)


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_imports_run_downwards(path):
    own = part(module(path))
    for imported in imports(path):
        there = part(imported)
        assert there == own or HEIGHT[there] < HEIGHT[own], f"{module(path)} imports {imported}"


@pytest.mark.parametrize("name", ["conf", "exceptions"])
def test_the_ground_floor_imports_nothing_of_ours(name):
    assert imports(PACKAGE / f"{name}.py") <= {"_core"}


def test_no_circle():
    graph = {module(path): imports(path) - {module(path)} for path in SOURCES}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_the_face_has_no_logic():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.Expr
    assert all(isinstance(node, allowed) for node in tree.body)


def test_everything_public_is_there():
    assert set(cache_result.__all__) <= set(dir(cache_result))


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.rs")), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_shell_knows_python(path):
    inside = path.relative_to(ROOT / "src").parts
    if inside[0] != "py" and path.name != "lib.rs":
        assert not re.search(r"\bpyo3\b", path.read_text()), f"{path.name} uses pyo3"


def test_the_shell_is_not_used_from_inside():
    for path in (ROOT / "src").rglob("*.rs"):
        inside = path.relative_to(ROOT / "src").parts
        if inside[0] != "py" and path.name != "lib.rs":
            assert not re.search(r"crate::py\b", path.read_text()), f"{path.name} uses src/py"
