"""docs/speed.md from the results."""

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from .results import Results, Row
from .table import NONE, mean, ms, ratio, shape, table

HEAD = """# Speed

Written by scripts/speed.py from measured rows. For each of the seven papers: its authors' operations, restated in plain
torch with every copy they make (scripts/authors.py), against our block with the same weights, in one process. A pair is
timed only after its outputs, input and parameter gradients, and running statistics are equal in float64 at that very shape.

- **ratio**: the authors' time over ours, so that above 1 ours is faster: the median over the rounds of what each round gives.
  Calls alternate (A B A B; of three, the compiled ones, in an order drawn anew for each round), so that what slows the
  machine for a while is in both. Times are medians; in brackets the interquartile range.
- **plain**: the same ratio with our block built without lowering, timed after that against the authors' once more.
- **floor**: below it nothing gets; the larger of bytes over the bandwidth of a copy and operations over the rate of a
  matrix product, both measured on this machine. **share**: the floor over our time, 100 % is the end of the road.
- *Forward* is in eval mode without gradients, *training* a forward and backward in train mode with the gradient of the
  input. `danet` is PAM + CAM at full width, without the head's convolutions.
"""
TITLES = {
    ("full", "forward"): "Forward",
    ("full", "training"): "Training",
    ("tiny", "forward"): "Tiny forward",
    ("tiny", "training"): "Tiny training",
}


def page(results: Results) -> str:
    """The whole page; what was not measured has no section."""
    lines = [HEAD]
    for device in dict.fromkeys(row.device for row in results.rows.values()):
        lines += [f"## On {results.facts.get(f'machine {device}', {}).get('name', device)}", ""]
        lines += [
            *_processes(results, device),
            *_means(results, device),
            *_seven(results, device),
            *_saved(results, device),
            *_compiled(results, device),
        ]
        lines += [*_variants(results, device), *_shipped(results, device), *_slower(results, device)]
    return "\n".join([*lines, *_builds(results.facts), *_memory(results.facts), *_machines(results.facts)]).rstrip() + "\n"


# ---- Sections -------------------------------------------------------------------------------------------------------


def _processes(results: Results, device: str) -> Iterator[str]:
    """In how many processes each group of rows was measured, where one was in more than one."""
    counts: dict[str, set[int]] = {}
    for row in results.rows.values():
        if row.device == device:
            counts.setdefault(row.group, set()).add(row.processes)
    if max(map(max, counts.values())) > 1:
        told = ", ".join(f"{group} {' or '.join(map(str, sorted(found)))}" for group, found in counts.items())
        yield from (f"Medians over processes, each with its maps in other memory: {told}.", "")


def _means(results: Results, device: str) -> Iterator[str]:
    """The geometric means over the papers, first of all."""
    rows, pairs = [], (("authors", "ours"), ("authors", "plain"), ("authors compiled", "ours compiled"))
    for (size, kind), title in TITLES.items():
        found = results.of("seven", device, size, kind)
        if found:
            ratios = [[row.ratio(*pair) for row in found] for pair in pairs]
            worst = min(((value, row.block) for value, row in zip(ratios[0], found, strict=True) if value), default=None)
            least = f"{worst[0]:.2f} ({worst[1]})" if worst else NONE
            rows.append([title, f"**{ratio(mean(ratios[0]))}**", least, *(ratio(mean(values)) for values in ratios[1:])])
    yield from table(["geometric mean of the ratios", "ours", "least", "plain", "both compiled"], rows)


def _seven(results: Results, device: str) -> Iterator[str]:
    rates = results.facts.get(f"machine {device}", {})
    for (size, kind), title in TITLES.items():
        found = results.of("seven", device, size, kind)
        if not found:
            continue
        yield from (f"### {title}", "")
        last = ["**geometric mean**", "", "", "", f"**{ratio(mean(row.ratio() for row in found))}**"]
        last += [ratio(mean(row.ratio(under="plain") for row in found)), "", ""]
        head = ["block", "shape", "authors' ms", "ours ms", "ratio", "plain", "floor ms", "share"]
        yield from table(head, [*(_line(row, rates) for row in found), last])
        yield from _failures(found)


def _line(row: Row, rates: dict[str, Any]) -> list[str]:
    least, ours = row.floor(rates), row.times.get("ours")
    share = f"{100 * least / ours.median:.0f} %" if least and ours else NONE
    times = [ms(row, "authors"), ms(row, "ours"), ratio(row.ratio()), ratio(row.ratio(under="plain"))]
    return [f"`{row.block}`", shape(row), *times, f"{1e3 * least:.3g}" if least else NONE, share]


def _failures(rows: Iterable[Row]) -> Iterator[str]:
    told = [f"- `{row.block}` {column or 'refused'}: {why}" for row in rows for column, why in row.failed.items()]
    yield from (*told, *([""] if told else []))


def _saved(results: Results, device: str) -> Iterator[str]:
    found = [row for row in results.of("seven", device, "full", "training") if row.saved]
    if not found:
        return
    yield from ("### Saved for the backward", "", "Megabytes that autograd keeps in a training step, the input included.", "")
    columns = [name for name in ("authors", "ours", "plain") if any(name in row.saved for row in found)]
    rows = []
    for row in found:
        input_MB = row.shape[0] * row.shape[1] * row.shape[2] * row.shape[3] * 4 / 1e6
        cells = [f"{row.saved[name] / 1e6:.1f}" if name in row.saved else NONE for name in columns]
        rows.append([f"`{row.block}`", *cells, f"{input_MB:.1f}"])
    yield from table(["block", *columns, "input alone"], rows)


