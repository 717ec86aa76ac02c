"""Static gates: the same for every image, with the parameters of the block, for every shipped block with a squeeze."""

import copy

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.operators.containers import Unit
from sefactory.training.static_gates import STATIC, make_gates_static

CHANNELS, SIZE = 64, 16


def build(name: str) -> sf.Block:
    torch.manual_seed(0)
    return sf.build(name, CHANNELS, height=SIZE, width=SIZE)


def gates(block: nn.Module, x: Tensor) -> list[Tensor]:
    """The gates of the outermost units in a forward of the module tree. Their squeeze sees the channels of the unit."""
    found: list[Tensor] = []
    handles = [
        unit.gate.register_forward_hook(lambda module, args, output: found.append(output))
        for unit in units(block.node if isinstance(block, sf.Block) else block)
    ]
    block(x)
    for handle in handles:
        handle.remove()
    return found


def units(module: nn.Module) -> list[Unit]:
    if isinstance(module, Unit):
        return [module]
    return [unit for child in module.children() for unit in units(child)]


WITH_UNITS = [name for name in sf.configs() if units(build(name).node)]


def test_most_blocks_have_units() -> None:
    assert len(WITH_UNITS) > 40 and {"senet", "sknet", "cbam", "coordatt", "triplet", "danet", "ecanet"} <= set(WITH_UNITS)


@pytest.mark.parametrize("name", WITH_UNITS)
def test_a_static_gate_is_the_same_for_every_image(name: str) -> None:
    block = build(name).eval()
    control = copy.deepcopy(block)
    assert make_gates_static(control) == len(units(block.node))
    assert control.state_dict().keys() == block.state_dict().keys()
    assert sum(p.numel() for p in control.parameters()) == sum(p.numel() for p in block.parameters())
    with torch.no_grad():
        for parameter in (*block.parameters(), *control.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
        x = torch.randn(3, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
        for gate in gates(control, x):
            assert (gate - gate[:1]).abs().max() <= 1e-6 and gate.isfinite().all()


@pytest.mark.parametrize("name", ["senet", "cbam", "triplet", "danet", "sknet", "gcnet"])
def test_the_gates_of_the_block_itself_do_see_the_image(name: str) -> None:
    """The negative control of the test above."""
    block = build(name).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
        found = gates(block, torch.randn(3, CHANNELS, SIZE, SIZE))
        assert max(float((gate - gate[:1]).abs().max()) for gate in found) > 1e-3


@pytest.mark.parametrize("name", ["senet", "cbam", "sknet", "triplet", "danet"])
def test_the_compiled_form_is_static_too_and_learns(name: str) -> None:
    block = build(name)
    make_gates_static(block)
    assert block.lowered is not None and block.lowered.guards_hold()
    x = torch.randn(2, CHANNELS, SIZE, SIZE)
    tree = copy.deepcopy(block)
    tree.lowered = None
    torch.testing.assert_close(block.eval()(x), tree.eval()(x), rtol=1e-4, atol=1e-5)
    block.train()(x).square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters())


def test_only_the_outermost_unit_is_changed_and_a_block_without_a_unit_has_no_gate() -> None:
    nested = {"squeeze": [{"pool": "HW"}], "excite": [{"squeeze": [{"pool": "C"}], "gate": ["sigmoid"]}], "gate": ["sigmoid"]}
    block = sf.build(nested, 8)
    assert make_gates_static(block) == 1
    assert [name for name, _ in block.named_modules() if name.endswith(STATIC)] == [f"squeeze.{STATIC}"]
    assert make_gates_static(sf.build("seaformer", 64)) == 0
