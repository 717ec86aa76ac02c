"""Writes docs/versions.md from the results of scripts/versions.sh, which calls this script.

python scripts/versions_page.py FOLDER      writes the page
python scripts/versions_page.py --pythons   prints the lowest and the newest declared Python
"""

import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from markdown_table import markdown_table

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "versions.md"
COMPILED = "test_compile_without_a_graph_break"
"""The test that compiles a config or an operator with `fullgraph=True`; a case is one of these."""
EXTRAS = ("networks", "study", "dev")
"""The extras that are installed beside the dependencies."""
TOOLS = {"hatchling", "mypy", "pre-commit", "ruff", "types-pyyaml"}
"""Packages that the tests do not use."""
TEXT = """\
# Versions

`scripts/versions.sh` writes this page. It installs the lowest version of every declared dependency (`uv pip install
--resolution lowest-direct`), and then the newest versions that fit each other. In each of the two environments it runs a
representative part of the tests: the recordings of the authors' code, the seven papers, export, torch.compile, onnxruntime,
half precision, kernels, the compiler, networks of timm, torchvision and pytorchcv, configs, the command line, the report, and
the table of error messages.

Torch 2.9 to 2.12 were tried. There torch.export with a dynamic grid and torch.compile fail for a part of the configs.

{table}

A full-graph case is an operator or a config that torch.compile compiles as one graph (`fullgraph=True`), with its gradients.
{skipped}
"""


class Run(NamedTuple):
    """One environment: its Python, its packages, and how many tests ended how."""

    python: str
    packages: dict[str, str]
    outcomes: Counter[str]
    compiled: Counter[str]
    skipped: Counter[str]


def normalized(name: str) -> str:
    """The name of a package as package indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    data: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return data


def minimums() -> dict[str, str]:
    """The lowest declared version of each package that the tests use, by its normalized name."""
    data = project()
    lines = [*data["dependencies"], *(line for extra in EXTRAS for line in data["optional-dependencies"][extra])]
    found = dict(match.groups() for line in lines if (match := re.match(r"([\w.-]+)>=([\w.]+)", line)))
    return {normalized(name): version for name, version in found.items() if normalized(name) not in TOOLS}


def pythons() -> tuple[str, str]:
    """The lowest and the newest declared Python, of `>=3.11,<3.14`: ("3.11", "3.13")."""
    lowest, above = re.findall(r"3\.(\d+)", project()["requires-python"])
    return f"3.{lowest}", f"3.{int(above) - 1}"


def read_run(folder: Path) -> Run:
    """The results that scripts/versions.sh left in a folder."""
    packages = {
        normalized(package["name"]): package["version"] for package in json.loads((folder / "packages.json").read_text())
    }
    outcomes, compiled, skipped = Counter[str](), Counter[str](), Counter[str]()
    for case in ElementTree.parse(folder / "tests.xml").iter("testcase"):
        tags = {child.tag: child.get("message", "") for child in case}
        outcome = next((tag for tag in ("failure", "error", "skipped") if tag in tags), "passed")
        outcomes[outcome] += 1
        if case.get("name", "").startswith(COMPILED):
            compiled[outcome] += 1
        if outcome == "skipped":
            skipped[tags["skipped"]] += 1
    return Run((folder / "python.txt").read_text().split()[1], packages, outcomes, compiled, skipped)


def rows(runs: list[Run]) -> Iterator[list[str]]:
    """The rows of the table: versions, then numbers of tests."""
    yield ["Python", f">={pythons()[0]}", *(run.python for run in runs)]
    for name, version in minimums().items():
        yield [name, f">={version}", *(run.packages[name] for run in runs)]
    for label, names in (("passed", ["passed"]), ("failed", ["failure", "error"]), ("skipped", ["skipped"])):
        yield [f"tests {label}", "", *(str(sum(run.outcomes[name] for name in names)) for run in runs)]
    yield ["full-graph cases compiled", "", *(f"{run.compiled['passed']} of {run.compiled.total()}" for run in runs)]


def page(runs: list[Run]) -> str:
    """The page of the two runs, lowest and newest."""
    reasons = {reason for run in runs for reason in run.skipped}
    lines = [f"- {reason}: {', '.join(str(run.skipped[reason]) for run in runs)}" for reason in sorted(reasons)]
    skipped = "\n".join(["\nReasons of skipped tests, and their numbers in the two environments:\n", *lines]) if lines else ""
    table = markdown_table(["package", "declared", "lowest", "newest"], rows(runs))
    return TEXT.format(table="\n".join(table), skipped=skipped).rstrip() + "\n"


def main() -> None:
    """Prints the Pythons, or writes the page."""
    if sys.argv[1:] == ["--pythons"]:
        print(*pythons())
    else:
        PAGE.write_text(page([read_run(Path(sys.argv[1]) / name) for name in ("lowest", "newest")]), encoding="utf-8")


if __name__ == "__main__":
    main()
