"""Blocks and hosts that are given as YAML files and as mappings, wherever a name can stand."""

import json
import pickle
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton

from tests.cli.command_line import SMALL, Run, read_rows, results_folder

STRIPS = "let: {r: 4}\nsqueeze: [{pool: W}]\nexcite: [{mlp: C/r}]\ngate: [sigmoid]\n"
INLINE = "{squeeze: [{pool: HW}], gate: [sigmoid]}"
SIZE = ("channels=32", "size=4", "format=json")


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """A folder with a block, a block that uses it by its name, a list, a host, and a name that is shipped too."""
    folder = tmp_path / "my own"
    folder.mkdir()
    (folder / "strips.yaml").write_text(STRIPS)
    (folder / "both.yml").write_text("series: [senet, strips]\n")
    (folder / "heir.yaml").write_text("defaults: [strips, _self_]\nlet: {r: 8}\n")
    (folder / "steps.yaml").write_text("- relu\n- strips\n")
    (folder / "word.yaml").write_text("relu\n")
    (folder / "net.yaml").write_text(
        "host: timm:resnet18\ninput: [3, 32, 32]\nplace: [{at: layer4.*.bn2, block: strips, overrides: [let.r=8]}]\n"
    )
    (tmp_path / "cbam.yaml").write_text(STRIPS)
    return folder


def _show(run: Run, *arguments: str) -> dict[str, object]:
    code, out, err = run("show", *arguments, *SIZE)
    assert (code, err) == (0, "")
    found: dict[str, object] = json.loads(out)
    return found


@pytest.mark.parametrize(
    ("given", "label", "parameters"),
    [
        ("my own/strips.yaml", "strips.yaml", 512),
        ("./my own/strips.yaml", "strips.yaml", 512),
        ("my own/heir.yaml", "heir.yaml", 256),
        ("my own/both.yml", "both.yml", 674),
        ("my own/steps.yaml", "steps.yaml", 512),
        ("my own/word.yaml", "word.yaml", 0),
        ("cbam.yaml", "cbam.yaml", 512),
        (INLINE, "block", 0),
        ("{squeeze:[{pool:HW}],excite:[{mlp:C/4}],gate:[sigmoid]}", "block", 512),
        ("{defaults: [senet, _self_], let: {r: 4}}", "block", 552),
    ],
)
def test_show_takes_files_and_mappings(run: Run, folder: Path, given: str, label: str, parameters: int) -> None:
    found = _show(run, f"block={given}")
    assert (found["block"], found["parameters"]) == (label, parameters)


