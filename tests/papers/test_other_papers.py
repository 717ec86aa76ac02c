"""Blocks of other papers against plain torch with the authors' names: outputs, gradients, training, running statistics."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from tests.papers.references import other_blocks as blocks
from tests.papers.references import other_gates as gates

Shape = tuple[int, int, int, int]
EXACT, APART = 1e-12, 1e-3
TWO: tuple[Shape, Shape] = ((3, 32, 9, 13), (2, 64, 12, 5))


@dataclass(frozen=True)
class Published:
    """A reference, an override that makes the block wrong without changing its weights, and the shapes to compare at."""

    reference: Callable[[int], nn.Module]
    wrong: str
    shapes: tuple[Shape, Shape] = TWO
    keys: dict[str, str] = field(default_factory=dict)  # where no map is shipped


GAM = {"series.channel.excite.0": "channel_attention", "series.spatial.excite": "spatial_attention"}
PUBLISHED = {
    "bisenet_arm": Published(blocks.Refinement, "series.attend.gate=[hard_sigmoid]"),
    "caa": Published(gates.ContextAnchor, "squeeze.0.window.borders=false"),
    "convnextv2": Published(blocks.SecondConvNeXt, "excite.1=relu"),
    "dynconv": Published(blocks.Dynamic, "let.t=1"),
    "ema": Published(gates.CrossSpatial, "series.attend.excite.1.fuse=max"),
    "epsanet": Published(gates.PyramidSqueeze, "series.attend.gate.0.softmax=C", ((3, 64, 9, 13), (2, 128, 12, 5))),
    "focalnet": Published(blocks.FocalModulation, "series.modulate.parallel.m.3.parallel.all.parallel.c.1.pool.by=max"),
    "gam": Published(gates.GlobalAttention, "series.channel.gate=[sigmoid]", keys=GAM),
    "gnconv": Published(blocks.RecursiveGated, "let.s=1"),
    "grn": Published(gates.GlobalResponse, "excite.0.squeeze.0.pool.by=l1"),
    "involution": Published(blocks.Involution, "series.filter.parallel.kernel.4.stack.groups=1"),
    "lsk": Published(gates.LargeSelective, "excite.2.squeeze.1.pool.by=[max,mean]"),
    "lska": Published(gates.LargeSeparable, "let.d=2"),
    "mcanet": Published(gates.MultidimensionalCollaborative, "fuse=sum", ((3, 96, 9, 13), (2, 256, 6, 5))),
    "mdta": Published(blocks.Transposed, "+series.attend.0.attention.scale=0.5"),
    "msca": Published(gates.MultiScale, "excite.1.fuse=mean"),
    "nafnet": Published(blocks.Simple, "let.simple_gate.fuse=sum"),
    "pa": Published(gates.Pixel, "gate=[hard_sigmoid]"),
    "parnet": Published(blocks.SkipSqueeze, "series.act=relu"),
    "rcab": Published(blocks.ResidualChannel, "excite.1=gelu"),
    "sca": Published(gates.SimplifiedChannel, "gate=[sigmoid]"),
    "scnet": Published(
        blocks.SelfCalibrated, "series.calibrate.parallel.gate.0.apply=multiply", ((3, 32, 12, 8), (2, 64, 4, 16))
    ),
    "segformer": Published(blocks.MixFeedForward, "let.heads=4"),
    "strip_pooling": Published(gates.StripPooling, "excite.0.fuse=max"),
    "xca": Published(blocks.CrossCovariance, "+series.attend.0.attention.similarity=cosine"),
}
TRIALS = [(name, shape) for name, published in PUBLISHED.items() for shape in published.shapes]


def scramble(module: nn.Module, generator: torch.Generator) -> None:
    """Random weights of norm about 1 and random statistics: initial values of 0 or 1 would hide errors."""
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * fan_in**-0.5)
        for key, buffer in module.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.3, generator=generator)
            elif key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)


def loaded(name: str, theirs: nn.Module, channels: int, overrides: list[str] | None = None) -> sf.Block:
    """Our block with their state, by the shipped map if there is one."""
    block = sf.build(name, channels, overrides=overrides or []).double()
    sf.load_official(block, theirs.state_dict(), keys=PUBLISHED[name].keys or None)
    return block


def trial(name: str, shape: Shape) -> tuple[nn.Module, sf.Block, Tensor]:
    """Their module, ours with its weights, an input."""
    generator = torch.Generator().manual_seed(sum(shape))
    theirs = PUBLISHED[name].reference(shape[1]).double()
    scramble(theirs, generator)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return theirs, loaded(name, theirs, shape[1]), x


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("name", "shape"), TRIALS)
def test_output_gradient_and_statistics(name: str, shape: Shape, training: bool) -> None:
    theirs, block, x = trial(name, shape)
    cotangent, results = torch.Tensor(), []
    for module in (theirs, block):
        y = module.train(training)(x := x.clone().requires_grad_())
        cotangent = cotangent if len(cotangent) else torch.randn_like(y)
        results.append((y.detach(), torch.autograd.grad(y, x, cotangent)[0]))
    for found, expected in zip(results[1], results[0], strict=True):
        assert error(found, expected) < EXACT
    after = dict(loaded(name, theirs, shape[1]).named_buffers())
    for key, buffer in block.named_buffers():
        assert error(buffer, after[key]) < EXACT or not training, key


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_wrong_override_is_caught(name: str) -> None:
    shape = PUBLISHED[name].shapes[0]
    theirs, _, x = trial(name, shape)
    with torch.no_grad():
        expected = theirs.eval()(x)
        wrong = loaded(name, theirs, shape[1], [PUBLISHED[name].wrong]).eval()(x)
    assert error(wrong, expected) > APART


def test_each_has_a_key_map() -> None:
    assert set(PUBLISHED) <= set(sf.configs())
    assert all(published.keys or sf.load(name).get("official") for name, published in PUBLISHED.items())
