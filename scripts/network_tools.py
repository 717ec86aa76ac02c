"""What tools do to the blocks of a network: at each kind of place a block is kept, or the tool fails.

python scripts/network_tools.py            runs all tools, and writes the table into docs/networks.md
python scripts/network_tools.py --check    exit code 1 if the table is out of date

The network is torchvision's resnet18 with random weights and batch statistics. Blocks are kept if the output after the tool is
that of the network with blocks, within rounding errors, and sf.check finds no fault. A tool refuses them if its error is that
of the holder, or one of REFUSALS. All else is an error.
"""

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from markdown_table import markdown_table
from tools import capture, copies, fusion, norms, quantisation, weights
from tools.network import PLACES, SIZE, Tool, images, network
from torch import Tensor, nn
from written_pages import replace_section, write_or_check

import sefactory as sf
from sefactory.errors import first_line

PAGE = Path(__file__).parent.parent / "docs" / "networks.md"
START, END = "<!-- tools: written by scripts/network_tools.py -->", "<!-- end of tools -->"
TOOLS: dict[str, Tool] = {
    **copies.TOOLS,
    **norms.TOOLS,
    **fusion.TOOLS,
    **quantisation.TOOLS,
    **capture.TOOLS,
    **weights.TOOLS,
}
EXACT, ROUNDED = 1e-4, 0.5
"""The limits: relative to the output; after rounding to int8 relative to the effect of the blocks."""
REFERENCES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "`swa_utils.update_bn`": norms.estimate_by_hand,
    "`model.bfloat16().float()`": weights.round_by_hand,
}
"""What is done to the network with blocks instead of the tool, where the tool changes its values."""
REFUSAL = "AttributeError: .*: a sefactory block is inserted at "
REFUSALS = {
    "`torch.ao` `fuse_modules`": r"AssertionError: did not find fuser method for: .*sefactory\.networks\.holder\.Holder",
    "`torch.jit.script`": r"ConfigError: senet\.yaml: torch\.jit\.script cannot compile a block; ",
}
"""The errors of tools that do not read the tensors of the module, as regular expressions."""


def outcome(tool: str, place: str) -> tuple[str, str]:
    """("kept", ""), ("refused", message), ("silent", what differs) or ("failed", message)."""
    x = images()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = TOOLS[tool](network(None))(x)
        expected: Tensor = REFERENCES.get(tool, nn.Module.eval)(network(place))(x)
        try:
            changed = TOOLS[tool](network(place))
            y = changed(x)
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            return ("refused" if re.match(REFUSALS.get(tool, REFUSAL), reason) else "failed"), reason
        faults = faults_in(changed)
    distance, difference = float((y - expected).norm()), float((without - expected).norm())
    limit = ROUNDED * difference if tool in quantisation.TOOLS else EXACT * float(expected.norm())
    is_kept = distance < limit <= ROUNDED * difference and not faults
    return ("kept", "") if is_kept else ("silent", faults or f"{distance:.3g} of {difference:.3g}")


def faults_in(changed: Callable[[Tensor], Tensor]) -> str:
    """What sf.check finds in a network that a tool returned, if it can be traced; "" for nothing."""
    if not isinstance(changed, nn.Module) or isinstance(changed, torch.jit.ScriptModule):
        return ""
    try:
        return "; ".join(str(status) for status in sf.check(changed, input_size=SIZE) if status.fault)
    except sf.ConfigError:
        return ""


def table() -> str:
    """The table of all tools and places. Raises ValueError for a block that is silently gone, and for an unknown error."""
    rows = []
    for tool in TOOLS:
        cells = []
        for place in PLACES:
            result, reason = outcome(tool, place)
            if result not in ("kept", "refused"):
                raise ValueError(f"{tool} at {place}: {result} ({reason})")
            cells.append(result)
            print(f"{tool:45} {place:12} {result:8} {reason[:150]}", file=sys.stderr)
        rows.append([tool, *cells])
    return "\n".join(markdown_table(["tool", *PLACES], rows))


def page() -> str:
    """docs/networks.md with the table."""
    return replace_section(PAGE.read_text(encoding="utf-8"), START, END, table())


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
