"""The values that the command line knows without torch are those of the package."""

import sefactory as sf
from sefactory.bench.machine import DTYPES as TORCH_DTYPES
from sefactory.cli.choices import DTYPES, FORMATS, OPERATORS
from sefactory.cli.primary_config import COMMANDS, command_keys
from tests.cli.command_line import Run


def test_the_operators_and_types_are_those_of_the_package() -> None:
    assert list(OPERATORS) == sf.operators() and list(DTYPES) == list(TORCH_DTYPES)


OUTPUTS = {
    "table": "senet.yaml  32 x 7 x 7 -> 32 x 7 x 7\npath       operator ",
    "csv": "path,operator,sizes,parameters,macs,elements\n",
    "tsv": "path\toperator\tsizes\tparameters\tmacs\telements\n",
    "json": '{\n "block": "senet.yaml",\n "input": [\n',
    "markdown": "**senet.yaml** 32 x 7 x 7 -> 32 x 7 x 7\n\n| path | operator |",
    "rewrites": "senet.yaml  0 rewrites\npath  rule  because\n",
}
"""How the output of `show` begins in each format."""


def test_every_format_works(run: Run) -> None:
    assert set(OUTPUTS) == set(FORMATS["show"])
    for layout, beginning in OUTPUTS.items():
        code, out, err = run("show", "channels=32", "size=7", f"format={layout}")
        assert (code, err, out[: len(beginning)]) == (0, "", beginning)


def test_every_key_is_found(run: Run) -> None:
    for command in COMMANDS:
        code, out, _ = run(command, "--cfg", "job")
        typed = [line.partition(":")[0] for line in out.splitlines() if line[:1].isalpha()]
        known = [key.name for key in command_keys(command).values() if not (key.is_group and key.default == "null")]
        assert code == 0 and sorted(typed) == sorted(known)
