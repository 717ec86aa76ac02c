"""Sizes that do not fit."""

from tests.error_messages.table import yaml

SIZES = [
    yaml(
        "softmax: S",
        "my.yaml: softmax: over S of size 1 it would be 1 everywhere; the sizes (S x C x H x W) are 1 x 64 x H x W",
    ),
    yaml("linear: {mix: HW}", "my.yaml: linear: needs the size of H, which only a fixed grid has: give height= and width="),
    yaml("gain: {each: H}", "my.yaml: gain: needs the size of H, which only a fixed grid has: give height= and width="),
    yaml(
        "attention: {tokens: HW, position: 7}",
        "my.yaml: attention: position 7 is along one token axis, and tokens are HW; write position: [7, 7]",
    ),
    yaml(
        "attention: {tokens: W, position: [7, 5]}",
        "my.yaml: attention: position [7, 5] is along 2 token axes, and tokens are W",
    ),
    yaml(
        "attention: {tokens: SHW, position: 7}",
        "my.yaml: attention: position 7 is along one token axis, and tokens are SHW; write position: [7, 7, 7]",
    ),
    yaml("attention: {tokens: C, position: 7}", "my.yaml: attention: position needs spatial tokens, and C is a token axis"),
    yaml("attention: {tokens: C, heads: 3}", "my.yaml: attention: the width of v 64 is not divisible by 3"),
    yaml(
        "attention: {tokens: C, heads: 64}",
        "my.yaml: attention: tokens C have size 1 in each of 64 heads: there is nothing to attend to",
    ),
    yaml(
        "attention: {tokens: C, heads: 2, key: 8}",
        "my.yaml: attention: C of 64 is not 3 x 2 x 8: with C as a token axis, q, k and v are of one size",
    ),
    yaml(
        "conv: {padding: 0}",
        (
            "my.yaml: conv: padding 0 does not keep the size of H at kernel 3, dilation 1, so it needs a fixed grid: give "
            "height= and width="
        ),
    ),
    yaml(
        "conv: {along: C, kernel: 9, padding: 0, dilation: 9}",
        "my.yaml: conv: a window of 73 does not fit C of 64 with padding 0 on both sides",
    ),
    yaml("attention: {tokens: SCHW}", "my.yaml: attention: tokens SCHW leave no axis for the features"),
    yaml(
        "attention: {key: 32}",
        "my.yaml: attention: q and k, 1 x 32 channels each, leave none of 64 for v: reduce key or heads",
    ),
    yaml("attention: {key: 4, heads: 3}", "my.yaml: attention: the width of v 40 is not divisible by 3"),
    yaml(
        "squeeze: [{pool: {over: HW, by: [mean, max]}}]\nexcite: [relu]\ngate: [sigmoid]",
        (
            "my.yaml: the gate does not fit its map: S is 2 and must be 1 (gate 2 x 64 x 1 x 1, map 1 x 64 x H x W); S holds "
            "several maps since my.yaml squeeze.0"
        ),
    ),
    yaml(
        "excite: [{linear: 3}]\ngate: [sigmoid]",
        "my.yaml: the gate does not fit its map: C is 3 and must be 1 or 64 (gate 1 x 3 x H x W, map 1 x 64 x H x W)",
    ),
    yaml(
        "squeeze: [{pool: {over: HW, by: mean}}]\napply: scale_shift",
        "my.yaml: scale_shift needs two maps on S, a scale and a shift, and the gate has 1",
    ),
    yaml(
        "- conv: {stride: 2}\n- parallel: {a: [relu], b: [{conv: {stride: 2}}]}\n  fuse: sum",
        "my.yaml 1.fuse: branches differ in H: H/2, H/4; on a fixed grid, height= and width=, they may be equal",
    ),
    yaml(
        "series:\n  first: [{pool: {over: C, by: [max, mean]}}]\n  second: [relu, {conv: {mix: C}}]",
        (
            "my.yaml series.first.0: leaves 2 maps on S, and a block returns one: join them, for example by "
            "pool: {over: S, by: sum}"
        ),
    ),
    yaml(
        (
            "series:\n  stacked: {parallel: {a: [relu], b: [tanh]}, fuse: stack}\n  gated: {squeeze: [{pool: {over: HW}}], "
            "excite: [{pool: {over: S}}], gate: [sigmoid]}"
        ),
        (
            "my.yaml series.stacked: leaves 2 maps on S, and a block returns one: join them, for example by "
            "pool: {over: S, by: sum}"
        ),
    ),
    yaml(
        "parallel: {a: [relu], b: [{pool: {by: [mean, max]}}]}\nfuse: sum",
        "my.yaml parallel.b.0: leaves 2 maps on S, and a block returns one: join them, for example by pool: {over: S, by: sum}",
    ),
    yaml(
        "parallel: {a: [{linear: 8}], b: [{linear: 4}]}\nshared: [relu]\nfuse: sum",
        "my.yaml shared: a shared trunk needs branches of one C; they have 8, 4",
    ),
    yaml(
        "parallel: {a: [relu], b: [tanh]}\nshared: [{pool: HW}]\nfuse: sum",
        "my.yaml shared: a shared trunk must keep its positions: it receives H*W + H*W x 1 and returns 1 x 1",
    ),
    yaml("- stack: 2\n- stack: 2", "my.yaml 1: stack: needs S = 1, and S holds 2 maps"),
    yaml("slice: {start: 60, stop: 70}", "my.yaml: slice: [60, 70) is not inside C of 64"),
    yaml("slice: {over: HW}", "my.yaml: slice: over HW: a slice is taken of one axis"),
    yaml("- pool: HW\n- cluster: 2", "my.yaml 1: cluster: needs positions, and the map has only one"),
    yaml("linear: 1000000000", "my.yaml: linear: would hold 64,000,000,000 parameters; at most 1,000,000,000 in a block"),
    yaml(
        "- linear: 10000000\n- linear: 64\n- linear: 10000000\n- linear: 64",
        "my.yaml: holds 2,560,000,000 parameters; at most 1,000,000,000 in a block",
    ),
    yaml("- pam: {key: Q}", "my.yaml 0: pam.yaml: key is Q: no name 'Q'; there are C"),
    yaml(
        "- pam: {key: 0}",
        "pam.yaml excite.1 (used at my.yaml 0): attention: key is key = 0; allowed: an integer from 1, or none",
    ),
    yaml(
        "resize: {scale: 0.7}",
        "my.yaml: resize: scale 0.7 is not an integer or 1/n, so it needs a fixed grid: give height= and width=",
    ),
    yaml(
        "resize: {scale: 3/2}",
        "my.yaml: resize: scale 1.5 is not an integer or 1/n, so it needs a fixed grid: give height= and width=",
    ),
    yaml(
        "squeeze: [{resize: {scale: 2}}]",
        (
            "my.yaml: the gate does not fit its map: H is H*2 and must be 1 or at most H (gate 1 x 64 x H*2 x "
            "W*2, map 1 x 64 x H x W)"
        ),
    ),
    yaml(
        "squeeze: [{window: 4}, {resize: {scale: 2}}]",
        (
            "my.yaml: the gate does not fit its map: H is H/4*2 and must be 1 or at most H (gate 1 x 64 x H/4*2 "
            "x W/4*2, map 1 x 64 x H x W)"
        ),
    ),
    yaml(
        "squeeze: [{resize: {to: [7, 7]}}]",
        "my.yaml: the gate does not fit its map: H is 7 and must be 1 or at most H (gate 1 x 64 x 7 x 7, map 1 x 64 x H x W)",
    ),
    yaml(
        "\n".join(["- resize: {scale: 1000}"] * 6),
        "my.yaml 5: resize: leaves a size beyond 2^53",
    ),
    yaml(
        "parallel: {a: [{resize: {scale: 2}}], b: [relu]}\nfuse: sum",
        "my.yaml fuse: branches differ in H: H*2, H; on a fixed grid, height= and width=, they may be equal",
    ),
]
