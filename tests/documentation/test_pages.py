"""The README and the pages of docs/: their Python runs, their command lines run, and they print what is quoted."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from examples import build_node

import sefactory as sf
from sefactory.bench.columns import COLUMNS
from sefactory.cli import main as cli
from sefactory.config import registry
from tests.sampling import sampled

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/networks.md", "docs/execution.md", "docs/cli.md")
FAST = ("rounds=1", "seconds=0.0001")
SMALL = ("input=single", "input.size=7", "input.channels=64")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _blocks(page: str, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(_text(page)) if found == language]


def _commands(page: str) -> list[tuple[str, str]]:
    """Each `sefactory` command of a page, and the output that is quoted behind it ("" if none is)."""
    blocks = FENCE.findall(_text(page)) + [("", "")]
    commands = []
    for (language, text), (after, output) in zip(blocks, blocks[1:], strict=False):
        lines = [line for line in text.splitlines() if language == "sh" and line.startswith("sefactory ")]
        commands += [(line, output if after == "text" and line == lines[-1] else "") for line in lines]
    return commands


def _write_files(page: str, folder: Path) -> None:
    """The YAML files that the page tells the reader to write."""
    for text in _blocks(page, "yaml"):
        name = re.match(r"# (my/\S+\.yaml)\n", text)
        assert name, f"{page}: a YAML block without its file name"
        path = folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _table_rows(output: str) -> set[tuple[str, str]]:
    """Name and parameters of each row of a table of `bench`: all other columns depend on the machine."""
    rows = [line.split() for line in output.splitlines()]
    return {(row[0], row[1]) for row in rows if len(row) > 4 and row[1].replace(",", "").isdecimal()}


PAGES_WITH_PYTHON = [page for page in PAGES if _blocks(page, "python")]


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_the_python_runs_and_prints_what_is_quoted(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    exec("\n".join(_blocks(page, "python")), {"__name__": page})
    printed = capsys.readouterr().out
    blocks = FENCE.findall(_text(page))
    quoted = [
        text for (before, _), (after, text) in zip(blocks, blocks[1:], strict=False) if (before, after) == ("python", "text")
    ]
    assert all(text in printed for text in quoted), printed


def in_sample(page: str, line: str, quoted: str) -> bool:
    """True for the commands of two pages, except for the measurement of three networks."""
    return page in ("README.md", "docs/execution.md") and "hosts=" not in line


COMMANDS = [pytest.param(page, *command, id=f"{page}: {command[0]}") for page in PAGES for command in _commands(page)]


@pytest.mark.parametrize(("page", "line", "quoted"), sampled(COMMANDS, in_sample))
def test_a_command_runs_and_prints_what_is_quoted(
    page: str, line: str, quoted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["sefactory"])
    _write_files(page, tmp_path)
    (tmp_path / "my").mkdir(exist_ok=True)
    (tmp_path / "my" / "strips.yaml").write_text((ROOT / "configs" / "block" / "senet.yaml").read_text())
    arguments = shlex.split(line.partition(" | ")[0], comments=True)[1:]
    for folder in arguments[2:] if arguments[1] == "compare" else ():
        assert cli.run(["bench", "block=senet", f"hydra.run.dir={folder}", *FAST, *SMALL]) == 0
    is_bench = arguments[0] == "bench" and arguments[1] != "compare"
    if is_bench:  # a short run, and of one small map where the table is not quoted
        small = () if quoted or "hosts=" in line else SMALL
        arguments += [*FAST, *(setting for setting in small if setting not in arguments)]
    assert cli.run(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    if quoted and is_bench:
        assert _table_rows(quoted) == _table_rows(printed) != set()
        assert set(quoted.splitlines()[1].split()) <= {column.heading for column in COLUMNS}
    elif quoted:
        assert [text.rstrip() for text in printed.splitlines()] == quoted.splitlines()


@pytest.mark.parametrize("command", ["show", "bench"])
def test_every_key_of_a_command_is_described(command: str) -> None:
    config = yaml.safe_load((ROOT / "configs" / f"{command}.yaml").read_text(encoding="utf-8"))
    groups = [key for entry in config.pop("defaults") if isinstance(entry, dict) for key in entry if " " not in key]
    section = _text("docs/cli.md").split(f"## `{command}`")[1].split("\n## ")[0]
    keys = {*config, *groups} - {"hydra", "squeeze", "excite", "gate"}  # slot words are described above
    assert len(keys) >= 5 and {key for key in keys if f"`{key}`" not in section} == set()


@pytest.mark.parametrize("command", ["train", "study", "report"])
def test_every_key_of_training_is_described(command: str) -> None:
    config = yaml.safe_load((ROOT / "configs" / f"{command}.yaml").read_text(encoding="utf-8"))
    groups = [key for entry in config.pop("defaults") if isinstance(entry, dict) for key in entry if " " not in key]
    section = _text("docs/cli.md").split("## `train`, `study`, `report`")[1].split("\n## ")[0]
    keys = {*config, *groups} - {"hydra", "squeeze", "excite", "gate"}
    assert {key for key in keys if not re.search(rf"\b{key}\b", section)} == set()


def test_the_configs_in_the_glossary_build() -> None:
    texts = re.findall(r"`([{\[][^`]*[}\]])`", _text("docs/glossary.md"))
    configs = [yaml.safe_load(text) for text in texts if "at:" not in text]  # but a place of a network
    assert len(configs) >= 12
    for config in configs:
        build_node(config)


def test_the_readme_quotes_outputs() -> None:
    assert [line.split()[1] for line, quoted in _commands("README.md") if quoted] == ["show", "bench"]


def test_the_error_that_the_readme_quotes_is_raised() -> None:
    with pytest.raises(sf.ConfigError) as caught:
        sf.build("cbam", 8)
    assert f"`{caught.value}`" in _text("README.md")


def test_the_speed_that_the_readme_quotes_is_measured() -> None:
    quoted = re.search(r"run (\S+) and train (\S+) times as fast", " ".join(_text("README.md").split()))
    assert quoted
    table = _text("docs/speed.md").split("## On AMD EPYC")[1]
    means = [re.search(rf"\| {row} \| \*\*(\S+)\*\* \|", table) for row in ("Forward", "Training")]
    assert [mean[1] for mean in means if mean] == list(quoted.groups())


def test_the_readme_is_short() -> None:
    assert len(_text("README.md").splitlines()) < 200
    assert len(_text("docs/architecture.md").splitlines()) < 150
