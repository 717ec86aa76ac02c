"""`sefactory show`: prints a block as a table, as JSON or as the rewrites of its compiler, or the blocks of a network."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..bench.macs import macs
from ..bench.summary import Summary, parameters, summarize
from ..errors import ConfigError
from ..networks.host import place
from ..networks.insertion import Report
from .arguments import format_shape, is_given, output_format, positive_int, search_folders, spatial_size
from .selection import build_network, input_shape, plan_block, selected_block, selected_host

PIPE_WIDTH = 160


def show_block(config: DictConfig) -> None:
    """`show block=NAME`: prints the selected block; `format=json` prints the fields of its Summary."""
    layout = output_format(config)
    if not is_given(config, "block"):
        raise ConfigError([("block", "no block is selected; add block=NAME")])
    source = selected_block(config)
    channels, size = positive_int("channels", config.channels), spatial_size("size", config.size)
    block = plan_block(source, channels, size).build()
    summary = summarize(block, *size)
    if layout == "json":
        print(json.dumps(asdict(summary), indent=1))
    elif layout == "rewrites":
        _print_rewrites(summary)
    else:
        _print_nodes(summary, block.sizes[0].axes)


def _print_nodes(summary: Summary, axes: str) -> None:
    """Prints one line for each node, the totals, and the values of `let`."""
    table = _new_table(("path", "operator"), (" x ".join(axes), "parameters", "MACs", "elements"))
    for line in summary.lines:
        if line.operator == "series" and line.path:
            continue  # it has no parameters; its steps have lines of their own
        counts = (_count(n) for n in (line.parameters, line.macs, line.elements))
        table.add_row(line.path or "(root)", line.operator, line.sizes, *counts)
    table.add_section()
    totals = (_count(n) for n in (summary.parameters, summary.macs, summary.elements))
    table.add_row("total", "", "", *totals, style="bold")
    console = _print_titled(summary.block, f"{format_shape(summary.input)} -> {format_shape(summary.output)}", table)
    for path, names in summary.let.items():
        values = ", ".join(f"{name} = {value}" for name, value in names.items())
        console.print(f"let{f' at {path}' if path else ''}: {values}", highlight=False, markup=False)


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _print_rewrites(summary: Summary) -> None:
    """Prints the path, the rule and the equation of every rewrite."""
    table = _new_table(("path", "rule", "because"))
    for rewrite in summary.rewrites:
        table.add_row(rewrite.place or "(root)", rewrite.rule, escape(rewrite.equation))
    _print_titled(summary.block, f"{len(summary.rewrites)} rewrites", table)


def show_network(config: DictConfig) -> None:
    """`show host=NAME`: prints where the blocks of a network are and what they add to it, also with `format=json`."""
    layout, host = output_format(config), selected_host(config)
    model = build_network(host)
    shape = input_shape(model, host)
    before = {"parameters": parameters(model), "macs": macs(model, torch.zeros(shape))}
    report = place(model, host, search=search_folders())
    if layout == "json":
        added = {"parameters_added": report.parameters, "macs_added": report.macs}
        print(json.dumps({"host": host["host"], "input": list(shape), **before, **_report_data(report), **added}, indent=1))
    else:
        console = _print_titled(host["host"], format_shape(shape), _report_table(report, **before))
        console.print(report.key_counts, highlight=False)


def _report_data(report: Report) -> dict[str, Any]:
    """The inserted blocks and the keys of the state dict, for JSON."""
    names = ("path", "where", "block", "shape", "start", "parameters", "macs")
    places = [{name: getattr(p, name) for name in names} | {"layout": asdict(p.layout)} for p in report.places]
    keys = {name: getattr(report, name) for name in ("kept", "new", "missing", "skipped")}
    return {"places": places, **keys}


def _report_table(report: Report, parameters: int, macs: int) -> Table:
    """One line for each inserted block, the totals, and the network without blocks."""
    table = _new_table(("path", "", "block", "start"), ("C x H x W", "parameters", "MACs"))
    for p in report.places:
        table.add_row(p.path, p.where, p.block, p.start, format_shape(p.shape), f"{p.parameters:,}", f"{p.macs:,}")
    table.add_section()
    table.add_row("blocks", "", "", "", "", f"+{report.parameters:,}", f"+{report.macs:,}", style="bold")
    table.add_row("network before", "", "", "", "", f"{parameters:,}", f"{macs:,}")
    return table


def _new_table(text_headings: Sequence[str], number_headings: Sequence[str] = ()) -> Table:
    """An empty table: columns of text wrap, columns of numbers are aligned right and never wrap."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in text_headings:
        table.add_column(heading, overflow="fold")
    for heading in number_headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _print_titled(name: str, facts: str, table: Table) -> Console:
    """Prints a table below its title. Returns the console: as wide as the terminal, or PIPE_WIDTH if stdout is no terminal."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(f"[bold]{name}[/bold]  {facts}", highlight=False)
    console.print(table)
    return console
