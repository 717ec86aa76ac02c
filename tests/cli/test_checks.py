"""Mistakes that are found before Hydra starts: every message literally, and neither Hydra nor torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sefactory.cli.checks import check_command_line
from sefactory.cli.command_line import read_command_line
from sefactory.cli.completion.candidates import complete
from sefactory.cli.primary_config import COMMANDS
from sefactory.errors import ConfigError
from tests.cli.command_line import Run

MISTAKES = {
    "show block=[cbam,senet]": (
        "override block=[cbam,senet]: show takes one block; compare several: sefactory bench 'blocks=[cbam,senet]'"
    ),
    "bench block=[cbam,senet]": "override block=[cbam,senet]: bench takes one block; write 'blocks=[cbam,senet]'",
    "show host=[a,b]": "override host=[a,b]: show takes one host; compare several: sefactory bench 'hosts=[a,b]'",
    "bench input=[256,56,56]": (
        "override input=[256,56,56]: input takes a name; for a list of shapes write 'input.shapes=[[256,56,56]]'"
    ),
    "show squeeze=[{pool:HW}]": (
        "override squeeze=[{pool:HW}]: squeeze takes the name of a squeeze word; "
        "for a list of operators write 'block.squeeze=[{pool:HW}]'"
    ),
    "show +squeeze@block.series.channel=[relu] block=cbam": (
        "override +squeeze@block.series.channel=[relu]: squeeze takes the name of a squeeze word; "
        "for a list of operators write 'block.series.channel.squeeze=[relu]'"
    ),
    "bench blocks=senet,cbam": "override blocks=senet,cbam: is no list; write 'blocks=[senet,cbam]'",
    "bench block=senet,cbam": (
        "override block=senet,cbam: has several values; add -m for a sweep, or write 'blocks=[senet,cbam]'"
    ),
    "show block=senet,cbam": "override block=senet,cbam: has several values; add -m for a sweep",
    "show size=7,9": "override size=7,9: has several values; add -m for a sweep, or write 'size=[7,9]' for a list",
    "show block.let.r=4,8": (
        "override block.let.r=4,8: has several values; add -m for a sweep, or write 'block.let.r=[4,8]' for a list"
    ),
    "bench batch=1,2": "override batch=1,2: has several values; add -m for a sweep",
    "bench batch=range(1,4)": "override batch=range(1,4): has several values; add -m for a sweep",
    "bench blocks=[senet": "override blocks=[senet: [ is not closed; write 'blocks=[senet]'",
    "bench blocks=[senet, cbam] batch=1": (
        "override blocks=[senet,: has a space that is not quoted; write 'blocks=[senet, cbam]'"
    ),
    "bench senet cbam": "override senet cbam: is not key=value; write 'blocks=[senet,cbam]'",
    "bench my.yaml": "override my.yaml: is not key=value; write block=my.yaml",
    "show channels=3 8": "override 8: is not key=value; write path=value, +path=value or ~path",
    "show =3": "override =3: there is no key ''; there are block, squeeze, excite, gate, host, channels, size, format",
    "show block=": "override block=: has no value; write block=NAME",
    "show channels=": "override channels=: has no value; write channels=256",
    "show block.let.r=": "override block.let.r=: has no value; write block.let.r=VALUE, or ~block.let.r to remove it",
    "show Block=cbam": (
        "override Block=cbam: there is no key 'Block'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "did you mean 'block'?"
    ),
    "show +chanels=8": (
        "override +chanels=8: there is no key 'chanels'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "did you mean 'channels'?"
    ),
    "show size.0=3": (
        "override size.0=3: there is no key 'size.0'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "did you mean 'size'?"
    ),
    "show channels@block=3": "override channels@block=3: '@' is for the slots squeeze, excite, gate",
    "show block=cbam squeeze@series.channel=max": (
        "override squeeze@series.channel=max: 'series.channel' is not in the block; write squeeze@block.series.channel=max"
    ),
    "bench block=cbam +gate@=tanh": "override +gate@=tanh: '' is not in the block; write gate@block=tanh",
    "show block=cbam ~squeeze@blocks.series": (
        "override ~squeeze@blocks.series: 'blocks.series' is not in the block; write ~squeeze@block.blocks.series"
    ),
    "show ~channels": "override ~channels: channels cannot be removed; write channels=VALUE",
    "show block=cbam block=senet": "override block=senet: block was given before as block=cbam; remove one",
    "show channels=8 channels=16": "override channels=16: channels was given before as channels=8; remove one",
    "show blocks=[cbam]": (
        "override blocks=[cbam]: 'blocks' is a key of bench; show prints one block: block=NAME; bench compares several"
    ),
    "show +hosts=[cbam_resnet50]": (
        "override +hosts=[cbam_resnet50]: 'hosts' is a key of bench; show prints one network: host=NAME; bench compares several"
    ),
    "bench channels=8": "override channels=8: 'channels' is a key of show; write input=single input.channels=8",
    "bench size=8": "override size=8: 'size' is a key of show; write input=single input.size=8",
    "show rounds=3": (
        "override rounds=3: 'rounds' is a key of bench; show has block, squeeze, excite, gate, host, channels, size, format"
    ),
    "bench compile=ture": "compile: 'ture'; allowed: one of true, false; did you mean 'true'?",
    "bench threads=0": "threads: 0; allowed: a positive integer",
    "show -m gate=choice(sigmod,tanh)": (
        "gate=sigmod: no gate word named 'sigmod'; there are hard_sigmoid, none, sigmoid, softmax, tanh; "
        "did you mean 'sigmoid'?"
    ),
    "show -m block=choice(senet,nope.yaml)": "nope.yaml: no such file",
    "show -m channels=choice(32,0)": "channels: 0; allowed: a positive integer",
    "bench -m threads=1,many": "threads: 'many'; allowed: a positive integer",
    "bench rounds=1.5": "rounds: 1.5; allowed: a positive integer",
    "bench seconds=-1": "seconds: -1; allowed: a positive number",
    "bench seconds=.0": "seconds: .0; allowed: a positive number",
    "bench seconds=.": "seconds: '.'; allowed: a positive number",
    "bench seconds=0.1s": "seconds: '0.1s'; allowed: a positive number",
    "show size=big": "size: 'big'; allowed: a number, [height, width], [width] or [depth, height, width]",
    "bench baseline=cbamm": "baseline: no block named 'cbamm'; did you mean 'cbam'?",
    "bench blocks=[senet,cbamm]": "blocks: no block named 'cbamm'; did you mean 'cbam'?",
    "bench blocks=[nope.yaml]": "nope.yaml: no such file",
    "show block=~nobody-here/x.yaml": "~nobody-here/x.yaml: no such file",
    "show block=cbam.yaml": "cbam.yaml: no such file; for the block of this name write cbam",
    "show -m gate=sigmod,tanh": (
        "gate=sigmod: no gate word named 'sigmod'; there are hard_sigmoid, none, sigmoid, softmax, tanh; "
        "did you mean 'sigmoid'?"
    ),
    "show --config-dir": "--config-dir: needs a folder after it, for example --config-dir my",
    "show --config-dir block=cbam": "--config-dir: needs a folder after it, for example --config-dir my",
    "show --config-dir= block=cbam": "--config-dir: needs a folder after it, for example --config-dir my",
    "show -p": "-p: needs a value after it, for example -p VALUE",
    "show --cfg": "--cfg: needs one of job, hydra, all after it, for example --cfg job",
    "show -c jib": "-c: 'jib'; allowed: one of job, hydra, all; did you mean 'job'?",
    "show --config-dirr my": "--config-dirr: there is no such flag; did you mean '--config-dir'?",
    "show -x": "-x: there is no such flag; `sefactory show --help` lists the flags",
    "show -m=3": "-m=3: takes no value; write -m",
    "show --cfg job --cfg all": "--cfg all: was given before as job; remove one",
    "show --resolve": "--resolve: is for --cfg; write --cfg job --resolve",
    "show -p block --info": "--package: is for --cfg; write --cfg job --package block",
    "show -m --cfg job": "--multirun --cfg: cannot be used together; keep one of them",
    "show -sc install=bash": '-sc: is replaced by: eval "$(sefactory completion bash)"',
    "benhc": "sefactory: no command 'benhc'; the commands are show, bench, train, study, report, completion; "
    "did you mean 'bench'?",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(run: Run, words: str) -> None:
    assert run(*words.split()) == (2, "", f"{MISTAKES[words]}\n")


def test_the_baseline_of_networks_is_no_block() -> None:
    hosts = "hosts=[cbam_resnet50,senet_resnet50]"
    check_command_line(read_command_line("bench", [hosts, "baseline=senet_resnet50"]))
    check_command_line(read_command_line("bench", ["host=cbam_resnet50", "baseline=timm:resnet50"]))
    with pytest.raises(ConfigError, match="^baseline: no block named 'senet_resnet50'$"):
        check_command_line(read_command_line("bench", ["blocks=[cbam]", "baseline=senet_resnet50"]))


@pytest.mark.parametrize("number", [".5", "+.5", "0.5", "1e-3", "1.E-3", "2", "1_0.5"])
def test_numbers_are_written_as_in_hydra(number: str) -> None:
    check_command_line(read_command_line("bench", [f"seconds={number}"]))


def test_the_mode_of_hydra_is_a_sweep_as_well() -> None:
    check_command_line(read_command_line("show", ["hydra.mode=MULTIRUN", "channels=32,64"]))
    with pytest.raises(ConfigError, match="^override channels=32,64: has several values; add -m for a sweep$"):
        check_command_line(read_command_line("show", ["hydra.mode=RUN", "channels=32,64"]))


def test_every_mistake_is_reported(run: Run) -> None:
    code, _, err = run("bench", "rouns=3", "batch=0", "blocks=[cbamm,nope.yaml]")
    assert code == 2 and [text.partition(":")[0] for text in err.splitlines()] == [
        "override rouns=3",
        "batch",
        "blocks",
        "nope.yaml",
    ]


def test_files_are_suggested(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "strips.yaml").write_text("gate: [sigmoid]")
    assert run("show", "block=my/strip.yaml")[2] == "my/strip.yaml: no such file; did you mean 'my/strips.yaml'?\n"
    message = "block=my/strips: no block named 'my/strips'; for the file write block=my/strips.yaml\n"
    assert run("show", "block=my/strips")[2] == message
    assert run("show", "block=my.yaml")[2] == "my.yaml: no such file\n"


PROGRAM = """
import sys
from sefactory.cli.main import run
for line in sys.argv[1:]:
    run(line.split(" "))
    assert not {"torch", "hydra", "omegaconf", "pydantic", "rich"} & set(sys.modules), line
