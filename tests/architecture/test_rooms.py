"""The floors of the package: every module imports from lower floors only; no name is a paper's; importing it is light."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "sefactory"

# The rooms of the package along the path of the data. A room imports from the rooms before it and from itself.
ROOMS = ["errors", "shapes", "config", "kernels", "operators", "compiler", "block", "build", "bench", "networks", "cli"]
MOST_ENTRIES = 12
PAPERS = set(
    "senet sknet cbam coordatt triplet danet seaformer ecanet eca gcnet genet bam scse ese sse pam cam srm simam fca fcanet "
    "nonlocal splat a2net srmnet resnest lka ela sge lct sanet squeezeandexcitation coordinateattention tripletattention "
    "selectivekernel epsanet msca lsk lska mdta xca mcanet nafnet scnet parnet rcab focalnet gnconv convnextv2 dynconv bisenet "
    "segformer involution restormer hornet segnext xcit caa gam grn".split()
)
LONGEST_FILE = 300
MODULES = {
    str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def imports(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in it."""
    path = MODULES[name]
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def names(path: Path) -> set[str]:
    """Every class, function and file name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {path.stem} | {node.name for node in ast.walk(tree) if isinstance(node, defined)}


def words(name: str) -> set[str]:
    """The words of a name, alone and run together.

    >>> sorted(words("make_SKNet"))
    ['make', 'makesknet', 'sk', 'sknet']
    """
    parts = [word.lower() for word in name.split("_") if word]
    return {*parts, "".join(parts), *(word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name))} - {"net"}


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_no_name_is_a_papers(name: str) -> None:
    path = MODULES.get(name, PACKAGE / "__init__.py")
    assert not {said for said in names(path) if words(said) & PAPERS}


def test_a_papers_name_would_be_seen() -> None:
    said = ["SKNet", "cbam", "make_coordatt", "CoordinateAttention", "build_eca_block"]
    assert all(words(name) & PAPERS for name in said)


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_short(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def loaded(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    heavy = {"hydra", "omegaconf", "matplotlib", "rich", "jinja2"}
    assert not loaded("import sefactory") & heavy
    assert "hydra" in loaded("import sefactory as sf; sf.load('cbam', ['let.r=8'])")
