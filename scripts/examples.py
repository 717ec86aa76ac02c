"""Builds single nodes for the pages: sizes, tensors and error messages are the output of the library."""

from typing import Any

import sefactory as sf

CHANNELS, GRID = 64, (12, 10)
STACKED_OUTPUT = "maps on S, and a block returns one"


def build_node(config: Any, channels: int = CHANNELS, grid: bool = False) -> sf.Block:
    """Returns a block of one node. If its output has S > 1, `unstack` follows."""
    size = dict(zip(("height", "width"), GRID, strict=True)) if grid else {}
    try:
        return sf.build(config, channels, **size)
    except sf.ConfigError as error:
        if STACKED_OUTPUT not in str(error):
            raise
    return sf.build({"series": {"node": config, "end": ["unstack"]}}, channels, **size)


def output_size(block: sf.Block) -> str:
    """Returns the output size of the node in a block of `build_node`."""
    ends = {part.path: part.sizes[1] for part in block.parts}
    return str(ends.get("series.node", block.sizes[1]) if "series.end" in ends else block.sizes[1])


def example(config: Any, sizes: str) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Returns the output size of a node for the input size `sizes`, and the shapes of its state dict."""
    stack, channels, *grid = sizes.split(" x ")
    names = ("height", "width")
    size = {name: int(n) for name, n in zip(names, grid, strict=True) if n.isdecimal() and n != "1"}
    before = [{"stack": int(stack)}] if stack != "1" else []
    before += [{"pool": axes}] if (axes := "".join(a for a, n in zip("HW", grid, strict=True) if n == "1")) else []
    series = {**({"before": before} if before else {}), "node": config, "end": ["unstack"]}
    block = sf.build({"series": series}, int(stack) * int(channels), **size)
    path = "series.node"
    part = next(part for part in block.parts if part.path == path)
    if str(part.sizes[0]) != sizes:
        raise ValueError(f"{config}: {part.sizes[0]} is the input size, not {sizes}")
    state = {key.removeprefix(f"{path}."): tuple(t.shape) for key, t in block.state_dict().items()}
    return str(part.sizes[1]), state


def error_message(config: Any, sizes: str) -> str:
    """Returns the error message for a node that cannot be built, without the path. ValueError if it can be built."""
    try:
        example(config, sizes)
    except sf.ConfigError as error:
        return "; ".join(text for _, text in error.faults)
    raise ValueError(f"{config} builds without an error")
