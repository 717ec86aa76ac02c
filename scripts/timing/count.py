"""Counts kernel launches and bytes on meta tensors: what runs on any device other than a CPU, without such a device.

A launch is an ATen call whose result is neither a view nor memory that is only allocated; in-place calls count. Its bytes are
those that it reads and writes: every tensor argument and every result once, an expanded axis as one value.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from markdown_table import markdown_table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .pairs import CHANNELS, SEVEN, TINY_SHAPE, paper_pair
from .results import KINDS, Kind
from .table import format_ratio, format_shape, mean_ratio

aten = torch.ops.aten
Unit = Literal["launches", "bytes"]
RATIOS: list[tuple[Unit, str]] = [("launches", "authors"), ("launches", "plain"), ("bytes", "authors"), ("bytes", "plain")]
ALLOCATIONS = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided, aten._unsafe_view}
WRITTEN_ONLY = {aten.copy_, aten.fill_, aten.zero_}
BATCH, SIDES = 32, {"sknet": 28, "seaformer": 28, "danet": 32}
TITLE = "## Launches and bytes on other devices"
TEXT = """What runs on a device other than a CPU is counted on meta tensors (scripts/timing/count.py). A launch is an ATen call
whose result is neither a view nor an allocation. Bytes are what these calls read and write. A ratio is the count of the
authors' operations, or of our module tree without compilation, over that of our compiled block; above 1 ours is less.
"""


@dataclass(frozen=True)
class Counts:
    """The launches and bytes of one block at one shape in one kind of step, by column: authors, ours, plain."""

    block: str
    size: str
    kind: Kind
    shape: tuple[int, ...]
    launches: dict[str, int]
    bytes: dict[str, int]

    def ratio(self, unit: Unit, column: str) -> float:
        """The launches or bytes of a column over ours."""
        counts = self.launches if unit == "launches" else self.bytes
        return counts[column] / counts["ours"]


class LaunchRecorder(TorchDispatchMode):
    """Records the name and the bytes of every launch inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or func.overloadpacket in ALLOCATIONS or not _tensors(result):
            return result
        named = {name: value for name, value in (kwargs or {}).items() if name != "out"}
        read = args[1:] if func.overloadpacket in WRITTEN_ONLY else (args, named)
        self.launches.append((str(func), sum(map(_bytes, [*_tensors(read), *_tensors(result)]))))
        return result


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _bytes(t: Tensor) -> int:
    return prod(n for n, stride in zip(t.shape, t.stride(), strict=True) if stride) * t.element_size()


def record_launches(module: nn.Module, shape: Sequence[int], kind: Kind) -> list[tuple[str, int]]:
    """The name and the bytes of each launch of a forward in eval mode without gradients, or of a training step."""
    training = kind == "training"
    module = copy.deepcopy(module).to("meta").train(training)
    x = torch.empty(shape, device="meta", requires_grad=training)
    with torch.set_grad_enabled(training):
        grad_output = torch.empty_like(module(x))  # the first call creates constants, which are not counted
        with LaunchRecorder() as recorder:
            y = module(x)
            if training:
                torch.autograd.grad(y, [x, *module.parameters()], grad_output, allow_unused=True)
    return recorder.launches


def count_papers(names: Sequence[str] = tuple(SEVEN)) -> Iterator[Counts]:
    """The counts of the papers at full size and at 2 x 128 x 7 x 7, forward and training."""
    for name in names:
        modules, side = paper_pair(name, plain=True).modules(), SIDES.get(name, 56)
        for size, shape in {"large": (BATCH, CHANNELS, side, side), "tiny": TINY_SHAPE}.items():
            for kind in KINDS:
                recorded = {column: record_launches(module, shape, kind) for column, module in modules.items()}
                numbers = {column: len(launches) for column, launches in recorded.items()}
                bytes_moved = {column: sum(size for _, size in launches) for column, launches in recorded.items()}
                yield Counts(name, size, kind, shape, numbers, bytes_moved)


def section(rows: Sequence[Counts]) -> str:
    """The section of docs/speed.md: a table for each size and kind of step."""
    lines = [TITLE, "", TEXT]
    for size, kind in dict.fromkeys((row.size, row.kind) for row in rows):
        chosen = [row for row in rows if (row.size, row.kind) == (size, kind)]
        head = ["block", "shape", *(f"{owner} {unit}" for unit in ("launches", "MB") for owner in ("authors'", "our", "plain"))]
        head += [f"{unit}: {column}" for unit, column in RATIOS]
        means = [mean_ratio(row.ratio(unit, column) for row in chosen) for unit, column in RATIOS]
        last = ["**geometric mean**", *[""] * 7, *(f"**{format_ratio(mean)}**" for mean in means)]
        table = markdown_table(head, [*map(_cells, chosen), last], align="---:")
        lines += [f"### {size.capitalize()} maps, {kind}", "", *table, ""]
    return "\n".join(lines)


def _cells(row: Counts) -> list[str]:
    megabytes = [f"{size / 1e6:.4g}" for size in row.bytes.values()]
    ratios = [format_ratio(row.ratio(unit, column)) for unit, column in RATIOS]
    return [f"`{row.block}`", format_shape(row.shape), *map(str, row.launches.values()), *megabytes, *ratios]


def with_section(page: str, text: str) -> str:
    """A page with the section replaced, or put at its end."""
    rest = re.sub(rf"\n{TITLE}\n.*?(?=\n## |\Z)", "", page, flags=re.DOTALL)
    return rest.rstrip() + "\n\n" + text.rstrip() + "\n"


def keep_section(old_page: str, new_page: str) -> str:
    """The new page with the section of the old page, if that has one."""
    section = re.search(rf"(?<=\n){TITLE}\n.*?(?=\n## |\Z)", old_page, flags=re.DOTALL)
    return with_section(new_page, section[0]) if section else new_page
