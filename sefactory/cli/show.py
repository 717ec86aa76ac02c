"""`sefactory show`: prints the nodes of a block, the rewrites of its compiler, or the blocks of a network."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from ..bench.characters import encodable
from ..bench.layout import TextColumn
from ..bench.macs import macs
from ..bench.results import format_shape as format_full_shape
from ..bench.summary import NodeSummary, Summary, parameters, summarize
from ..bench.text_tables import FORMATS
from ..errors import ConfigError, join_words
from ..networks.host import place
from ..networks.insertion import Report
from ..networks.preparation import Placement
from .arguments import format_shape, is_given, output_format, positive_int, search_folders, spatial_size
from .output import Listing, print_listing, print_title, stdout_console
from .selection import build_network, input_shape, plan_block, selected_block, selected_host

PLACE_FIELDS = ("path", "where", "block", "shape", "start", "parameters", "macs")


def show_block(config: DictConfig) -> None:
    """`show block=NAME`: prints the nodes of the selected block, or with `format=rewrites` what its compiler changed."""
    layout = output_format(config, "show")
    if not is_given(config, "block"):
        raise ConfigError([("block", "no block is selected; add block=NAME")])
    source = selected_block(config)
    channels, size = positive_int("channels", config.channels), spatial_size("size", config.size)
    block = plan_block(source, channels, size).build()
    summary = summarize(block, *size)
    if layout == "rewrites":
        _print_rewrites(summary)
    else:
        print_listing(_list_nodes(summary, block.sizes[0].axes), layout)


def _list_nodes(summary: Summary, axes: str) -> Listing:
    """One line for each node, the totals, and the values of `let`."""
    # a series has no parameters of its own, and its steps have lines of their own
    nodes = [line for line in summary.lines if line.operator != "series" or not line.path]
    rows = [(n.path or "(root)", n.operator, n.sizes, *map(_count, (n.parameters, n.macs, n.elements))) for n in nodes]
    rows += [("total", "", "", *map(_count, (summary.parameters, summary.macs, summary.elements)))]
    return Listing(
        summary.block,
        f"{format_shape(summary.input)} -> {format_shape(summary.output)}",
        _text_columns(
            {"path": None, "operator": 2, " x ".join(axes): 1, "parameters": None, "MACs": 3, "elements": 0}, rows, 2
        ),
        totals=1,
        notes=[f"let{f' at {path}' if path else ''}: {_assignments(names)}" for path, names in summary.let.items()],
        fields=[field.name for field in fields(NodeSummary)],
        records=[astuple(line) for line in summary.lines],
        document=asdict(summary),
    )


def _text_columns(headings: dict[str, int | None], rows: Sequence[Sequence[str]], texts: int) -> list[TextColumn]:
    """The columns of rows: headings with the order in which a narrow terminal drops them. The first few are text."""
    cells = list(zip(*rows, strict=True))
    return [
        TextColumn(heading, cells[i], order, "left" if i < texts else "right")
        for i, (heading, order) in enumerate(headings.items())
    ]


def _assignments(names: Any) -> str:
    return ", ".join(f"{name} = {value}" for name, value in names.items())


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _print_rewrites(summary: Summary) -> None:
    """Prints the path, the rule and the equation of every rewrite."""
    console, table = stdout_console(), Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("path", "rule", "because"):
        table.add_column(heading, overflow="fold")
    for rewrite in summary.rewrites:
        cells = (rewrite.place or "(root)", rewrite.rule, rewrite.equation)
        table.add_row(*(Text(encodable(cell, console.encoding)) for cell in cells))
    print_title(console, summary.block, f"{len(summary.rewrites)} rewrites")
    console.print(table)


def show_network(config: DictConfig) -> None:
    """`show host=NAME`: prints where the blocks of a network are and what they add to it."""
    layout, host = output_format(config, "show"), selected_host(config)
    if layout == "rewrites":
        raise ConfigError([("format", f"rewrites are those of a block; of a network: one of {join_words(FORMATS)}")])
    model = build_network(host)
    shape = input_shape(model, host)
    before = {"parameters": parameters(model), "macs": macs(model, torch.zeros(shape))}
    report = place(model, host, search=search_folders())
    added = {"parameters_added": report.parameters, "macs_added": report.macs}
    document = {"host": host["host"], "input": list(shape), **before, **_report_data(report), **added}
    print_listing(_list_places(report, document), layout)


def _report_data(report: Report) -> dict[str, Any]:
    """The inserted blocks and the keys of the state dict, for JSON."""
    places = [{name: getattr(p, name) for name in PLACE_FIELDS} | {"layout": asdict(p.layout)} for p in report.places]
    keys = {name: getattr(report, name) for name in ("kept", "new", "missing", "skipped")}
    return {"places": places, **keys}


def _list_places(report: Report, document: dict[str, Any]) -> Listing:
    """One line for each inserted block, the totals, and the network without blocks."""
    places = report.places
    rows: list[tuple[str, ...]] = [
        (p.path, p.where, p.block, p.start, format_shape(p.shape), f"{p.parameters:,}", f"{p.macs:,}") for p in places
    ]
    rows += [("blocks", "", "", "", "", f"+{report.parameters:,}", f"+{report.macs:,}")]
    rows += [("network before", "", "", "", "", f"{document['parameters']:,}", f"{document['macs']:,}")]
    headings = {"path": None, "where": 1, "block": 3, "start": 0, "C x H x W": 2, "parameters": None, "MACs": 4}
    return Listing(
        document["host"],
        format_shape(document["input"]),
        _text_columns(headings, rows, 4),
        totals=2,
        notes=[report.key_counts],
        fields=PLACE_FIELDS,
        records=[_place_record(p) for p in places],
        document=document,
    )


def _place_record(place: Placement) -> list[Any]:
    return [format_full_shape(place.shape) if name == "shape" else getattr(place, name) for name in PLACE_FIELDS]
