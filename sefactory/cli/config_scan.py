"""Before Hydra starts: a folder of a user's configs may add configs, but not configure Hydra, which could run code."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.yaml_reader import read_yaml
from ..errors import ConfigError

FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
MOST_FILES = 5_000
PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)
PLAIN_NAME = re.compile(r"(_self_|[a-z0-9_]+(/[a-z0-9_]+)*)")


def folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of configs that a command line names.

    >>> folders(["block=cbam", "--config-dir", "my", "-cd=more"])
    [PosixPath('my'), PosixPath('more')]
    """
    found = []
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            found.append(value if equals else arguments[i + 1] if i + 1 < len(arguments) else "")
    return [Path(folder) for folder in found]


def check(arguments: Sequence[str]) -> None:
    """Raises ConfigError for a folder that is not there, and for every file in one that tries to configure Hydra."""
    faults: list[tuple[str, str]] = []
    for folder in folders(arguments):
        if not folder.is_dir():
            raise ConfigError([(f"--config-dir {folder}", "no such folder")])
        for count, file in enumerate(sorted(folder.rglob("*.yaml"))):
            if count >= MOST_FILES:
                raise ConfigError([(str(folder), f"holds more than {MOST_FILES:,} YAML files")])
            faults += [(str(file), text) for text in _file(file, file.relative_to(folder))]
    if faults:
        raise ConfigError(faults)


def _file(file: Path, relative: Path) -> list[str]:
    if relative.parts[0] == "hydra":
        return ["a folder of configs cannot configure Hydra; put such settings on the command line"]
    data = read_yaml(file, str(file))
    packages = PACKAGE.findall(file.read_text(encoding="utf-8"))
    wrong = [package for package in packages if not re.fullmatch(r"(_group_|block|input|host)([.][A-Za-z0-9_.]+)?", package)]
    texts = [f"the package {package!r} is refused; allowed are block, input, host and what is below them" for package in wrong]
    if isinstance(data, dict) and "hydra" in data:
        texts.append("the key 'hydra' is refused: a folder of configs cannot configure Hydra")
    return texts + _defaults(data)


def _defaults(data: Any) -> list[str]:
    entries = data.get("defaults", []) if isinstance(data, dict) else []
    if not isinstance(entries, list):
        return ["defaults is a list of names and _self_"]
    wrong = [entry for entry in entries if not (isinstance(entry, str) and PLAIN_NAME.fullmatch(entry))]
    return [f"defaults: {entry!r} is refused; allowed are names of the same folder and _self_" for entry in wrong]
