"""The rules: each rewrites one place of the graph into what is equal and costs less. None of them knows a paper.

A rule is given a value and tells what it becomes, or None. Its first line is the equation, the condition follows.
"""

from .. import ir as ops
from .attention import (
    factor_behind_product,
    gain_behind_product,
    gain_into_attention,
    linear_into_attention,
    parts_of_attention,
    residual_into_attention,
    residuals_together,
)
from .gates import factor_map_out, gates_one_by_one, residual_into_gate, scale_into_gate
from .linear import norm_into_linear, norm_into_window, windows_together
from .reductions import (
    mean_before_sum,
    mean_of_window,
    reduce_without_concat,
    reduce_without_stack,
    select_by_softmax,
    sum_before_linear,
    sum_gated_stack,
)
from .rewrite import Rules
from .slicing import part_of_concat
from .stacks import mean_of_stack_sum, reduce_single_use_stack, sum_weighted_stack

ALWAYS: Rules = {
    ops.Reduce: (
        reduce_without_stack,
        reduce_without_concat,
        sum_gated_stack,
        mean_before_sum,
        sum_before_linear,
        mean_of_window,
    ),
    ops.Elementwise: (
        select_by_softmax,
        factor_map_out,
        residual_into_gate,
        residual_into_attention,
        residuals_together,
        windows_together,
    ),
    ops.ScalarAffine: (scale_into_gate,),
    ops.Gate: (gates_one_by_one,),
    ops.LearnedScale: (gain_into_attention,),
    ops.Attend: (linear_into_attention, parts_of_attention),
    ops.AttendParts: (factor_behind_product, gain_behind_product),
    ops.Slice: (part_of_concat,),
}
ON_ACCELERATORS: Rules = {
    **ALWAYS,
    ops.Reduce: (
        sum_weighted_stack,
        mean_of_stack_sum,
        reduce_single_use_stack,
        reduce_without_concat,
        mean_before_sum,
        sum_before_linear,
        mean_of_window,
    ),
}
"""The same for devices other than the CPU."""
EVALUATED: Rules = {ops.Norm: (norm_into_linear, norm_into_window)}
"""In eval mode, where norms are constants."""
