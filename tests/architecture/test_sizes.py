"""Files and functions are short."""

import pytest

from tests.architecture.source import FUNCTIONS, MODULES, ROOMS, code_length, definitions, modules_of

LONGEST_FILE, LONGEST_FUNCTION = 250, 25


@pytest.mark.parametrize("room", ROOMS)
def test_files_and_functions_are_short(room: str) -> None:
    lengths = {module: len(MODULES[module].read_text(encoding="utf-8").splitlines()) for module in modules_of(room)}
    too_long = {module: length for module, length in lengths.items() if length > LONGEST_FILE}
    for definition in (d for module in modules_of(room) for d in definitions(module) if isinstance(d.node, FUNCTIONS)):
        if (length := code_length(definition)) > LONGEST_FUNCTION:
            too_long[f"{definition.module}.{definition.name}"] = length
    assert not too_long
