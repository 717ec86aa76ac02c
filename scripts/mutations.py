"""Counts how many wrong configs the recordings catch, and writes docs/mutations.md.

python scripts/mutations.py [CASE ...]    every recording, or some of them (then nothing is written)

The exit code is 1 if one of these holds:

- a mutant survives and is in no list, or one that is listed as equivalent is caught
- an entry of the lists matches no survivor
- a recording catches no mutant of a kind of which it misses some
- the recordings catch fewer than 95 % of the mutants that can be caught
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from markdown_table import markdown_table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.mutation_testing import EQUIVALENT, UNSEEN, Known, Row, mutants, stale_entries, uncaught_kinds, unexpected  # noqa: E402
from tests.mutation_testing import row as judge  # noqa: E402
from tests.papers.recorded_cases import CASES  # noqa: E402
from tests.papers.references import load_recording  # noqa: E402

PAGE = ROOT / "docs" / "mutations.md"
MIN_RATE = 0.95
HEAD = """# Mutations

Written by scripts/mutations.py. A mutant is the resolved config of a recorded block with one error: another statistic, axis,
activation, number or fuse, two steps swapped together with their weights, or a step replaced by `identity`. The mutants are
generated from the tree of the config and the schemas of its operators. Parameters at their default are changed as well.

- **refused**: the block cannot be built, or the authors' weights do not fit.
- **caught**: output, gradient, training output or running statistics differ from the recording by more than 1e-4.
- **missed**: the mutant is another function, but equal at the recorded values. The reference in plain torch
  (`tests/papers/references`) catches it at other values: inputs times ten with norms and biases times twenty, or inputs
  times 0.001 with small variances.
- **equivalent**: the mutant is the same function of every input, for a reason given below. The reference agrees at those
  other values.

Three changes are not made: `start`, which the authors' weights overwrite, the order of branches if their fuse ignores it, and
the order of axes that are a set.
"""


def judge_mutants(case: str) -> list[Row]:
    """Every mutant of a case with its verdicts."""
    recording = load_recording(case)
    return [judge(mutant, recording) for mutant in mutants(case, recording.input.shape[1])]


def catch_rate(rows: Iterable[Row]) -> float:
    """The share of mutants that the recordings catch, of those that are caught or missed."""
    counts = Counter(row.standing for row in rows)
    relevant = counts["caught"] + counts["missed"]
    return counts["caught"] / relevant if relevant else 1.0


def totals(rows: Sequence[Row]) -> str:
    """A paragraph with the numbers of all mutants."""
    counts = Counter(row.standing for row in rows)
    with_reference = sum(row.is_caught for row in rows if row.standing in ("caught", "missed"))
    return (
        f"{len(rows):,} mutants of {len({row.mutant.case for row in rows})} recordings: {counts['refused']:,} refused, "
        f"{counts['caught']:,} caught, {counts['missed']:,} missed, {counts['equivalent']:,} equivalent. "
        f"**The recordings catch {catch_rate(rows):.1%} of the mutants that are caught or missed**; together with the "
        f"references it is {with_reference / (counts['caught'] + counts['missed']):.1%}."
    )


def table(title: str, groups: dict[str, list[Row]], kinds: Sequence[str] = ()) -> list[str]:
    """The lines of a table with a row for each group: numbers by standing, the catch rate, and numbers by kind."""
    head = [title, "mutants", "refused", "caught", "missed", "equivalent", "catch rate", *kinds]
    lines = []
    for name, rows in groups.items():
        by_standing = Counter(row.standing for row in rows)
        by_kind = Counter(row.mutant.kind for row in rows)
        numbers = [len(rows), *(by_standing[standing] for standing in ("refused", "caught", "missed", "equivalent"))]
        lines.append([name, *map(str, numbers), f"{catch_rate(rows):.1%}", *(str(by_kind[kind] or "") for kind in kinds)])
    return markdown_table(head, lines, align="---:")


def tables(rows: Sequence[Row]) -> list[str]:
    """The table by kind and the table by recording."""
    kinds = sorted({row.mutant.kind for row in rows})
    cases = list(dict.fromkeys(row.mutant.case for row in rows))
    by_kind = {kind: [row for row in rows if row.mutant.kind == kind] for kind in kinds}
    by_case = {case: [row for row in rows if row.mutant.case == case] for case in cases}
    return [*table("kind", by_kind), "", *table("recording", by_case, kinds)]


def survivors(entries: Sequence[Known], rows: Sequence[Row], standing: str) -> list[str]:
    """A paragraph for each entry of a list: the reason, the number, and all missed mutants or the first equivalent one."""
    lines = []
    for entry in entries:
        matching = [row for row in rows if row.standing == standing and row.known([entry])]
        shown = matching if standing == "missed" else matching[:1]
        count = f"{len(matching)} mutant{'' if len(matching) == 1 else 's'}"
        more = "" if len(shown) == len(matching) else f" like `{entry.label}`, of which the first is"
        lines += ["", f"**{entry.reason}** {count}{more}:", ""]
        for label in dict.fromkeys(row.mutant.label for row in shown):
            same_label = [row for row in shown if row.mutant.label == label]
            lines.append(f"- `{label}`: {', '.join(row.mutant.case for row in same_label)}{probe_names(same_label)}")
    return lines


def probe_names(rows: Sequence[Row]) -> str:
    """The names of the values at which the reference catches mutants, in brackets; "" without any."""
    probes = {row.second.quantity.rpartition(", ")[2] for row in rows if row.second and row.is_caught}
    return f" ({', '.join(sorted(probes))})" if probes else ""


def page(rows: Sequence[Row]) -> str:
    """The text of docs/mutations.md."""
    missed = survivors(UNSEEN, rows, "missed")
    equivalent = survivors(EQUIVALENT, rows, "equivalent")
    head = [HEAD, totals(rows), "", *tables(rows), "", "## Missed", ""]
    note = "In brackets: the values at which the reference catches the mutant."
    return "\n".join([*head, note, *missed, "", "## Equivalent", *equivalent, ""])


def main(cases: Sequence[str]) -> int:
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows = [row for case in cases or CASES for row in judge_mutants(case)]
    errors = [*unexpected(rows), *uncaught_kinds(rows), *(() if cases else stale_entries(rows))]
    print(*tables(rows), "", totals(rows).replace("**", ""), f"{time.perf_counter() - start:.0f} s", sep="\n")
    missed = [row for row in rows if row.standing == "missed"]
    print("", *(f"{row.mutant.case} {row.mutant.label}{probe_names([row])}" for row in missed), sep="\n")
    print("", *errors, sep="\n")
    if not cases:
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(bool(errors) or catch_rate(rows) < MIN_RATE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
