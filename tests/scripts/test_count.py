"""Launches and bytes on devices other than a CPU: the seven papers take no more than their authors' code or the module tree."""

from functools import cache
from pathlib import Path
from statistics import geometric_mean

import pytest
import speed
import torch
from timing import count
from torch import nn

LEAST = {
    ("large", "forward", "bytes"): 1.4,
    ("large", "training", "bytes"): 1.2,
    ("tiny", "forward", "launches"): 1.3,
    ("tiny", "training", "launches"): 1.15,
}


@cache
def rows() -> list[count.Counts]:
    return list(count.count_papers())


@pytest.mark.parametrize("column", ["authors", "plain"])
@pytest.mark.parametrize("unit", ["launches", "bytes"])
def test_counts_do_not_exceed_those_of_other_code(unit: count.Unit, column: str) -> None:
    assert len(rows()) == 28
    for row in rows():
        assert row.ratio(unit, column) >= 1.0, row


@pytest.mark.parametrize(("size", "kind", "unit"), LEAST)
def test_the_mean_over_the_papers(size: str, kind: str, unit: count.Unit) -> None:
    ratios = [row.ratio(unit, "authors") for row in rows() if (row.size, row.kind) == (size, kind)]
    assert len(ratios) == 7 and geometric_mean(ratios) >= LEAST[size, kind, unit]


class _Calls(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x).view(-1).fill_(1.0)  # the allocation and the view are no launches
        return torch.add(x.view(-1), x.new_zeros(1).expand(x.numel()), out=y)


def test_views_and_allocations_are_no_launches() -> None:
    calls = count.record_launches(_Calls(), (2, 3), "forward")
    assert calls == [("aten.fill_.Scalar", 24), ("aten.new_zeros.default", 28), ("aten.add.out", 52)]


def test_the_section_replaces_the_former_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\n{count.TITLE}\n\nold\n\n## Building\n\nfast\n")
    assert speed.main(["--count", "--blocks", "senet", "--write", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("# Speed\n\n## Building\n\nfast\n\n" + count.TITLE) and "old" not in text
    assert "| `senet` | 2x128x7x7 | 6 | 6 | 6 | " in text and "### Large maps, training" in text
    assert count.TITLE in capsys.readouterr().out
