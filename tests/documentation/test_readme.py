"""The README is run: its tables are up to date, its Python and YAML work as printed, its command lines are accepted."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sefactory.cli import main as cli

# torchvision, which timm imports, asks a torch without CUDA for these.
SCHEMAS = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm
"""
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_tables_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme.py", "--check"], check=False)
    assert done.returncode == 0, "run python scripts/readme.py"


def test_the_python_runs_as_printed() -> None:
    blocks = _blocks("python")
    assert len(blocks) >= 3
    code = SCHEMAS + "import warnings\nwarnings.simplefilter('error')\n" + "\n".join(blocks)
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["sefactory"])
    for text in _blocks("yaml"):
        name = re.match(r"# (my/\S+\.yaml)\n", text)
        path = tmp_path / (name.group(1) if name else "my/block/strips.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    lines = [line for text in _blocks("sh") for line in text.splitlines() if line.startswith("sefactory ")]
    assert len(lines) >= 6
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "bench":  # as printed, on one small map
            small = (
                [] if any(a.startswith("hosts=") for a in arguments) else ["input=single", "input.size=7", "input.channels=64"]
            )
            arguments += [*small, "rounds=1", "seconds=0.0001"]
        assert cli.run(arguments) == 0, (line, capsys.readouterr().err)


def test_the_error_it_quotes_is_the_one_that_is_raised() -> None:
    import sefactory as sf

    with pytest.raises(sf.ConfigError) as caught:
        sf.build("cbam", 8)
    assert f"`{caught.value}`" in README.replace("\n", " ")
