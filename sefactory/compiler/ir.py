"""What a value of the graph can be: each operation says what is computed, in the words of the grammar.

Those that hold weights name the module of the plain tree that owns them, and read them from there whenever they run.
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
from ..operators.pool import Cluster, LocalPool, Pool

Statistic = Literal["mean", "max", "min", "sum"]
Combination = Literal["sum", "product", "max", "min", "difference", "quotient"]


@dataclass(frozen=True)
class Op:
    """What is computed from the inputs of a value."""


@dataclass(frozen=True)
class Source(Op):
    """The map that comes in."""


@dataclass(frozen=True)
class OpaqueCall(Op):
    """The module of the plain tree, or a function of it, on x_BSCHW: what no rule speaks of."""

    call: Callable[..., Tensor]


@dataclass(frozen=True)
class Reduce(Op):
    """One statistic over some axes."""

    over: str
    by: Statistic


@dataclass(frozen=True)
class Variance(Op):
    """The variance over some axes, or the square root of it and eps."""

    over: str
    root: bool
    eps: float
    unbiased: bool


@dataclass(frozen=True)
class WeightedPool(Op):
    """Weighted means of the positions, the weights a softmax of W x + b over them; side by side on S."""

    cluster: Cluster


@dataclass(frozen=True)
class Project(Op):
    """W x + b over all positions together."""

    linear: Linear


@dataclass(frozen=True)
class Stack(Op):
    """The inputs side by side on S; those of one pool name it."""

    pool: Pool | None = None


@dataclass(frozen=True)
class Concat(Op):
    """The inputs end to end on C."""


@dataclass(frozen=True)
class Elementwise(Op):
    """The inputs put together element by element, axes of size 1 stretched."""

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
    """W x + times b over C, then the norm, which is fixed."""

    linear: Linear
    times: int = 1
    norm: BatchNorm | None = None


@dataclass(frozen=True)
class ConvOp(Op):
    """A convolution, or the sum of several whose windows lie in the middle of the first; then the norm, which is fixed."""

    conv: Conv
    norm: BatchNorm | None = None
    others: tuple[Conv, ...] = ()


@dataclass(frozen=True)
class ConvMean(Op):
    """The mean, or the sum, of a window over all of its places."""

    window: ConvOp
    by: Literal["mean", "sum"]


@dataclass(frozen=True)
class AvgPool(Op):
    """Means over windows that overlap."""

    window: LocalPool


@dataclass(frozen=True)
class NearestUpsample(Op):
    """The first input on the grid of the second along some axes, nearest."""

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
    """Weights that sum to one over one axis."""

    over: str


@dataclass(frozen=True)
class Slice(Op):
    """x[start : start + length] along one axis."""

    over: str
    start: int
    length: int


@dataclass(frozen=True)
class ChannelSplit(Op):
    """C cut into parts that lie on S."""

    parts: int


@dataclass(frozen=True)
class Attend(Op):
    """gain * attention(linear x) + identity * x + residual; x and, where there is one, the residual are the inputs."""

    attention: Attention
    linear: Linear | None = None
    gain: Gain | None = None
    identity: float = 0.0


@dataclass(frozen=True)
class AttendParts(Op):
    """Attention among the channels of each head; the inputs are q, k, v, then factors of q or of k, one for each channel.

    `onto` says of each factor whose it is, 0 for q and 1 for k, and how it goes onto the scores. A gain has one for each head.
    """

    attention: Attention
    gains: tuple[Gain, ...] = ()
    onto: tuple[tuple[int, Combination], ...] = ()


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
    """a s + b (1 - s); the inputs are a, b, s."""


@dataclass(frozen=True)
class ConcatPositions(Op):
    """The positions of all inputs, one after the other."""


@dataclass(frozen=True)
class SplitPositions(Op):
    """The positions of the n-th input of a join again; the inputs are what is split, and the branches that were joined."""

    index: int
