"""Measurements in a store: what their digest covers, when they are used again, and how they become one table."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from sefactory.bench.case import Case
from sefactory.bench.machine import Options
from sefactory.bench.results import Results, Row, refused_row
from sefactory.bench.stored import MACHINE, measurement_key, merge_results, read_record, store_results, stored_results
from sefactory.store.store import Store
from tests.bench.rows import SHAPES, row

FACTS = {**dict.fromkeys(MACHINE, "x"), "date": "2026-01-01", "seconds": 0.02}
OPTIONS = Options(rounds=15)


def case(name: str = "senet", tree: object = "tree") -> Case:
    return Case(name, nn.Identity(), 0, 0, 0, {}, tree)


KEY = measurement_key([case()], "senet", (2, 8, 7, 7), OPTIONS, FACTS)


@pytest.mark.parametrize("fact", MACHINE)
def test_the_machine_and_the_versions_count(fact: str) -> None:
    assert measurement_key([case()], "senet", (2, 8, 7, 7), OPTIONS, {**FACTS, fact: "y"}) != KEY


@pytest.mark.parametrize(
    "options",
    [replace(OPTIONS, dtype="float64"), replace(OPTIONS, threads=2), replace(OPTIONS, compile=True)]
    + [replace(OPTIONS, channels_last=True), replace(OPTIONS, seed=1), replace(OPTIONS, device="meta")],
)
def test_the_options_count(options: Options) -> None:
    assert measurement_key([case()], "senet", (2, 8, 7, 7), options, FACTS) != KEY


def test_the_blocks_the_baseline_and_the_shape_count() -> None:
    others = [
        measurement_key([case(tree="other")], "senet", (2, 8, 7, 7), OPTIONS, FACTS),
        measurement_key([case("mine")], "senet", (2, 8, 7, 7), OPTIONS, FACTS),
        measurement_key([case(), case("cbam")], "senet", (2, 8, 7, 7), OPTIONS, FACTS),
        measurement_key([case()], None, (2, 8, 7, 7), OPTIONS, FACTS),
        measurement_key([case()], "senet", (2, 8, 7, 8), OPTIONS, FACTS),
    ]
    assert len({KEY, *others}) == 6


def test_the_load_and_the_precision_do_not_count() -> None:
    other = replace(OPTIONS, rounds=3, seconds=1.0)
    assert measurement_key([case()], "senet", (2, 8, 7, 7), other, {**FACTS, "load": 3.0, "date": "later"}) == KEY


GOOD = Results([row("a")], FACTS)  # 15 rounds


@pytest.mark.parametrize(
    ("results", "options", "allow_marked", "is_used"),
    [
        (GOOD, OPTIONS, True, True),
        (GOOD, replace(OPTIONS, rounds=9, seconds=0.001), True, True),
        (GOOD, replace(OPTIONS, rounds=16), True, False),
        (GOOD, replace(OPTIONS, seconds=0.1), True, False),
        (replace(GOOD, interrupted="cut off"), OPTIONS, True, False),
        (replace(GOOD, rows=[replace(row("a"), error="forward: out of memory")]), OPTIONS, True, False),
        (replace(GOOD, rows=[replace(row("a"), marks=["busy"])]), OPTIONS, True, True),
        (replace(GOOD, rows=[replace(row("a"), marks=["busy"])]), OPTIONS, False, False),
    ],
)
def test_when_a_measurement_is_used_again(
    tmp_path: Path, results: Results, options: Options, allow_marked: bool, is_used: bool
) -> None:
    store_results(Store(tmp_path), KEY, results)
    assert stored_results(Store(tmp_path), KEY, options, allow_marked) == (results if is_used else None)


def test_what_was_cut_off_does_not_replace_what_was_finished(tmp_path: Path) -> None:
    store, cut = Store(tmp_path), Results([row("a", order=2)], FACTS, interrupted="cut off")
    store_results(store, KEY, cut)
    assert read_record(store, KEY) == cut
    store_results(store, KEY, GOOD)
    store_results(store, KEY, cut)
    assert read_record(store, KEY) == GOOD


def baseline_row(order: int) -> Row:
    return replace(row("danet", order=order), baseline="danet")


def test_only_the_baseline_is_shown_once() -> None:
    one, other = replace(row("a"), baseline="danet"), replace(row("a"), baseline="senet")
    parts = [Results([one, baseline_row(1)], FACTS), Results([other, baseline_row(2)], FACTS)]
    assert merge_results(parts, {}).rows == [one, baseline_row(1), other]


def test_another_machine_is_told_apart() -> None:
    parts = [Results([row("a")], FACTS), Results([row("b")], {**FACTS, "cpu": "y", "torch": "3"})]
    first, second = merge_results(parts, {}).rows
    assert first.marks == [] and second.marks == [
        "measured elsewhere than the first rows: cpu y, torch 3; measure all on one machine"
    ]


def test_the_environment_keeps_what_differs() -> None:
    one = {"date": "2026-01-01", "cpu": "x", "dtype": "float32", "load": 0.5, "compile": False}
    other = {"date": "2026-01-02", "cpu": "x", "dtype": "float64", "load": 0.25, "compile": True}
    parts = [Results([refused_row("a", SHAPES[0], "because")], {}), Results([], one), Results([], other)]
    assert merge_results(parts, {"command": "c"}).environment == {
        "date": "2026-01-02",
        "cpu": "x",
        "dtype": "float32; float64",
        "load": "0.25 to 0.5",
        "compile": "False; True",
        "command": "c",
    }
    assert merge_results([], {}) == Results([], {})