"""
NO_MISTAKES = [
    "",
    "help bench",
    "--help",
    "help",
    "--version",
    "show --help",
    "bench -h block=cbam",
    "show --version",
    "completion bash",
]


def test_answers_without_hydra_and_torch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *NO_MISTAKES, *MISTAKES], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr


def test_a_run_imports_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "show --cfg job"], capture_output=True, text=True)
    assert done.returncode == 1 and "AssertionError: show --cfg job" in done.stderr


PIECES = [
    "block",
    "blocks",
    "squeeze",
    "@",
    ".",
    "=",
    ",",
    "[",
    "]",
    "{",
    "}",
    "(",
    "'",
    '"',
    "\\",
    "-",
    "--",
    "cbam",
    "x.yaml",
    "~",
]
PIECES += [
    "+",
    "+",
    "/",
    "\0",
    "\n",
    " ",
    "é",
    "3",
    "-m",
    "--config-dir",
    "--cfg",
    "hydra",
    "null",
    "channels",
    "size",
    "host",
    ":",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(COMMANDS), st.lists(TEXTS, max_size=4))
def test_any_words_are_accepted_or_refused(command: str, words: list[str]) -> None:
    complete([command, *words])
    try:
        check_command_line(read_command_line(command, words))
    except ConfigError as error:
        assert str(error)


def test_flags_stand_anywhere() -> None:
    expected = ["--config-dir=my", "--multirun", "--info=all", "block=cbam", "input=tiny"]
    for words in (
        "block=cbam --config-dir my -m input=tiny --info",
        "--config-dir=my -m --info block=cbam input=tiny",
        "block=cbam -cd my --multirun --info all -- input=tiny",
    ):
        assert read_command_line("bench", words.split()).hydra_arguments() == expected
