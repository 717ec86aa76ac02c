"""Mistakes on the command line, whoever finds them: every message literally."""

from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from sefactory.cli.command_line import CommandLine
from sefactory.cli.hydra_errors import as_config_errors
from sefactory.cli.primary_config import command_keys
from sefactory.errors import ConfigError
from tests.cli.command_line import SMALL, Run

MISTAKES = [
    (
        ["benhc"],
        "sefactory: no command 'benhc'; the commands are show, bench, train, study, report, completion; did you mean 'bench'?",
    ),
    (
        ["show", "chanels=8"],
        "override chanels=8: there is no key 'chanels'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "did you mean 'channels'?",
    ),
    (
        ["bench", "round=1"],
        f"override round=1: there is no key 'round'; there are {', '.join(command_keys('bench'))}; did you mean 'rounds'?",
    ),
    (
        ["show", "block=cbam", "let.r=8"],
        "override let.r=8: there is no key 'let.r'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "for a key of the block write block.let.r",
    ),
    (["show", "format=xml"], "format: 'xml'; allowed: one of table, csv, tsv, json, markdown, rewrites"),
    (["show", "channels=0"], "channels: 0; allowed: a positive integer"),
    (["show", "size=[1,2,3,4]"], "size: [1, 2, 3, 4]; allowed: a number, [height, width], [width] or [depth, height, width]"),
    (
        ["show", "block=unit", "squeeze=meen"],
        "squeeze=meen: no squeeze word named 'meen'; there are channels, cluster, columns, conv, linear, max, mean, "
        "mean_max, none, rows, std, window; did you mean 'mean'?",
    ),
    (
        ["show", "block=cbam", "block.let.r=max(C/4,8)"],
        "override block.let.r=max(C/4,8): is not key=value; quote a value with parentheses or commas: "
        "'block.let.r=\"max(C/4,8)\"'",
    ),
    (["show", "cbam"], "override cbam: is not key=value; write block=cbam"),
    (["show", "cbm"], "override cbm: is not key=value; did you mean block=cbam?"),
    (["show", "+"], "override +: is not key=value; write path=value, +path=value or ~path"),
    (["show", "block.let.x=3"], "override block.let.x=3: there is no 'x' at let; there are r"),
    (["bench", "block.let.r=3"], "override block.let.r=3: there is no block to change; select one with block=NAME"),
    (["bench", "squeeze=mean"], "block: squeeze= without a block; add block=NAME, for example block=unit"),
    (
        ["bench", "blocks=[senet]", "block=cbam"],
        "blocks: blocks= and block= cannot be used together; give a list of blocks, or one block with overrides",
    ),
    (
        ["bench", "blocks=senet"],
        "blocks: 'senet'; allowed: a list of names, YAML files and mappings; write 'blocks=[senet]'",
    ),
    (["bench", "blocks=[senet,senet]"], "blocks: senet is listed twice; remove one"),
    (["bench", "blocks=[3]"], "blocks.0: 3; allowed: a name, a YAML file or a mapping"),
    (["bench", "blocks=[nope.yaml]", *SMALL], "nope.yaml: no such file"),
    (["bench", "input=foo"], "input=foo: no input named 'foo'; there are mobilenet_v2, resnet50, single, tiny"),
    (
        ["bench", "input.shapes=[[1]]"],
        "input.shapes.0: [1]; allowed: [channels, height, width], [channels, width] or [channels, depth, height, width]",
    ),
    (
        ["bench", "dtype=float8"],
        "dtype: 'float8'; allowed: one of float32, float64, bfloat16, float16; did you mean 'float64'?",
    ),
    (
        ["bench", "hydra.run.foo=3"],
        "override hydra.run.foo=3: Hydra has no such key; sefactory bench --cfg hydra prints those that it has",
    ),
    (["bench", "hydra/job_logging=colour"], "hydra/job_logging=colour: there are default, disabled, none, stdout"),
    (
        ["bench", "input.shapes.9.1=3"],
        "override input.shapes.9.1=3: does not fit the config: list index out of range",
    ),
    (
        ["show", "block.gate.3=relu"],
        "override block.gate.3=relu: there is no '3' at gate; it is a list of 1 steps, counted from 0",
    ),
    (["bench", "batch=x"], "batch: 'x'; allowed: a positive integer"),
    (["show", "--config-dir", "nope"], "--config-dir nope: no such folder"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_mistakes(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err) == (2, "", f"{message}\n")


def test_an_unknown_block_lists_the_blocks(run: Run) -> None:
    for arguments in (["show", "block=cbamm"], ["bench", "block=cbamm"]):
        code, _, err = run(*arguments)
        assert code == 2 and err.startswith("block=cbamm: no block named 'cbamm'; there are a2net, bam, bisenet_arm, ")
        assert err.endswith("; did you mean 'cbam'?\n") and err.count("\n") == 1
    code, _, err = run("bench", "blocks=[cbamm]")
    assert code == 2 and "cbamm" in err and "did you mean 'cbam'?" in err


def test_a_slot_word_on_a_block_without_that_slot(run: Run) -> None:
    code, _, err = run("show", "block=cbam", "squeeze=mean")
    assert code == 2 and err.startswith("cbam.yaml: the slot 'squeeze' cannot be combined with 'series'; ") and "@series" in err
    code, out, _ = run("show", "block=cbam", "+squeeze@block.series.channel=cluster", "channels=64")
    assert code == 0 and "cluster" in out


def test_a_file_outside_the_block_folder_is_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gate: [sigmoid]")
    code, _, err = run("show", "--config-dir", str(tmp_path), "block=mine")
    path = tmp_path / "mine.yaml"
    assert (code, err) == (
        2,
        f"block=mine: {path} is not in a folder block; move it into a folder named block, where the command line looks\n",
    )


def test_an_error_of_hydra_without_a_message_is_named_by_its_type() -> None:
    with pytest.raises(ConfigError) as caught, as_config_errors(CommandLine("show", {}, ())):
        raise MissingConfigException("")
    assert str(caught.value) == "command line: MissingConfigException"
