"""The text of docs/speed.md from the results."""

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from markdown_table import markdown_table

from .results import Results, Row
from .table import EMPTY, format_ms, format_ratio, format_shape, mean_ratio

HEAD = """# Speed

Written by scripts/speed.py from measured rows. For each of the seven papers, two modules with the same weights are compared
in one process:

- **authors**: the operations of the authors' code, restated in plain torch with every copy that they make
  (scripts/authors.py).
- **ours**: our block of the same paper, lowered: compiled to an equivalent, faster form ([execution.md](execution.md)).

A pair is timed only if outputs, input and parameter gradients, and running statistics are equal in float64 at that shape.
The columns of the tables:

- **ms**: the median time, and in brackets the interquartile range. Calls alternate (A B A B), so that a slow phase of the
  machine affects both modules. Compiled columns run in a random order, which changes with every round.
- **ratio**: authors' time / our time, the median over the rounds. Above 1 our block is faster.
- **plain**: the same ratio for our block built with `lower=False`, which runs the module tree as it is. It is timed after
  that, against the authors' module again.
- **bound**: the roofline bound, a lower bound of the time. It is the larger of memory traffic / bandwidth of a copy and
  operations / rate of a matrix product. Both rates are measured on this machine.
- **share**: roofline bound / our time. At 100 % our block is as fast as the bound.

*Forward* is in eval mode without gradients. *Training* is a forward and backward in train mode, with the gradient of the
input. `danet` is PAM + CAM at full width, without the convolutions of the head.
"""
TITLES = {
    ("full", "forward"): "Forward",
    ("full", "training"): "Training",
    ("tiny", "forward"): "Tiny forward",
    ("tiny", "training"): "Tiny training",
}
COMPILED_NOTE = """\
Both sides are compiled by inductor, `torch.compile(dynamic=False)`. The ratio is the time of the block built with
`lower=False` / the time of the lowered block. For tiny feature maps, and for blocks whose only trainable layers act on pooled
descriptors (`ecanet`, `grn`, `srmnet`, ...), both are the same code: their distance from 1 is noise."""


def page(results: Results) -> str:
    """The whole page; what was not measured has no section."""
    lines = [HEAD]
    for device in dict.fromkeys(row.device for row in results.rows.values()):
        lines += [f"## On {results.facts.get(f'machine {device}', {}).get('name', device)}", ""]
        for section in (_processes, _means, _papers, _saved, _inductor, _variants, _shipped, _slower):
            lines += section(results, device)
    return "\n".join([*lines, *_builds(results.facts), *_memory(results.facts), *_machines(results.facts)]).rstrip() + "\n"


# ---- Sections of a device -------------------------------------------------------------------------------------------


def _processes(results: Results, device: str) -> Iterator[str]:
    """The number of processes of each group of rows, if one of them is above 1."""
    counts: dict[str, set[int]] = {}
    for row in results.rows.values():
        if row.device == device:
            counts.setdefault(row.group, set()).add(row.processes)
    if max(map(max, counts.values())) > 1:
        groups = ", ".join(f"{group} {' or '.join(map(str, sorted(numbers)))}" for group, numbers in counts.items())
        yield from (f"Medians over several processes, which differ in memory addresses. Number of processes: {groups}.", "")


def _means(results: Results, device: str) -> Iterator[str]:
    """The geometric means over the papers."""
    lines, pairs = [], (("authors", "ours"), ("authors", "plain"), ("authors compiled", "ours compiled"))
    for (size, kind), title in TITLES.items():
        rows = results.select("seven", device, size, kind)
        if rows:
            ratios = [[row.ratio(*pair) for row in rows] for pair in pairs]
            lowest = min(((value, row.block) for value, row in zip(ratios[0], rows, strict=True) if value), default=None)
            lowest_text = f"{lowest[0]:.2f} ({lowest[1]})" if lowest else EMPTY
            mean, *other_means = (format_ratio(mean_ratio(values)) for values in ratios)
            lines.append([title, f"**{mean}**", lowest_text, *other_means])
    if lines:
        yield from _table(["geometric mean of the ratios", "ours", "lowest", "plain", "both compiled"], lines)


