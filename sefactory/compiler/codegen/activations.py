"""Functions of one number and of two, by their names, and those that may overwrite what they are given."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "abs": torch.abs,
    "square": torch.square,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "log": torch.log,
}


OVERWRITING: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "relu6": partial(F.relu6, inplace=True),
}
"""Their gradients are read off their results, so that autograd does not miss what was overwritten."""

FREELY: dict[str, Callable[[Tensor], Tensor]] = {
    **OVERWRITING,
    "hardsigmoid": partial(F.hardsigmoid, inplace=True),
    "silu": partial(F.silu, inplace=True),
    "hardswish": partial(F.hardswish, inplace=True),
}
"""Those that may overwrite where there is no gradient."""

PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
    "min": torch.minimum,
    "difference": torch.sub,
    "quotient": torch.div,
}
