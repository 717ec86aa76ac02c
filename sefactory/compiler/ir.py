"""The operations of the graph, the intermediate representation (IR) of the compiler.

Operations with weights hold the module that owns them, and read the weights from it at every run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..operators.attention import Attention
from ..operators.conv import Conv
from ..operators.elementwise import Gain
from ..operators.linear import Linear
from ..operators.norm import BatchNorm
from ..operators.pool import Cluster, LocalPool

Statistic = Literal["mean", "max", "min", "sum"]
Combination = Literal["sum", "product", "max", "min", "difference", "quotient"]


@dataclass(frozen=True)
class Op:
    """What a node computes from its inputs."""


@dataclass(frozen=True)
class Source(Op):
    """The input of the block."""


@dataclass(frozen=True)
class OpaqueCall(Op):
    """A module of the tree, or a function, of x_BSCHW. No rewrite rule looks into it."""

    call: Callable[..., Tensor]


@dataclass(frozen=True)
class Reduce(Op):
    """One statistic over some axes."""

    over: str
    by: Statistic


@dataclass(frozen=True)
class Variance(Op):
    """The variance over some axes, or sqrt(variance + eps)."""

    over: str
    root: bool
    eps: float
    unbiased: bool


@dataclass(frozen=True)
class WeightedPool(Op):
    """Weighted means of the positions, side by side on S. The weights are softmax(W x + b) over the positions."""

    cluster: Cluster


@dataclass(frozen=True)
class Stack(Op):
    """The inputs side by side on S."""


@dataclass(frozen=True)
class Concat(Op):
    """The inputs concatenated on C."""


@dataclass(frozen=True)
class Elementwise(Op):
    """The inputs combined element by element, axes of size 1 broadcast."""

    kind: Combination


@dataclass(frozen=True)
class ScalarAffine(Op):
    """scale x + shift."""

    scale: float
    shift: float = 0.0


@dataclass(frozen=True)
class LearnedScale(Op):
    """w x, with one learned w."""

    gain: Gain


@dataclass(frozen=True)
class LinearOp(Op):
    """W x + times b over C, then the norm in eval mode."""

    linear: Linear
    times: int = 1
    norm: BatchNorm | None = None


@dataclass(frozen=True)
class ConvOp(Op):
    """A convolution, then the norm in eval mode. The kernels of `others` are added to the centre of its kernel."""

    conv: Conv
    norm: BatchNorm | None = None
    others: tuple[Conv, ...] = ()


@dataclass(frozen=True)
class ConvMean(Op):
    """The mean, or the sum, of a convolution over all its positions."""

    window: ConvOp
    by: Literal["mean", "sum"]


@dataclass(frozen=True)
class AvgPool(Op):
    """Means over overlapping windows."""

    window: LocalPool


@dataclass(frozen=True)
class NearestUpsample(Op):
    """The first input, resampled (nearest) to the size of the second along some axes."""

    axes: str


@dataclass(frozen=True)
class Norm(Op):
    """Batch normalisation."""

    norm: BatchNorm


@dataclass(frozen=True)
class Pointwise(Op):
    """A function of one number, by its name in torch."""

    name: str


@dataclass(frozen=True)
class Softmax(Op):
    """Softmax over one axis."""

    over: str


@dataclass(frozen=True)
class Slice(Op):
    """x[start : start + length] along one axis."""

    over: str
    start: int
    length: int


@dataclass(frozen=True)
class ChannelSplit(Op):
    """The channels in equal parts, which are stacked on S."""

    parts: int


@dataclass(frozen=True)
class AttentionOp(Op):
    """gain * attention(linear x) + identity * x + residual. The inputs are x and, if there is one, the residual."""

    attention: Attention
    linear: Linear | None = None
    gain: Gain | None = None
    identity: float = 0.0


@dataclass(frozen=True)
class ChannelAttentionOp(Op):
    """Attention among the channels of each head. The inputs are q, k, v, then factors of q or of k, one for each channel.

    `factor_ops` has an entry for each factor: 0 for q or 1 for k, and how it is combined with the scores. A gain has one
    value for each head.
    """

    attention: Attention
    gains: tuple[Gain, ...] = ()
    factor_ops: tuple[tuple[int, Combination], ...] = ()


@dataclass(frozen=True)
class Gate(Op):
    """scale x (g1 + g2 + ...) or scale x g1 g2 ...; the inputs are x and the gates."""

    kind: Literal["sum", "product"] = "product"
    scale: float = 1.0


@dataclass(frozen=True)
class MeanOfSum(Op):
    """The mean over some axes of the sum over S."""

    over: str


@dataclass(frozen=True)
class WeightedSum(Op):
    """sum_S w x, where the weights sum to one over S; the inputs are x and w."""


@dataclass(frozen=True)
class Select(Op):
    """b + s (a - b); the inputs are a, b, s."""


@dataclass(frozen=True)
class ConcatPositions(Op):
    """The positions of all inputs, concatenated on one axis."""


@dataclass(frozen=True)
class SplitPositions(Op):
    """The positions of the n-th input of a ConcatPositions. The inputs are the concatenation and the branches."""

    index: int
