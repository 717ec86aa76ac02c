"""Emitters of attention: one product for q, k and v, one for the scores, one for the result with its residual."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.compiler import is_compiling, is_exporting

from ...kernels import custom_ops
from ...kernels.attention import MIN_TOKENS, attend_channels, softmax
from ...kernels.attention import attend as attend_tokens
from ...kernels.convolution import CONVOLUTIONS
from ...kernels.dispatch import contiguous_fast_path, cpu_fast_path, is_eager, is_in_dispatch_mode, under_inductor
from ...operators.attention import Attention, resize_positions
from ...operators.elementwise import Gain
from ...operators.linear import Linear
from ...operators.precision import HALF, in_float32, is_autocast_enabled
from ...shapes import Sizes
from .. import ir as ops
from ..graph import Node
from .emitter import Emitter
from .layout import strip_unit_axes
from .linear import is_worth_folding
from .params import read_params

MIN_NUMEL = 2**15
"""Values of a map above which its attention has a backward of its own."""
MAX_GRIDS = 8
"""Grids for which a frozen block keeps its resized positions."""
Resize = Callable[[Tensor, list[int]], Tensor]
Product = Callable[[Tensor, Tensor], Tensor]


def emit_attention(op: ops.AttentionOp, node: Node, emitter: Emitter) -> None:
    """Attention among positions, or among channels. Any other runs as the module tree does it."""
    source = node.inputs[0]
    layout = attention_layout(op.attention, source.sizes)
    if not layout:
        emitter.call(node, op.attention, [emitter.register(source, source.sizes.axes)], source.sizes.axes)
        return
    if "C" in source.sizes.axes_of(op.attention.tokens):
        run = _channel_attention(op, layout, source.sizes)
    else:
        run = _position_attention(op, PositionCache() if emitter.frozen else resize_to)
    emitter.call(node, run, [emitter.register(x, layout) for x in node.inputs], layout)


def attention_layout(module: Attention, sizes: Sizes) -> str:
    """The layout that attention takes. Empty if it runs as the module tree."""
    tokens, features = sizes.axes_of(module.tokens), sizes.axes_of(module.features)
    others = strip_unit_axes(sizes.axes_except(tokens, features), sizes)
    canonical = "".join(sorted(tokens, key=sizes.axes.index))
    if others == "S" and tokens == "C" and module.heads == 1 and module.key is None and module.similarity == "dot":
        return "" if module.factored else f"SC{features}"
    if others or "S" in tokens or module.factored or module.similarity != "dot" or tokens != canonical:
        return ""
    if "C" in tokens:
        return f"C{features}" if tokens == "C" and module.heads == 1 and module.key is None else ""
    return f"C{tokens}"


def _position_attention(op: ops.AttentionOp, resize: Resize) -> Callable[..., Tensor]:
    """Attention among positions: x (B, C, tokens...) -> (B, C', tokens...)."""
    module, gain = op.attention, op.gain
    projected = None if op.linear is None else _projection(op.linear, gain, 2 * module.width)

    def run(x: Tensor, residual: Tensor | None = None) -> Tensor:
        folded, size = _folds_gain(x), list(x.shape[2:])
        x = x if projected is None else projected(x, folded)
        has_gain = gain is not None and (projected is None or not folded)
        added = None if has_gain or residual is None else residual.flatten(2)
        y = _attend(module, x.flatten(2) if len(size) > 1 else x, size, resize, added)
        y = y.view(*y.shape[:2], *size)
        if gain is None or not has_gain:
            return y
        return y * gain.weight if residual is None else torch.addcmul(residual, y, gain.weight)

    return run


def _folds_gain(x: Tensor) -> bool:
    """True if a gain goes into weights: of a large map in inference, and of an exported program for inference."""
    return not torch.is_grad_enabled() and (is_exporting() or is_worth_folding(x))


def _projection(linear: Linear, gain: Gain | None, start: int) -> Callable[[Tensor, bool], Tensor]:
    """W x + b. In inference the rows of the values, from `start` on, may be multiplied by the gain."""
    params, groups, parameters = read_params(linear), linear.groups, linear.weight.shape

    def run(x: Tensor, folded: bool) -> Tensor:
        weight, bias = params()
        if gain is not None and folded:
            weight = torch.cat([weight[:start], weight[start:] * gain.weight])
            bias = bias if bias is None else torch.cat([bias[:start], bias[start:] * gain.weight])
        convolve = CONVOLUTIONS[x.dim() - 2]
        return convolve(x, weight.view(*parameters, *[1] * (x.dim() - 2)), bias, groups=groups)

    return run


def _attend(module: Attention, x_BCT: Tensor, size: list[int], resize: Resize, residual_BCT: Tensor | None) -> Tensor:
    """softmax(scale q^T k) v + residual."""
    heads, scale = module.heads, module.scale
    q, k, v = _split_qkv(module, x_BCT, size, resize)
    batch, width, tokens = v.shape
    if heads > 1:
        q, k, v = (t.reshape(batch * heads, t.shape[1] // heads, tokens) for t in (q, k, v))
    y: Tensor | None = None
    if under_inductor():
        y = custom_ops.attention(q[:, None], k[:, None], v[:, None], scale)
    elif cpu_fast_path(x_BCT, MIN_NUMEL) and tokens >= MIN_TOKENS:
        y = attend_tokens(q[:, None], k[:, None], v[:, None], scale)
    if y is not None:
        y = y.view(batch, width, tokens)
        return y if residual_BCT is None else y + residual_BCT
    a = _weights(q.transpose(1, 2), k, scale).transpose(1, 2)
    if residual_BCT is None:
        return torch.bmm(v, a).view(batch, width, tokens)
    return torch.baddbmm(residual_BCT.reshape(v.shape), v, a).view(batch, width, tokens)


def _weights(q: Tensor, k: Tensor, scale: float, product: Product = torch.bmm) -> Tensor:
    """softmax_j(scale q_i . k_j), q (N, T, D), k (N, D, T), in float32 for half types."""
    if q.dtype in HALF or is_autocast_enabled(q):
        return in_float32(_softmax, q, k, scale, product).to(q.dtype)
    return _softmax(q, k, scale, product)


def _softmax(q: Tensor, k: Tensor, scale: float, product: Product) -> Tensor:
    if scale == 1:
        return softmax(product(q, k))
    if product is torch.bmm and not (q.is_cpu or torch.is_grad_enabled() or is_compiling()):
        return softmax(torch.baddbmm(q.new_empty(()), q, k, beta=0, alpha=scale))
    if not is_compiling() and q.shape[2] < k.shape[2]:  # an exported program would be held to this order of sizes
        return softmax(product(q * scale, k))
    return softmax(product(q, k).mul_(scale))


def _product(layout: str, sizes: Sizes) -> Product:
    """The product q k. With one feature it is elementwise (docs/kernels.md, Compiler)."""
    return torch.mul if not strip_unit_axes(layout.partition("C")[2], sizes) else torch.bmm


def _weighted_sum(a_NCC: Tensor, x_NCT: Tensor, product: Product) -> Tensor:
    """a x. With one feature it is computed as x^T a^T, a row times a matrix (docs/kernels.md, Compiler)."""
    if product is torch.bmm:
        return torch.bmm(a_NCC, x_NCT)
    return torch.bmm(x_NCT.transpose(1, 2), a_NCC.transpose(1, 2)).transpose(1, 2)


def _split_qkv(module: Attention, x_BCT: Tensor, size: list[int], resize: Resize) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v, with the learned positions added to q and k."""
    width, has_key = module.width, module.key is not None
    q, k, v = x_BCT.split_with_sizes((width, width, x_BCT.shape[1] - 2 * width), 1) if has_key else (x_BCT, x_BCT, x_BCT)
    if module.position is None:
        return q, k, v
    position_2DT = resize(module.position, size)
    if x_BCT.is_cpu or torch.is_grad_enabled() or not has_key or not is_eager(x_BCT) or x_BCT.dtype != position_2DT.dtype:
        q_DT, k_DT = position_2DT
        return q + q_DT, k + k_DT, v
    qk_2BDT = x_BCT.narrow(1, 0, 2 * width).unflatten(1, (2, width)).transpose(0, 1)
    q, k = torch.add(qk_2BDT, position_2DT[:, None], out=x_BCT.new_empty(qk_2BDT.shape))  # one call, both contiguous
    return q, k, v


def resize_to(position: Tensor, size: list[int]) -> Tensor:
    """The learned positions of q and k, resized to a grid of tokens: (2, heads x width, tokens)."""
    if is_compiling() or list(position.shape[2:]) != size:  # the learned size needs no interpolation
        position = resize_positions(position, size)
    return position.flatten(2) if len(size) > 1 else position


class PositionCache:
    """Resized positions of a frozen block on a CPU, for the grids used last. They are resized again if the weight changed.

    The weight is compared by value, because an edit through `.data` leaves no other trace. On other devices the comparison
    would synchronise, so nothing is cached there. In a mode such as FakeTensorMode nothing is cached either.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}

    def __call__(self, position: Tensor, size: list[int]) -> Tensor:
        is_ordinary = is_eager(position) and position.is_cpu and not is_in_dispatch_mode()
        if not is_ordinary or list(position.shape[2:]) == size:
            return resize_to(position, size)
        key = tuple(size)
        kept = self._kept.pop(key, None)
        if kept is None or kept[0].dtype != position.dtype or not torch.equal(kept[0], position):
            kept = position.detach().clone(), resize_to(position, size)
        self._kept[key] = kept  # the last one in order
        if len(self._kept) > MAX_GRIDS:
            self._kept.pop(list(self._kept)[0], None)  # noqa: RUF015 (another thread may add a grid)
        return kept[1]


def _channel_attention(op: ops.AttentionOp, layout: str, sizes: Sizes) -> Callable[..., Tensor]:
    """(gain A + identity) x, A = softmax(scale x x^T) in float32, of each map on S: x (B, S, C, positions...) -> the same."""
    scale, gain, identity, product = op.attention.scale, op.gain, op.identity, _product(layout, sizes)
    last_batch_dim = layout.index("C")

    def run(x: Tensor, residual: Tensor | None = None) -> Tensor:
        x_NCT = x.flatten(0, last_batch_dim).flatten(2)
        weight = None if gain is None else gain.weight
        if product is torch.bmm and contiguous_fast_path(x_NCT, MIN_NUMEL):
            y_NCT = attend_channels(x_NCT, scale, identity, weight)
        else:
            y_NCT = _among_channels(x_NCT, weight, scale, identity, product)
        y = y_NCT.view(x.shape)
        return y if residual is None else y + residual

    return run


def _among_channels(x_BCN: Tensor, weight: Tensor | None, scale: float, identity: float, product: Product) -> Tensor:
    """(weight A + identity) x in torch's own operations."""
    x_B1NC = x_BCN.transpose(1, 2)[:, None]
    y_B1NC = custom_ops.attention(x_B1NC, x_B1NC, x_B1NC, scale)
    if y_B1NC is not None:
        y_BCN = y_B1NC.squeeze(1).transpose(1, 2)
        y_BCN = y_BCN if weight is None else y_BCN * weight
    else:
        a_BCC, v_BCN = _weights(x_BCN, x_BCN.transpose(1, 2), scale, product), x_BCN
        if weight is not None:  # onto the smaller of both
            is_few = is_compiling() or a_BCC.shape[2] <= x_BCN.shape[2]
            a_BCC, v_BCN = (a_BCC * weight, v_BCN) if is_few else (a_BCC, v_BCN * weight)
        if identity and product is torch.bmm:
            return torch.baddbmm(x_BCN, a_BCC, v_BCN, beta=identity)
        y_BCN = _weighted_sum(a_BCC, v_BCN, product)
    return y_BCN + identity * x_BCN if identity else y_BCN
