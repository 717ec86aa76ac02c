"""`sefactory bench`: builds blocks, measures them side by side, writes the results after every shape."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench import report
from ..bench.benchmark import Case, Comparison, Row, refused_row
from ..bench.machine import Machine, Options, Shape, environment, measure_machine
from ..bench.summary import leaf_operators, summarize
from ..config.repository import ConfigRepository, load_config
from ..config.yaml_reader import to_plain
from ..errors import ConfigError, short_repr
from .arguments import GRID_OF, block_label, built, chosen_block, search_folders, size, whole
from .networks import chosen_host, host_case, host_label, listed_hosts, plain_case, shapes_of

SEVEN = ("senet", "sknet", "cbam", "coordatt", "triplet", "danet", "seaformer")


@dataclass(frozen=True)
class Entry:
    """A block to measure: its name in the tables and its config."""

    name: str
    config: Any


def bench(config: DictConfig) -> None:
    """Measures the blocks at every shape of the input and writes tables and a report into Hydra's output folder.

    A block that is refused is a row with its reason. Raises ConfigError for settings that no row could carry.
    """
    options, search = _options(config), search_folders()
    hosts = _hosts(config, search)
    if hosts:
        _bench_networks(hosts, config, options, search)
        return
    shapes, entries = _shapes(config), _entries(config)
    baseline = None if config.baseline is None else str(config.baseline)
    if baseline is not None and all(entry.name != baseline for entry in entries):
        entries.append(Entry(baseline, baseline))
        load_config(baseline, ConfigRepository(search))
    bench_ = _Bench(entries, shapes, options, baseline, partial(_case, search=search))
    bench_.run()


def _hosts(config: DictConfig, search: list[Path]) -> dict[str, dict[str, Any]]:
    """The networks to measure, by name; none where blocks are."""
    chosen = chosen_host(config)
    if chosen is not None and config.hosts is not None:
        raise ConfigError([("hosts", "hosts= and host= at once; give a list, or one host with its overrides")])
    if chosen is None and config.hosts is None:
        return {}
    return {host_label(): chosen} if chosen is not None else listed_hosts(config.hosts, search)


def _bench_networks(hosts: dict[str, dict[str, Any]], config: DictConfig, options: Options, search: list[Path]) -> None:
    """Each network with its blocks beside the same one without; those are the baseline."""
    shapes = shapes_of(list(hosts.values()), whole("batch", config.batch))
    without = {data["host"]: data for data in hosts.values()}
    entries = [Entry(name, name) for name in (*without, *hosts)]

    def case(entry: Entry, shape: Shape) -> Case:
        if entry.name in hosts:
            return host_case(entry.name, hosts[entry.name], shape, search)
        return plain_case(without[entry.name], shape)

    baseline = str(config.baseline) if str(config.baseline) in [entry.name for entry in entries] else next(iter(without))
    _Bench(entries, shapes, options, baseline, case).run()


def finish(rows: Sequence[Row], folder: Path) -> None:
    """Prints the table and where the files are."""
    console = Console()
    report.table(rows, console)
    console.print(f"\nresults.json, results.csv and report.html are in {folder}", highlight=False, soft_wrap=True)


def finish_sweep(folder: Path) -> None:
    """Prints the combined table of a sweep, as far as it came."""
    if (folder / "results.json").is_file():
        finish(report.read(folder)[0], folder)


def _sweeping() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _earlier() -> list[Row]:
    """The rows of the jobs before this one of a sweep."""
    folder, job = Path(HydraConfig.get().sweep.dir), HydraConfig.get().job.num
    return report.read(folder)[0] if job and (folder / "results.json").is_file() else []


def _summary(row: Row) -> str:
    if why := report.reason(row):
        return f"{row.block}  {row.shape}  {why}"
    ratio = "" if row.forward_ratio is None else f"  x{row.forward_ratio:.2f} of the baseline"
    return f"{row.block}  {row.shape}  {(row.forward_s or 0) * 1e6:,.0f} us{ratio}"


class _Bench:
    """One job: rows are kept and written as they come, so that an interruption loses nothing."""

    def __init__(
        self,
        entries: list[Entry],
        shapes: list[Shape],
        options: Options,
        baseline: str | None,
        case: Callable[[Entry, Shape], Case],
    ) -> None:
        self.entries, self.shapes, self.options = entries, shapes, options
        self.baseline, self.case = baseline, case
        self.folder = Path(HydraConfig.get().runtime.output_dir)
        self.rows: list[Row] = []
        self.facts = environment(options)
        self.earlier = _earlier() if _sweeping() else []

    def run(self) -> None:
        """Measures shape by shape; on Ctrl-C what there is is written and said."""
        console, machine = Console(), _machine(self.options)
        self.facts |= {
            "copy_GB_per_s": round(machine.bytes_per_second / 1e9, 2),
            "matmul_GFLOP_per_s": round(machine.flops_per_second / 1e9, 1),
        }
        try:
            with _progress() as progress:
                for shape in self.shapes:
                    self._measure(shape, machine, progress)
                    self._write()
        except KeyboardInterrupt:
            self._write()
            console.print(f"interrupted; what was measured is in {self.folder}", highlight=False, soft_wrap=True)
            raise
        if _sweeping():
            for row in self.rows:
                if row.block != self.baseline:
                    console.print(_summary(row), highlight=False, soft_wrap=True, markup=False)
        else:
            finish(self.rows, self.folder)

    def _measure(self, shape: Shape, machine: Machine, progress: Progress) -> None:
        cases, refused = [], []
        for entry in self.entries:
            try:
                cases.append(self.case(entry, shape))
            except ConfigError as error:
                refused.append(refused_row(entry.name, shape, str(error)))
        present = self.baseline if any(case.name == self.baseline for case in cases) else None
        comparison = Comparison(cases, shape, self.options, machine, present)
        before = list(self.rows)
        task = progress.add_task("x".join(map(str, shape)), total=comparison.total)
        try:
            for _ in comparison.run():
                progress.advance(task)
        finally:
            self.rows = [*before, *comparison.rows(), *refused]

    def _write(self) -> None:
        if _sweeping():  # one report, of all jobs
            report.write_data(self.rows, self.facts, self.folder)
            self._write_combined(Path(HydraConfig.get().sweep.dir))
        else:
            report.write(self.rows, self.facts, self.folder)

    def _write_combined(self, folder: Path) -> None:
        """The table of all jobs of the sweep so far: those before this one, and what this one adds."""
        present = {(row.block, row.shape) for row in self.earlier}
        own = [row for row in self.rows if row.block != self.baseline or (row.block, row.shape) not in present]
        report.write([*self.earlier, *own], self.facts, folder)


def _case(entry: Entry, shape: Shape, search: list[Path]) -> Case:
    batch, channels, *sides = shape
    torch.manual_seed(0)
    block = built(entry.config, channels, sides, search)
    found = summarize(block, *sides, batch=batch)
    return Case(entry.name, block, found.parameters, found.macs, found.elements, leaf_operators(block))


@lru_cache(maxsize=4)
def _machine(options: Options) -> Machine:
    """Measured once for all jobs of a sweep."""
    return measure_machine(options)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _options(config: DictConfig) -> Options:
    fields = ("device", "dtype", "threads", "compile", "channels_last", "rounds", "seconds")
    try:
        return Options(**{name: config[name] for name in fields})
    except (ValueError, TypeError) as error:
        raise ConfigError([("bench", str(error))]) from None


def _shapes(config: DictConfig) -> list[Shape]:
    """B, C and the sides of the inputs, from `shapes` or from `channels` and `size`."""
    batch, given = whole("batch", config.batch), config.input
    if "shapes" not in given:
        return [(batch, whole("input.channels", given.channels), *size("input.size", given.size))]
    shapes = to_plain(OmegaConf.to_container(given.shapes, resolve=False), "input.shapes")
    for i, shape in enumerate(shapes):
        if not isinstance(shape, list) or len(shape) - 1 not in GRID_OF:
            said = "a shape is [channels, height, width], or has one side or three behind the channels"
            raise ConfigError([(f"input.shapes.{i}", f"{short_repr(shape)}; {said}")])
        for side in shape:
            whole(f"input.shapes.{i}", side)
    return [(batch, *shape) for shape in shapes]


def _entries(config: DictConfig) -> list[Entry]:
    chosen, _ = chosen_block(config)
    if config.blocks is not None and chosen is not None:
        raise ConfigError([("blocks", "blocks= and block= at once; give a list, or one block with its overrides")])
    if chosen is not None:
        return [Entry(block_label(), chosen)]
    blocks = list(SEVEN) if config.blocks is None else _list(config.blocks)
    entries = list(_named(to_plain(blocks, "blocks"), ConfigRepository(search_folders())))
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError([("blocks", f"{twice} is listed twice")])
    return entries


def _list(blocks: Any) -> list[Any]:
    listed = OmegaConf.to_container(blocks, resolve=False) if OmegaConf.is_config(blocks) else blocks
    if isinstance(listed, list) and listed:
        return listed
    raise ConfigError(
        [("blocks", f"{short_repr(blocks)}; it is a list of names, paths and mappings, such as [senet, my.yaml]")]
    )


def _named(blocks: list[Any], shelf: ConfigRepository) -> Iterator[Entry]:
    for i, block in enumerate(blocks):
        if isinstance(block, Mapping):
            yield Entry(f"blocks.{i}", block)
        elif isinstance(block, str):
            source = Path(block) if block.endswith((".yaml", ".yml")) else block
            load_config(source, shelf)  # an unknown name is a mistake, not a row of every table
            yield Entry(block, source)
        else:
            raise ConfigError(
                [(f"blocks.{i}", f"{short_repr(block)}; a block is a name, the path of a YAML file, or a mapping")]
            )
