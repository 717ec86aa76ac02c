"""A replaced module's weights in its block, by the key map of the block's config, and the width that they ask for."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..block import Block
from ..build.api import load
from ..errors import ConfigError
from .official_weights import load_official


def width_override(
    config: Any, overrides: Sequence[str], search: Iterable[str | Path], former: nn.Module, channels: int, source: str
) -> list[str]:
    """`let.r=...` by which C/r floors to the bottleneck of the module that is replaced: the outputs of its first map.

    Nothing where the config has no such number, where an override sets it, or where the module holds nothing to read.
    """
    loaded = load(config, overrides, search)
    if not reduces(loaded) or any(name.lstrip("+").startswith("let.r=") for name in overrides):
        return []
    keys = (loaded.get("official") or {}).get(source) or {}
    weight = _first_map(former.state_dict(), [theirs for theirs in keys.values() if isinstance(theirs, str)])
    return [] if weight is None else [f"let.r={reduction(channels, weight.shape[0])!r}"]


def reduces(loaded: Any) -> bool:
    """Whether a config has an r by which its bottleneck is C/r wide."""
    let = loaded.get("let") if isinstance(loaded, Mapping) else None
    return isinstance(let, Mapping) and "r" in let


def reduction(channels: int, width: int) -> float:
    """The r for which C/r floors to a width: half a channel more is divided by.

    >>> int(64 / reduction(64, 11))
    11
    """
    return channels / (width + 0.5)


def _first_map(state: Mapping[str, Tensor], names: Sequence[str]) -> Tensor | None:
    """The first tensor of two axes or more under the first name of the map that has one."""
    for name in names:
        for key, tensor in state.items():
            if (key == name or key.startswith(f"{name}.")) and tensor.dim() > 1:
                return tensor
    return None


def carry_over(path: str, block: Block, former: nn.Module, source: str) -> None:
    """Copies the weights of the module at a path into the block that replaces it, all of them.

    Raises ConfigError naming the keys or shapes that do not fit, and the place in the network.
    """
    try:
        load_official(block, former.state_dict(), source=source)
    except ConfigError as error:
        raise ConfigError([(f"{place} (for {path})", text) for place, text in error.faults]) from None
