"""Functions of one and of two tensors by their names, and their in-place forms."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(torch, name) for name in ("sigmoid", "tanh", "relu", "abs", "square", "sqrt", "exp", "log")},
    **{name: getattr(F, name) for name in ("hardsigmoid", "relu6", "silu", "gelu", "hardswish", "softplus")},
}

GRADIENT_FROM_RESULT = frozenset({"sigmoid", "tanh", "relu"})
"""Functions whose gradient is computed from their result. They may overwrite their input in training as well."""

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(torch, f"{name}_") for name in GRADIENT_FROM_RESULT},
    **{name: partial(getattr(F, name), inplace=True) for name in ("relu6", "hardsigmoid", "silu", "hardswish")},
}
"""The in-place forms. The others of them may be used only without gradients."""

PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
    "min": torch.minimum,
    "difference": torch.sub,
    "quotient": torch.div,
}
