"""docs/speed.md: ratios, means, what is slower, and what failed."""

from dataclasses import replace

from timing import page
from timing.clock import Time
from timing.results import Row

from tests.scripts.rows import paper_row, results_of


def test_the_page_has_ratios_their_mean_and_what_is_slower() -> None:
    text = page.page(
        results_of(paper_row("senet", 4e-3, 1e-3), paper_row("cbam", 1e-3, 1e-3), paper_row("cam", 1e-3, 2e-3, "tiny"))
    )
    assert "| `senet` | 8x128x56x56 | 4 (0) | 1 (0.1) | 4.00 | - | 1 | 100 % |" in text
    assert "| Forward | **2.00** | 1.00 (cbam) | - | - |" in text
    assert "- `cam`, tiny forward: 0.50 of the speed of the authors\n" in text and "`cbam`, forward: " not in text
    assert "- A Processor: torch 2.13, Python 3.11, 1 thread, wall clock, malloc default, 1.0 GB/s, 10 GFLOP/s, today\n" in text
    assert "## Building" not in text and "### Compiled" not in text


def test_the_page_has_what_else_was_measured() -> None:
    row = paper_row("senet", 4e-3, 2e-3, kind="training")
    row.times.update({"plain": Time(4e-3, 0.0), "authors compiled": Time(3e-3, 0.0), "ours compiled": Time(1e-3, 0.0)})
    row.saved.update({"authors": 30_000_000, "ours": 20_000_000})
    results = results_of(row, paper_row("a b c", 3e-3, 1e-3, group="variants"))
    results.set_fact("build", {"senet": 1e-3, "cbam": 3e-3})
    results.set_fact("meta", {"per_minute": 6000.0})
    results.set_fact("pam cpu", {"authors": 4e9, "ours": 1e9})
    text = page.page(results)
    assert "| `senet` | 30.0 | 20.0 | 12.8 |" in text
    assert "| `senet`, training | 3 (0) | 1 (0) | 3.00 | 1.50 | - | 4.00 |" in text
    assert "| Training | **2.00** | 2.00 (senet) | 1.00 | 3.00 |" in text
    assert "| `a b c` | 3.00 |" in text and "| **lowest** | 3.00 |" in text
    assert "configs takes 2.0 ms (median)" in text and "6,000 variants a minute" in text
    assert "authors 4,000 MB, ours 1,000 MB" in text and "Nothing." in text


def _both_compiled(block: str, plain: float, lowered: float, size: str, kind: str) -> Row:
    times = {"authors compiled": Time(plain, 0.0), "ours compiled": Time(lowered, 0.0)}
    return Row("compiled", block, "cpu", size, kind, (8, 128, 56, 56), times)


def test_the_page_has_every_shipped_block_compiled() -> None:
    rows = [
        _both_compiled("senet", 2e-3, 1e-3, "full", "forward"),
        _both_compiled("senet", 1e-3, 1e-3, "tiny", "training"),
        _both_compiled("lsk", 1e-3, 2e-3, "full", "forward"),
        Row("compiled", "pa", "cpu", "full", "forward", (8, 128, 56, 56), failed={"ours compiled": "no compiler"}),
    ]
    text = page.page(results_of(*rows))
    head = "| block | forward | tiny training |\n| --- | ---: | ---: |\n"
    assert head + "| `senet` | 2.00 | 1.00 |\n| `lsk` | 0.50 | - |\n| `pa` | - | - |\n" in text
    assert "| **geometric mean** | 1.00 | 1.00 |\n| **lowest** | 0.50 | 1.00 |\n" in text
    assert "Ratios of medians, from an earlier measurement: `senet`, `lsk`.\n" in text
    assert "- `pa` ours compiled: no compiler\n" in text
    assert "- `lsk`, forward: 0.50 of the speed of plain, both compiled\n" in text
    paired = [replace(row, ratios={"authors compiled/ours compiled": 3.0}) for row in rows[:2]]
    text = page.page(results_of(*paired))
    assert "| `senet` | 3.00 | 3.00 |" in text and "earlier measurement" not in text
    assert "### Every shipped block" not in page.page(results_of(paper_row("senet", 1e-3, 1e-3)))


def test_the_page_says_what_was_refused() -> None:
    text = page.page(results_of(Row("seven", "senet", "cpu", "full", "forward", (1, 2, 3, 4), failed={"": "they differ"})))
    assert "- `senet` refused: they differ\n" in text and "| `senet` | 1x2x3x4 | - | - | - | - | - | - |" in text
