"""Counts how many wrong configs the recordings tell, and writes docs/mutations.md.

python scripts/mutations.py [CASE ...]    every recording, or some of them (then nothing is written)

The exit code is 1 where a mutant survives that no list knows, where one that is listed as equivalent is told, where an entry
of the lists is stale, where a recording catches nothing of a kind, and where the recordings catch fewer than 95 % of the
mutants that matter.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.mutation_testing import EQUIVALENT, UNSEEN, Known, Row, mutants, row, stale_entries, uncaught_kinds, unexpected  # noqa: E402
from tests.papers.recorded_cases import CASES  # noqa: E402
from tests.papers.references import load_recording  # noqa: E402

DOCUMENT = ROOT / "docs" / "mutations.md"
LEAST = 0.95
INTRODUCTION = """# Mutations

Written by scripts/mutations.py. A mutant is the resolved config of a recorded block with one error: another
statistic, axis, activation, number or fuse, two steps swapped with their weights, a step left out. All are derived
systematically from the tree of the config and the schemas of its operators, parameters at their default included.

- **refused**: no block is built, or the authors' weights do not fit. Counted apart.
- **caught**: output, gradient, training output or running statistics differ from the recording by more than 1e-4.
- **missed**: another function, but not at the values of the recording. Plain torch (`tests/papers/references`) tells each at
  other values: inputs tenfold with norms and biases twentyfold, or inputs of a thousandth with small variances.
- **equivalent**: the same function of every input, by a reason given below by hand; plain torch agrees at those values.

Not made: `start` (the authors' weights overwrite it), the order of branches whose fuse does not heed it, the order of
axes that are a set. A step left out has `identity` in its place.
"""


def judged(case: str) -> list[Row]:
    """Every mutant of a case with its verdicts."""
    recording = load_recording(case)
    return [row(mutant, recording) for mutant in mutants(case, recording.input.shape[1])]


def rate(rows: Iterable[Row]) -> float:
    """The part of the mutants that matter that the recordings catch."""
    count = Counter(found.standing for found in rows)
    matter = count["caught"] + count["missed"]
    return count["caught"] / matter if matter else 1.0


def totals(rows: Sequence[Row]) -> str:
    """All figures in a paragraph."""
    count = Counter(found.standing for found in rows)
    is_caught = sum(found.is_caught for found in rows if found.standing in ("caught", "missed"))
    return (
        f"{len(rows):,} mutants of {len({found.mutant.case for found in rows})} recordings: {count['refused']:,} refused, "
        f"{count['caught']:,} caught, {count['missed']:,} missed, {count['equivalent']:,} equivalent. "
        f"**The recordings catch {rate(rows):.1%} of those that matter**; "
        f"with plain torch {is_caught / (count['caught'] + count['missed']):.1%} are told."
    )


def table(title: str, groups: dict[str, list[Row]], kinds: Sequence[str] = ()) -> list[str]:
    """A row a group: how many mutants, what became of them, how many of each kind."""
    lines = [f"| {title} | mutants | refused | caught | missed | equivalent | caught of those that matter |"]
    lines[0] += "".join(f" {kind} |" for kind in kinds)
    lines.append(f"| --- |{' ---: |' * (6 + len(kinds))}")
    for name, rows in groups.items():
        count = Counter(found.standing for found in rows)
        of_kind = Counter(found.mutant.kind for found in rows)
        figures = [len(rows), *(count[standing] for standing in ("refused", "caught", "missed", "equivalent"))]
        cells = [name, *map(str, figures), f"{rate(rows):.1%}", *(str(of_kind[kind] or "") for kind in kinds)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def tables(rows: Sequence[Row]) -> list[str]:
    """By kind and by recording."""
    kinds = sorted({found.mutant.kind for found in rows})
    cases = list(dict.fromkeys(found.mutant.case for found in rows))
    by_kind = {kind: [found for found in rows if found.mutant.kind == kind] for kind in kinds}
    by_case = {case: [found for found in rows if found.mutant.case == case] for case in cases}
    return [*table("kind", by_kind), "", *table("recording", by_case, kinds)]


def explained(entries: Sequence[Known], rows: Sequence[Row], standing: str) -> list[str]:
    """A paragraph for each entry: why, how many; every one that is missed, the first of those that are equivalent."""
    lines = []
    for entry in entries:
        found = [r for r in rows if r.standing == standing and r.known([entry])]
        shown = found if standing == "missed" else found[:1]
        count = f"{len(found)} mutant{'' if len(found) == 1 else 's'}"
        more = "" if len(shown) == len(found) else f" like `{entry.label}`, the first of them"
        lines += ["", f"**{entry.reason}** {count}{more}:", ""]
        for label in dict.fromkeys(r.mutant.label for r in shown):
            alike = [r for r in shown if r.mutant.label == label]
            lines.append(f"- `{label}`: {', '.join(r.mutant.case for r in alike)}{by_reference(alike)}")
    return lines


def by_reference(rows: Sequence[Row]) -> str:
    """At which values plain torch tells mutants."""
    probes = {r.second.quantity.rpartition(", ")[2] for r in rows if r.second and r.is_caught}
    return f" ({', '.join(sorted(probes))})" if probes else ""


def document(rows: Sequence[Row]) -> str:
    """docs/mutations.md."""
    missed = explained(UNSEEN, rows, "missed")
    equivalent = explained(EQUIVALENT, rows, "equivalent")
    head = [INTRODUCTION, totals(rows), "", *tables(rows), "", "## Missed", ""]
    is_caught = "In brackets: the values at which plain torch tells the mutant."
    return "\n".join([*head, is_caught, *missed, "", "## Equivalent", *equivalent, ""])


def main(names: Sequence[str]) -> int:
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows = [found for case in names or CASES for found in judged(case)]
    wrong = [*unexpected(rows), *uncaught_kinds(rows), *(() if names else stale_entries(rows))]
    print(*tables(rows), "", totals(rows).replace("**", ""), f"{time.perf_counter() - start:.0f} s", sep="\n")
    print("", *(f"{r.mutant.case} {r.mutant.label}{by_reference([r])}" for r in rows if r.standing == "missed"), sep="\n")
    print("", *wrong, sep="\n")
    if not names:
        DOCUMENT.write_text(document(rows), encoding="utf-8")
    return int(bool(wrong) or rate(rows) < LEAST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
