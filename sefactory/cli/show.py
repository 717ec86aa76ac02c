"""`sefactory show`: one block, or the blocks of a network, as a table or as JSON, and what lowering made of it."""

import json
import sys
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..bench.summary import Summary, summarize
from ..errors import ConfigError, did_you_mean, join_words, short_repr
from .arguments import built, chosen_block, search_folders, size, whole
from .networks import chosen_host, show_host

FORMATS = ("table", "json", "rewrites")
WIDE = 160


def show(config: DictConfig) -> None:
    """Prints the description of the block that was chosen; `format=json` prints Description.as_dict()."""
    settings = {key: config[key] for key in ("channels", "size", "format")}
    if settings["format"] not in FORMATS:
        hint = did_you_mean(str(settings["format"]), FORMATS)
        raise ConfigError([("format", f"{short_repr(settings['format'])}; allowed: one of {join_words(FORMATS)}{hint}")])
    host = chosen_host(config)
    if host is not None:
        show_host(host, settings["format"], search_folders())
        return
    block, search = chosen_block(config)
    if block is None:
        raise ConfigError([("block", "no block is chosen; write block=NAME")])
    channels, sides = whole("channels", settings["channels"]), size("size", settings["size"])
    made = built(block, channels, sides, search)
    found = summarize(made, *sides)
    if settings["format"] == "json":
        print(json.dumps(found.as_dict(), indent=1))
    elif settings["format"] == "rewrites":
        print_rewrites(found, Console(width=None if sys.stdout.isatty() else WIDE))
    else:
        print_table(found, made.sizes[0].axes, Console(width=None if sys.stdout.isatty() else WIDE))


def print_table(found: Summary, axes: str, console: Console) -> None:
    """Prints the tree with its totals and the values of `let`."""
    console.print(f"[bold]{found.block}[/bold]  {_size(found.input)} -> {_size(found.output)}", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("path", overflow="fold")
    table.add_column("operator", overflow="fold")
    for heading in (" x ".join(axes), "parameters", "MACs", "elements"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in found.lines:
        if line.operator == "series" and line.path:
            continue  # holds nothing itself; its steps have lines of their own
        numbers = [_count(n) for n in (line.parameters, line.macs, line.elements)]
        table.add_row(line.path or "(root)", line.operator, line.sizes, *numbers)
    table.add_section()
    table.add_row("total", "", "", *[_count(n) for n in (found.parameters, found.macs, found.elements)], style="bold")
    console.print(table)
    for path, names in found.let.items():
        values = ", ".join(f"{name} = {value}" for name, value in names.items())
        console.print(f"let{f' at {path}' if path else ''}: {values}", highlight=False, markup=False)


def print_rewrites(found: Summary, console: Console) -> None:
    """Prints what lowering made of the tree: where, by which rule, and the equation that makes it equal."""
    console.print(f"[bold]{found.block}[/bold]  {len(found.rewrites)} rewrites", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("path", "rule", "because"):
        table.add_column(heading, overflow="fold")
    for rewrite in found.rewrites:
        table.add_row(rewrite.place or "(root)", rewrite.rule, escape(rewrite.equation))
    console.print(table)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[1:]))


def _count(number: Any) -> str:
    return f"{number:,}" if number else "-"
