"""Every module imports from its own room and those before it; nothing imports in a circle; importing the package is light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from tests.architecture.source import MODULES, PACKAGE, ROOMS, syntax_tree

MOST_ENTRIES = 13


def imports(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in it."""
    parts = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(syntax_tree(name)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) + 1 - node.level] + (node.module.split(".") if node.module else [])
            inner = {".".join([*base, alias.name]) for alias in node.names}
            found |= {module for module in inner if module in MODULES} or {".".join(base)}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sefactory":
            found.add((node.module or "").removeprefix("sefactory").lstrip("."))
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("sefactory.") for alias in node.names if alias.name.startswith("sefactory.")}
    return found


def room(name: str) -> int:
    """The position of a module's room."""
    return ROOMS.index(name.split(".")[0])


def test_the_root_of_the_package_holds_the_rooms_alone() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert entries - {"__init__"} == set(ROOMS) and len(ROOMS) <= MOST_ENTRIES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_room_and_those_before_it(name: str) -> None:
    assert not {other for other in imports(name) - {""} if room(other) > room(name)}


def test_no_modules_import_each_other() -> None:
    graph = {name: (imports(name) - {"", name}) & MODULES.keys() for name in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == MODULES.keys()


def test_config_is_free_of_torch() -> None:
    """The room is imported in an interpreter without torch; the root of the package, which imports every room, is left out."""
    modules = [f"sefactory.{name}" for name in MODULES if room(name) <= ROOMS.index("config")]
    code = f"""
import importlib, sys, types
package = types.ModuleType("sefactory")
package.__path__ = [{str(PACKAGE)!r}]
sys.modules.update(sefactory=package, torch=None)
for name in {modules}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SLOW = ("hydra", "omegaconf", "matplotlib", "rich", "jinja2", "torch.utils.benchmark", "torch.utils.flop_counter")


def test_slow_libraries_are_imported_where_they_are_used() -> None:
    code = f"""
import sys
import sefactory as sf
sf.build("cbam", 64), sf.load("danet")
print([name for name in {SLOW} if name in sys.modules])
import sefactory.bench.report
print([name for name in {SLOW[:5]} if name in sys.modules])
sf.load("cbam", overrides=["let.r=8"])
print("hydra" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "True"]
