"""`sefactory show host=NAME`: prints where the blocks of a network are, and what they add to it."""

import json
from dataclasses import asdict

from omegaconf import DictConfig

from ..networks.cost import macs, parameters
from ..networks.host import place
from ..networks.report import Report
from .arguments import format_shape, output_format, search_folders
from .networks import build_network, input_shape, selected_host
from .tables import new_table, stdout_console


def show_network(config: DictConfig) -> None:
    """Prints the inserted blocks of the selected host, as a table or with `format=json`."""
    layout, host = output_format(config), selected_host(config)
    model = build_network(host)
    shape = input_shape(model, host)
    before = {"parameters": parameters(model), "macs": macs(model, shape)}
    report = place(model, host, search=search_folders())
    if layout == "json":
        added = {"parameters_added": report.parameters, "macs_added": report.macs}
        print(json.dumps({"host": host["host"], "input": list(shape), **before, **asdict(report), **added}, indent=1))
    else:
        _print_table(f"[bold]{host['host']}[/bold]  {format_shape(shape)}", before, report)


def _print_table(title: str, before: dict[str, int], report: Report) -> None:
    """Prints one line for each inserted block, the totals, and the counts of state-dict keys."""
    console = stdout_console()
    console.print(title, highlight=False)
    table = new_table(("path", "", "block", "start"), ("C x H x W", "parameters", "MACs"))
    for p in report.places:
        table.add_row(p.path, p.where, p.block, p.start, format_shape(p.shape), f"{p.parameters:,}", f"{p.macs:,}")
    table.add_section()
    table.add_row("blocks", "", "", "", "", f"+{report.parameters:,}", f"+{report.macs:,}", style="bold")
    table.add_row("network before", "", "", "", "", f"{before['parameters']:,}", f"{before['macs']:,}")
    console.print(table)
    console.print(report.key_counts, highlight=False)
