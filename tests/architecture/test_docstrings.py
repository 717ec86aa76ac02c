"""Modules, public names and long private functions have docstrings; no docstring or comment names a processor."""

import ast
import re

import pytest

from tests.architecture.source import MODULES, ROOMS, Definition, code_length, definitions, modules_of, syntax_tree

SHORT_PRIVATE_FUNCTION = 10  # lines of code up to which a private function may go without a docstring
# torch documents these; what they compute is in the docstring of the class.
OF_TORCH = {"forward", "backward", "setup_context", "extra_repr", "register_buffer"}
PROCESSORS = re.compile(r"Zen ?[1-5]|Sapphire|Emerald Rapids|Ice Lake|Skylake|EPYC|Xeon|Ryzen|\bIntel\b|\bAMD\b", re.IGNORECASE)


def needs_docstring(definition: Definition) -> bool:
    """True for public names, and for private functions that are not short; methods that torch documents are left out."""
    name = definition.node.name
    if name in OF_TORCH or name.startswith("__"):
        return False
    if definition.is_private:
        return not isinstance(definition.node, ast.ClassDef) and code_length(definition) > SHORT_PRIVATE_FUNCTION
    return True


def is_sentence_or_formula(line: str) -> bool:
    """True if a first line is complete.

    >>> [is_sentence_or_formula(line) for line in ["Returns x.", "y = x + f(x)", "Returns what"]]
    [True, True, False]
    """
    return line.endswith((".", ":")) or " = " in line or "->" in line


def faults(module: str) -> list[str]:
    """Names without a docstring that need one, and names whose docstring begins with half a sentence."""
    documented = [("", ast.get_docstring(syntax_tree(module)), True)]
    documented += [(f".{d.name}", ast.get_docstring(d.node), needs_docstring(d)) for d in definitions(module)]
    missing = [f"{module}{name}: no docstring" for name, text, is_needed in documented if is_needed and text is None]
    first_lines = [(name, text.split("\n")[0]) for name, text, _ in documented if text is not None]
    return missing + [f"{module}{name}: {line}" for name, line in first_lines if not is_sentence_or_formula(line)]


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_are_there_and_begin_with_a_sentence(room: str) -> None:
    found = [fault for module in modules_of(room) for fault in faults(module)]
    assert not found


@pytest.mark.parametrize("room", ROOMS)
def test_figures_of_one_processor_stand_in_the_documentation_alone(room: str) -> None:
    lines = [line for module in modules_of(room) for line in MODULES[module].read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if PROCESSORS.search(line)]
    assert not found
