"""Takes inserted blocks out of a network again."""

from collections.abc import Sequence

from torch import nn

from ..errors import ConfigError, did_you_mean, join_words
from .attachment import detach_block, inserted_block, is_replacement
from .holder import named_places
from .recipe import forget_recipe
from .selectors import matches


def remove(model: nn.Module, at: str | Sequence[str] = "**") -> tuple[str, ...]:
    """Takes out the inserted blocks at the paths that `at` selects, all by default; returns the paths.

    The modules of the network stand in their places again, with their weights. Raises ConfigError, and then nothing is
    changed, for a pattern without blocks, and for a block that took the place of a module: that module is gone.

    >>> from sefactory.networks.insertion import insert
    >>> net = nn.Sequential(nn.Conv2d(3, 32, 1))
    >>> insert(net, "senet", "0", input_size=(3, 8, 8)).new[0], remove(net, "0"), net
    ('0.inserted.mix', ('0',), Sequential(
      (0): Conv2d(3, 32, kernel_size=(1, 1), stride=(1, 1))
    ))
    """
    blocks = {path: block for path, module in named_places(model) if (block := inserted_block(module)) is not None}
    patterns = [at] if isinstance(at, str) else list(at)
    faults, selected = [], []
    for pattern in patterns:
        paths = [path for path in blocks if matches(path.split("."), pattern.split("."))]
        if not paths:
            places = f"blocks are at {join_words(blocks)}" if blocks else "the network has no inserted blocks"
            faults.append((f"at {pattern}", f"no block is inserted here; {places}{did_you_mean(pattern, blocks)}"))
        selected += [path for path in paths if path not in selected]
    cure = "create the network again, or insert with start: identity, which keeps the module"
    faults += [
        (path, f"its block took the place of the module, which is gone; {cure}")
        for path in selected
        if is_replacement(blocks[path])
    ]
    if faults:
        raise ConfigError(faults)
    for path in selected:
        detach_block(model, path)
    forget_recipe(model)
    return tuple(selected)
