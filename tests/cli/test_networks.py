"""show host=... and bench hosts=[...]: whole networks on the command line."""

import json
from pathlib import Path

import pytest

from sefactory.cli import main as cli

SMALL = {
    "host": "timm:resnet18",
    "input": [3, 32, 32],
    "place": [{"at": "layer4.*.bn2", "block": "cbam", "overrides": ["let.r=8"]}],
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sefactory"])
    (tmp_path / "my" / "host").mkdir(parents=True)
    (tmp_path / "my" / "host" / "small.yaml").write_text(json.dumps(SMALL))
    return tmp_path


def test_show_prints_where_the_blocks_went(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "show", "--config-dir", "my", "host=small")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["layer4.0.bn2", "after", "cbam", "identity", "512", "x", "1", "x", "1"] == lines[3][:9]
    assert ["blocks", "+132,426"] == lines[6][:2] and ["network", "before", "11,689,512"] == lines[7][:3]
    assert lines[8] == "122 keys kept, 22 new, 0 missing".split()


def test_show_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys,
        "show",
        "--config-dir",
        "my",
        "host=small",
        "format=json",
        "host.place.0.block=ecanet",
        "~host.place.0.overrides",
    )
    found = json.loads(out)
    assert code == 0 and found["parameters"] == 11_689_512 and found["parameters_added"] == 12
    assert [place["path"] for place in found["places"]] == ["layer4.0.bn2", "layer4.1.bn2"]


def test_bench_measures_networks_with_and_without(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("batch=1", "rounds=1", "seconds=0.0001", "hydra.run.dir=out")
    code, out, _ = run(capsys, "bench", "--config-dir", "my", "hosts=[small]", *quick)
    rows = {row["block"]: row for row in json.loads(Path("out/results.json").read_text())["rows"]}
    assert code == 0 and set(rows) == {"timm:resnet18", "small"} and "timm:resnet18" in out
    assert rows["timm:resnet18"]["forward_ratio"] == 1.0 and rows["small"]["forward_ratio"] > 0
    assert rows["small"]["parameters"] - rows["timm:resnet18"]["parameters"] == 132_426  # with two mixes
    assert rows["small"]["macs"] > rows["timm:resnet18"]["macs"] > 0 and rows["small"]["shape"] == "1x3x32x32"


def test_the_baseline_of_networks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("batch=1", "rounds=1", "seconds=0.0001", "hydra.run.dir=out")
    for baseline in ("small", "null"):
        code, _, _ = run(capsys, "bench", "--config-dir", "my", "hosts=[small]", f"baseline={baseline}", *quick)
        rows = {row["block"]: row for row in json.loads(Path("out/results.json").read_text())["rows"]}
        assert code == 0 and (rows["small"]["forward_ratio"] == 1.0) == (baseline == "small")
    code, _, err = run(capsys, "bench", "--config-dir", "my", "hosts=[small]", "baseline=smal", *quick)
    message = "baseline: 'smal'; allowed: one of timm:resnet18, small; did you mean 'small'?; null for no ratios\n"
    assert (code, err) == (2, message)


MISTAKES = [
    (
        ["show", "host=small", "block=cbam"],
        "host: host= and block= cannot be used together; to change a block of the network, write host.place.0.block=NAME",
    ),
    (
        ["bench", "hosts=small"],
        "hosts: 'small'; allowed: a list of names, YAML files and mappings; write 'hosts=[small]'",
    ),
    (["bench", "hosts=[3]"], "3: no host of this name"),
    (["bench", "hosts=[smal]"], "hosts: no host named 'smal'; did you mean 'small'?"),
    (
        ["bench", "hosts=[small]", "host=small"],
        "hosts: hosts= and host= cannot be used together; give a list of hosts, or one host with overrides",
    ),
    (["show", "host=small", "host.host=timm:resnet181"], "host: timm has no network 'resnet181'; did you mean 'resnet18'?"),
    (
        ["show", "host=small", "host.place.0.block=cbamm"],
        "host: cbamm (for layer4.0.bn2, C = 512): no config of this name; did you mean 'cbam'?",
    ),
    (
        ["show", "host=small", "host.place.0.at=layer5.*"],
        "host: at layer5.*: the network has no module of this path; the nearest are layer4.*, layer3.*, layer2.*",
    ),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES)
def test_an_error_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    code, _, err = run(capsys, arguments[0], "--config-dir", "my", *arguments[1:])
    assert (code, err) == (2, f"{says}\n")
