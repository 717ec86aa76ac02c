"""linear, conv, mlp and multiscale against einsums over roles and axes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.operators.formulas import assert_same, biased, check_declared_sizes, contract, random_map, random_operator, slide

# Parameters; the einsum of x and the weight in its layout; the dimensions that become 1.
LINEAR: list[tuple[dict[str, Any], str, list[int]]] = [
    ({}, "bschw,oc->bsohw", []),
    ({"mix": "C", "out": 4}, "bschw,oc->bsohw", []),
    ({"mix": "S", "out": 3}, "bschw,os->bochw", []),
    ({"mix": "H", "out": 2}, "bschw,oh->bscow", []),
    ({"mix": "CS", "out": 3}, "bschw,ocs->bohw", [1]),
    ({"mix": "SC", "out": 3}, "bschw,osc->bohw", [2]),
    ({"mix": "HW", "out": 7}, "bschw,ohw->bsco", [4]),
    ({"mix": "WH", "out": 7}, "bschw,owh->bsco", [3]),
    ({"mix": "WSH", "out": 3}, "bschw,owsh->bco", [1, 3]),
    ({"mix": "SCHW", "out": 2}, "bschw,oschw->bo", [2, 3, 4]),
    ({"mix": "", "each": "C"}, "bschw,co->bschw", []),
    ({"each": "C"}, "bschw,co->bschw", []),
    ({"mix": "", "each": "SC"}, "bschw,sco->bschw", []),
    ({"mix": "", "each": "WC"}, "bschw,wco->bschw", []),
    ({"mix": ""}, "bschw,o->bschw", []),
    ({"mix": "S", "each": "C", "out": 3}, "bschw,cos->bochw", []),
    ({"mix": "C", "each": "S", "out": 4}, "bschw,soc->bsohw", []),
    ({"each": "HW", "out": 4}, "bschw,hwoc->bsohw", []),
    ({"mix": "C", "each": "WS", "out": 2}, "bschw,wsoc->bsohw", []),
    ({"mix": "CW", "each": "S", "out": 4}, "bschw,socw->bsoh", [4]),
    ({"mix": "WS", "each": "HC", "out": 4}, "bschw,hcows->bcho", [1]),
]
GROUPED = [
    ({"mix": "C", "out": 9, "groups": 3}, "bschw,oc->bsohw", []),
    ({"mix": "S", "out": 4, "groups": 2}, "bschw,os->bochw", []),
    ({"mix": "CS", "out": 6, "groups": 3}, "bschw,ocs->bohw", [1]),
    ({"mix": "HW", "out": 4, "groups": 4}, "bschw,ohw->bsco", [4]),
    ({"mix": "C", "each": "S", "out": 4, "groups": 2}, "bschw,soc->bsohw", []),
    ({"mix": "CW", "each": "H", "out": 2, "groups": 2}, "bschw,hocw->bsho", [4]),
]


def finished(equation: str, y: Tensor, ones: list[int]) -> Tensor:
    """The axes of the statement in the order S, C, H, W."""
    out = equation.split("->")[1]
    places = [axis for axis in "schw" if axis not in ("", *out)]
    mixed = equation.split(",")[1].split("->")[0].partition("o")[2]
    order = sorted(out, key=lambda axis: "bschw".index(mixed[0] if axis == "o" and mixed else axis))
    y = y.permute([out.index(axis) for axis in order])
    for dim in ones:
        y = y.unsqueeze(dim)
    assert len(places) == len(ones) + (1 if "o" in out else 0)
    return y


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("parameters", "equation", "ones"), [*LINEAR, *GROUPED])
def test_linear(parameters: dict[str, Any], equation: str, ones: list[int], bias: bool) -> None:
    x = random_map(s=1) if parameters.get("each") == "C" and "mix" not in parameters else random_map()
    module = random_operator("linear", x, **parameters, bias=bias)
    expected = contract(equation, x, module.weight, parameters.get("groups", 1))
    expected = biased(equation, expected, module.bias) if bias else expected
    y = module(x)
    assert_same(y, finished(equation, expected, ones))
    check_declared_sizes(module, x, y)


def test_linear_over_channels_is_a_convolution_of_one() -> None:
    x = random_map(s=1)
    module = random_operator("linear", x, out=4, bias=True)
    assert_same(module(x)[:, 0], F.conv2d(x[:, 0], module.weight[..., None, None], module.bias))


def test_mlp() -> None:
    x = random_map()
    module = random_operator("mlp", x, hidden=3, bias=True)
    (w1, b1), (w2, b2) = ((module[i].weight, module[i].bias) for i in (0, 2))
    hidden = (x.movedim(2, -1) @ w1.T + b1).clamp(min=0)
    assert_same(module(x), (hidden @ w2.T + b2).movedim(-1, 2))


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("relu6", lambda x: x.clamp(0, 6)),
        ("silu", lambda x: x / (1 + (-x).exp())),
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
        ("hard_swish", lambda x: x * (x + 3).clamp(0, 6) / 6),
        ("tanh", torch.tanh),
    ],
)
def test_the_activation_of_an_mlp(activation: str, function: Callable[[Tensor], Tensor]) -> None:
    x = 4 * random_map()
    module = random_operator("mlp", x, hidden=3, activation=activation)
    assert list(module.state_dict()) == ["0.weight", "2.weight"]
    assert_same(module(x), (function(x.movedim(2, -1) @ module[0].weight.T) @ module[2].weight.T).movedim(-1, 2))


# Parameters; the einsum of one offset of the window.
CONV: list[tuple[dict[str, Any], str]] = [
    ({}, "bschw,oc->bsohw"),
    ({"out": 4, "kernel": 5}, "bschw,oc->bsohw"),
    ({"along": "WH", "out": 4}, "bschw,oc->bsohw"),
    ({"out": 4, "groups": 2}, "bschw,oc->bsohw"),
    ({"out": 4, "stride": 2}, "bschw,oc->bsohw"),
    ({"out": 4, "dilation": 2, "stride": 3}, "bschw,oc->bsohw"),
    ({"out": 4, "kernel": 1, "stride": 2}, "bschw,oc->bsohw"),
    ({"mix": "", "each": "C"}, "bschw,co->bschw"),
    ({"mix": "", "each": "CS", "stride": 2}, "bschw,cso->bschw"),
    ({"mix": "S", "out": 1, "kernel": 7}, "bschw,os->bochw"),
    ({"mix": "S", "out": 3, "each": "C"}, "bschw,cos->bochw"),
    ({"mix": "S", "out": 4, "each": "C", "groups": 2}, "bschw,cos->bochw"),
    ({"mix": "CS", "out": 3}, "bschw,ocs->bohw"),
    ({"mix": "SC", "out": 4, "groups": 2}, "bschw,osc->bohw"),
    ({"along": "H", "out": 4}, "bschw,oc->bsohw"),
    ({"along": "H", "mix": "CW", "out": 4}, "bschw,ocw->bsoh"),
    ({"along": "W", "mix": "", "each": "CH"}, "bschw,cho->bschw"),
    ({"along": "C", "mix": ""}, "bschw,o->bschw"),
    ({"along": "C", "mix": "", "each": "S", "kernel": 5}, "bschw,so->bschw"),
    ({"along": "C", "mix": "S", "out": 3, "stride": 2}, "bschw,os->bochw"),
    ({"along": "CW", "mix": "S", "out": 1}, "bschw,os->bochw"),
    ({"along": "HC", "mix": "S", "out": 2, "kernel": 5}, "bschw,os->bochw"),
    ({"along": "S", "out": 4}, "bschw,oc->bsohw"),
    ({"along": "S", "mix": "", "each": "C"}, "bschw,co->bschw"),
    ({"along": "SHW", "out": 4, "stride": 2}, "bschw,oc->bsohw"),
    ({"along": "CHW", "mix": "S", "out": 2}, "bschw,os->bochw"),
]
ONES = {"ocs": [1], "osc": [2], "ocw": [4]}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("parameters", "equation"), CONV)
def test_conv(parameters: dict[str, Any], equation: str, bias: bool) -> None:
    x = random_map()
    module = random_operator("conv", x, **parameters, bias=bias)
    options = [parameters.get(name, 1) for name in ("stride", "dilation", "groups")]
    expected = slide(equation, x, module.weight, parameters.get("along", "HW").lower(), *options)
    expected = biased(equation, expected, module.bias) if bias else expected
    y = module(x)
    assert_same(y, finished(equation, expected, ONES.get(equation.split(",")[1].split("->")[0], [])))
    check_declared_sizes(module, x, y)


def test_conv_of_channels_is_the_convolution_of_torch() -> None:
    x = random_map(s=1)
    module = random_operator("conv", x, out=4, kernel=5, stride=2, dilation=2, bias=True)
    assert_same(module(x)[:, 0], F.conv2d(x[:, 0], module.weight, module.bias, stride=2, padding=4, dilation=2))


def test_conv_along_channels_is_one_kernel_over_a_descriptor() -> None:
    x = random_map(s=1, h=1, w=1)
    module = random_operator("conv", x, along="C", kernel=3)
    assert module.weight.shape == (1, 3)
    assert_same(module(x)[:, 0, :, 0, 0], F.conv1d(x[:, :, :, 0, 0], module.weight[:, None], padding=1)[:, 0])


def test_rotated_convolution_is_one_over_the_rotated_map() -> None:
    x = random_map(h=1)
    module = random_operator("conv", x, along="CW", mix="S", out=1, kernel=3)
    assert_same(module(x)[:, :, :, 0], F.conv2d(x[:, :, :, 0], module.weight, padding=1))


@pytest.mark.parametrize("fuse", ["sum", "mean", "concat"])
@pytest.mark.parametrize(
    "roles", [{"along": "C", "mix": ""}, {"along": "HW"}, {"along": "W", "mix": "", "each": "C"}, {"along": "HW", "mix": "S"}]
)
@pytest.mark.parametrize("bias", [False, True])
def test_multiscale(fuse: str, roles: dict[str, str], bias: bool) -> None:
    x = random_map()
    module = random_operator("multiscale", x, kernels=[5, 1, 3], fuse=fuse, bias=bias, **roles)
    scales = []
    for name, kernel in zip("012", (5, 1, 3), strict=True):
        conv = random_operator("conv", x, kernel=kernel, bias=bias, **roles)
        conv.load_state_dict(module.get_submodule(name).state_dict())
        scales.append(conv(x))
    expected = torch.cat(scales, 2) if fuse == "concat" else sum(scales[1:], scales[0])
    y = module(x)
    assert_same(y, expected / 3 if fuse == "mean" else expected)
    check_declared_sizes(module, x, y)
