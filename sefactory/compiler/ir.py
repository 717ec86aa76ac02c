"""The operations of the graph, the intermediate representation (IR) of the compiler.

Operations with weights hold the module that owns them, and read the weights from it at every run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, dataclass_transform

from torch import Tensor

from ..operators.attention import Attention
from ..operators.conv import Conv
from ..operators.elementwise import Gain
from ..operators.linear import Linear
from ..operators.norm import BatchNorm
from ..operators.pool import Cluster, LocalPool

Statistic = Literal["mean", "max", "min", "sum"]
Combination = Literal["sum", "product", "max", "min", "difference", "quotient"]


@dataclass_transform(frozen_default=True)
class Op:
    """What a node computes from its inputs. Each subclass is a frozen dataclass."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)


class Source(Op):
    """The input of the block."""


class OpaqueCall(Op):
    """A module of the tree, or a function, of x_BSCHW. No rewrite rule looks into it."""

    call: Callable[..., Tensor]


class Reduce(Op):
    """One statistic over some axes."""

    over: str
    by: Statistic


class Variance(Op):
    """The variance over some axes, or sqrt(variance + eps)."""

    over: str
    root: bool
    eps: float
    unbiased: bool
    by: Literal["var"] = "var"


class WeightedPool(Op):
    """Weighted means of the positions, side by side on S. The weights are softmax(W x + b) over the positions."""

    cluster: Cluster


class Stack(Op):
    """The inputs side by side on S."""


class Concat(Op):
    """The inputs concatenated on C."""


class Elementwise(Op):
    """The inputs combined element by element, axes of size 1 broadcast."""

    kind: Combination


class ScalarAffine(Op):
    """scale x + shift."""

    scale: float
    shift: float = 0.0


class LearnedScale(Op):
    """w x, with one learned w."""

    gain: Gain


class LinearOp(Op):
    """W x + times b over C, then the norm in eval mode."""

    linear: Linear
    times: int = 1
    norm: BatchNorm | None = None


class ConvOp(Op):
    """A convolution, then the norm in eval mode. The kernels of `others` are added to the centre of its kernel."""

    conv: Conv
    norm: BatchNorm | None = None
    others: tuple[Conv, ...] = ()


class ConvMean(Op):
    """The mean, or the sum, of a convolution over all its positions."""

    window: ConvOp
    by: Literal["mean", "sum"]


class AvgPool(Op):
    """Means over overlapping windows."""

    window: LocalPool


class NearestUpsample(Op):
    """The first input, resampled (nearest) to the size of the second along some axes."""

    axes: str


class Norm(Op):
    """Batch normalisation."""

    norm: BatchNorm


class Pointwise(Op):
    """A function of one number, by its name in torch."""

    name: str


class Softmax(Op):
    """Softmax over one axis."""

    over: str


class Slice(Op):
    """x[start : start + length] along one axis."""

    over: str
    start: int
    length: int


class ChannelSplit(Op):
    """The channels in equal parts, which are stacked on S."""

    parts: int


class AttentionOp(Op):
    """gain * attention(linear x) + identity * x + residual. The inputs are x and, if there is one, the residual."""

    attention: Attention
    linear: Linear | None = None
    gain: Gain | None = None
    identity: float = 0.0


class ChannelAttentionOp(Op):
    """Attention among the channels of each head. The inputs are q, k, v, then factors of q or of k, one for each channel.

    `factor_ops` has an entry for each factor: 0 for q or 1 for k, and how it is combined with the scores. A gain has one
    value for each head.
    """

    attention: Attention
    gains: tuple[Gain, ...] = ()
    factor_ops: tuple[tuple[int, Combination], ...] = ()


class Gate(Op):
    """scale x (g1 + g2 + ...) or scale x g1 g2 ...; the inputs are x and the gates."""

    kind: Literal["sum", "product"] = "product"
    scale: float = 1.0


class MeanOfSum(Op):
    """The mean over some axes of the sum over S."""

    over: str


class WeightedSum(Op):
    """sum_S w x, where the weights sum to one over S; the inputs are x and w."""


class Select(Op):
    """b + s (a - b); the inputs are a, b, s."""


class ConcatPositions(Op):
    """The positions of all inputs, concatenated on one axis."""


class SplitPositions(Op):
    """The positions of the n-th input of a ConcatPositions. The inputs are the concatenation and the branches."""

    index: int
