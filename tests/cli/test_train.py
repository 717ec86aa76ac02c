"""`sefactory train`: single runs, sweeps with every launcher, and mistakes."""

import csv
import json
from pathlib import Path

import pytest

from sefactory.training.report.run_table import TIMES
from sefactory.training.runs.store import RunStore
from tests.cli.command_line import Run
from tests.cli.processes import LAUNCHERS, finish

QUICK = ["network.depth=8", "network.width=8", "recipe.image_passes=256", "+recipe.subset=128", "recipe.batch_size=32"]
TRAIN = ["train", *QUICK, "store=runs"]


def rows(folder: Path) -> list[dict[str, str]]:
    """results.csv without what depends on where and when."""
    with (folder / "results.csv").open(newline="") as lines:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(lines)]


def test_a_network_alone_and_with_a_block(run: Run, tmp_path: Path) -> None:
    code, out, err = run(*TRAIN)
    (result,) = RunStore(tmp_path / "runs").results()
    assert code == 0 and "plain     0  finished" in out and result.label == "plain"
    assert err == f"config.yaml, epochs.csv, the weights and result.json are in {tmp_path}/runs/runs/{result.run}\n"
    code, out, _ = run(*TRAIN, "block=senet", "block.let.r=4", "seed=1", "static=true", "test=true", "format=json")
    (document,) = json.loads(out)
    assert code == 0 and (document["label"], document["seed"], document["static"]) == ("senet let.r=4", 1, True)
    assert document["test"]["accuracy"] > 0 and document["setup"]["places"][0]["block"] == "senet let.r=4"


def test_a_finished_run_is_not_trained_again(run: Run, tmp_path: Path) -> None:
    run(*TRAIN, "block=ecanet")
    before = [result.as_record() for result in RunStore(tmp_path / "runs").results()]
    (tmp_path / "mine.yaml").write_text("defaults: [ecanet, _self_]\n")
    assert run(*TRAIN, "block=mine.yaml")[0] == 0  # the same tree under another name
    assert [result.as_record() for result in RunStore(tmp_path / "runs").results()] == before


def test_files_mappings_slot_words_and_networks_with_blocks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gate: [sigmoid]\n")
    (tmp_path / "net.yaml").write_text("host: residual\ndepth: 8\nwidth: 8\nplace: [{at: layer3}]\n")
    assert run(*TRAIN, "block=mine.yaml")[0] == 0
    assert run("train", "network=net.yaml", *QUICK[2:], "store=runs", "block=unit", "squeeze=max", "excite=conv1d")[0] == 0
    small = ["recipe={image_passes: 64, lr: 0.1, batch_size: 32}", "store=runs"]
    host = "host={host: timm:test_resnet, place: [{at: stage:-1, block: simam}]}"
    code, out, err = run("train", host, *small)
    labels = {result.label for result in RunStore(tmp_path / "runs").results()}
    assert labels == {"mine.yaml", "unit max/conv1d", "host"} and code == 0, err


def test_a_sweep_fills_a_store_that_report_reads(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "-m", *QUICK, "store=runs", "block=ecanet,simam", "seed=range(2)", "test=true")
    assert code == 0 and out.count("finished") == 4 and f"sefactory report store={tmp_path}/runs compares them" in err
    code, out, err = run("report", "store=runs")
    assert code == 0 and "no verdicts: there are no runs without a block: train them with the same seeds" in out
    assert [(row["block"], row["seed"]) for row in rows(tmp_path / "runs")] == [
        (block, seed) for block in ("ecanet", "simam") for seed in "01"
    ]


def test_a_failed_job_is_a_failed_exit_code_and_the_others_are_trained(run: Run) -> None:
    code, out, err = run(*[text for text in TRAIN if "width" not in text], "-m", "block=senet", "network.width=2,16")
    assert code == 2 and out.count("finished") == 1 and err.count("excite.0 (for layer1.0.bn2, C = 2): mlp: hidden is C/r") == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_agree_and_a_failed_job_is_a_failed_exit_code(tmp_path: Path, launcher: str) -> None:
    """width 2 is too narrow for senet."""
    jobs = ["train", "-m", "block=senet,ecanet", "network.width=2,16", "network.depth=8", *QUICK[2:], "seed=0,1"]
    jobs = [text for text in jobs if text != "block=senet,ecanet"] + ["block=senet,ecanet"]
    code, out, err = finish(tmp_path, *jobs, *LAUNCHERS[launcher], "store=runs")
    assert code == 2 and "Traceback" not in err and out.count("finished") == 6, err
    fault = "mlp: hidden is C/r = 0.125, which rounds down to 0"
    assert sum(fault in line for line in err.splitlines()) == 1
    assert finish(tmp_path, "report", "store=runs")[0] == 0
    expected = tmp_path / "expected"
    expected.mkdir()
    assert finish(expected, *jobs, "store=runs")[0] == 2 and finish(expected, "report", "store=runs")[0] == 0
    assert rows(tmp_path / "runs") == rows(expected / "runs")


MISTAKES = {
    "seed=-1": "seed: -1; allowed: an integer from 0",
    "seed=x": "seed: 'x'; allowed: an integer from 0",
    "threads=0": "threads: 0; allowed: a positive integer",
    "static=maybe": "static: 'maybe'; allowed: one of true, false",
    "data=digit": "data=digit: no data named 'digit'; there are cifar10, digits, fashion_mnist, fashion_scenes, image_folder; "
    "did you mean 'digits'?",
    "recipe.lr=fast": "recipe.lr: lr is 'fast'; allowed: a number above 0",
    "recipe.lrate=1": "override recipe.lrate=1: there is no key 'recipe.lrate'; ",
    "blocks=[senet]": "override blocks=[senet]: 'blocks' is a key of bench; train takes one block: block=NAME; "
    "for several write -m block=A,B",
    "block=[senet,cbam]": "override block=[senet,cbam]: train takes one block; for one run each write -m block=senet,cbam",
    "senet": "override senet: is not key=value; write block=senet",
    "device=cuda:77": "device: 'cuda:77' cannot be used here: ",
    "data.dataset=mnist": "data.dataset: 'mnist'; allowed: one of digits, fashion_mnist, fashion_scenes, cifar10, image_folder",
    "static=true": "static: there is no block whose gates could be static; set block",
    "store=/dev/null/x": "/dev/null/x: cannot be written to: Not a directory; choose another folder with store=DIR",
    "format=xml": "format: 'xml'; allowed: one of table, csv, tsv, json, markdown",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes_are_one_line(run: Run, argument: str) -> None:
    code, out, err = run("train", *QUICK, argument)
    assert (code, out) == (2, "") and err.startswith(MISTAKES[argument]) and err.count("\n") == 1, err


def test_host_and_block(run: Run) -> None:
    code, _, err = run("train", "host=senet_resnet50", "block=senet")
    cure = "to change a block of the network, write host.place.0.block=NAME"
    assert (code, err) == (2, f"host: host= and block= cannot be used together; {cure}\n")
