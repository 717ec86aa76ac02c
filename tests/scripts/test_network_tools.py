"""Tools keep the blocks of a network, or fail with an error; the table of docs/networks.md says which."""

import re
from collections.abc import Callable
from itertools import product

import network_tools
import pytest
from torch import nn

from sefactory.networks.attachment import INSERTED_PATHS
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
ROWS = re.findall(r"^\| (.*) \|$", TEXT.split(network_tools.START)[1].split(network_tools.END)[0], re.MULTILINE)
TABLE = [row.split(" | ") for row in ROWS[2:]]
DOCUMENTED = {(row[0], place): cell for row in TABLE for place, cell in zip(network_tools.PLACES, row[1:], strict=True)}


def in_sample(tool: str, place: str) -> bool:
    return tool in FAST and place in ("norm", "stage")


@pytest.mark.filterwarnings("ignore")  # torch.ao and torch.jit are deprecated
@pytest.mark.parametrize(("tool", "place"), sampled(product(network_tools.TOOLS, network_tools.PLACES), in_sample))
def test_a_tool_keeps_the_blocks_or_fails(tool: str, place: str) -> None:
    result, reason = network_tools.outcome(tool, place)
    assert result == DOCUMENTED[tool, place], reason


def test_all_tools_are_in_the_table() -> None:
    assert [row[0] for row in TABLE] == list(network_tools.TOOLS)


def without_blocks(model: nn.Module, count: int = 8) -> nn.Module:
    """What a tool must not do: the last blocks are dropped."""
    holders = [path for path, module in model.named_modules() if isinstance(module, Holder)]
    for path in holders[-count:]:
        model.set_submodule(path, model.get_submodule(path).original)
    return model


def without_one_block(model: nn.Module) -> nn.Module:
    return without_blocks(model, 1)


def without_one_block_and_record(model: nn.Module) -> nn.Module:
    without_one_block(model).__dict__.pop(INSERTED_PATHS, None)
    return model


def fail(model: nn.Module) -> nn.Module:
    raise NotImplementedError("no such network\nat all")


def fail_with_blocks(model: nn.Module) -> nn.Module:
    return fail(model) if any(isinstance(module, Holder) for module in model.modules()) else model


GONE = r"layer4\.1\.bn2  senet  is gone: a BatchNorm2d without a block stands here; .*"
BAD_TOOLS: dict[Callable[[nn.Module], nn.Module], tuple[str, str]] = {
    without_blocks: ("silent", r"(layer\d\.\d\.bn2  senet  is gone.*){8}"),
    without_one_block: ("silent", GONE),
    without_one_block_and_record: ("silent", r"[\d.e+-]+ of [\d.e+-]+"),
    fail_with_blocks: ("failed", "NotImplementedError: no such network"),
}


@pytest.mark.parametrize("tool", BAD_TOOLS, ids=lambda tool: tool.__name__)
def test_a_tool_that_drops_blocks_or_fails_otherwise_is_found(
    tool: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network_tools.TOOLS, "bad", tool)
    result, reason = network_tools.outcome("bad", "norm")
    assert result == BAD_TOOLS[tool][0] and re.fullmatch(BAD_TOOLS[tool][1], reason), reason


@pytest.mark.filterwarnings("ignore")  # torch.ao is deprecated
def test_a_tool_that_rounds_and_drops_one_block_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rounding errors may be larger than the effect of one block."""
    name = "`quantize_dynamic`"
    quantize = network_tools.TOOLS[name]
    monkeypatch.setitem(network_tools.TOOLS, name, lambda model: quantize(without_one_block(model)))
    result, reason = network_tools.outcome(name, "norm")
    assert result == "silent" and re.fullmatch(GONE, reason)


def test_a_tool_that_fails_on_every_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(network_tools.TOOLS, "bad", fail)
    with pytest.raises(NotImplementedError, match="no such network"):
        network_tools.outcome("bad", "norm")
