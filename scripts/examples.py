"""One node by itself: what the pages say of it is what the library answers."""

from typing import Any

import sefactory as sf

CHANNELS, GRID = 64, (12, 10)
SEVERAL = "maps on S, and a block returns one"


def node(config: Any, channels: int = CHANNELS, grid: bool = False) -> sf.Block:
    """A block of one node; several maps on S at its end are concatenated on C."""
    size = dict(zip(("height", "width"), GRID, strict=True)) if grid else {}
    try:
        return sf.build(config, channels, **size)
    except sf.ConfigError as error:
        if SEVERAL not in str(error):
            raise
    return sf.build({"series": {"node": config, "end": ["unstack"]}}, channels, **size)


def leaves(block: sf.Block) -> str:
    """The sizes behind the node of such a block."""
    ends = {part.path: part.sizes[1] for part in block.parts}
    return str(ends.get("series.node", block.sizes[1]) if "series.end" in ends else block.sizes[1])


def example(config: Any, sizes: str) -> tuple[str, dict[str, tuple[int, ...]]]:
    """The sizes that a node leaves of `sizes`, and its tensors by their names."""
    stack, channels, *grid = sizes.split(" x ")
    names = ("height", "width")
    size = {name: int(n) for name, n in zip(names, grid, strict=True) if n.isdecimal() and n != "1"}
    before = [{"stack": int(stack)}] if stack != "1" else []
    before += [{"pool": axes}] if (axes := "".join(a for a, n in zip("HW", grid, strict=True) if n == "1")) else []
    series = {**({"before": before} if before else {}), "node": config, "end": ["unstack"]}
    block = sf.build({"series": series}, int(stack) * int(channels), **size)
    here = "series.node"
    part = next(part for part in block.parts if part.path == here)
    if str(part.sizes[0]) != sizes:
        raise ValueError(f"{config}: {part.sizes[0]} comes in, not {sizes}")
    state = {key.removeprefix(f"{here}."): tuple(t.shape) for key, t in block.state_dict().items()}
    return str(part.sizes[1]), state


def refusal(config: Any, sizes: str) -> str:
    """What the library says of a node that it refuses, without the path."""
    try:
        example(config, sizes)
    except sf.ConfigError as error:
        return "; ".join(text for _, text in error.faults)
    raise ValueError(f"{config} is not refused")