def _papers(results: Results, device: str) -> Iterator[str]:
    """The times of each paper, a table for each size and kind."""
    rates = results.facts.get(f"machine {device}", {})
    for (size, kind), title in TITLES.items():
        rows = results.select("seven", device, size, kind)
        if not rows:
            continue
        yield from (f"### {title}", "")
        mean, plain_mean = (mean_ratio(row.ratio(under=under) for row in rows) for under in ("ours", "plain"))
        last = ["**geometric mean**", "", "", "", f"**{format_ratio(mean)}**", format_ratio(plain_mean), "", ""]
        head = ["block", "shape", "authors' ms", "ours ms", "ratio", "plain", "bound ms", "share"]
        yield from _table(head, [*(_paper_cells(row, rates) for row in rows), last])
        yield from _failures(rows)


def _paper_cells(row: Row, rates: dict[str, Any]) -> list[str]:
    bound, ours = row.roofline_bound(rates), row.times.get("ours")
    share = f"{100 * bound / ours.median:.0f} %" if bound and ours else EMPTY
    ratios = [format_ratio(row.ratio()), format_ratio(row.ratio(under="plain"))]
    times = [format_ms(row, "authors"), format_ms(row, "ours")]
    return [f"`{row.block}`", format_shape(row.shape), *times, *ratios, f"{1e3 * bound:.3g}" if bound else EMPTY, share]


def _failures(rows: Iterable[Row]) -> Iterator[str]:
    lines = [f"- `{row.block}` {column or 'refused'}: {why}" for row in rows for column, why in row.failed.items()]
    yield from (*lines, *([""] if lines else []))


def _saved(results: Results, device: str) -> Iterator[str]:
    """The memory that autograd saves for backward."""
    rows = [row for row in results.select("seven", device, "full", "training") if row.saved]
    if not rows:
        return
    yield from ("### Saved for backward", "", "Megabytes that autograd saves in a training step, the input included.", "")
    columns = [name for name in ("authors", "ours", "plain") if any(name in row.saved for row in rows)]
    lines = []
    for row in rows:
        input_MB = row.shape[0] * row.shape[1] * row.shape[2] * row.shape[3] * 4 / 1e6
        cells = [f"{row.saved[name] / 1e6:.1f}" if name in row.saved else EMPTY for name in columns]
        lines.append([f"`{row.block}`", *cells, f"{input_MB:.1f}"])
    yield from _table(["block", *columns, "input alone"], lines)


def _inductor(results: Results, device: str) -> Iterator[str]:
    """The papers compiled by inductor."""
    rows = [row for row in results.select("seven", device) if any("compiled" in name for name in row.times)]
    if not rows:
        return
    yield from (
        "### Compiled by inductor",
        "",
        "`torch.compile(dynamic=False)`. The first three ratios are the authors' compiled time / the time of our compiled, our",
        "eager and our compiled plain block. The last one is the authors' eager time / our compiled time.",
        "",
    )
    pairs = [("authors compiled", name) for name in ("ours compiled", "ours", "plain compiled")]
    lines = []
    for row in sorted(rows, key=lambda row: list(TITLES).index((row.size, row.kind))):
        ratios = [format_ratio(row.ratio(*pair)) for pair in (*pairs, ("authors", "ours compiled"))]
        label = f"`{row.block}`, {TITLES[row.size, row.kind].lower()}"
        lines.append([label, format_ms(row, "authors compiled"), format_ms(row, "ours compiled"), *ratios])
    head = ["block", "authors' ms", "ours ms", "ratio", "ours eager", "plain compiled", "against authors eager"]
    yield from _table(head, lines)


def _variants(results: Results, device: str) -> Iterator[str]:
    note = "Random slot words. The ratio is the time of the block built with `lower=False` / the time of the lowered block."
    rows = results.select("variants", device)
    yield from _against_plain(rows, "Variants that are not in a paper", note, "squeeze excite gate")


