"""Scans the folders of `--config-dir` before Hydra reads them: a config file may not configure Hydra, which could run code."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.yaml_reader import parse_yaml, read_text
from ..errors import ConfigError

MAX_FILES = 5_000
NO_HYDRA = "a config folder cannot configure Hydra; write such settings on the command line"
PACKAGE_DIRECTIVE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)
ALLOWED_PACKAGE = re.compile(r"(_group_|block|input|host)([.][A-Za-z0-9_.]+)?")
ALLOWED_DEFAULT = re.compile(r"(_self_|[a-z0-9_]+(/[a-z0-9_]+)*)")


def check_config_dirs(folders: Sequence[Path]) -> None:
    """Raises ConfigError for a folder that does not exist, and for every file in one that configures Hydra."""
    faults: list[tuple[str, str]] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError([(f"--config-dir {folder}", "no such folder")])
        for count, file in enumerate(sorted(folder.rglob("*.yaml"))):
            if count >= MAX_FILES:
                raise ConfigError([(str(folder), f"has more than {MAX_FILES:,} YAML files")])
            faults += [(str(file), text) for text in _file_faults(file, file.relative_to(folder))]
    if faults:
        raise ConfigError(faults)


def _file_faults(file: Path, relative: Path) -> list[str]:
    """What in a file, at a path relative to its config folder, would configure Hydra."""
    if relative.parts[0] == "hydra":
        return [NO_HYDRA]
    text = read_text(file, str(file))
    data, packages = parse_yaml(text, str(file)), PACKAGE_DIRECTIVE.findall(text)
    refused = [package for package in packages if not ALLOWED_PACKAGE.fullmatch(package)]
    faults = [f"the package {name!r} is refused; allowed: block, input, host, and packages below them" for name in refused]
    if isinstance(data, dict) and "hydra" in data:
        faults.append(f"the key 'hydra' is refused: {NO_HYDRA}")
    return faults + _defaults_faults(data)


def _defaults_faults(data: Any) -> list[str]:
    entries = data.get("defaults", []) if isinstance(data, dict) else []
    if not isinstance(entries, list):
        return ["defaults must be a list of names and _self_"]
    refused = [entry for entry in entries if not (isinstance(entry, str) and ALLOWED_DEFAULT.fullmatch(entry))]
    return [f"defaults: {entry!r} is refused; allowed: names of the same folder, and _self_" for entry in refused]
