"""docs/vocabulary.md is up to date and complete, and everything on it runs as printed."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import vocabulary
import yaml
from examples import CHANNELS, GRID, build_node
from torch.nn import functional as F

import sefactory as sf
from sefactory.cli import main as cli
from sefactory.config import registry

TEXT = vocabulary.PAGE.read_text(encoding="utf-8")
X = torch.randn(2, CHANNELS, *GRID, generator=torch.Generator().manual_seed(0))
ENTRIES = {entry["name"]: entry for family in vocabulary.FAMILIES for entry in family.get("operators", ())}
FUNCTIONS = {name: code for family in vocabulary.FAMILIES for name, code in family.get("functions", {}).items()}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def _folder(path: Path) -> Path:
    """The files that the page tells a reader to write."""
    for text in _blocks("yaml"):
        if name := re.match(r"# (my/block/\w+\.yaml)\n", text):
            (path / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (path / name[1]).write_text(text)
    return path


def test_it_is_up_to_date() -> None:
    assert vocabulary.page() == TEXT, "run python scripts/vocabulary.py"


def test_every_operator_and_parameter_is_on_it() -> None:
    known = {operator.name: operator for operator in vocabulary.shipped_operators()}
    assert set(known) == set(ENTRIES) | set(FUNCTIONS)
    for name, entry in ENTRIES.items():
        assert list(entry["parameters"]) == [schema.name for schema in known[name].parameters], name


def test_links_lead_to_headings() -> None:
    headings = {re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)", TEXT, re.M)}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= headings


def test_every_yaml_builds_and_runs(tmp_path: Path) -> None:
    blocks = _blocks("yaml")
    assert len(blocks) > 80
    for text in blocks:
        (tmp_path / "it.yaml").write_text(text)
        config = sf.load(tmp_path / "it.yaml")
        if text.startswith("# volume"):
            sf.build(config, X.shape[1], grid="DHW")(X.unflatten(2, (3, -1)))
            continue
        try:
            block = build_node(config)
        except sf.ConfigError as error:
            assert "fixed grid" in str(error), f"{text}\n{error}"
            block = build_node(config, grid=True)
        assert block.eval()(X).isfinite().all()


def test_the_python_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_folder(tmp_path))
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    blocks = _blocks("python")
    assert len(blocks) >= 3
    exec("\n".join(blocks), {"__name__": "page"})
    assert registry.find_operator("quantile")


def test_the_command_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(_folder(tmp_path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["sefactory"])
    lines = [line for text in _blocks("sh") for line in text.splitlines() if line.startswith("sefactory ")]
    assert len(lines) >= 3
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "bench":  # as printed, on one small map
            arguments += ["input.size=7", "input.channels=64", "rounds=1", "seconds=0.0001"]
        assert cli.run(arguments) == 0, (line, capsys.readouterr().err)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_that_of_torch(name: str) -> None:
    x = X.abs()
    assert torch.equal(sf.build(name, CHANNELS)(x), eval(FUNCTIONS[name], {"torch": torch, "F": F, "x": x}))


@pytest.mark.parametrize("name", vocabulary.FORMS["fuses"])
def test_a_fuse_has_its_formula(name: str) -> None:
    block = build_node({"parallel": {"a": ["relu"], "b": ["tanh"]}, "fuse": name})
    x = X.unsqueeze(1)
    expected = eval(vocabulary.FORMS["fuses"][name], {"torch": torch, "a": x.relu(), "b": x.tanh()})
    torch.testing.assert_close(block(X), expected.flatten(1, 2))


@pytest.mark.parametrize("name", vocabulary.FORMS["applies"])
def test_an_application_has_its_formula(name: str) -> None:
    several = {"parallel": {"a": ["exp"], "b": ["tanh"]}, "fuse": "stack"} if name == "scale_shift" else "exp"
    x = X.unsqueeze(1)
    g = torch.cat([x.exp(), x.tanh()], 1) if name == "scale_shift" else x.exp()
    y = build_node({"excite": [several], "apply": name})(X)
    torch.testing.assert_close(y, eval(vocabulary.FORMS["applies"][name], {"x": x, "g": g}).squeeze(1))


def _ran(block: sf.Block) -> sf.Block:
    block.train()(X)
    return block


@pytest.mark.parametrize("trap", vocabulary.TRAPS, ids=lambda trap: trap["trap"][2:40])
def test_a_trap_is_as_told(trap: dict[str, Any]) -> None:
    assert ("check" in trap) != ("error" in trap)
    if "check" in trap:
        names = {"torch": torch, "F": F, "sf": sf, "x": X, "built": lambda config: sf.build(config, X.shape[1]), "ran": _ran}
        assert bool(eval(trap["check"], names))
        return
    with pytest.raises(sf.ConfigError) as caught:
        sf.build(yaml.safe_load(trap["error"]["config"]), X.shape[1])
    assert trap["error"]["message"] in str(caught.value)
