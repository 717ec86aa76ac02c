"""Rewrite rules of the graph: a graph of `ir.py` comes in, an equal and cheaper graph goes out. They import codegen.

A rule takes a node and the numbers of users, and returns the node that replaces it, or None. The first line of its
docstring is its equation. No rule knows a paper.
"""

from .. import ir as ops
from . import attention, gates, linear, reductions, slicing, stacks
from .rewrite import Rules

ANY_MODE: Rules = {
    ops.Reduce: (
        reductions.reduce_without_stack,
        reductions.reduce_without_concat,
        reductions.sum_gated_stack,
        reductions.mean_before_sum,
        reductions.sum_before_linear,
        reductions.mean_before_conv,
    ),
    ops.Elementwise: (
        reductions.select_by_softmax,
        gates.factor_out_map,
        gates.fold_residual_into_gate,
        attention.fold_residual_into_attention,
        attention.merge_residuals,
        linear.merge_convs,
    ),
    ops.ScalarAffine: (gates.fold_scale_into_gate,),
    ops.Gate: (gates.split_gate_product,),
    ops.LearnedScale: (attention.fold_gain_into_attention,),
    ops.AttentionOp: (attention.fold_projection_into_attention, attention.split_qkv),
    ops.ChannelAttentionOp: (attention.move_factor_to_scores, attention.move_gain_to_scores),
    ops.Slice: (slicing.slice_of_concat,),
}
ON_ACCELERATORS: Rules = {
    **ANY_MODE,
    ops.Reduce: (
        stacks.sum_weighted_stack,
        stacks.mean_of_stack_sum,
        stacks.reduce_single_use_stack,
        reductions.reduce_without_concat,
        reductions.mean_before_sum,
        reductions.sum_before_linear,
        reductions.mean_before_conv,
    ),
}
"""The same for devices other than the CPU."""
EVAL_MODE: Rules = {ops.Norm: (linear.fold_norm_into_linear, linear.fold_norm_into_conv)}
"""The rules for eval mode, where norms are constants."""
