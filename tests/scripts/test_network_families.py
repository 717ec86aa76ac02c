"""The table of network families: a sample of its rows, and the errors that it reports."""

import network_families
import pytest
from families.insertion import KINDS, Outcome, check_insertion
from families.zoo import all_families, smallest_network

import sefactory as sf
from tests.sampling import sampled

FAMILIES = all_families()
SMALL = ["timm:cspnext", "timm:edgenext", "timm:hgnet", "torchvision:squeezenet"]
LISTED = network_families.listed_places(network_families.PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", sampled(FAMILIES, SMALL))
def test_a_family_takes_the_blocks_that_the_page_lists(family: str) -> None:
    assert not network_families.faults([network_families.run_family(family)], LISTED)


def test_the_page_has_all_families() -> None:
    text = network_families.PAGE.read_text(encoding="utf-8")
    assert not [family for family in FAMILIES if f"| {family} | " not in text]


def test_a_crash_is_a_row() -> None:
    row = network_families.run_family("timm:no_such_family")
    assert not row.is_served and all(outcome.is_fault for outcome in row.outcomes.values())


def test_places_that_are_served_no_more_are_faults() -> None:
    served, refused = Outcome("cbam", "stage:-1"), Outcome("", "Block", "`Block`: needs a map; give a path")
    rows = [network_families.Row("timm:a", "a", "3x8x8", {"stage": served, "class": refused, "pattern": refused})]
    listed = network_families.listed_places(network_families.page(rows))
    assert listed == {("timm:a", "stage")} and not network_families.faults(rows, listed)
    errors = network_families.faults(rows, {("timm:a", kind) for kind in KINDS})
    assert errors == [f"timm:a, {kind}: {refused.reason}" for kind in KINDS[1:]]


def test_a_network_that_changes_is_no_success() -> None:
    sample = smallest_network("timm:cspnext")
    before = [sample.run(sample.network).detach()]
    sf.insert(sample.network, "cbam", "stage:-1", start="own", example=sample.example)
    with pytest.raises(AssertionError, match="the output differs by"):
        check_insertion(sample, before, sample.network, [])
