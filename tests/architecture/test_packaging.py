"""What is shipped: configs and py.typed in the wheel, and the files a fresh machine needs."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import versions_page
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def test_the_wheel_holds_the_configs_and_the_marker(wheel: list[str]) -> None:
    shipped = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    assert len(shipped) > 50 and {f"sefactory/{name}" for name in shipped} <= set(wheel)
    assert "sefactory/py.typed" in wheel and any(name.endswith("licenses/LICENSE") for name in wheel)
    assert not any(name.startswith(("tests", "scripts", "configs")) for name in wheel)


def test_every_module_and_template_is_in_the_wheel(wheel: list[str]) -> None:
    files = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.j2", "*.css", "*.js")
        for path in (ROOT / "sefactory").rglob(pattern)
    }
    assert files <= set(wheel) and "sefactory/bench/report/page.html.j2" in files


def test_the_requirements_are_the_ones_that_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"torch>=2.13", "hydra-core>=1.3.8,<1.4", "omegaconf>=2.3,<2.4"} <= set(project["dependencies"])
    assert project["requires-python"] == ">=3.11,<3.14"
    assert not any(name.startswith(("torchvision", "timm")) for name in project["dependencies"])


def test_the_libraries_of_exhaustive_tests_are_pinned() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {requirement.split(">=")[0] for requirement in extras["routes"]} <= pinned
    assert "test-all: .venv/.routes\n" in (ROOT / "Makefile").read_text()


def test_every_install_of_the_makefile_is_constrained() -> None:
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]
    assert installs and all("-c constraints.txt" in line for line in installs)
    assert "make lint test" in (ROOT / ".ci" / "run").read_text()


def test_the_workflow_runs_the_lowest_and_the_newest_versions() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    job = workflow["jobs"]["versions"]
    assert {"run": "scripts/versions.sh", "env": {"UV_TORCH_BACKEND": "cpu"}} in job["steps"]
    (python,) = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert python.split() == [*versions_page.pythons()]


def test_the_nightly_run_installs_what_tests_are_skipped_without() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    commands = " ".join(step.get("run", "") for step in workflow["jobs"]["nightly"]["steps"]).split()
    assert {"fish", "zsh", "chromium"} <= set(commands)
