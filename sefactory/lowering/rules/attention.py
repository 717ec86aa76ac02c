"""Gains, residuals and projections go into the products of attention."""

from dataclasses import replace

from .. import operations as ops
from ..attend import attend_layout
from ..graph import Value
from .rewrite import Uses, alone


def gain_into_attention(value: Value, used: Uses) -> Value | None:
    """w attention(x) = attention with its values times w."""
    (x,) = value.inputs
    if not isinstance(value.op, ops.Gained) or not isinstance(x.op, ops.Attend) or not alone(x, used):
        return None
    if x.op.gain is not None or len(x.inputs) > 1 or not attend_layout(x.op.attention, x.inputs[0].sizes):
        return None
    return replace(x, op=replace(x.op, gain=value.op.gain))


def linear_into_attention(value: Value, used: Uses) -> Value | None:
    """attention(y), y = W x + b: q, k and v in one product, into which a gain of the values can be folded."""
    op, (dense, *rest) = value.op, value.inputs
    if not isinstance(op, ops.Attend) or op.linear is not None or op.attention.key is None:
        return None
    if not isinstance(dense.op, ops.Dense) or dense.op.norm is not None or dense.op.times != 1 or not alone(dense, used):
        return None
    layout = attend_layout(op.attention, dense.sizes)
    if layout != attend_layout(op.attention, dense.inputs[0].sizes) or not layout:
        return None
    return replace(value, op=replace(op, linear=dense.op.linear), inputs=(*dense.inputs, *rest))


def residual_into_attention(value: Value, used: Uses) -> Value | None:
    """x + A x = (A + I) x among channels; y + v A^T in one product among positions."""
    if value.op != ops.Combined("sum") or len(value.inputs) != 2:
        return None
    for attended, other in (value.inputs, value.inputs[::-1]):
        op = attended.op
        if not isinstance(op, ops.Attend) or len(attended.inputs) != 1 or not alone(attended, used):
            continue
        if not _of_one_map(attended) or other.sizes != attended.sizes:
            continue
        if op.attention.key is None and other is attended.inputs[0] and "C" in _tokens(attended):
            return replace(attended, op=replace(op, identity=op.identity + 1.0))
        if op.attention.key is not None or "C" not in _tokens(attended):
            return replace(attended, inputs=(*attended.inputs, other))
    return None


def _of_one_map(value: Value) -> bool:
    """Whether attention is lowered, and of a map that is alone on S."""
    op = value.op
    return isinstance(op, ops.Attend) and attend_layout(op.attention, value.inputs[0].sizes)[:1] == "C"


def _tokens(value: Value) -> str:
    op = value.op
    return "".join(value.sizes.axes[dim - 1] for dim in op.attention.tokens) if isinstance(op, ops.Attend) else ""


def residuals_together(value: Value, used: Uses) -> Value | None:
    """(y + x) + (A + I) x = y + (A + 2 I) x: both residuals lie in the matrix of the channels."""
    if value.op != ops.Combined("sum") or len(value.inputs) != 2:
        return None
    for first, second in (value.inputs, value.inputs[::-1]):
        if not all(isinstance(x.op, ops.Attend) and alone(x, used) for x in (first, second)) or len(first.inputs) != 2:
            continue
        op = second.op
        if isinstance(op, ops.Attend) and len(second.inputs) == 1 and "C" in _tokens(second) and op.attention.key is None:
            if first.inputs[1] is second.inputs[0] and _of_one_map(second):
                both = replace(second, op=replace(op, identity=op.identity + 1.0))
                return replace(first, inputs=(first.inputs[0], both))
    return None
