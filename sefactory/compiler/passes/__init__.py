"""Rewrite rules of the graph: a graph of `ir.py` comes in, an equal and cheaper graph goes out. They import codegen.

A rule takes a node and the numbers of users, and returns the node that replaces it, or None. The first line of its
docstring is its equation. No rule knows a paper.
"""

from .. import ir as ops
from .attention import (
    fold_gain_into_attention,
    fold_projection_into_attention,
    fold_residual_into_attention,
    merge_residuals,
    move_factor_to_scores,
    move_gain_to_scores,
    split_qkv,
)
from .gates import factor_out_map, fold_residual_into_gate, fold_scale_into_gate, split_gate_product
from .linear import fold_norm_into_conv, fold_norm_into_linear, merge_convs
from .reductions import (
    mean_before_conv,
    mean_before_sum,
    reduce_without_concat,
    reduce_without_stack,
    select_by_softmax,
    sum_before_linear,
    sum_gated_stack,
)
from .rewrite import Rules
from .slicing import slice_of_concat
from .stacks import mean_of_stack_sum, reduce_single_use_stack, sum_weighted_stack

ANY_MODE: Rules = {
    ops.Reduce: (
        reduce_without_stack,
        reduce_without_concat,
        sum_gated_stack,
        mean_before_sum,
        sum_before_linear,
        mean_before_conv,
    ),
    ops.Elementwise: (
        select_by_softmax,
        factor_out_map,
        fold_residual_into_gate,
        fold_residual_into_attention,
        merge_residuals,
        merge_convs,
    ),
    ops.ScalarAffine: (fold_scale_into_gate,),
    ops.Gate: (split_gate_product,),
    ops.LearnedScale: (fold_gain_into_attention,),
    ops.AttentionOp: (fold_projection_into_attention, split_qkv),
    ops.ChannelAttentionOp: (move_factor_to_scores, move_gain_to_scores),
    ops.Slice: (slice_of_concat,),
}
ON_ACCELERATORS: Rules = {
    **ANY_MODE,
    ops.Reduce: (
        sum_weighted_stack,
        mean_of_stack_sum,
        reduce_single_use_stack,
        reduce_without_concat,
        mean_before_sum,
        sum_before_linear,
        mean_before_conv,
    ),
}
"""The same for devices other than the CPU."""
EVAL_MODE: Rules = {ops.Norm: (fold_norm_into_linear, fold_norm_into_conv)}
"""The rules for eval mode, where norms are constants."""
