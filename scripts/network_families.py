"""Writes docs/families.md: which blocks the network families of timm and torchvision take, and where.

python scripts/network_families.py                               all families
python scripts/network_families.py timm:resnet torchvision:ssd   these families, printed and not written

A family is a module of timm, or a module of torchvision.models. Its smallest network, with random weights, gets a block at
`stage:-1`, at all modules of a class, and at a pattern. Each family runs in its own process (a fork). If a place takes no block
and is not in KNOWN_REFUSALS, or if an error is no ConfigError, the exit code is 1 and the page is not written.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from families.insertion import KINDS, Outcome, insert_everywhere
from families.zoo import all_families, smallest_network
from forks import ForkError, run_in_fork
from markdown_table import markdown_table

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
TIMEOUT_S = 900
KNOWN_REFUSALS = {
    ("timm:coat", "stage"),
    ("timm:mvitv2", "stage"),
    ("timm:pit", "stage"),
    ("timm:twins", "stage"),
    ("torchvision:video.mvit", "stage"),
    ("torchvision:vision_transformer", "stage"),
}
"""(family, kind of place) that takes no block. A family that loses a place is an error until it is listed here."""


@dataclass(frozen=True)
class Row:
    """One family: its smallest network, its input size, and what each kind of place took."""

    family: str
    network: str
    size: str
    outcomes: dict[str, Outcome]

    @property
    def is_served(self) -> bool:
        """True if every kind of place takes a block."""
        return all(outcome.is_taken for outcome in self.outcomes.values())

    def cells(self) -> list[str]:
        """The cells of the table."""
        return [self.family, self.network, self.size, *(outcome.cell() for outcome in self.outcomes.values())]


def run_family(family: str, limit_s: float = TIMEOUT_S) -> Row:
    """The row of a family, from a process of its own: a crash and an endless loop are outcomes."""
    try:
        return run_in_fork(family_row, (family,), limit_s)
    except ForkError as error:
        return Row(family, "", "", {kind: Outcome("", str(error), is_fault=True) for kind in KINDS})


def family_row(family: str) -> Row:
    """The row of a family, by insertions into its smallest network."""
    torch.manual_seed(0)
    sample = smallest_network(family)
    return Row(family, sample.name, "x".join(map(str, sample.size)), insert_everywhere(sample))


def run_families(families: Sequence[str], run: Callable[[str], Row] = run_family) -> list[Row]:
    """The rows of all families; prints one line for each, and one for each place that takes no block."""
    rows = []
    for family in families:
        start = time.perf_counter()
        rows.append(run(family))
        print(*rows[-1].cells(), f"{time.perf_counter() - start:.0f} s", sep="  ", flush=True)
        for kind, outcome in rows[-1].outcomes.items():
            if outcome.reason:
                print(f"    {'FAULT' if outcome.is_fault else kind}: {outcome.reason}", flush=True)
    return rows


def errors_in(rows: Sequence[Row]) -> list[str]:
    """What is wrong: an error that is no ConfigError, a refusal that is not known, and a known one that is none any more."""
    found = []
    for row in rows:
        for kind, outcome in row.outcomes.items():
            is_known = (row.family, kind) in KNOWN_REFUSALS
            if outcome.is_fault or not (outcome.is_taken or is_known):
                found.append(f"{row.family}, {kind}: {outcome.reason}")
            elif outcome.is_taken and is_known:
                found.append(f"{row.family}, {kind}: in KNOWN_REFUSALS, but takes a block at {outcome.at}")
    return found


def count(rows: Sequence[Row], zoo: str) -> str:
    """`90 of 98`: the families of a zoo that take a block at each kind of place."""
    own = [row for row in rows if row.family.startswith(f"{zoo}:")]
    return f"{sum(row.is_served for row in own)} of {len(own)}"


def page(rows: Sequence[Row]) -> str:
    """The text of docs/families.md."""
    reasons = [
        f"- `{row.family}`, {kind}: {outcome.reason}"
        for row in rows
        for kind, outcome in row.outcomes.items()
        if outcome.reason
    ]
    table = "\n".join(markdown_table(["family", "network", "input", *KINDS], [row.cells() for row in rows]))
    return f"""# Network families

Written by scripts/network_families.py. It takes the smallest network of each family (a module of timm or torchvision), with
random weights, and inserts `cbam`. The kinds of places are:

- **stage**: `stage:-1`, or `stage:-2`, see below;
- **class**: all modules of a class that is repeated in the network;
- **pattern**: the last norms of these modules, or the modules themselves, as a pattern of paths.

A table cell names the place. There:

- The output of the network is unchanged (difference 0.0).
- A checkpoint of the network without blocks loads with `strict=True`.
- All parameters of the blocks get finite gradients.
- The gradients of each block are not 0, except for the last one of several.

The last block has no effect where nothing reads its map: the head of some transformers reads only the class token of the last
layer. There a single block is inserted at `stage:-2`.

{count(rows, "timm")} families of timm and {count(rows, "torchvision")} of torchvision take a block at each kind of place.

{table}

## Refused

{chr(10).join(reasons) or "None."}
"""


def main() -> int:
    families = sys.argv[1:] or all_families()
    rows = run_families(families)
    errors = errors_in(rows)
    print(f"timm {count(rows, 'timm')}, torchvision {count(rows, 'torchvision')}", *errors, sep="\n")
    if not sys.argv[1:] and not errors:
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
