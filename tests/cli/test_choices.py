"""The values that the command line knows without torch are those of the package."""

import sefactory as sf
from sefactory.bench.machine import DTYPES as TORCH_DTYPES
from sefactory.cli.choices import DTYPES, FORMATS, OPERATORS
from sefactory.cli.primary_config import COMMANDS, command_keys
from tests.cli.command_line import Run


def test_the_operators_and_types_are_those_of_the_package() -> None:
    assert list(OPERATORS) == sf.operators() and list(DTYPES) == list(TORCH_DTYPES)


def test_every_format_works(run: Run) -> None:
    for layout in FORMATS["show"]:
        assert run("show", "channels=32", "size=7", f"format={layout}")[0] == 0


def test_every_key_is_found(run: Run) -> None:
    for command in COMMANDS:
        code, out, _ = run(command, "--cfg", "job")
        typed = [line.partition(":")[0] for line in out.splitlines() if line[:1].isalpha()]
        known = [key.name for key in command_keys(command).values() if not (key.is_group and key.default == "null")]
        assert code == 0 and sorted(typed) == sorted(known)
