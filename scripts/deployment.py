"""Writes docs/deployment.md: which config, as shipped, keeps which invariant (tests/invariants).

python scripts/deployment.py             all configs
python scripts/deployment.py cam gcnet   these, printed and not written

Exit code 1 where a miss has no explanation in EXPLAINED, or an explanation has no miss. Every cell runs in a process of
its own (it forks), so that one that crashes or does not end is a miss and the others stay.
"""

import logging
import multiprocessing
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of workers: the cells are forked
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import onnxscript  # noqa: E402, F401  (loaded once here, and not in each cell)
import torch  # noqa: E402
import torch._inductor.compile_fx  # noqa: E402, F401

import sefactory as sf  # noqa: E402
from tests.invariants import checks, export_checks  # noqa: E402
from tests.invariants.cases import config_case, with_random_weights  # noqa: E402

TABLE = ROOT / "docs" / "deployment.md"
CHECKS = {**checks.CHECKS, **export_checks.CHECKS}
SEVEN_PAPERS = ["senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer"]
WIDTH, SECONDS = 64, 600
FORK = multiprocessing.get_context("fork")
Cells = dict[tuple[str, str], str | None]  # (config, property): why it misses

EXPLAINED: dict[tuple[str, str], str] = {}


def cell(check: Callable[[checks.CaseFactory], None], make: checks.CaseFactory) -> str | None:
    """Why a property fails, in one line; None where it holds."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=report, args=(sender, check, make), daemon=True)
    process.start()
    sender.close()
    try:
        return str(receiver.recv()) or None if receiver.poll(SECONDS) else f"no end within {SECONDS} s"
    except EOFError:
        process.join()
        return f"its process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()


def report(sender: Connection, check: Callable[[checks.CaseFactory], None], make: checks.CaseFactory) -> None:
    warnings.simplefilter("error")
    try:
        check(make)
        sender.send("")
    except Exception as error:
        sender.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def run(names: list[str]) -> Cells:
    cells: Cells = {}
    for name in names:
        start, make = time.perf_counter(), with_random_weights(partial(config_case, name, WIDTH), std=0.1)
        for title, check in CHECKS.items():
            cells[name, title] = cell(check, make)
        missed = [title for title in CHECKS if cells[name, title]]
        passed = f"{len(CHECKS) - len(missed)} of {len(CHECKS)}"
        print(f"{name:20} {passed}, {time.perf_counter() - start:.0f} s", flush=True)
        for title in missed:
            print(f"    {title}: {cells[name, title]}", flush=True)
    return cells


def share(cells: Cells, names: list[str]) -> str:
    of = [why for (name, _), why in cells.items() if name in names]
    passed = sum(why is None for why in of)
    return f"{passed} of {len(of)} ({100 * passed / len(of):.1f} %)"


def document(cells: Cells) -> str:
    """The table, what its columns mean, and why what misses misses."""
    rows = [f"| config | {' | '.join(CHECKS)} |", f"| --- |{' :---: |' * len(CHECKS)}"]
    for name in sf.configs():
        marks = ["miss" if cells[name, title] else "✓" for title in CHECKS]
        rows.append(f"| {f'**{name}**' if name in SEVEN_PAPERS else name} | {' | '.join(marks)} |")
    misses = [f"- `{name}`, {title}: {reason}" for (name, title), reason in EXPLAINED.items()]
    grids = {name: export_checks.least_grid(config_case(name, WIDTH)) for name in sf.configs()}
    coarse = ", ".join(f"`{name}` from {least} x {least}" for name, least in grids.items() if least > 1)
    meanings = [f"- **{title}**: {(check.__doc__ or '').splitlines()[0]}" for title, check in CHECKS.items()]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript", "onnxruntime"))
    return f"""# Deployment

Written by scripts/deployment.py, which runs every property of every config as it is shipped, at {WIDTH} channels and with
random weights, on one thread of a CPU, with warnings as errors.
Python {platform.python_version()}, {packages}.

{share(cells, sf.configs())} pass; of the seven papers (bold) {share(cells, SEVEN_PAPERS)}.

{chr(10).join(rows)}

## Misses

{chr(10).join(misses) or "None."}

## What the columns say

{chr(10).join(meanings)}

## What holds with a condition

- Batch, H and W are dynamic from 1 on, but for gates that are coarser than their maps: {coarse}.
  torch.export takes every map inside to have more than one position, to tell its memory format, and guards that. With
  `torch.fx.experimental._config.patch(backed_size_oblivious=True)` around the export there is no such guard.
- Such a gate is brought to its map by the nearest position, which torch and onnxruntime round differently at a few sizes
  where a border falls on a whole number: `genet` and `genet_minus` at 6 of the heights up to 400 (198, 230, 297, 345, 366,
  382) take one row of the gate from its neighbour.
- float16 ends at 65504, and `gated_channel` takes a sum of squares over the positions: with input in float16 and a
  standard deviation of 10 at 96 x 96 it is not finite. In float32 and bfloat16, and of float32 under autocast, it is.
"""


def main() -> int:
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision in every cell
    names = sys.argv[1:] or sf.configs()
    cells = run(names)
    missed = {key for key, why in cells.items() if why}
    wrong = [f"without an explanation: {key}" for key in sorted(missed - set(EXPLAINED))]
    wrong += [f"explained, and passes: {key}" for key in sorted(set(EXPLAINED) & set(cells) - missed)]
    print(f"{share(cells, names)} pass", *wrong, sep="\n")
    if not sys.argv[1:]:
        TABLE.write_text(document(cells), encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