def _shipped(results: Results, device: str) -> Iterator[str]:
    yield from _against_plain(results.select("compiled", device), "Shipped blocks, compiled", COMPILED_NOTE, "block")


def _against_plain(rows: list[Row], title: str, note: str, first_heading: str) -> Iterator[str]:
    """A line for each block: its ratio of plain to lowered for each size and kind."""
    if not rows:
        return
    yield from (f"### {title}", "", note, "")
    columns = [column for column in TITLES if any((row.size, row.kind) == column for row in rows)]
    ratios = {column: {row.block: row.main_ratio() for row in rows if (row.size, row.kind) == column} for column in columns}
    blocks = dict.fromkeys(row.block for row in rows)
    lines = [[f"`{block}`", *(format_ratio(ratios[column].get(block)) for column in columns)] for block in blocks]
    known = [[value for value in ratios[column].values() if value] for column in columns]
    lines.append(["**geometric mean**", *(format_ratio(mean_ratio(values)) for values in known)])
    lines.append(["**lowest**", *(format_ratio(min(values, default=None)) for values in known)])
    yield from _table([first_heading, *(TITLES[column].lower() for column in columns)], lines)
    if earlier := dict.fromkeys(f"`{row.block}`" for row in rows if row.times and not row.ratios):
        yield from (f"Ratios of medians, from an earlier measurement: {', '.join(earlier)}.", "")
    yield from _failures(rows)


def _slower(results: Results, device: str) -> Iterator[str]:
    """Every ratio below 1, which the means do not show."""
    slow = []
    for group, other in (("seven", "the authors"), ("variants", "plain"), ("compiled", "plain, both compiled")):
        for row in results.select(group, device):
            if (value := row.main_ratio()) and value < 0.995:
                title = TITLES[row.size, row.kind].lower()
                slow.append((value, f"- `{row.block}`, {title}: {value:.2f} of the speed of {other}"))
    yield from ("### What is slower", "", *(line for _, line in sorted(slow)), *([] if slow else ["Nothing."]), "")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table with numbers on the right, and an empty line."""
    return [*markdown_table(head, rows, align="---:"), ""]


# ---- Facts ----------------------------------------------------------------------------------------------------------


def _builds(facts: dict[str, Any]) -> Iterator[str]:
    if "build" not in facts:
        return
    seconds, meta = facts["build"], facts["meta"]
    slowest = sorted(seconds, key=seconds.__getitem__)[-3:][::-1]
    slowest_text = ", ".join(f"`{name}` {1e3 * seconds[name]:.1f} ms" for name in slowest)
    yield from (
        "## Building",
        "",
        f"`sf.build(name, 256)` of the {len(seconds)} shipped configs takes {1e3 * median(seconds.values()):.1f} ms (median)",
        f"beyond allocating and initializing the tensors. The slowest are {slowest_text}.",
        f"On the meta device {meta['per_minute']:,.0f} variants a minute are built and summarized.",
        "",
    )


def _memory(facts: dict[str, Any]) -> Iterator[str]:
    for key in (key for key in facts if key.startswith("pam ")):
        device = key.removeprefix("pam ")
        peaks = ", ".join(f"{name} {peak / 1e6:,.0f} MB" for name, peak in facts[key].items())
        yield from (
            "## Memory of position attention",
            "",
            f"Peak memory of a training step of `pam` on one feature map of 128 x 128 on {device}, without input and weights:",
            f"{peaks}.",
            "",
        )


def _machines(facts: dict[str, Any]) -> Iterator[str]:
    yield from ("## Machine", "")
    for key in (key for key in facts if key.startswith("machine ")):
        fact = facts[key]
        rates = f"{fact['bytes_per_second'] / 1e9:.1f} GB/s, {fact['flops_per_second'] / 1e9:,.0f} GFLOP/s"
        setup = f"{fact['threads']} thread, {fact['clock']} clock, malloc {fact['allocator']}"
        yield f"- {fact['name']}: torch {fact['torch']}, Python {fact['python']}, {setup}, {rates}, {fact['date']}"
