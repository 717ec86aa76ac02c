"""Writes docs/families.md: which blocks the network families of timm and torchvision take, and where.

python scripts/network_families.py                               all families
python scripts/network_families.py timm:resnet torchvision:ssd   these families, printed and not written

A family is a module of timm, or a module of torchvision.models. Its smallest network, with random weights, gets a block at
`stage:-1`, at all modules of a class, and at a pattern. Each family runs in its own process (a fork). The exit code is 1 if a
place that the page lists does not take a block any more, or if an error is no ConfigError.
"""

import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from families.insertion import KINDS, Outcome, insert_everywhere
from families.zoo import all_families, smallest_network
from markdown_table import markdown_table

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
TIMEOUT_S = 900
FORK = multiprocessing.get_context("fork")


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
        return all(outcome.block for outcome in self.outcomes.values())

    def cells(self) -> list[str]:
        """The cells of the table."""
        return [self.family, self.network, self.size, *(outcome.cell() for outcome in self.outcomes.values())]


def run_family(family: str, limit_s: float = TIMEOUT_S) -> Row:
    """The row of a family, from a process of its own: a crash and an endless loop are outcomes."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_send_row, args=(sender, family), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(limit_s):
            row: Row = receiver.recv()
            return row
        reason = f"no result after {limit_s} s"
    except EOFError:
        process.join()
        reason = f"the process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return Row(family, "", "", {kind: Outcome("", "", reason, is_fault=True) for kind in KINDS})


def _send_row(sender: Connection, family: str) -> None:
    try:
        sender.send(family_row(family))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        sender.send(Row(family, "", "", {kind: Outcome("", "", reason, is_fault=True) for kind in KINDS}))


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


def faults(rows: Sequence[Row], listed: set[tuple[str, str]]) -> list[str]:
    """What is wrong: places of the page that take no block, and errors that are no ConfigError."""
    found = []
    for row in rows:
        for kind, outcome in row.outcomes.items():
            if outcome.is_fault or (not outcome.block and (row.family, kind) in listed):
                found.append(f"{row.family}, {kind}: {outcome.reason}")
    return found


def listed_places(text: str) -> set[tuple[str, str]]:
    """(family, kind of place) of all places that a page lists with a block."""
    places = set()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if re.fullmatch(r"(timm|torchvision):\w+(\.\w+)?", cells[0]):
            places |= {(cells[0], kind) for kind, cell in zip(KINDS, cells[3:], strict=True) if cell != "refused"}
    return places


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
random weights, and inserts `cbam`, or `senet` where `cbam` is refused. The kinds of places are:

- **stage**: `stage:-1`, or `stage:-2`, see below;
- **class**: all modules of a class that is repeated in the network;
- **pattern**: the last norms of these modules, or the modules themselves, as a pattern of paths.

A table cell names the block and the place. There, the output of the network is unchanged (difference 0.0), a checkpoint of the
network without blocks loads with `strict=True`, and all parameters of the blocks get gradients.

A block has no effect where nothing reads its map: the head of some transformers reads only the class token of the last layer.
There the table has `stage:-2`, and the last block of a class or pattern gets gradients of 0.

{count(rows, "timm")} families of timm and {count(rows, "torchvision")} of torchvision take a block at each kind of place.

{table}

## Refused

{chr(10).join(reasons) or "None."}
"""


def main() -> int:
    torch.set_num_threads(1)
    listed = listed_places(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else set()
    rows = run_families(sys.argv[1:] or all_families())
    errors = faults(rows, listed)
    print(f"timm {count(rows, 'timm')}, torchvision {count(rows, 'torchvision')}", *errors, sep="\n")
    if not sys.argv[1:]:
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
