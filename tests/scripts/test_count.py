"""Launches and bytes on devices other than a CPU: the seven papers take no more than their authors' code or the module tree."""

import sys
from functools import cache
from pathlib import Path
from statistics import geometric_mean

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import speed
from timing import count

LEAST = {
    ("large", "forward", "bytes"): 1.4,
    ("large", "training", "bytes"): 1.2,
    ("tiny", "forward", "launches"): 1.3,
    ("tiny", "training", "launches"): 1.15,
}


@cache
def rows() -> list[count.Counts]:
    return list(count.counts())


@pytest.mark.parametrize("column", ["authors", "plain"])
@pytest.mark.parametrize("what", ["launches", "bytes"])
def test_counts_do_not_exceed_those_of_other_code(what: str, column: str) -> None:
    assert len(rows()) == 28
    for row in rows():
        assert row.ratio(what, column) >= 1.0, (row.block, row.size, row.kind, what, column, getattr(row, what))


@pytest.mark.parametrize(("size", "kind", "what"), LEAST)
def test_the_mean_over_the_papers(size: str, kind: str, what: str) -> None:
    ratios = [row.ratio(what, "authors") for row in rows() if (row.size, row.kind) == (size, kind)]
    assert len(ratios) == 7 and geometric_mean(ratios) >= LEAST[size, kind, what]


class _Calls(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x).view(-1).fill_(1.0)  # the allocation and the view are no launches
        return torch.add(x.view(-1), x.new_zeros(1).expand(x.numel()), out=y)


def test_views_and_allocations_are_no_launches() -> None:
    calls = count.launches(_Calls(), (2, 3), "forward")
    assert calls == [("aten.fill_.Scalar", 24), ("aten.new_zeros.default", 28), ("aten.add.out", 52)]


def test_the_section_replaces_the_former_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\n{count.TITLE}\n\nold\n\n## Building\n\nfast\n")
    assert speed.main(["--count", "--blocks", "senet", "--write", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("# Speed\n\n## Building\n\nfast\n\n" + count.TITLE) and "old" not in text
    assert "| `senet` | 2x128x7x7 | 6 | 6 | 6 | " in text and "### Large maps, training" in text
    assert count.TITLE in capsys.readouterr().out
