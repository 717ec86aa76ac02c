"""Emitters of variances and of weighted means of the positions."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from ...operators.pool import variance
from ...operators.precision import HALF
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter
from .params import read_params


def variance_function(op: ops.Variance, dims: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """var, or sqrt(var + eps), over dims, from its formula, which is faster than torch.var (docs/kernels.md, Compiler)."""
    finish = finish_variance(op)

    def run(x: Tensor) -> Tensor:
        count = prod([x.shape[dim] for dim in dims])
        if x.dtype in HALF:
            return finish(variance(x, dims, False).squeeze(dims), count).to(x.dtype)
        return finish((x - x.mean(dims, keepdim=True)).square().mean(dims), count)

    return run


def finish_variance(op: ops.Variance) -> Callable[[Tensor, int], Tensor]:
    """The same from variances that divide by n, and n."""

    def finish(var: Tensor, n: int) -> Tensor:
        var = var * (n / max(n - 1, 1)) if op.unbiased else var
        return torch.sqrt(var + op.eps) if op.root else var

    return finish


def emit_weighted_pool(op: ops.WeightedPool, node: Node, emitter: Emitter) -> None:
    """a = softmax_n(W x + b), y = a x^T: (B, C, N) -> (B, S, C)."""
    (x,) = node.inputs
    params, layout = read_params(op.cluster), f"C{x.sizes.spatial_axes}"

    def run(x: Tensor) -> Tensor:
        x_BCN = x.flatten(2)
        weight, bias = params()
        a_BKN = F.conv1d(x_BCN, weight.unsqueeze(-1), bias).softmax(-1)
        return torch.bmm(a_BKN.to(x_BCN.dtype), x_BCN.transpose(1, 2))

    emitter.call(node, run, [emitter.register(x, layout)], "SC")
