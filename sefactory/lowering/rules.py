"""The rules: each rewrites one place of the graph into what is equal and costs less. None of them knows a paper.

A rule is given a value and tells what it becomes, or None. Its first line is the equation, the condition follows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from . import graph as g
from .attend import attend_layout
from .graph import Value
from .maps import norm_layout, window_layout

Uses = Mapping[int, int]
Rule = Callable[[Value, Uses], Value | None]


@dataclass(frozen=True)
class Rewrite:
    """One application of a rule: where, by which rule, and its equation."""

    place: str
    rule: str
    equation: str


def _alone(value: Value, used: Uses) -> bool:
    """Whether nobody else rests on a value; those that a rule has just made are new, and used once."""
    return used.get(id(value), 1) == 1


# ---- Sums over S -----------------------------------------------------------------------------------------------------


def reduce_without_stack(value: Value, used: Uses) -> Value | None:
    """sum_S stack(a, b, ...) = a + b + ..., so the stack is never made."""
    op, (stack, *_) = value.op, value.inputs
    if not isinstance(op, g.Reduce) or op.over != "S" or not isinstance(stack.op, g.Stacked):
        return None
    if any(x.sizes["S"] != 1 for x in stack.inputs):
        return None
    kind: g.Combination = op.by if op.by in ("max", "min") else "sum"
    y = Value(g.Combined(kind), stack.inputs, value.sizes, value.place)
    return y if op.by != "mean" else Value(g.Scaled(1 / len(stack.inputs)), (y,), value.sizes, value.place)


def sum_gated_stack(value: Value, used: Uses) -> Value | None:
    """sum_S(stack(a, b) * g) = a g_0 + b g_1: neither the stack nor its product is made."""
    op, (gate, *_) = value.op, value.inputs
    if not isinstance(op, g.Reduce) or op.over != "S" or op.by != "sum" or not _alone(gate, used):
        return None
    if not isinstance(gate.op, g.Gate) or len(gate.inputs) != 2:
        return None
    stack, weights = gate.inputs
    if not isinstance(stack.op, g.Stacked) or weights.sizes["S"] != len(stack.inputs):
        return None
    if any(x.sizes["S"] != 1 for x in stack.inputs):
        return None
    one = weights.sizes.replace({"S": 1})
    parts = [Value(g.Part("S", i, 1), (weights,), one, value.place) for i in range(len(stack.inputs))]
    gated = [Value(gate.op, (x, part), x.sizes, value.place) for x, part in zip(stack.inputs, parts, strict=True)]
    return Value(g.Combined("sum"), tuple(gated), value.sizes, value.place)


def select_by_sigmoid(value: Value, used: Uses) -> Value | None:
    """a p_0 + b p_1 = a s + b (1 - s), s = sigmoid(l_0 - l_1), where p = softmax_S(l) of two."""
    if value.op != g.Combined("sum") or len(value.inputs) != 2 or not all(x.op == g.Gate() for x in value.inputs):
        return None
    (a, p), (b, q) = (x.inputs for x in value.inputs)
    if p.op != g.Part("S", 0, 1) or q.op != g.Part("S", 1, 1) or p.inputs[0] is not q.inputs[0]:
        return None
    (weights,) = p.inputs
    if weights.op != g.Softmax("S") or weights.sizes["S"] != 2:
        return None
    logits = [Value(part.op, weights.inputs, part.sizes, value.place) for part in (p, q)]
    apart = Value(g.Combined("difference"), tuple(logits), p.sizes, value.place)
    return Value(g.Select(), (a, b, Value(g.Pointwise("sigmoid"), (apart,), p.sizes, value.place)), value.sizes, value.place)


def mean_before_sum(value: Value, used: Uses) -> Value | None:
    """mean(a + b) = mean(a) + mean(b): the sum of maps is never made."""
    op, (total, *_) = value.op, value.inputs
    if not isinstance(op, g.Reduce) or op.by not in ("mean", "sum") or total.op != g.Combined("sum") or not _alone(total, used):
        return None
    if any(x.sizes != total.sizes for x in total.inputs) or not set(total.sizes.grid) & set(op.over):
        return None
    return Value(total.op, tuple(Value(op, (x,), value.sizes, value.place) for x in total.inputs), value.sizes, value.place)


def sum_before_linear(value: Value, used: Uses) -> Value | None:
    """sum_S(W x + b) = W sum_S(x) + n b: one product in place of n."""
    op, (map_, *_) = value.op, value.inputs
    if not isinstance(op, g.Reduce) or (op.over, op.by) != ("S", "sum") or not isinstance(map_.op, g.Dense):
        return None
    if map_.op.norm is not None or not _alone(map_, used):
        return None
    (x,) = map_.inputs
    count = x.sizes.number("S")
    total = Value(op, (x,), x.sizes.replace({"S": 1}), value.place)
    return Value(replace(map_.op, times=map_.op.times * count), (total,), value.sizes, map_.place)


# ---- Gates on one map ------------------------------------------------------------------------------------------------


def factor_map_out(value: Value, used: Uses) -> Value | None:
    """x g_1 + x g_2 + ... = x (g_1 + g_2 + ...): one pass over the map in place of one for each branch."""
    if value.op != g.Combined("sum") or not all(_single_gate(x, used) for x in value.inputs):
        return None
    x = value.inputs[0].inputs[0]
    if any(other.inputs[0] is not x for other in value.inputs) or value.sizes != x.sizes:
        return None
    scales = {other.op.scale for other in value.inputs if isinstance(other.op, g.Gate)}
    if len(scales) > 1:
        return None
    gates = tuple(gate for other in value.inputs for gate in other.inputs[1:])
    return Value(g.Gate("sum", scales.pop()), (x, *gates), value.sizes, value.place)


def _single_gate(value: Value, used: Uses) -> bool:
    op = value.op
    return isinstance(op, g.Gate) and _alone(value, used) and (len(value.inputs) == 2 or op.kind == "sum")


def residual_into_gate(value: Value, used: Uses) -> Value | None:
    """x + x g = x (g + 1): the gate is smaller than the map."""
    if value.op != g.Combined("sum") or len(value.inputs) != 2:
        return None
    gated = next((x for x in value.inputs if x.op == g.Gate() and len(x.inputs) == 2 and _alone(x, used)), None)
    if gated is None:
        return None
    x, gate = gated.inputs
    if not any(other is x for other in value.inputs) or all(gate.sizes[a] == x.sizes[a] for a in x.sizes.axes):
        return None
    more = Value(g.Scaled(1.0, 1.0), (gate,), gate.sizes, value.place)
    return Value(gated.op, (x, more), value.sizes, value.place)


def scale_into_gate(value: Value, used: Uses) -> Value | None:
    """s (x g) = x (s g): the factor goes into the gates, which are smaller than the map."""
    (gated, *_) = value.inputs
    if not isinstance(value.op, g.Scaled) or value.op.shift or not isinstance(gated.op, g.Gate) or not _alone(gated, used):
        return None
    return replace(gated, op=replace(gated.op, scale=gated.op.scale * value.op.scale))


def gates_one_by_one(value: Value, used: Uses) -> Value | None:
    """x (g_1 g_2) = x g_1 g_2: the product of gates that lie along different axes is never made."""
    if not isinstance(value.op, g.Gate) or len(value.inputs) != 2:
        return None
    x, product = value.inputs
    if product.op != g.Combined("product") or not _alone(product, used):
        return None
    if any(gate.sizes == product.sizes for gate in product.inputs):
        return None
    return Value(g.Gate("product", value.op.scale), (x, *product.inputs), value.sizes, value.place)


# ---- Attention -------------------------------------------------------------------------------------------------------


def gain_into_attention(value: Value, used: Uses) -> Value | None:
    """w attention(x) = attention with its values times w."""
    (x,) = value.inputs
    if not isinstance(value.op, g.Gained) or not isinstance(x.op, g.Attend) or not _alone(x, used):
        return None
    if x.op.gain is not None or len(x.inputs) > 1 or not attend_layout(x.op.attention, x.inputs[0].sizes):
        return None
    return replace(x, op=replace(x.op, gain=value.op.gain))


def linear_into_attention(value: Value, used: Uses) -> Value | None:
    """attention(y), y = W x + b: q, k and v in one product, into which a gain of the values can be folded."""
    op, (dense, *rest) = value.op, value.inputs
    if not isinstance(op, g.Attend) or op.linear is not None or op.attention.key is None:
        return None
    if not isinstance(dense.op, g.Dense) or dense.op.norm is not None or dense.op.times != 1 or not _alone(dense, used):
        return None
    layout = attend_layout(op.attention, dense.sizes)
    if layout != attend_layout(op.attention, dense.inputs[0].sizes) or not layout:
        return None
    return replace(value, op=replace(op, linear=dense.op.linear), inputs=(*dense.inputs, *rest))


def residual_into_attention(value: Value, used: Uses) -> Value | None:
    """x + A x = (A + I) x among channels; y + v A^T in one product among positions."""
    if value.op != g.Combined("sum") or len(value.inputs) != 2:
        return None
    for attended, other in (value.inputs, value.inputs[::-1]):
        op = attended.op
        if not isinstance(op, g.Attend) or len(attended.inputs) != 1 or not _alone(attended, used):
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
    return isinstance(op, g.Attend) and attend_layout(op.attention, value.inputs[0].sizes)[:1] == "C"


def _tokens(value: Value) -> str:
    op = value.op
    return "".join(value.sizes.axes[dim - 1] for dim in op.attention.tokens) if isinstance(op, g.Attend) else ""


def residuals_together(value: Value, used: Uses) -> Value | None:
    """(y + x) + (A + I) x = y + (A + 2 I) x: both residuals lie in the matrix of the channels."""
    if value.op != g.Combined("sum") or len(value.inputs) != 2:
        return None
    for first, second in (value.inputs, value.inputs[::-1]):
        if not all(isinstance(x.op, g.Attend) and _alone(x, used) for x in (first, second)) or len(first.inputs) != 2:
            continue
        op = second.op
        if isinstance(op, g.Attend) and len(second.inputs) == 1 and "C" in _tokens(second) and op.attention.key is None:
            if first.inputs[1] is second.inputs[0] and _of_one_map(second):
                both = replace(second, op=replace(op, identity=op.identity + 1.0))
                return replace(first, inputs=(first.inputs[0], both))
    return None


# ---- Norms in eval mode ----------------------------------------------------------------------------------------------


def norm_into_linear(value: Value, used: Uses) -> Value | None:
    """s (W x + b) + t = (s W) x + (s b + t), where the norm is fixed."""
    (dense,) = value.inputs
    if not isinstance(value.op, g.Norm) or not isinstance(dense.op, g.Dense):
        return None
    if dense.op.norm is not None or not _alone(dense, used):
        return None
    if value.op.norm.kept != "C" or dense.sizes["S"] != 1 or len(dense.sizes.space) != 2:
        return None
    return replace(dense, op=replace(dense.op, norm=value.op.norm))


def norm_into_window(value: Value, used: Uses) -> Value | None:
    """s (w * x) + t = (s w) * x + t, where the norm is fixed."""
    (window,) = value.inputs
    if not isinstance(value.op, g.Norm) or not isinstance(window.op, g.Window):
        return None
    layout = window_layout(window.op, window.inputs[0].sizes)
    if window.op.norm is not None or not layout or not _alone(window, used):
        return None
    made = (window.op.conv.mix or window.op.conv.each or layout[0]) + layout[1:]
    if len(value.op.norm.kept) != 1 or norm_layout(value.op.norm, made, window.sizes)[1:] != made[1:]:
        return None
    return replace(window, op=replace(window.op, norm=value.op.norm))


Rules = Mapping[type[g.Op], tuple[Rule, ...]]
ALWAYS: Rules = {
    g.Reduce: (reduce_without_stack, sum_gated_stack, mean_before_sum, sum_before_linear),
    g.Combined: (select_by_sigmoid, factor_map_out, residual_into_gate, residual_into_attention, residuals_together),
    g.Scaled: (scale_into_gate,),
    g.Gate: (gates_one_by_one,),
    g.Gained: (gain_into_attention,),
    g.Attend: (linear_into_attention,),
}
"""By the operation that a rule speaks of."""
EVALUATED: Rules = {g.Norm: (norm_into_linear, norm_into_window)}
