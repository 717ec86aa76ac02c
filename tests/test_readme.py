"""The README is run: its tables are up to date, its Python and YAML work as printed, its command lines are accepted."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sefactory import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_tables_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme.py", "--check"], check=False)
    assert done.returncode == 0, "run python scripts/readme.py"


def test_the_python_runs_as_printed() -> None:
    blocks = _blocks("python")
    assert len(blocks) >= 3
    done = subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(blocks)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["sefactory"])
    block = tmp_path / "my" / "block"
    block.mkdir(parents=True)
    (block / "strips.yaml").write_text(_blocks("yaml")[0])
    lines = [line for text in _blocks("sh") for line in text.splitlines() if line.startswith("sefactory ")]
    assert len(lines) >= 6
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "bench":  # as printed, on one small map
            arguments += ["input=single", "input.size=7", "input.channels=64", "rounds=1", "seconds=0.0001"]
        assert cli.run(arguments) == 0, (line, capsys.readouterr().err)


def test_the_error_it_quotes_is_the_one_that_is_raised() -> None:
    import sefactory as sf

    with pytest.raises(sf.ConfigError) as caught:
        sf.build("cbam", 8)
    assert f"`{caught.value}`" in README.replace("\n", " ")
