"""Repairs of ATen's CPU kernels: the same values by other calls, each with the measurement that is its reason.

No paper, no config and no axis letter is known here, only tensors. Everything is right at any size and in double
backward; `guard.eligible` says where it is also faster than plain torch. No other device was tried.
"""