def test_absolute_paths_and_the_home_folder(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for path in (folder / "both.yml", "~/both.yml"):
        assert _show(run, f"block={path}")["parameters"] == 674


def test_a_given_block_can_be_changed(run: Run, folder: Path) -> None:
    assert _show(run, "block=my own/strips.yaml", "block.let.r=8")["parameters"] == 256
    assert _show(run, f"block={INLINE}", "excite=mlp", "gate=none")["parameters"] != 0
    code, _, err = run("show", "block=my own/strips.yaml", "block.let.x=8")
    assert (code, err) == (2, "override block.let.x=8: there is no 'x' at let; there are r\n")
    code, _, err = run("show", f"block={INLINE}", "block.gate.3=relu")
    assert code == 2 and err.count("\n") == 1 and "it is a list of 1 steps" in err


def test_a_host_in_a_file_uses_blocks_beside_it(run: Run, folder: Path) -> None:
    code, out, err = run("show", "host=my own/net.yaml", "format=json")
    assert (code, err) == (0, "") and [place["block"] for place in json.loads(out)["places"]] == ["strips", "strips"]


def test_hosts_in_files_use_blocks_beside_them(run: Run, folder: Path, tmp_path: Path) -> None:
    quick = ("batch=2", "rounds=1", "seconds=0.0001")
    code, _, _ = run("bench", "hosts=[my own/net.yaml]", *quick)
    rows = {row["block"]: row for row in read_rows(results_folder(tmp_path))}
    assert code == 0 and set(rows) == {"timm:resnet18", "my own/net.yaml"}
    assert all(row["error"] is None and row["refused"] is None and row["forward_s"] for row in rows.values())


def test_a_sweep_over_files_and_mappings(run: Run, folder: Path, tmp_path: Path) -> None:
    code, _, _ = run("bench", "-m", f"block=senet,my own/both.yml,{INLINE}", "baseline=null", *SMALL)
    names = [row["block"] for row in read_rows(results_folder(tmp_path, "multirun"))]
    assert code == 0 and names == ["senet", "my own/both.yml", "block.2"]


def test_a_sweep_of_show_writes_no_file(run: Run, folder: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = run("show", "-m", "block=senet,my own/strips.yaml", *SIZE)
    assert code == 0 and '"senet.yaml"' in out and '"strips.yaml"' in out and sorted(tmp_path.rglob("*")) == before


def test_a_choice_has_files_and_mappings(run: Run, folder: Path) -> None:
    code, out, err = run("show", "-m", f"block=choice(senet,my own/strips.yaml,{INLINE})", *SIZE)
    names = [line for line in out.splitlines() if line.startswith(' "block": ')]
    assert (code, err, names) == (0, "", [' "block": "senet.yaml",', ' "block": "strips.yaml",', ' "block": "block.2",'])


def test_bench_names_a_block_as_it_was_typed(run: Run, folder: Path, tmp_path: Path) -> None:
    code, _, _ = run("bench", "block=my own/strips.yaml", "block.let.r=8", "baseline=null", *SMALL)
    assert code == 0 and [row["block"] for row in read_rows(results_folder(tmp_path))] == ["my own/strips.yaml let.r=8"]


@pytest.mark.parametrize(("given", "label"), [("my own/strips.yaml", "my own/strips.yaml"), (INLINE, "baseline")])
def test_a_baseline_is_a_file_or_a_mapping(run: Run, folder: Path, tmp_path: Path, given: str, label: str) -> None:
    code, _, err = run("bench", f"baseline={given}", "blocks=[cbam]", *SMALL)
    rows = {row["block"]: row for row in read_rows(results_folder(tmp_path))}
    assert code == 0 and set(rows) == {"cbam", label} and rows[label]["forward_ratio"] == 1.0


def test_a_given_block_reaches_the_processes_of_launchers(run: Run, folder: Path) -> None:
    _show(run, "block=my own/strips.yaml")
    sent = Singleton.get_state()["instances"]  # what Hydra's launchers send
    node = pickle.loads(pickle.dumps(sent[ConfigStore])).repo["block"]["my-own-strips-yaml-0.yaml"]
    assert (node.node.let.r, node.provider) == (4, "my own/strips.yaml")


REFUSED = {
    "block={gate: [{_target_: os.system}]}": (
        "block gate.0._target_: is not allowed: a config cannot run code; a node is the name of an operator"
    ),
    "block={gate: ['${oc.env:HOME}']}": "block gate.0: '${' is not allowed; use a name of let",
    "block={hydra: {run: {dir: x}}, gate: [sigmoid]}": (
        "block: 'hydra' cannot be combined with 'gate'; allowed here: squeeze, excite, apply"
    ),
    "block={defaults: [nope, _self_]}": "block defaults: no config named 'nope'",
    "block={gate: [f(3)]}": (
        "override block={gate: [f(3)]}: is not a mapping in Hydra's syntax; "
        "write {key: value}, with quotes around texts that have parentheses or commas"
    ),
    "block={gate: [sigmid]}": "block gate.0: no operator or config named 'sigmid'; did you mean 'sigmoid'?",
    "block=my own/code.yaml": (
        "code.yaml gate.0._target_: is not allowed: a config cannot run code; a node is the name of an operator"
    ),
    "host=my own/word.yaml": "my own/word.yaml: is not a mapping; a host has the keys host and place",
    "host={host: timm:resnet18}": "host: needs a key 'place' with a list of {at: ..., block: ...}",
}


@pytest.mark.parametrize("argument", REFUSED)
def test_what_is_given_cannot_run_code_and_faults_are_one_line(run: Run, folder: Path, argument: str) -> None:
    (folder / "code.yaml").write_text("gate: [{_target_: os.system}]\n")
    assert run("show", argument) == (2, "", f"{REFUSED[argument]}\n")


def test_the_plus_of_hydra_is_not_needed(run: Run) -> None:
    plain, changed = _show(run, "block=cbam"), _show(run, "block=cbam", "squeeze@block.series.channel=cluster")
    assert changed != plain and changed == _show(run, "block=cbam", "+squeeze@block.series.channel=cluster")
    assert _show(run, "+block=cbam", "++gate@block.series.channel=sigmoid") == plain
