"""`sefactory show block=NAME`: prints a block as a table or as JSON, or the rewrites of its compiler."""

import json

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from ..bench.summary import Summary, summarize
from ..errors import ConfigError
from .arguments import format_shape, is_given, output_format, positive_int, spatial_size
from .blocks import build_block, selected_block
from .tables import new_table, stdout_console


def show_block(config: DictConfig) -> None:
    """Prints the selected block; `format=json` prints Summary.as_dict()."""
    layout = output_format(config)
    if not is_given(config, "block"):
        raise ConfigError([("block", "no block is selected; add block=NAME")])
    source = selected_block(config)
    channels, size = positive_int("channels", config.channels), spatial_size("size", config.size)
    block = build_block(source, channels, size)
    summary = summarize(block, *size)
    if layout == "json":
        print(json.dumps(summary.as_dict(), indent=1))
    elif layout == "rewrites":
        _print_rewrites(summary, stdout_console())
    else:
        _print_table(summary, block.sizes[0].axes, stdout_console())


def _print_table(summary: Summary, axes: str, console: Console) -> None:
    """Prints one line for each node, the totals, and the values of `let`."""
    shapes = f"{format_shape(summary.input)} -> {format_shape(summary.output)}"
    console.print(f"[bold]{summary.block}[/bold]  {shapes}", highlight=False)
    table = new_table(("path", "operator"), (" x ".join(axes), "parameters", "MACs", "elements"))
    for line in summary.lines:
        if line.operator == "series" and line.path:
            continue  # it has no parameters; its steps have lines of their own
        counts = (_count(n) for n in (line.parameters, line.macs, line.elements))
        table.add_row(line.path or "(root)", line.operator, line.sizes, *counts)
    table.add_section()
    totals = (_count(n) for n in (summary.parameters, summary.macs, summary.elements))
    table.add_row("total", "", "", *totals, style="bold")
    console.print(table)
    for path, names in summary.let.items():
        values = ", ".join(f"{name} = {value}" for name, value in names.items())
        console.print(f"let{f' at {path}' if path else ''}: {values}", highlight=False, markup=False)


def _print_rewrites(summary: Summary, console: Console) -> None:
    """Prints the path, the rule and the equation of every rewrite."""
    console.print(f"[bold]{summary.block}[/bold]  {len(summary.rewrites)} rewrites", highlight=False)
    table = new_table(("path", "rule", "because"))
    for rewrite in summary.rewrites:
        table.add_row(rewrite.place or "(root)", rewrite.rule, escape(rewrite.equation))
    console.print(table)


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"
