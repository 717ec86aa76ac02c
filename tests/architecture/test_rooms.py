"""Every module imports from its own room and those before it; nothing imports in a circle; importing the package is light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from tests.architecture.source import MODULES, PACKAGE, ROOMS, syntax_tree

MOST_ENTRIES = 12


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


def loaded(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    heavy = {"hydra", "omegaconf", "matplotlib", "rich", "jinja2"}
    assert not loaded("import sefactory") & heavy
    assert "hydra" in loaded("import sefactory as sf; sf.load('cbam', ['let.r=8'])")
