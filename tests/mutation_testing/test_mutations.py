"""Wrong configs are told: by the recordings, or, where those are blind, by plain torch at other values."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sefactory as sf
from sefactory.config.registry import find_operator
from tests.mutation_testing import (
    EQUIVALENT,
    UNSEEN,
    Known,
    Mutant,
    Row,
    Verdict,
    blind,
    equivalence,
    faults,
    judged,
    kind_of,
    miss,
    mutants,
    original,
    row,
    told_by_reference,
)
from tests.papers.recorded_cases import CASES
from tests.papers.references import load_golden

DOCUMENT = Path(__file__).parents[2] / "docs" / "mutations.md"
OF_A_KIND = 3
"""Mutants of each kind that a run judges of each recording; scripts/mutations.py judges them all."""
GATES = {"sigmoid", "hard_sigmoid", "tanh", "relu", "relu6", "hard_swish", "softmax", "square", "mlp"}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The maps are small: a second thread costs more than it does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of(case: str) -> tuple[Mutant, ...]:
    return mutants(case, load_golden(case).input.shape[1])


def sample(case: str) -> Iterator[Mutant]:
    """The same few of each kind in every run, from the first to the last of them."""
    kinds: dict[str, list[Mutant]] = {}
    for mutant in of(case):
        kinds.setdefault(mutant.kind, []).append(mutant)
    for found in kinds.values():
        yield from found[:: -(-len(found) // OF_A_KIND)]


@pytest.mark.parametrize("case", CASES)
def test_a_right_config_is_not_told(case: str) -> None:
    golden = load_golden(case)
    right = Mutant(case, "", "", "", "", original(case, golden.input.shape[1])[0])
    assert judged(right, golden).outcome == told_by_reference(right).outcome == "survived"


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_one_is_told_or_listed(case: str) -> None:
    golden = load_golden(case)
    rows = [row(mutant, golden) for mutant in sample(case)]
    assert {"caught"} <= {found.standing for found in rows}
    assert not list(faults(rows))


@pytest.mark.parametrize("case", CASES)
def test_what_a_recording_does_not_see_plain_torch_tells(case: str) -> None:
    golden = load_golden(case)
    rows = [row(mutant, golden) for mutant in of(case) if miss(case, mutant.label)]
    assert not [found.mutant.label for found in rows if not found.told]


def kinds_of_operators(case: str) -> set[str]:
    """The kinds of mutants that there have to be: from the operators of the block, without the tree of its config."""
    block = sf.build(CASES[case].config, load_golden(case).input.shape[1], overrides=CASES[case].overrides)
    names = [part.operator for part in block.parts]
    found = [operator for operator in map(find_operator, names) if operator]
    kinds = {kind_of(schema.name) for operator in found for schema in operator.parameters if schema.name != "start"}
    forms = {"parallel,": "fuse", "unit,": "apply"}
    kinds |= {kind for form, kind in forms.items() if any(name.startswith(form) for name in names)}
    return kinds | {"order", "drop"} | ({"activation"} if GATES & set(names) else set())


@pytest.mark.parametrize("case", CASES)
def test_every_kind_that_applies_has_a_mutant(case: str) -> None:
    kinds = kinds_of_operators(case)
    assert kinds <= {mutant.kind for mutant in of(case)}
    assert len(kinds) >= 5


@pytest.mark.parametrize("case", CASES)
def test_no_two_are_the_same(case: str) -> None:
    found = of(case)
    assert len({(mutant.path, mutant.was, mutant.now) for mutant in found}) == len(found)
    configs = {repr(mutant.config) for mutant in found} | {repr(original(case, load_golden(case).input.shape[1])[0])}
    assert len(configs) == len(found) + 1


@pytest.mark.parametrize("entry", [*EQUIVALENT, *UNSEEN], ids=lambda entry: entry.label)
def test_every_entry_of_the_lists_speaks_of_a_mutant(entry: Known) -> None:
    assert any(entry.match(case, mutant.label) for case in CASES for mutant in of(case))


def test_no_mutant_is_in_both_lists() -> None:
    labels = [(case, mutant.label) for case in CASES for mutant in of(case)]
    assert not [label for label in labels if equivalence(*label) and miss(*label)]


def test_what_the_lists_do_not_expect_is_a_fault() -> None:
    new = Mutant("senet_se_c64_r16", "scale", "gate.0", "sigmoid", "another", {})
    listed = Mutant("senet_se_c64_r16", "eps", "squeeze.0.pool.eps", "1e-05", "0.01", {})
    survived, caught = Verdict("survived"), Verdict("caught", "output")
    assert list(faults([Row(new, survived, caught)])) == [
        "survives, and no list knows it: senet_se_c64_r16 gate.0: sigmoid -> another"
    ]
    assert len(list(faults([Row(new, survived, survived)]))) == 2
    assert not list(faults([Row(new, caught), Row(listed, survived, survived)]))
    assert list(faults([Row(listed, survived, caught)])) == list(faults([Row(listed, caught)])) != []
    assert list(blind([Row(new, survived, caught)])) == ["no mutant of this kind is caught: senet_se_c64_r16 scale"]
    assert not list(blind([Row(new, survived, caught), Row(new, caught)]))


def test_the_document_counts_these_mutants() -> None:
    total = sum(len(of(case)) for case in CASES)
    assert f"{total:,} mutants of 48 recordings" in DOCUMENT.read_text(encoding="utf-8"), "run python scripts/mutations.py"
