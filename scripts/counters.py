"""Writes a table into docs/networks.md: the multiply-adds that other tools count for the blocks of the seven papers.

python scripts/counters.py    rewrites the table; needs all tools, see below

The tools are no dependencies of this project. Install thop, ptflops, torchinfo and fvcore into an environment of your own.
The script names each tool that is missing and does not write the page then.
"""

import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import torch
from markdown_table import markdown_table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from written_pages import replace_section

import sefactory as sf
from sefactory.cli.bench import SEVEN
from sefactory.networks.zoos import import_torchvision

PAGE = Path(__file__).parent.parent / "docs" / "networks.md"
SHAPE = (1, 64, 56, 56)
START, END = "<!-- counters: written by scripts/counters.py -->", "<!-- end of counters -->"


def count_torch(block: nn.Module, x: Tensor) -> int:
    """Half of the operations that torch's FlopCounterMode counts."""
    with FlopCounterMode(display=False) as counter:
        block(x)
    return int(counter.get_total_flops()) // 2


def count_fvcore(block: nn.Module, x: Tensor) -> int:
    """fvcore counts the operations of a trace."""
    return int(import_module("fvcore.nn").FlopCountAnalysis(block, x).unsupported_ops_warnings(False).total())


def count_thop(block: nn.Module, x: Tensor) -> int:
    """thop counts the modules of torch's own classes."""
    return int(import_module("thop").profile(block, (x,), verbose=False)[0])


def count_ptflops(block: nn.Module, x: Tensor) -> int:
    """ptflops counts the modules of torch's own classes, and calls of torch.nn.functional."""
    function = import_module("ptflops").get_model_complexity_info
    return int(function(block, tuple(x.shape[1:]), as_strings=False, print_per_layer_stat=False, verbose=False)[0])


def count_torchinfo(block: nn.Module, x: Tensor) -> int:
    """torchinfo multiplies the size of each parameter by the positions of the output of its module."""
    return int(import_module("torchinfo").summary(block, input_data=x, verbose=0).total_mult_adds)


TOOLS: dict[str, Callable[[nn.Module, Tensor], int]] = {
    "FlopCounterMode": count_torch,
    "fvcore": count_fvcore,
    "thop": count_thop,
    "ptflops": count_ptflops,
    "torchinfo": count_torchinfo,
}


def missing_tools() -> list[str]:
    """The tools that are not installed."""
    return [name for name in TOOLS if name != "FlopCounterMode" and not is_installed(name)]


def is_installed(name: str) -> bool:
    """True if a module can be imported."""
    try:
        import_module(name)
    except ImportError:
        return False
    return True


def count(tool: str, name: str) -> str:
    """What a tool says for a new block: a number, or the first words of its error."""
    block, x = sf.build(name, SHAPE[1]).eval(), torch.zeros(SHAPE)
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            return f"{TOOLS[tool](block, x):,}"
    except Exception as error:
        return f"fails: {type(error).__name__}"


def table(tools: list[str]) -> str:
    """The rows: each block with the formula and what the tools say."""
    rows = [[name, f"{formula(name):,}", *(count(tool, name) for tool in tools)] for name in SEVEN]
    return "\n".join(markdown_table(["block", "`sf.macs`", *tools], rows, align="---:"))


def formula(name: str) -> int:
    """The number that `sefactory show` prints."""
    return sf.macs(sf.build(name, SHAPE[1]), torch.zeros(SHAPE))


def section() -> str:
    """The text between the markers."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *TOOLS) if name != "FlopCounterMode")
    shape = " x ".join(map(str, SHAPE))
    return f"Multiply-adds of blocks at {shape} ({versions}):\n\n{table(list(TOOLS))}"


def main() -> int:
    import_torchvision()  # ptflops imports it
    missing = missing_tools()
    if missing:
        print(table([name for name in TOOLS if name not in missing]))
        print(f"not installed: {', '.join(missing)}; {PAGE.name} is not written", file=sys.stderr)
        return 1
    PAGE.write_text(replace_section(PAGE.read_text(encoding="utf-8"), START, END, section()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main())
