"""The table of network families: a sample of its rows, and the errors that it reports."""

import sys
from dataclasses import replace
from pathlib import Path

import network_families
import pytest
import torch
from families.insertion import KINDS, NoGradientError, Outcome, check_insertion, try_insertion
from families.zoo import Sample, all_families, smallest_network
from network_families import Row
from torch import Tensor, nn

import sefactory as sf
from tests.sampling import sampled

FAMILIES = all_families()
SMALL = ["timm:cspnext", "timm:edgenext", "timm:hgnet", "torchvision:squeezenet"]
TEXT = network_families.PAGE.read_text(encoding="utf-8")
SERVED, REFUSED = Outcome("stage:-1"), Outcome("Block", "`Block`: needs a map; give a path")


@pytest.mark.filterwarnings("ignore:The default weight initialization of:FutureWarning")  # googlenet, inception_v3
@pytest.mark.parametrize("family", sampled(FAMILIES, SMALL))
def test_a_family_takes_blocks_at_the_places_of_the_page(family: str) -> None:
    row = network_families.run_family(family)
    assert not network_families.errors_in([row])
    assert f"| {' | '.join(row.cells())} |\n" in TEXT


def test_the_page_has_all_families() -> None:
    assert not [family for family in FAMILIES if f"| {family} | " not in TEXT]


def test_a_place_that_is_lost_is_an_error_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that was written in spite of an error would be the measure of the next run."""
    page = tmp_path / "families.md"
    monkeypatch.setattr(network_families, "PAGE", page)
    monkeypatch.setattr(network_families, "all_families", lambda: ["timm:a"])
    monkeypatch.setattr(sys, "argv", ["network_families.py"])
    row = Row("timm:a", "a", "3x8x8", {"stage": SERVED, "class": REFUSED, "pattern": SERVED})
    monkeypatch.setattr(network_families, "family_row", lambda family: row)
    for _ in range(2):
        assert network_families.main() == 1 and not page.exists()
        assert f"\ntimm:a, class: {REFUSED.reason}\n" in capsys.readouterr().out
    monkeypatch.setattr(network_families, "KNOWN_REFUSALS", {("timm:a", "class")})
    assert network_families.main() == 0 and page.read_text() == network_families.page([row])
    assert "| timm:a | a | 3x8x8 | `stage:-1` | refused | `stage:-1` |\n" in page.read_text()


def test_a_known_refusal_that_is_none_any_more_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_families, "KNOWN_REFUSALS", {("timm:a", "class")})
    rows = [Row("timm:a", "a", "3x8x8", dict.fromkeys(KINDS, SERVED))]
    assert network_families.errors_in(rows) == ["timm:a, class: in KNOWN_REFUSALS, but takes a block at stage:-1"]


def test_a_network_that_changes_is_no_success() -> None:
    sample = smallest_network("timm:cspnext")
    before = [sample.run(sample.network).detach()]
    sf.insert(sample.network, "cbam", "stage:-1", start="own", example=sample.example)
    with pytest.raises(AssertionError, match="the output differs by"):
        check_insertion(sample, before, sample.network, [])


class Detour(nn.Module):
    """Returns the map of one layer; those of the other layers times 0."""

    def __init__(self, returned: str) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(16, 16, 1) for _ in range(3))
        self.returned = returned

    def forward(self, x: Tensor) -> Tensor:
        maps = {"first": self.first(x), "second": self.second(x)}
        maps["third"] = self.third(maps["first"])
        return sum(maps.values()) * 0 + maps[self.returned]


@pytest.mark.parametrize(("returned", "unread"), [("third", "second"), ("first", "second"), ("second", "first")])
def test_only_the_last_of_several_blocks_may_be_without_gradients(returned: str, unread: str) -> None:
    torch.manual_seed(0)
    network, x = Detour(returned), torch.randn(2, 16, 8, 8)
    sample = Sample("detour", network, (16, 8, 8), x[:1], lambda model: model(x))
    before = [network(x).detach()]
    outcome = try_insertion(sample, before, "Conv2d")
    assert outcome == Outcome("Conv2d", f"`Conv2d`: {_message(unread)}")
    read = replace(sample, network=nn.Sequential(nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)))
    assert try_insertion(read, [read.run(read.network).detach()], "Conv2d").is_taken
    sf.insert(network, "cbam", unread, example=sample.example)
    with pytest.raises(NoGradientError, match=_message(unread)):
        check_insertion(replace(sample, network=Detour(returned)), before, network, [unread])


def _message(path: str) -> str:
    return f"the result of the network does not depend on the map at {path}; choose a place before it"
