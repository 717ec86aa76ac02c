"""Writes docs/deployment.md: which shipped config passes which check of tests/invariants.

python scripts/deployment.py             all configs
python scripts/deployment.py cam gcnet   these configs, printed and not written

The exit code is 1 if a failure has no entry in KNOWN_FAILURES, or an entry has no failure. Every check of a config runs in its
own process (a fork), so that a crash or an endless loop is a failure of that check alone.
"""

import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # a fork cannot use a pool of workers
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import onnxscript  # noqa: E402, F401  (imported here, so that the forks need not)
import torch  # noqa: E402
import torch._inductor.compile_fx  # noqa: E402, F401
from forks import ForkError, run_in_fork  # noqa: E402
from markdown_table import markdown_table  # noqa: E402

import sefactory as sf  # noqa: E402
from tests.invariants import checks, export_checks  # noqa: E402
from tests.invariants.cases import config_case, with_random_weights  # noqa: E402
from tests.sampling import SEVEN_PAPERS  # noqa: E402

PAGE = ROOT / "docs" / "deployment.md"
CHECKS = {**checks.CHECKS, **export_checks.CHECKS}
CHANNELS, TIMEOUT_S = 64, 600
Outcomes = dict[tuple[str, str], str | None]
"""(config, check) to the reason of a failure; None if it passes."""
KNOWN_FAILURES: dict[tuple[str, str], str] = {}
"""(config, check) to the explanation on the page."""
CONDITIONS = """\
- Batch, H and W are dynamic from 1 on, except for gates with a lower spatial resolution than the input: {least_sizes}.
  torch.export assumes that every feature map inside has more than one position, because it determines the memory format from
  the strides. It guards that assumption. `torch.fx.experimental._config.patch(backed_size_oblivious=True)` around the export
  avoids the guard.
- Such a gate is upsampled (nearest neighbour). torch and onnxruntime round differently at a few sizes at which a border falls
  on an integer. `genet` and `genet_minus` differ in one row of the gate at 6 of the heights up to 400: 198, 230, 297, 345,
  366 and 382.
- float16 overflows above 65504. `gated_channel` sums squares over all positions. With a float16 input of standard deviation 10
  at 96 x 96 its output is not finite. It is finite in float32, in bfloat16, and for a float32 input under autocast.
"""


def run_check(check: Callable[[checks.CaseFactory], None], make: checks.CaseFactory) -> str | None:
    """Runs a check in a process of its own. Returns the reason of a failure in one line; None if it passes."""
    try:
        run_in_fork(check_strictly, (check, make), TIMEOUT_S)
    except ForkError as error:
        return str(error)
    return None


def check_strictly(check: Callable[[checks.CaseFactory], None], make: checks.CaseFactory) -> None:
    """Runs a check. Warnings are errors."""
    warnings.simplefilter("error")
    check(make)


def run_checks(names: list[str]) -> Outcomes:
    """Runs all checks of these configs, and prints a line for each config and each failure."""
    outcomes: Outcomes = {}
    for name in names:
        start, make = time.perf_counter(), with_random_weights(partial(config_case, name, CHANNELS), std=0.1)
        for title, check in CHECKS.items():
            outcomes[name, title] = run_check(check, make)
        failures = [title for title in CHECKS if outcomes[name, title]]
        passed = f"{len(CHECKS) - len(failures)} of {len(CHECKS)}"
        print(f"{name:20} {passed}, {time.perf_counter() - start:.0f} s", flush=True)
        for title in failures:
            print(f"    {title}: {outcomes[name, title]}", flush=True)
    return outcomes


def passed_share(outcomes: Outcomes, names: list[str]) -> str:
    """How many checks of these configs pass, e.g. "126 of 126 (100.0 %)"."""
    reasons = [reason for (name, _), reason in outcomes.items() if name in names]
    passed = reasons.count(None)
    return f"{passed} of {len(reasons)} ({100 * passed / len(reasons):.1f} %)"


def table(outcomes: Outcomes) -> str:
    """The table of configs and checks."""
    rows = []
    for name in sf.configs():
        marks = ["fails" if outcomes[name, title] else "✓" for title in CHECKS]
        rows.append([f"**{name}**" if name in SEVEN_PAPERS else name, *marks])
    return "\n".join(markdown_table(["config", *CHECKS], rows, align=":---:"))


def page(outcomes: Outcomes) -> str:
    """The text of docs/deployment.md."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript", "onnxruntime"))
    failures = [f"- `{name}`, {title}: {reason}" for (name, title), reason in KNOWN_FAILURES.items()]
    meanings = [f"- **{title}**: {(check.__doc__ or '').splitlines()[0]}" for title, check in CHECKS.items()]
    sizes = {name: export_checks.least_grid(config_case(name, CHANNELS)) for name in sf.configs()}
    least_sizes = ", ".join(f"`{name}` from {size} x {size}" for name, size in sizes.items() if size > 1)
    return f"""# Deployment

Written by scripts/deployment.py. It runs every check on every shipped config, at {CHANNELS} channels, with random weights, on
one thread of a CPU, with warnings as errors. Python {platform.python_version()}, {packages}.

{passed_share(outcomes, sf.configs())} pass; of the seven papers (bold) {passed_share(outcomes, SEVEN_PAPERS)}.

{table(outcomes)}

## Failures

{chr(10).join(failures) or "None."}

## The checks

{chr(10).join(meanings)}

## Conditions

{CONDITIONS.format(least_sizes=least_sizes)}"""


def main() -> int:
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns in every check that torchvision is missing
    names = sys.argv[1:] or sf.configs()
    outcomes = run_checks(names)
    failed = {key for key, reason in outcomes.items() if reason}
    errors = [f"without an explanation: {key}" for key in sorted(failed - set(KNOWN_FAILURES))]
    errors += [f"explained, but passes: {key}" for key in sorted(set(KNOWN_FAILURES) & set(outcomes) - failed)]
    print(f"{passed_share(outcomes, names)} pass", *errors, sep="\n")
    if not sys.argv[1:]:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
