"""The help of a command: examples, groups with their names, keys with defaults, flags. Imports neither Hydra nor torch."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .primary_config import NO_SWEEPS, Key, command_keys, group_names

SUMMARIES = {
    "show": "print a block, or the blocks of a network: operators, sizes, parameters, MACs",
    "bench": "compare blocks or networks: time, memory and cost, as a table and an HTML report",
    "train": "train a network with or without a block, and score it",
    "study": "train variants with the same seeds, and say which of them help",
    "report": "the verdicts of finished runs, as a table and an HTML report",
}
EXAMPLES = {
    "show": {
        "block=cbam channels=64 size=14": "a block for inputs of 64 x 14 x 14",
        "block=cbam block.let.r=8": "the block with a changed value",
        "block=my/strips.yaml": "a block in a file of your own",
        "block=unit squeeze=max excite=mlp": "a block of slot words",
        "host=cbam_resnet50": "a network: where its blocks are, and what they add",
    },
    "bench": {
        "": "the seven papers",
        "'blocks=[senet,ecanet,my.yaml]'": "a list of blocks",
        "-m block=unit squeeze=mean,max excite=mlp,conv1d": "a sweep: every combination",
        "'hosts=[cbam_resnet50,senet_resnet50]'": "networks with and without blocks",
        "compare A B": "the results of two runs, compared",
    },
    "train": {
        "block=senet block.let.r=4": "a network with a block, on the digits of scikit-learn",
        "data=fashion_mnist data.size=14 network.width=8": "other images, a narrower network without a block",
        "-m block=senet,cbam 'seed=range(5)' store=my_runs": "a sweep into one store; sefactory report store=my_runs reads it",
    },
    "study": {
        "store=my_runs": "two variants on small images: shows in a minute that everything works",
        "study=papers store=papers dry=true": "variants, costs and the estimated time of a study",
        "study=my/study.yaml store=my_runs runner=ray": "a study of your own, on a cluster of Ray",
    },
    "report": {
        "store=my_runs": "the verdicts of a study or of a sweep of train",
    },
}
SWEEP_FLAG = "-m, --multirun"
FLAGS = {
    "--config-dir FOLDER": "a folder of your own with block/, host/, squeeze/, ... in it",
    SWEEP_FLAG: "a sweep: one run for each combination of the values key=a,b,c",
    "--cfg job|hydra|all": "print the composed config instead of running",
    "--info [PART]": "print how the config was composed: defaults, searchpath, plugins, ...",
    "--hydra-help": "list the flags of Hydra",
    "-h, --help": "print this help",
}
CHANGES = {
    "block.PATH=VALUE": "change a value of the block: block.let.r=8",
    "+block.PATH=VALUE": "add a value that is not there; ++ changes or adds",
    "~block.PATH": "remove a value",
    "squeeze@block.PATH=WORD": "fill a slot further down: squeeze@block.series.channel=max",
}
MIN_WIDTH = 40
MAX_WIDTH = 120
Rows = Sequence[tuple[str, str]]


def command_help(command: str, folders: Sequence[Path]) -> str:
    """The help of a command, as wide as the terminal, with the names that the folders of configs add."""
    keys = command_keys(command)
    groups = {key.name: _describe_group(key, folders) for key in keys.values() if key.is_group}
    values = [(f"{key.name}={key.default}", key.comment) for key in keys.values() if not key.is_group]
    lines = [
        f"{_bold(f'sefactory {command}')}: {SUMMARIES[command]}",
        "",
        f"{_bold('Usage:')} sefactory {command} [key=value ...] [flags]",
        *_section("Examples", [(f"sefactory {command} {words}".strip(), text) for words, text in EXAMPLES[command].items()]),
        *(_section("Groups (group=name)", list(groups.items())) if groups else ()),
        *_section("Keys (key=value) and their defaults", values),
        *(_section("Changes of the block", list(CHANGES.items())) if "block" in keys else ()),
        *_section("Flags", [(flag, text) for flag, text in FLAGS.items() if command not in NO_SWEEPS or flag != SWEEP_FLAG]),
    ]
    return "\n".join(lines)


def _describe_group(key: Key, folders: Sequence[Path]) -> str:
    """What a group selects, its default and its names."""
    names = ", ".join(group_names(key.name, folders))
    default = "" if key.default == "null" else f" [default: {key.default}]"
    return f"{key.comment}{default}\n{names}".strip()


def _section(title: str, rows: Rows) -> Iterator[str]:
    """Yields the lines of a section: names in a column, and beside it the texts, wrapped."""
    width = max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size().columns))
    column = max(len(name) for name, _ in rows) + 2
    column = column if column <= width // 2 else 4
    yield from ("", _bold(f"{title}:"))
    for name, text in rows:
        lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width - column - 2)] or [""]
        if len(name) + 2 > column:
            yield f"  {name}"
        else:
            yield f"  {name:{column}}{lines.pop(0)}".rstrip()
        yield from (f"  {'':{column}}{line}" for line in lines if line)


def _bold(text: str) -> str:
    """The text in bold letters on a terminal, unless NO_COLOR is set."""
    return f"\033[1m{text}\033[0m" if is_coloured(os.environ) else text


def is_coloured(environment: Mapping[str, str]) -> bool:
    """True if stdout is a terminal and colours are not turned off."""
    return sys.stdout.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