def _compiled(results: Results, device: str) -> Iterator[str]:
    found = [row for row in results.of("seven", device) if any("compiled" in name for name in row.times)]
    if not found:
        return
    yield from (
        "### Compiled by inductor",
        "",
        "`torch.compile(dynamic=False)`; the last column is to the authors' eager time.",
        "",
    )
    under = [("authors compiled", name) for name in ("ours compiled", "ours", "plain compiled")]
    rows = []
    for row in sorted(found, key=lambda row: list(TITLES).index((row.size, row.kind))):
        ratios = [ratio(row.ratio(*pair)) for pair in (*under, ("authors", "ours compiled"))]
        label = f"`{row.block}`, {TITLES[row.size, row.kind].lower()}"
        rows.append([label, ms(row, "authors compiled"), ms(row, "ours compiled"), *ratios])
    head = ["block", "authors' ms", "ours ms", "ratio", "ours eager", "plain compiled", "against authors eager"]
    yield from table(head, rows)


def _variants(results: Results, device: str) -> Iterator[str]:
    yield from _against_plain(
        results.of("variants", device),
        "Variants that are no papers",
        "Slot words drawn at random; our plain block over the lowered one.",
        "squeeze excite gate",
    )


def _shipped(results: Results, device: str) -> Iterator[str]:
    yield from _against_plain(
        results.of("compiled", device),
        "Shipped blocks, compiled",
        "`torch.compile(dynamic=False)` by inductor on both sides; our plain block over the lowered one. Small maps, and\n"
        "blocks that learn of descriptors alone (`ecanet`, `grn`, `srmnet`, ...), are the same code: how far they are off 1\n"
        "is the noise.",
        "block",
    )


def _against_plain(found: list[Row], title: str, what: str, first: str) -> Iterator[str]:
    """One line for each block: its ratio of plain to lowered at each size, in each kind of step."""
    if not found:
        return
    yield from (f"### {title}", "", what, "")
    places = [place for place in TITLES if any((row.size, row.kind) == place for row in found)]
    ratios = {place: {row.block: of_ours(row) for row in found if (row.size, row.kind) == place} for place in places}
    blocks = dict.fromkeys(row.block for row in found)
    rows = [[f"`{block}`", *(ratio(ratios[place].get(block)) for place in places)] for block in blocks]
    known = [[value for value in ratios[place].values() if value] for place in places]
    rows.append(["**geometric mean**", *(ratio(mean(values)) for values in known)])
    rows.append(["**least**", *(ratio(min(values, default=None)) for values in known)])
    yield from table([first, *(TITLES[place].lower() for place in places)], rows)
    if earlier := dict.fromkeys(f"`{row.block}`" for row in found if row.times and not row.ratios):
        yield from (f"Of two medians, from an earlier measurement: {', '.join(earlier)}.", "")
    yield from _failures(found)


def of_ours(row: Row) -> float | None:
    """The ratio that a row is about: of compiled code where it stands among the compiled."""
    return row.ratio("authors compiled", "ours compiled") if row.group == "compiled" else row.ratio()


def _slower(results: Results, device: str) -> Iterator[str]:
    """Every ratio below 1, so that the means hide none."""
    slow = []
    for group, other in (("seven", "the authors"), ("variants", "plain"), ("compiled", "plain, both compiled")):
        for row in results.of(group, device):
            if (value := of_ours(row)) and value < 0.995:
                title = TITLES[row.size, row.kind].lower()
                slow.append((value, f"- `{row.block}`, {title}: {value:.2f} of the speed of {other}"))
    yield from ("### What is slower", "", *(line for _, line in sorted(slow)), *([] if slow else ["Nothing."]), "")


# ---- Facts ----------------------------------------------------------------------------------------------------------


def _builds(facts: dict[str, Any]) -> Iterator[str]:
    if "build" not in facts:
        return
    seconds, meta = facts["build"], facts["meta"]
    slowest = sorted(seconds, key=seconds.__getitem__)[-3:][::-1]
    told = ", ".join(f"`{name}` {1e3 * seconds[name]:.1f} ms" for name in slowest)
    yield from (
        "## Building",
        "",
        f"`sf.build(name, 256)` of the {len(seconds)} shipped configs takes {1e3 * median(seconds.values()):.1f} ms (median)",
        f"beyond allocating and filling the tensors; the slowest are {told}.",
        f"On the meta device {meta['per_minute']:,.0f} variants a minute are built and described.",
        "",
    )


def _memory(facts: dict[str, Any]) -> Iterator[str]:
    for key in (key for key in facts if key.startswith("pam ")):
        device = key.removeprefix("pam ")
        told = ", ".join(f"{name} {peak / 1e6:,.0f} MB" for name, peak in facts[key].items())
        yield from (
            "## Memory of position attention",
            "",
            f"`pam` at 128 x 128, one map, a training step on {device}: peak beyond input and weights {told}.",
            "",
        )


def _machines(facts: dict[str, Any]) -> Iterator[str]:
    yield from ("## Machine", "")
    for key in (key for key in facts if key.startswith("machine ")):
        told = facts[key]
        rates = f"{told['bytes_per_second'] / 1e9:.1f} GB/s, {told['flops_per_second'] / 1e9:,.0f} GFLOP/s"
        how = f"{told['threads']} thread, {told['clock']} clock, malloc {told['allocator']}"
        yield f"- {told['name']}: torch {told['torch']}, Python {told['python']}, {how}, {rates}, {told['date']}"
