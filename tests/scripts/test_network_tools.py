"""Tools keep the blocks of a network, or fail with an error; the table of docs/networks.md says which."""

from collections.abc import Callable
from itertools import product

import network_tools
import pytest
from torch import nn

from sefactory.networks.holder import Holder
from tests.sampling import sampled

FAST = {
    "`pickle`",
    "`SyncBatchNorm.convert_sync_batchnorm`",
    "timm `convert_splitbn_model`",
    "`fuse_conv_bn_eval`",
    "`torch.ao` `fuse_modules`",
    "`torch.fx` `fuse`",
    "`torch.jit.script`",
    "`nn.Sequential(*model.children())`",
}
TEXT = network_tools.PAGE.read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.split(network_tools.START)[1].split(network_tools.END)[0].splitlines()]
DOCUMENTED = {(row[0], place): cell for row in ROWS for place, cell in zip(network_tools.PLACES, row[1:], strict=False)}


def in_sample(tool: str, place: str) -> bool:
    return tool in FAST and place in ("norm", "stage")


@pytest.mark.filterwarnings("ignore")  # torch.ao and torch.jit are deprecated
@pytest.mark.parametrize(("tool", "place"), sampled(product(network_tools.TOOLS, network_tools.PLACES), in_sample))
def test_a_tool_keeps_the_blocks_or_fails(tool: str, place: str) -> None:
    result, reason = network_tools.outcome(tool, place)
    assert result == DOCUMENTED[tool, place], reason


def test_all_tools_are_in_the_table() -> None:
    assert [row[0] for row in ROWS if row[0].startswith(("`", "t")) and row[0] != "tool"] == list(network_tools.TOOLS)
    assert len(network_tools.TOOLS) >= 18


def without_blocks(model: nn.Module) -> nn.Module:
    """What a tool must not do."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Holder):
                setattr(module, name, child.original)
    return model


def test_a_tool_that_drops_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    drop: Callable[[nn.Module], nn.Module] = without_blocks
    monkeypatch.setitem(network_tools.TOOLS, "drop", drop)
    result, reason = network_tools.outcome("drop", "norm")
    assert result == "silent" and " of " in reason
