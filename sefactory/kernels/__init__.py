"""Tensors in, tensors out: the same values as ATen's CPU operations, computed faster (docs/kernels.md has the figures).

It imports only torch. `dispatch` decides where a kernel runs; every kernel is right at any
size and in double backward.
"""
