"""Weights of layers and norms, read at every run, so that loaded, moved, replaced or parametrized weights are seen."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.constants import cached_constants
from ...kernels.dispatch import is_eager
from ...operators.conv import Conv
from ...operators.norm import BatchNorm

ReadParams = Callable[[], tuple[Tensor, Tensor | None]]
"""W and b."""


def read_params(module: nn.Module) -> ReadParams:
    """Reads `weight` and `bias` of a module. The dictionary of parameters is faster than attribute access."""
    parameters, biased = module._parameters, module.bias is not None

    def params() -> tuple[Tensor, Tensor | None]:
        try:
            return parameters["weight"], parameters["bias"] if biased else None  # type: ignore[return-value]
        except KeyError:  # parametrized
            return module.weight, module.bias  # type: ignore[return-value]

    return params


def scale_bias(params: ReadParams, times: int) -> ReadParams:
    """W and `times` b."""

    def scaled() -> tuple[Tensor, Tensor | None]:
        weight, bias = params()
        return weight, bias if bias is None else bias * times

    return params if times == 1 else scaled


def conv_params(conv: Conv, others: Sequence[Conv] = (), axes: str = "") -> ReadParams:
    """Weights as torch's convolutions take them, (out, in, kernel...), and one bias for each output.

    The kernels of `others` are added to the centre. Along `axes` that the kernel does not have, its size is 1.
    """
    read, dims = read_params(conv), len(conv.along)
    smaller = [(read_params(other), _padding_to(conv.weight, other.weight, dims)) for other in others]
    has_input_dim = conv.weight.dim() != 1 + dims
    unit_dims = [2 + i for i, axis in enumerate(axes) if axis not in conv.along]

    def params() -> tuple[Tensor, Tensor | None]:
        weight, bias = read()
        for read_smaller, padding in smaller:
            small_weight, small_bias = read_smaller()
            weight = weight + F.pad(small_weight, padding)
            bias = small_bias if bias is None else bias if small_bias is None else bias + small_bias
        weight = weight if has_input_dim else weight.unsqueeze(0)
        for dim in unit_dims:
            weight = weight.unsqueeze(dim)
        return weight, bias if bias is None or bias.dim() == 1 else bias.flatten()

    return params


def _padding_to(weight: Tensor, smaller: Tensor, dims: int) -> list[int]:
    """The padding, as F.pad takes it, that centres a smaller kernel in a larger one."""
    sides = zip(weight.shape[-dims:], smaller.shape[-dims:], strict=True)
    return [side for k, n in reversed(list(sides)) for side in [(k - n) // 2] * 2]


def fold_norm(params: ReadParams, norm: BatchNorm) -> ReadParams:
    """s W and s b + t, where the norm is s y + t: s = w / sqrt(var + eps), t = b - s mean; W: (out, ...).

    Both have the dtype of W: the norms of a half-precision block may be float32.
    """
    norm_params, eps = read_norm_params(norm), norm.eps

    def folded_params() -> tuple[Tensor, Tensor | None]:
        weight, bias = params()
        gain, shift, mean, var = norm_params()
        if is_eager(weight) and weight.dim() > 1 and len(weight) == len(gain):  # two launches in place of six
            zero = _zeros(len(gain), gain.dtype, gain.device)
            scaled = torch.batch_norm(weight[None], gain, None, zero, var, False, 0.0, eps, True)[0]
            shifted = torch.batch_norm((zero if bias is None else bias)[None], gain, shift, mean, var, False, 0.0, eps, True)[0]
            return scaled.to(weight.dtype), shifted.to(weight.dtype)
        scale = gain * torch.rsqrt(var + eps)
        term = shift - mean * scale
        scaled = weight * scale.view(-1, *[1] * (weight.dim() - 1))
        return scaled.to(weight.dtype), (term if bias is None else term + bias * scale).to(weight.dtype)

    return folded_params


@cached_constants(256)
def _zeros(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros as a constant, so that no launch writes them again."""
    return torch.zeros(n, dtype=dtype, device=device)


def read_norm_params(norm: BatchNorm) -> Callable[[], tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Reads `weight`, `bias`, `running_mean` and `running_var` of a norm."""
    parameters, buffers = norm._parameters, norm._buffers

    def params() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        try:
            return parameters["weight"], parameters["bias"], buffers["running_mean"], buffers["running_var"]  # type: ignore[return-value]
        except KeyError:
            return norm.weight, norm.bias, norm.running_mean, norm.running_var  # type: ignore[return-value]

    return params
