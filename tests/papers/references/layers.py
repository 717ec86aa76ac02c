"""Layers that read their weights from a state by the authors' key."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]  # the authors' key -> tensor
Reference = Callable[..., Tensor]  # (state, x, training, **hyper) -> y


def conv(state: State, key: str, x: Tensor, **options: Any) -> Tensor:
    """The 2D convolution stored at key, with its bias if it has one."""
    return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), **options)


def same(state: State, key: str, x: Tensor, **options: Any) -> Tensor:
    """The same-size convolution stored at key: padding (k - 1) / 2 * dilation."""
    padding = state[f"{key}.weight"].shape[-1] // 2 * options.get("dilation", 1)
    return conv(state, key, x, padding=padding, **options)


def linear(state: State, key: str, z: Tensor) -> Tensor:
    """W z + b for z (B, C); W may be stored as a 1x1 convolution."""
    return F.linear(z, state[f"{key}.weight"].flatten(1), state.get(f"{key}.bias"))


def mlp(state: State, first: str, second: str, z: Tensor) -> Tensor:
    """W2 relu(W1 z + b1) + b2 for z (B, C)."""
    return linear(state, second, linear(state, first, z).relu())


def norm(state: State, key: str, x: Tensor, training: bool, momentum: float = 0.1) -> Tensor:
    """Batch norm stored at key, eps 1e-5; in training the running statistics move in place."""
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"], training, momentum, 1e-5)


def hsig(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return F.relu6(x + 3) / 6


def gap(x: Tensor) -> Tensor:
    """Global average pooling, (B, C, H, W) -> (B, C)."""
    return x.mean((2, 3))


def scale(x: Tensor, gate: Tensor) -> Tensor:
    """x * gate for a gate (B, C)."""
    return x * gate[:, :, None, None]


def zpool(x: Tensor, order: tuple[str, ...] = ("max", "mean")) -> Tensor:
    """Statistics over dim 1 side by side, (B, C, H, W) -> (B, 2, H, W)."""
    statistics = {"max": x.max(1, keepdim=True).values, "mean": x.mean(1, keepdim=True)}
    return torch.cat([statistics[name] for name in order], 1)
