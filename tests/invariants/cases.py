"""The cases of the invariants: every operator with example parameters, and every shipped config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.config.registry import find_operator
from sefactory.shapes import Sizes, SymbolicDim

GRID = (6, 5)
SPECTRAL = {"fcanet"}
"""Configs for grids of two axes alone: a frequency has one number for each axis."""
CHANNELS = 8
OF_ONE = Sizes((1, CHANNELS, SymbolicDim("H"), SymbolicDim("W")))
OF_TWO = Sizes((2, CHANNELS, SymbolicDim("H"), SymbolicDim("W")))
FIXED = Sizes((2, CHANNELS, *GRID))

# Name, input sizes, parameters. An operator with several code paths has several lines.
EXAMPLES: list[tuple[str, Sizes, dict[str, Any]]] = [
    ("abs", OF_TWO, {}),
    ("affine", OF_TWO, {"scale": 2.0, "shift": 0.5}),
    ("attention", OF_TWO, {"tokens": "HW"}),
    ("attention", OF_TWO, {"tokens": "C", "scale": -1.0}),
    ("attention", OF_TWO, {"tokens": "H", "key": 1, "heads": 2, "position": 3}),
    ("attention", OF_TWO, {"tokens": "HW", "key": 1, "heads": 2, "position": [3, 2], "similarity": "cosine"}),
    ("attention", OF_TWO, {"tokens": "WH", "key": 2, "factored": True}),
    (
        "attention",
        Sizes((2, 12, SymbolicDim("H"), SymbolicDim("W"))),
        {"tokens": "C", "key": 2, "heads": 2, "similarity": "cosine"},
    ),
    ("batch_norm", OF_TWO, {}),
    ("batch_norm", FIXED, {"each": "HC"}),
    ("clamp", OF_TWO, {"min": -0.5, "max": 0.7}),
    ("clamp", OF_TWO, {"max": 0.5}),
    ("cluster", OF_ONE, {"count": 3}),
    ("cluster", OF_ONE, {"count": 3, "rounds": 2}),
    ("cluster", OF_ONE, {"count": 3, "rounds": 2, "hard": True}),
    ("conv", OF_TWO, {"out": 4, "stride": 2, "bias": True}),
    ("conv", OF_TWO, {"kernel": [5, 3], "padding": "circular", "stride": 2}),
    ("conv", OF_TWO, {"kernel": [1, 7, 5], "along": "CWH", "padding": "reflect", "mix": ""}),
    ("conv", OF_TWO, {"kernel": 5, "padding": "replicate", "dilation": 3, "mix": "", "each": "CS"}),
    ("conv", FIXED, {"kernel": [4, 2], "padding": [0, 3], "stride": 2, "out": 2}),
    ("conv", OF_TWO, {"along": "CW", "mix": "S", "out": 3}),
    ("conv", OF_TWO, {"mix": "", "each": "CS", "dilation": 2}),
    ("conv", OF_TWO, {"along": "CHW", "mix": "S"}),
    ("dropout", OF_TWO, {}),
    ("dropout", OF_TWO, {"p": 0.5, "over": "HW"}),
    ("exp", OF_TWO, {}),
    ("gain", OF_TWO, {"each": "C", "bias": True, "start": 0.5}),
    ("gelu", OF_TWO, {}),
    ("group_norm", OF_TWO, {"groups": 2}),
    ("hard_sigmoid", OF_TWO, {}),
    ("hard_swish", OF_TWO, {}),
    ("identity", OF_TWO, {}),
    ("layer_norm", OF_TWO, {}),
    ("linear", OF_TWO, {"out": 4, "bias": True}),
    ("linear", OF_TWO, {"mix": "SC", "out": 4, "groups": 2}),
    ("linear", FIXED, {"mix": "HW", "each": "S", "out": 3}),
    ("log", OF_TWO, {}),
    ("mlp", OF_TWO, {"hidden": 2, "bias": True}),
    ("multiscale", OF_TWO, {"kernels": [3, 5], "mix": "", "fuse": "concat"}),
    ("multiscale", OF_TWO, {"kernels": [1, 3], "along": "HW", "fuse": "mean", "bias": True}),
    ("pool", OF_TWO, {"over": "HW", "by": ["mean", "max", "std"]}),
    ("pool", OF_TWO, {"over": "CS", "by": ["min", "sum"]}),
    ("pool", OF_TWO, {"over": "HW", "by": ["var", "std"], "unbiased": False}),
    ("pool", OF_TWO, {"over": "HW", "by": ["var", "l1", "l2", "logsumexp"]}),
    ("pool", OF_TWO, {"over": "SCW", "by": ["logsumexp", "l2"]}),
    ("relu", OF_TWO, {}),
    ("relu6", OF_TWO, {}),
    ("resize", OF_TWO, {"to": [4, 7]}),
    ("resize", OF_TWO, {"scale": 2.0, "mode": "bilinear"}),
    ("resize", OF_TWO, {"scale": 0.5}),
    ("resize", OF_TWO, {"to": [2, 9], "mode": "area"}),
    ("resize", FIXED, {"scale": 0.7, "mode": "bilinear"}),
    ("sigmoid", OF_TWO, {}),
    ("silu", OF_TWO, {}),
    ("slice", OF_TWO, {"start": 2, "stop": 5}),
    ("softmax", OF_TWO, {"over": "HW"}),
    ("softplus", OF_TWO, {}),
    ("spectrum", OF_TWO, {"frequencies": [[0, 0], [1, 2]], "grid": 4}),
    ("spectrum", FIXED, {"frequencies": [[2, 1]], "grid": [7, 3]}),
    ("sqrt", OF_TWO, {}),
    ("square", OF_TWO, {}),
    ("stack", OF_ONE, {"parts": 2, "groups": 2}),
    ("standardize", OF_TWO, {}),
    ("standardize", OF_TWO, {"over": "CS", "eps": 1e-3, "unbiased": False}),
    ("tanh", OF_TWO, {}),
    ("unfold", OF_TWO, {}),
    ("unfold", OF_ONE, {"over": "CW", "kernel": 5}),
    ("unstack", OF_TWO, {"groups": 2}),
    ("window", OF_TWO, {"extent": 2}),
    ("window", OF_TWO, {"extent": 2, "kernel": 2, "by": "max"}),
    ("window", OF_TWO, {"extent": 1, "kernel": 5, "borders": True}),
]
POSITIVE = ["log", "sqrt"]  # their inputs are positive
# Their gradient is an estimate: that of the soft assignment.
ESTIMATED = {f"{name}-{i}" for i, (name, _, given) in enumerate(EXAMPLES) if given.get("hard")}
NARROW = {
    **dict.fromkeys(["sknet", "sknet_linear"], ["let.G=4", "let.L=4"]),
    **dict.fromkeys(["danet", "danet_head"], ["let.D=8"]),
    "seaformer": ["let.heads=2", "let.key=2"],
}
WIDTH = 16  # of the shipped configs, the least that every r of theirs divides


@dataclass(frozen=True)
class Case:
    """A module with its declared input and output sizes. Operators take tensors with the stack axis S, blocks without it."""

    module: nn.Module
    sizes: tuple[Sizes, Sizes]
    has_stack_axis: bool
    positive: bool = False

    def input(self, batch: int, grid: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        x = torch.randn(self._shape(0, batch, grid), generator=generator, dtype=torch.float64)
        return (x.abs() + 0.5 if self.positive else x).to(dtype)

    def output_shape(self, batch: int, grid: tuple[int, int]) -> tuple[int, ...]:
        """The declared shape of the output."""
        return self._shape(1, batch, grid)

    @property
    def grids(self) -> list[tuple[int, int]]:
        """The grids to run at: several, or the one the module was built for."""
        fixed = isinstance(self.sizes[0]["H"], int)
        return [GRID] if fixed else [GRID, (9, 4), (3, 11), (8, 8)]

    def _shape(self, side: int, batch: int, grid: tuple[int, int]) -> tuple[int, ...]:
        shape = self.sizes[side].shape(batch, dict(zip("HW", grid, strict=True)))
        return shape if self.has_stack_axis else (shape[0], *shape[2:])


def operator_case(name: str, sizes: Sizes, parameters: dict[str, Any]) -> Case:
    found = find_operator(name)
    assert found is not None
    module = found.make(sizes, **parameters)
    return Case(module, (sizes, getattr(module, "sizes", sizes)), has_stack_axis=True, positive=name in POSITIVE)


def config_case(name: str, width: int = WIDTH) -> Case:
    block = sf.build(name, width, overrides=NARROW.get(name, []) if width == WIDTH else [])
    return Case(block, block.sizes, has_stack_axis=False)


def with_random_weights(case_of: Callable[..., Case], *arguments: Any, std: float = 0.5) -> Callable[[], Case]:
    """Returns a function that builds a case with random weights and statistics, in float64 and eval mode."""

    def make() -> Case:
        torch.manual_seed(0)
        case = case_of(*arguments)
        case.module.double().eval()
        for parameter in case.module.parameters():
            nn.init.normal_(parameter, std=std)
        for key, buffer in case.module.named_buffers():
            if key.endswith("running_var"):
                nn.init.uniform_(buffer, 0.5, 1.5)
        return case

    return make


OPERATORS = {
    f"{name}-{i}": with_random_weights(operator_case, name, sizes, given) for i, (name, sizes, given) in enumerate(EXAMPLES)
}
CONFIGS = {name: with_random_weights(config_case, name) for name in sf.configs()}
CASES = {**OPERATORS, **CONFIGS}
