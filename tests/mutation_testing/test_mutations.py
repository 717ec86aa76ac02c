"""Mutation testing: wrong configs are caught by the recordings, or by the references at other values."""

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
    equivalent_entry,
    kind_of,
    mutants,
    original,
    row,
    uncaught_kinds,
    unexpected,
    unseen_entry,
    verdict_of_recording,
    verdict_of_reference,
)
from tests.papers.recorded_cases import CASES
from tests.papers.references import load_recording
from tests.sampling import sampled

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
    return mutants(case, load_recording(case).input.shape[1])


def sample(case: str) -> Iterator[Mutant]:
    """The same few of each kind in every run, from the first to the last of them."""
    kinds: dict[str, list[Mutant]] = {}
    for mutant in of(case):
        kinds.setdefault(mutant.kind, []).append(mutant)
    for found in kinds.values():
        yield from found[:: -(-len(found) // OF_A_KIND)]


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_the_right_config_survives(case: str) -> None:
    recording = load_recording(case)
    right = Mutant(case, "", "", "", "", original(case, recording.input.shape[1])[0])
    assert verdict_of_recording(right, recording).outcome == verdict_of_reference(right).outcome == "survived"


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_mutants_are_caught_or_listed(case: str) -> None:
    recording = load_recording(case)
    rows = [row(mutant, recording) for mutant in sample(case)]
    assert {"caught"} <= {found.standing for found in rows}
    assert not list(unexpected(rows))


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_references_catch_what_recordings_do_not(case: str) -> None:
    recording = load_recording(case)
    rows = [row(mutant, recording) for mutant in of(case) if unseen_entry(case, mutant.label)]
    assert not [found.mutant.label for found in rows if not found.is_caught]


def kinds_of_operators(case: str) -> set[str]:
    """The kinds of mutants that there have to be: from the operators of the block, without the tree of its config."""
    block = sf.build(CASES[case].config, load_recording(case).input.shape[1], overrides=CASES[case].overrides)
    names = [part.operator for part in block.parts]
    found = [operator for operator in map(find_operator, names) if operator]
    kinds = {kind_of(schema.name) for operator in found for schema in operator.parameters if schema.name != "start"}
    forms = {"parallel,": "fuse", "unit,": "apply"}
    kinds |= {kind for form, kind in forms.items() if any(name.startswith(form) for name in names)}
    return kinds | {"order", "drop"} | ({"activation"} if GATES & set(names) else set())


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_every_kind_has_a_mutant(case: str) -> None:
    kinds = kinds_of_operators(case)
    assert kinds <= {mutant.kind for mutant in of(case)}
    assert len(kinds) >= 5


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_mutants_differ(case: str) -> None:
    found = of(case)
    assert len({(mutant.path, mutant.was, mutant.now) for mutant in found}) == len(found)
    configs = {repr(mutant.config) for mutant in found} | {repr(original(case, load_recording(case).input.shape[1])[0])}
    assert len(configs) == len(found) + 1


@pytest.mark.parametrize("entry", [*EQUIVALENT, *UNSEEN], ids=lambda entry: entry.label)
def test_every_entry_of_the_lists_has_a_mutant(entry: Known) -> None:
    assert any(entry.match(case, mutant.label) for case in CASES for mutant in of(case))


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_no_mutant_is_in_both_lists(case: str) -> None:
    labels = [mutant.label for mutant in of(case)]
    assert not [label for label in labels if equivalent_entry(case, label) and unseen_entry(case, label)]


def test_unexpected_verdicts_are_reported() -> None:
    new = Mutant("senet_se_c64_r16", "scale", "gate.0", "sigmoid", "another", {})
    listed = Mutant("senet_se_c64_r16", "eps", "squeeze.0.pool.eps", "1e-05", "0.01", {})
    survived, caught = Verdict("survived"), Verdict("caught", "output")
    assert list(unexpected([Row(new, survived, caught)])) == [
        "survives, and is in no list: senet_se_c64_r16 gate.0: sigmoid -> another"
    ]
    assert len(list(unexpected([Row(new, survived, survived)]))) == 2
    assert not list(unexpected([Row(new, caught), Row(listed, survived, survived)]))
    assert list(unexpected([Row(listed, survived, caught)])) == list(unexpected([Row(listed, caught)])) != []
    assert list(uncaught_kinds([Row(new, survived, caught)])) == ["no mutant of this kind is caught: senet_se_c64_r16 scale"]
    assert not list(uncaught_kinds([Row(new, survived, caught), Row(new, caught)]))


def test_the_page_counts_these_mutants() -> None:
    total = sum(len(of(case)) for case in CASES)
    assert f"{total:,} mutants of 48 recordings" in DOCUMENT.read_text(encoding="utf-8"), "run python scripts/mutations.py"
