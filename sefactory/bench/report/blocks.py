"""The section of a report about each block: its config, and the forward time of its nodes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..columns import format_quantity
from ..results import Row
from .shares import OUTSIDE
from .tables import Table


class NodeTimes(NamedTuple):
    """Forward times by node: the shapes, and for each path the time and share at each shape, "" where it has none."""

    shapes: list[str]
    lines: dict[str, list[str]]


class BlockDetails(NamedTuple):
    """What is known of one block: its YAML and the anchor of it, "" if unknown, its rows, and the times of its nodes.

    `rows` has the shape and the anchor of each of its rows in the tables.
    """

    block: str
    anchor: str
    config: str
    rows: list[tuple[str, str]]
    nodes: NodeTimes | None


def config_anchors(rows: Sequence[Row], configs: Mapping[str, str]) -> dict[str, str]:
    """The anchor of the config of each block that has one."""
    blocks = dict.fromkeys(row.block for row in rows if configs.get(row.block))
    return {block: f"config-{i}" for i, block in enumerate(blocks)}


def block_details(rows: Sequence[Row], configs: Mapping[str, str], tables: Sequence[Table]) -> list[BlockDetails]:
    """An entry for each block that has a config or times by node, in order of appearance."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.block, []).append(row)
    anchors, lines = config_anchors(rows, configs), dict[str, list[tuple[str, str]]]()
    for table in tables:
        for line in table.lines:
            lines.setdefault(line.block, []).append((table.shape, line.anchor))
    return [
        BlockDetails(block, anchors.get(block, ""), configs.get(block, ""), lines[block], _node_times(group))
        for block, group in groups.items()
        if block in anchors or any(row.nodes for row in group)
    ]


def _node_times(group: Sequence[Row]) -> NodeTimes | None:
    timed = [row for row in group if row.nodes and row.forward_s]
    if not timed:
        return None
    paths = dict.fromkeys(path for row in timed for path in row.nodes)
    lines = {path or "(the block itself)": [_time(row, row.nodes.get(path)) for row in timed] for path in paths}
    rest = [_time(row, max(0.0, (row.forward_s or 0.0) - sum(row.nodes.values()))) for row in timed]
    return NodeTimes([row.shape for row in timed], lines | {OUTSIDE: rest})


def _time(row: Row, seconds: float | None) -> str:
    if seconds is None or not row.forward_s:
        return ""
    return f"{format_quantity(seconds, 's')} ({seconds / row.forward_s:.0%})"
